"""The shared models of known families: constant outputs in the layout of real exports.

Each says that there is one box on any image of 320 × 320 pixels.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagebase.annotation import Size
from imagebase.detection.candidates import select
from imagebase.detection.detector import load_single
from imagebase.detection.library import find_model
from imagebase.detection.onnx.families import adapter_for, read_onnx
from imagebase.detection.validation import Level, dry_run, validate_files
from imagebase.detection.validation.dry_run import boxes_of, finding_of
from imagebase.settings import Limits
from tests.conftest import SHARED_DATA

FOLDER = SHARED_DATA / "cases" / "models"
# Its graph writes to place 1000 of a row of one: no runtime can run it. test_layouts
# has one like it that is whole.
BROKEN = "yolov8_dynamic.onnx"
SIZE = Size(320, 320)

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"{FOLDER} is absent")


def expected() -> dict[str, Any]:
    if not FOLDER.is_dir():
        return {"models": {}}
    known: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text("utf-8"))
    return known


def copied(name: str, folder: Path) -> Path:
    """Copy a model and the names beside it into a folder of its own."""
    for path in FOLDER.glob(f"{Path(name).stem}.*"):
        shutil.copy(path, folder / path.name)
    return folder / name


@pytest.mark.parametrize("name", sorted(set(expected()["models"]) - {BROKEN}))
def test_model_gives_its_one_box(name: str, tmp_path: Path) -> None:
    detector = load_single(find_model(str(copied(name, tmp_path))))
    candidates = detector.candidates(np.zeros((320, 320, 3), np.uint8), size=SIZE)
    found = select(candidates, confidence_threshold=0.25, nms_threshold=0.45)
    box = expected()["box"]
    edges = [box[edge] for edge in ("x_min", "y_min", "x_max", "y_max")]
    np.testing.assert_allclose(found.xyxy, [edges], atol=0.5)
    assert found.class_id.tolist() == [box["class_id"]]
    np.testing.assert_allclose(found.confidence, [box["confidence"]], atol=0.005)


@pytest.mark.parametrize("name", sorted(set(expected()["models"]) - {BROKEN}))
def test_doctor_takes_it_and_sees_the_box(name: str, tmp_path: Path) -> None:
    examined = validate_files([copied(name, tmp_path)], limits=Limits())
    assert {finding.level for finding in examined.findings} == {Level.GOOD}
    assert examined.draft is not None
    tried = dry_run(examined.draft.model)
    boxes = boxes_of(tried, examined.draft.model.labels)
    assert [box.label for box in boxes] == ["c2"]
    assert finding_of(tried, boxes, image="k").level is Level.GOOD


def test_open_sides_are_fixed_to_the_size_in_the_metadata() -> None:
    model = read_onnx((FOLDER / BROKEN).read_bytes())
    adapter = adapter_for(model, labels=80)
    assert (adapter.family, adapter.net_size) == ("yolov8", SIZE)

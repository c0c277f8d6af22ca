"""One look, several that are fused, and models that vote, for real on a photograph."""

import pickle
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from imagebase.annotation import Size
from imagebase.detection.candidates import pack, select, unpack
from imagebase.detection.detector import Detector, load_single
from imagebase.detection.factory import ModelConfig, configured_detector, load_detector
from imagebase.detection.library import find_model
from imagebase.detection.selection_rule import as_annotations
from imagebase.detection.taught.taught_detector import TaughtDetector
from imagebase.errors import ModelLoadError
from imagebase.images.decode import LoadedImage, load_image
from imagebase.settings import SAMPLES_FOLDER
from tests.detection.darknet.darknet_models import write_one_box_model
from tests.detection.taught.test_taught_file import some_model

GREY = np.zeros((100, 200, 3), np.uint8)


@cache
def kitchen() -> LoadedImage:
    data = (SAMPLES_FOLDER / "kitchen.jpg").read_bytes()
    return load_image(data, file_name="k", max_pixels=10**8)


@cache
def looker(quality: str, *names: str) -> Detector:
    return load_detector([find_model(name) for name in names], quality=quality)


def test_accurate_mode_is_the_same_model_that_looks_better() -> None:
    fast, accurate = looker("fast", "yolov4-tiny"), looker("accurate", "yolov4-tiny")
    assert accurate.model_id == fast.model_id
    assert (fast.passes, accurate.passes) == ("single", "accurate")
    assert accurate.wanted == Size(832, 832)
    picture = kitchen()
    found = accurate.candidates(picture.rgb, size=picture.size)
    assert found.seen_by is None
    usual = select(
        fast.candidates(picture.rgb, size=picture.size),
        confidence_threshold=0.6,
        nms_threshold=0.45,
    )
    assert set(usual.class_id.tolist()) <= set(found.class_id.tolist())


@pytest.mark.parametrize("name", ["yolov4-tiny", "yolox-nano"])
def test_accurate_boxes_are_on_the_upright_picture(name: str) -> None:
    picture = kitchen()
    plain = select(
        looker("fast", name).candidates(picture.rgb, size=picture.size),
        confidence_threshold=0.6,
        nms_threshold=0.45,
    )
    found = looker("accurate", name).candidates(picture.rgb, size=picture.size)
    assert len(plain)
    for box, class_id in zip(plain.xyxy, plain.class_id, strict=True):
        same = found.xyxy[found.class_id == class_id]
        assert np.abs(same - box).max(axis=1).min() < 0.06 * picture.size.width


def test_votes_bear_the_names_of_who_saw_them() -> None:
    vote = looker("fast", "yolox-nano", "yolov4-tiny")
    assert vote.voters == ("yolox-nano", "yolov4-tiny")
    assert len(vote.labels) == 80
    picture = kitchen()
    found = unpack(pack(vote.candidates(picture.rgb, size=picture.size)))
    sure = select(found, confidence_threshold=0.25, nms_threshold=0.45)
    boxes = as_annotations(
        sure, model_labels=vote.labels, model_id=vote.model_id, voters=vote.voters
    )
    assert {box.model_id for box in boxes} == {vote.model_id}
    who = {box.changed_by for box in boxes}
    assert "yolox-nano + yolov4-tiny" in who
    assert who <= {"yolox-nano", "yolov4-tiny", "yolox-nano + yolov4-tiny"}


def test_vote_of_models_with_other_labels_knows_all_of_them(tmp_path: Path) -> None:
    single = write_one_box_model(tmp_path / "one")
    two = write_one_box_model(tmp_path / "two")
    (single / "obj.names").write_text("cat\naeroplane\n")
    (two / "obj.names").write_text("bird\nairplane\n")
    models = [find_model(str(folder)) for folder in (single, two)]
    vote = load_detector(models)
    assert vote.labels == ("cat", "aeroplane", "bird")
    found = vote.candidates(GREY, size=Size(200, 100))
    assert found.class_id.tolist() == [1]
    assert found.seen_by is not None
    assert found.seen_by.tolist() == [0b11]
    alone = load_single(models[0]).candidates(GREY, size=Size(200, 100))
    np.testing.assert_allclose(found.xyxy, alone.xyxy, atol=1e-2)
    np.testing.assert_allclose(found.confidence, alone.confidence, atol=1e-3)


def test_mirrored_vote_lies_on_the_upright_picture(tmp_path: Path) -> None:
    folder = write_one_box_model(tmp_path / "one", box=(-2, 0, 0, 0))
    models = [find_model(str(folder))] * 2
    vote = load_detector(models, quality="accurate", input_size=64)
    assert vote.passes == "accurate"
    plain = vote.candidates(GREY, size=Size(200, 100))
    mirrored = vote.candidates(GREY, size=Size(200, 100), mirrored=True)
    expected = plain.xyxy.copy()
    expected[:, [0, 2]] = 200 - plain.xyxy[:, [2, 0]]
    order = np.lexsort(expected.T)
    np.testing.assert_allclose(
        mirrored.xyxy[np.lexsort(mirrored.xyxy.T)], expected[order], atol=1e-2
    )
    assert mirrored.seen_by is not None


def test_setup_comes_back_from_a_jobs_parameters() -> None:
    setup = ModelConfig(("a", "b"), "accurate", 512)
    assert ModelConfig.of(setup.parameters()) == setup
    assert ModelConfig.of({"model": "a"}) == ModelConfig(("a",))


def test_net_size_is_for_those_of_a_vote_that_can_change_it() -> None:
    vote = configured_detector(
        ModelConfig(("yolov4-tiny", "yolox-nano"), input_size=320)
    )
    assert vote.input_size == Size(320, 320)
    assert vote.wanted == Size(416, 416)


@pytest.mark.parametrize(("quality", "count"), [("best", 1), ("fast", 0), ("fast", 9)])
def test_setup_that_cannot_be_is_refused(quality: str, count: int) -> None:
    models = [find_model("yolov4-tiny")] * count
    with pytest.raises(ModelLoadError, match=r"quality|Choose 1 to 8 models"):
        load_detector(models, quality=quality)


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: looker("fast", "yolov4-tiny"),
        lambda folder: looker("accurate", "yolov4-tiny"),
        lambda folder: looker("fast", "yolox-nano", "yolov4-tiny"),
        lambda folder: load_detector(
            [find_model(str(write_one_box_model(folder / "p")))]
        ),
        lambda folder: TaughtDetector(some_model(), name="cats", identity="id"),
    ],
    ids=["single", "accurate", "ensemble", "apart", "taught"],
)
def test_detector_that_was_pickled_finds_the_same(
    tmp_path: Path, make: Callable[[Path], Detector]
) -> None:
    """So it goes to the machines of a cluster, which have no files of it."""
    detector = make(tmp_path)
    pickled = pickle.dumps(detector)
    shutil.rmtree(tmp_path)
    again: Detector = pickle.loads(pickled)
    for name in ("model_id", "sha256", "input_size", "wanted", "runtime", "precision"):
        assert getattr(again, name) == getattr(detector, name)
    picture = kitchen()
    ours, theirs = (
        each.candidates(picture.rgb, size=picture.size) for each in (detector, again)
    )
    np.testing.assert_array_equal(ours.xyxy, theirs.xyxy)
    np.testing.assert_array_equal(ours.confidence, theirs.confidence)

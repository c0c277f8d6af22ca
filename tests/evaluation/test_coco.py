"""COCO's figures: the golden set, crowds, ids, and pycocotools' word on our own."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from imagebase.evaluation.coco import NAMES, coco_figures
from imagebase.evaluation.detection_files import read_detections
from imagebase.evaluation.label_files import LabelFiles, read_truth
from imagebase.evaluation.values import Found
from tests.evaluation.builders import (
    DATA,
    dev128_labels,
    dev128_pass,
    found,
    truth,
)

SQUARE = (10.0, 10.0, 60.0, 60.0)
AWAY = (100.0, 100.0, 150.0, 150.0)


def golden() -> tuple[LabelFiles, Found]:
    labels = read_truth(
        DATA / "coco_sample100" / "sampled_gts_bbox_area.json", needs_files=False
    )
    path = DATA / "coco_sample100" / "cocoapi_results.json"
    return labels, read_detections("golden", path, labels).found


@pytest.mark.parametrize("name", NAMES)
def test_golden_set(name: str) -> None:
    expected = json.loads((DATA / "EXPECTED.json").read_text())
    labels, detections = golden()
    figures = coco_figures(labels.truth, detections)
    assert figures[name] == pytest.approx(expected[name.replace("_", "")], abs=1e-5)


def test_golden_set_per_label_averages_to_the_whole() -> None:
    labels, detections = golden()
    figures = coco_figures(labels.truth, detections)
    each = [one.ap for one in figures.per_label.values() if one.ap is not None]
    assert sum(each) / len(each) == pytest.approx(figures["AP"])
    assert sum(one.boxes for one in figures.per_label.values()) == labels.truth.boxes


def test_two_perfect_boxes_score_one_though_the_first_id_would_be_zero() -> None:
    things = truth((0, "cat", SQUARE), (0, "dog", AWAY))
    perfect = found((0, "cat", SQUARE, 0.9), (0, "dog", AWAY, 0.8))
    assert coco_figures(things, perfect)["AP"] == pytest.approx(1)


def test_what_lies_in_a_crowd_is_not_judged() -> None:
    things = truth((0, "cat", SQUARE), crowds=[(0, "cat", (90, 90, 190, 190))])
    said = found((0, "cat", AWAY, 0.95), (0, "cat", SQUARE, 0.9))
    assert coco_figures(things, said)["AP"] == pytest.approx(1)


def test_without_the_crowd_it_is_a_false_alarm() -> None:
    said = found((0, "cat", AWAY, 0.95), (0, "cat", SQUARE, 0.9))
    assert coco_figures(truth((0, "cat", SQUARE)), said)["AP"] == pytest.approx(0.5)


def test_nothing_found_scores_nothing() -> None:
    figures = coco_figures(truth((0, "cat", SQUARE)), Found.of([]))
    assert figures["AP"] == 0
    assert figures["AP_small"] is None  # 50 × 50 pixels are medium
    assert figures.per_label["cat"].ap == 0
    assert "dog" not in figures.per_label


def test_nothing_to_find_has_no_figure() -> None:
    figures = coco_figures(truth(), found((0, "cat", SQUARE, 0.9)))
    assert set(figures.values.values()) == {None}


def test_small_is_told_by_the_area_of_the_outline(tmp_path: Path) -> None:
    """The box has 50 × 50 pixels, the outline in it 30 × 30: small by COCO's rule."""
    document = {
        "images": [{"id": 0, "file_name": "a.jpg", "width": 200, "height": 200}],
        "categories": [{"id": 7, "name": "cat"}],
        "annotations": [
            {
                "id": 0,
                "image_id": 0,
                "category_id": 7,
                "bbox": [10, 10, 50, 50],
                "area": 900,
                "iscrowd": 0,
            }
        ],
    }
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(document))
    labels = read_truth(path, needs_files=False)
    figures = coco_figures(labels.truth, found((0, "cat", SQUARE, 1), labels=["cat"]))
    assert figures["AP_small"] == pytest.approx(1)
    assert figures["AP_medium"] is None


@pytest.mark.parametrize("model", ["yolov4-tiny", "yolox-nano"])
def test_pycocotools_agrees_on_our_own_detections(
    model: str, shared_data: Path
) -> None:
    labels = dev128_labels(shared_data)
    done = dev128_pass(shared_data, f"{model}+f32")
    assert not done.refused
    ours = coco_figures(labels.truth, done.found)
    path = shared_data / "coco_val_dev128" / "instances.json"
    theirs = pycocotools_stats(path, labels, done.found)
    assert [ours[name] for name in NAMES] == pytest.approx(theirs, abs=1e-4)


def pycocotools_stats(path: Path, labels: LabelFiles, said: Found) -> list[float]:
    """Return the twelve figures by the file's own ids, areas and crowd flags."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
        image_of = {one["file_name"]: one["id"] for one in coco.dataset["images"]}
        category_of = {one["name"]: one["id"] for one in coco.dataset["categories"]}
        rows: list[dict[str, Any]] = []
        for image, label, (left, top, right, bottom), confidence in zip(
            said.image,
            said.label,
            said.xyxy.tolist(),
            said.confidence.tolist(),
            strict=True,
        ):
            rows.append(
                {
                    "image_id": image_of[labels.truth.images[image].name],
                    "category_id": category_of[labels.truth.labels[label]],
                    "bbox": [left, top, right - left, bottom - top],
                    "score": confidence,
                }
            )
        judge = COCOeval(coco, coco.loadRes(rows), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return [float(one) for one in judge.stats]

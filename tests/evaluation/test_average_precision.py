"""COCO's figures: the golden set, crowds, ids, and pycocotools' word on our own."""

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from imagebase.annotation import Box
from imagebase.annotation.areas import Point, Shape, ShapeKind, rectangle
from imagebase.annotation.coverage import Mask, is_inside, mask_of
from imagebase.evaluation.arrays import Predictions, Truth
from imagebase.evaluation.average_precision import NAMES, NOTHING, coco_figures
from imagebase.evaluation.detection_files import read_detections
from imagebase.evaluation.ground_truth import LabelFiles, read_truth
from imagebase.evaluation.matching import NOBODY, match
from tests.evaluation.builders import (
    DATA,
    SIZE,
    dev128_labels,
    dev128_pass,
    found,
    truth,
)

SQUARE = (10.0, 10.0, 60.0, 60.0)
AWAY = (100.0, 100.0, 150.0, 150.0)


def golden() -> tuple[LabelFiles, Predictions]:
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
    each = [scores.ap for scores in figures.per_label.values() if scores.ap is not None]
    assert sum(each) / len(each) == pytest.approx(figures["AP"])
    assert (
        sum(scores.boxes for scores in figures.per_label.values()) == labels.truth.boxes
    )


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
    figures = coco_figures(truth((0, "cat", SQUARE)), Predictions.of([]))
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


@pytest.mark.parametrize(
    "model", [pytest.param("yolov4-tiny", marks=pytest.mark.long), "yolox-nano"]
)
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


def pycocotools_stats(path: Path, labels: LabelFiles, said: Predictions) -> list[float]:
    """Return the twelve figures by the file's own ids, areas and crowd flags."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
        image_of = {entry["file_name"]: entry["id"] for entry in coco.dataset["images"]}
        category_of = {
            entry["name"]: entry["id"] for entry in coco.dataset["categories"]
        }
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
    return [float(stat) for stat in judge.stats]


STAMP = rectangle(Box(90, 90, 190, 190))
# Its right half is empty: of what lies there the box around it says nothing.
WEDGE = Shape(ShapeKind.POLYGON, (Point(0, 0), Point(100, 0), Point(0, 180)))
STROKE = Shape(ShapeKind.BRUSH, (Point(20, 180), Point(180, 30)), 40)


def random_scene(seed: int, areas: Sequence[Shape]) -> tuple[Truth, Predictions]:
    """Return whole-pixel boxes of two labels on five images that have these areas."""
    random = np.random.default_rng(seed)

    def box() -> tuple[float, float, float, float]:
        x, y = random.integers(0, 150, 2)
        w, h = random.integers(8, 50, 2)
        return float(x), float(y), float(x + w), float(y + h)

    things = [(n % 5, ("cat", "dog")[n % 2], box()) for n in range(30)]
    said = [
        (n % 5, ("cat", "dog")[n % 3 % 2], box(), round(float(random.random()), 4))
        for n in range(120)
    ]
    right = [(*thing, round(float(random.random()), 4)) for thing in things[::2]]
    whole = truth(*things, images=5).with_areas([areas, areas, (), areas, areas])
    return whole, found(*said, *right)


def rle(mask: Mask) -> Any:  # noqa: ANN401
    return mask_utils.encode(np.asfortranarray(mask.astype(np.uint8)))


@pytest.mark.parametrize(
    "areas",
    [[STAMP], [STAMP, rectangle(Box(0, 0, 60, 40))], [WEDGE], [STROKE], [WEDGE, STAMP]],
    ids=["rectangle", "two", "polygon", "brush", "mixed"],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_areas_are_judged_as_pycocotools_judges_crowds(
    seed: int, areas: list[Shape]
) -> None:
    """There each area is an annotation with iscrowd and its pixels as a mask."""
    whole, said = random_scene(seed, areas)
    ours = coco_figures(whole, said)
    document: dict[str, Any] = {
        "images": [{"id": n, "width": 200, "height": 200} for n in range(1, 6)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": [],
    }
    for row in range(len(whole)):
        box = Box(*whole.xyxy[row].tolist())
        shape = whole.regions.get(row, rectangle(box))
        document["annotations"].append(
            {
                "id": row + 1,
                "image_id": int(whole.image[row]) + 1,
                "category_id": int(whole.label[row]) + 1,
                "segmentation": rle(mask_of([shape], SIZE)),
                "area": box.area,
                "iscrowd": int(whole.is_crowd[row]),
            }
        )
    rows = [
        {
            "image_id": image + 1,
            "category_id": label + 1,
            "segmentation": rle(mask_of([rectangle(Box(*corners))], SIZE)),
            "score": score,
        }
        for image, label, corners, score in zip(
            said.image.tolist(),
            said.label.tolist(),
            said.xyxy.tolist(),
            said.confidence.tolist(),
            strict=True,
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = document
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(rows), "segm")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    theirs = [float(stat) for stat in judge.stats]
    values = [NOTHING if ours[n] is None else ours[n] for n in NAMES]
    assert values == pytest.approx(theirs, abs=1e-4)
    without = coco_figures(random_scene(seed, ())[0], said)
    assert ours["AP50"] != without["AP50"]


def test_our_own_matching_ignores_the_same_detections() -> None:
    whole, said = random_scene(1, [WEDGE])
    matched = match(whole, said)
    inside = is_inside(said.xyxy, [WEDGE], SIZE) & (said.image != 2)
    is_alone = matched.object[0] == NOBODY
    np.testing.assert_array_equal(matched.is_ignored[0], inside & is_alone)
    assert matched.is_ignored[0].any()


def test_a_set_of_some_images_keeps_their_areas() -> None:
    whole, _ = random_scene(1, [WEDGE])
    some = whole.only([3, 2])
    assert set(some.regions.values()) == {WEDGE}
    assert {int(some.image[row]) for row in some.regions} == {0}
    assert len(some.regions) == 2

"""Point at an object: the box under the pointer, its label, and what is left out."""

from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

import imagebase
from imagebase.annotation import Box, Size
from imagebase.assist.pointing import (
    PointCandidates,
    closer_view,
    closer_views,
    point_features,
    ranked,
    views_at,
)
from imagebase.detection.candidates import Candidates
from imagebase.detection.detector import Detector
from imagebase.detection.factory import shared_detector
from imagebase.detection.library import find_model
from imagebase.errors import ImageReadError, UnknownModelError
from imagebase.geometry import pairwise_iou
from imagebase.images.decode import LoadedImage, load_image
from imagebase.settings import SAMPLES_FOLDER

SIZE = Size(400, 200)


def photo(name: str) -> NDArray[np.uint8]:
    data = (SAMPLES_FOLDER / name).read_bytes()
    return load_image(data, file_name=name, max_pixels=10**9).rgb


def candidates(*rows: tuple[Any, ...]) -> PointCandidates:
    """Return candidates of the whole image from corners, confidence and label."""
    return PointCandidates(
        np.array([row[:4] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[4] for row in rows], np.float32),
        np.array([row[5] for row in rows], np.str_),
        np.full(len(rows), 400, np.float32),
    )


def test_a_click_at_the_bear_is_a_box_around_it() -> None:
    rgb = photo("bear.jpg")
    whole = imagebase.load_model()(rgb, confidence=0.5).xyxy[0]
    first, *others = imagebase.suggest_at(rgb, (300, 350))
    assert first.label == "bear"
    assert 0.5 < first.confidence <= 1
    boxes = np.array([first.xyxy, whole], np.float32)
    assert pairwise_iou(boxes[:1], boxes[1:])[0, 0] > 0.8
    assert len(others) <= 2


def test_small_objects_are_found_by_the_closer_views() -> None:
    rgb = photo("kitchen.jpg")
    detectors = [shared_detector(find_model("yolox-nano"))]
    size = Size(rgb.shape[1], rgb.shape[0])
    views = list(views_at(size, (320, 240)))
    assert [max(view.width, view.height) for view in views] == [320, 160, 80]
    found = [closer_view(rgb, view, detectors[0], size=size) for view in views]
    assert sum(len(view.confidence) for view in found) > 0
    for view, seen in zip(views, found, strict=True):
        near, far = np.array(view[:2]), np.array(view[2:])
        assert (seen.xyxy[:, :2] > near).all()
        assert (seen.xyxy[:, 2:] < far).all()


@pytest.mark.parametrize("point", [(0, 0), (399, 199), (200, 0), (0, 100)])
def test_closer_views_stay_inside_the_image(point: tuple[float, float]) -> None:
    for view in views_at(SIZE, point):
        assert 0 <= view.x_min < view.x_max <= SIZE.width
        assert 0 <= view.y_min < view.y_max <= SIZE.height
        assert view.x_min <= point[0] <= view.x_max
        assert view.y_min <= point[1] <= view.y_max


def test_a_view_keeps_boxes_that_end_at_the_border_of_the_image() -> None:
    rgb = photo("bear.jpg")
    size = Size(rgb.shape[1], rgb.shape[0])
    whole = Box(0, 0, *size)
    detector = shared_detector(find_model("yolox-nano"))
    seen = closer_view(rgb, whole, detector, size=size)
    direct = detector.candidates(np.ascontiguousarray(rgb), size=size, floor=0.01)
    assert len(seen.confidence) == len(direct.confidence) > 0


def test_only_boxes_that_hold_the_point_are_suggested() -> None:
    known = candidates(
        (10, 10, 50, 50, 0.9, "cat"),
        (100, 10, 150, 60, 0.9, "dog"),
    )
    assert [s.label for s in ranked(known, (30, 30), size=SIZE)] == ["cat"]
    assert ranked(known, (80, 30), size=SIZE) == []
    assert ranked(candidates(), (80, 30), size=SIZE) == []


def test_boxes_of_one_object_are_one_suggestion() -> None:
    known = candidates(
        (10, 10, 50, 50, 0.9, "cat"),
        (11, 10, 51, 50, 0.8, "dog"),
        (12, 10, 50, 52, 0.8, "dog"),
        (0, 0, 200, 150, 0.6, "sofa"),
    )
    first, second = ranked(known, (30, 30), size=SIZE)
    assert (first.label, second.label) == ("dog", "sofa")
    assert first.confidence == pytest.approx(0.8)
    assert first.xyxy == pytest.approx((11, 10, 50.3, 50.7), abs=1)


def test_no_more_than_k_suggestions() -> None:
    known = candidates(
        *((10 - step, 10, 30 + 12 * step, 50, 0.9, "cat") for step in range(9))
    )
    assert len(ranked(known, (20, 30), size=SIZE, k=2)) == 2
    assert len(ranked(known, (20, 30), size=SIZE, k=9)) > 2


def test_the_box_whose_middle_is_nearer_comes_first() -> None:
    known = candidates(
        (0, 0, 100, 100, 0.5, "far"),
        (40, 40, 140, 140, 0.5, "near"),
    )
    assert [s.label for s in ranked(known, (88, 90), size=SIZE)] == ["near", "far"]


def test_features_do_not_depend_on_the_unit_of_length() -> None:
    known = candidates((10, 10, 50, 50, 0.9, "cat"))
    larger = known._replace(xyxy=known.xyxy * 3, view_side=known.view_side * 3)
    small = point_features(known, (30, 20), size=SIZE)
    large = point_features(larger, (90, 60), size=Size(1200, 600))
    np.testing.assert_allclose(small, large, rtol=1e-5)


def test_a_point_outside_the_image_is_refused() -> None:
    with pytest.raises(ImageReadError, match=r"\(900, 10\).*586 × 640"):
        imagebase.suggest_at(photo("bear.jpg"), (900, 10))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
    ],
)
def test_what_is_no_rgb_image_is_refused(array: NDArray[Any]) -> None:
    with pytest.raises(ImageReadError, match="uint8 RGB"):
        imagebase.suggest_at(array, (1, 1))
    with pytest.raises(ImageReadError, match="uint8 RGB"):
        imagebase.suggest_labels(array, (0, 0, 2, 2))


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(UnknownModelError, match="yolo-none"):
        imagebase.suggest_at(photo("bear.jpg"), (300, 300), models=["yolo-none"])


def test_closer_views_of_fewer_pixels_are_in_pixels_of_the_whole_image() -> None:
    rgb = np.zeros((120, 160, 3), np.uint8)

    class Net:
        labels = ("cat",)

        def candidates(
            self, rgb: NDArray[np.uint8], *, size: Size, floor: float
        ) -> Candidates:
            middle = np.array([[0.25, 0.25, 0.75, 0.75]]) * np.array([*size, *size])
            return Candidates(
                middle.astype(np.float32),
                np.array([0.5], np.float32),
                np.array([0], np.int32),
            )

    image = LoadedImage(rgb, Size(320, 240))
    seen = closer_views(image, (160, 120), cast(Detector, Net()), labels=["Katze"])
    assert list(seen.view_side) == [160, 80, 40]
    assert list(seen.label) == ["Katze"] * 3
    expected = [[120, 80, 200, 160], [140, 100, 180, 140], [150, 110, 170, 130]]
    np.testing.assert_allclose(seen.xyxy, expected, atol=1)

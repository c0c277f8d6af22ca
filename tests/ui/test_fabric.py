"""Boxes to the canvas's language and back."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    LabelSet,
    Size,
    Source,
)
from imagebase.editing import DrawnBox
from imagebase.ui import fabric
from imagebase.ui.fabric import Viewport

LABELS = LabelSet.of(["person", "car"])
VIEWPORT = Viewport(Box(0, 0, 640, 426), Size(720, 479))
MODEL = Annotation(
    Box(40.125, 50.0625, 200.33334, 180.77777),
    "person",
    "m",
    Source.MODEL,
    confidence=0.934,
)
HUMAN = Annotation(Box(300.1, 100.2, 420.3, 300.4), "car", "h")


def drawing(*annotations: Annotation, viewport: Viewport = VIEWPORT) -> dict[str, Any]:
    return fabric.to_drawing(annotations, viewport, labels=LABELS, tag="a/1/x")


def drawn_by_mouse(**changes: object) -> dict[str, Any]:
    return {
        "type": "LabeledRect",
        "left": 100,
        "top": 200,
        "width": 50,
        "height": 40,
        "strokeWidth": 2,
        "label": "car",
        "lockSkewingX": False,
        **changes,
    }


def boxes(*objects: dict[str, Any]) -> tuple[DrawnBox, ...]:
    return fabric.from_message({"objects": list(objects)}, VIEWPORT, pushed={})


@given(
    st.tuples(*[st.floats(0, 4000)] * 2, *[st.floats(0.5, 3000)] * 2),
    st.tuples(st.integers(100, 3000), st.integers(100, 3000)),
)
def test_box_comes_back_within_the_tolerance(
    xywh: tuple[float, ...], shown: tuple[int, int]
) -> None:
    x, y, width, height = xywh
    viewport = Viewport(Box(0, 0, 7000, 5000), Size(*shown))
    one = Annotation(Box(x, y, x + width, y + height), "car", "h")
    message = json.loads(json.dumps(drawing(one, viewport=viewport)))
    (back,) = fabric.from_message(message, viewport, pushed={"h": one})
    tolerance = 0.1 * viewport.pixel_size
    assert back.annotation_id == "h"
    assert all(abs(a - b) < tolerance for a, b in zip(back.box, one.box, strict=True))


def test_region_is_shown_from_its_own_corner() -> None:
    viewport = Viewport(Box(300, 100, 400, 200), Size(500, 500))
    assert viewport.to_canvas(Box(310, 110, 320, 130)) == Box(50, 50, 100, 150)
    assert viewport.to_image(Box(50, 50, 100, 150)) == Box(310, 110, 320, 130)


def test_only_boxes_in_the_region_are_shown_and_small_ones_on_top() -> None:
    small = Annotation(Box(310, 110, 315, 115), "car", "s")
    record = ImageRecord("id", "a.jpg", Size(640, 426), (small, MODEL, HUMAN))
    viewport = Viewport(Box(300, 100, 400, 200), Size(500, 500))
    assert fabric.visible(record, viewport) == (HUMAN, small)


def test_tag_travels_at_the_top_and_ids_on_the_boxes() -> None:
    made = drawing(MODEL, HUMAN)
    assert fabric.tag_of(made) == "a/1/x"
    found = fabric.from_message(made, VIEWPORT, pushed={})
    assert [box.annotation_id for box in found] == ["m", "h"]


@pytest.mark.parametrize("message", [{}, {"lockSkewingX": False}, {"objects": []}])
def test_message_without_a_tag_is_about_no_drawing(message: dict[str, Any]) -> None:
    assert fabric.tag_of(message) == ""


def test_model_box_is_dashed_and_shows_its_confidence_until_seen_to() -> None:
    model, accepted, human = drawing(MODEL, MODEL.with_acceptance(who="Ada"), HUMAN)[
        "objects"
    ]
    assert (model["label"], bool(model["strokeDashArray"])) == ("person .93", True)
    assert (accepted["label"], accepted["strokeDashArray"]) == ("person", None)
    assert (human["label"], human["strokeDashArray"]) == ("car", None)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("person .93", "person"),
        ("dog", "dog"),
        ("dog .93", "dog"),
        ("person .94", "person .94"),
        ("", ""),
    ],
)
def test_confidence_on_the_chip_is_no_part_of_the_label(text: str, label: str) -> None:
    message = drawing(MODEL)
    message["objects"][0]["label"] = text
    (found,) = fabric.from_message(message, VIEWPORT, pushed={"m": MODEL})
    assert found.label == label


def test_box_drawn_by_mouse_is_where_the_pointer_was() -> None:
    (found,) = boxes(drawn_by_mouse())
    assert found.annotation_id is None
    assert VIEWPORT.to_canvas(found.box) == pytest.approx((100, 200, 150, 240))


def test_scaled_box_has_its_new_size() -> None:
    (found,) = boxes(drawn_by_mouse(scaleX=2, scaleY=0.5))
    assert VIEWPORT.to_canvas(found.box) == pytest.approx((100, 200, 200, 220))


def test_box_placed_by_its_centre_is_understood() -> None:
    (found,) = boxes(drawn_by_mouse(originX="center", originY="center"))
    assert VIEWPORT.to_canvas(found.box) == pytest.approx((74, 179, 124, 219))


def test_stray_click_is_left_out_and_a_thin_box_is_not() -> None:
    assert boxes(drawn_by_mouse(width=2, height=2)) == ()
    assert boxes(drawn_by_mouse(width=4, height=4)) == ()
    assert len(boxes(drawn_by_mouse(width=90, height=4))) == 1


def test_other_shapes_are_not_boxes() -> None:
    assert boxes(drawn_by_mouse(type="Path")) == ()

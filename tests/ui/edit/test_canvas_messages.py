"""Boxes to the browser and back: exact, and invalid ones are rejected."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebase.annotation import Annotation, Box, ImageRecord, Size, Source
from imagebase.ui.edit import canvas_messages
from imagebase.ui.edit.canvas_messages import (
    Action,
    FreshBox,
    Message,
    parse_fresh_box,
    parse_message,
)

BOX = {"id": "a1", "box": [1, 2.5, 3, 4], "label": "car"}


SAID: dict[str, object] = {"drawings": [{"tag": "t", "seq": 3, "boxes": [BOX]}]}


@given(st.tuples(*[st.floats(0, 1e5)] * 4))
def test_edges_survive_to_the_last_bit(edges: tuple[float, ...]) -> None:
    annotation = Annotation(Box(*edges), "car", "h")
    record = ImageRecord("i", "a.jpg", Size(10, 10), (annotation,))
    filling = json.loads(json.dumps(canvas_messages.filling(record, tag="t", seq=1)))
    message = parse_message({"drawings": [filling]})
    (drawing,) = message.drawings
    assert drawing.boxes is not None
    assert drawing.boxes[0].box == annotation.box


def test_filling_says_what_of_a_box_can_be_seen() -> None:
    annotation = Annotation(Box(1, 2, 3, 4), "car", "m", Source.MODEL, confidence=0.9)
    record = ImageRecord("i", "a.jpg", Size(10, 20), (annotation,))
    filling = canvas_messages.filling(record, tag="t", seq=4)
    assert filling["size"] == [10, 20]
    assert filling["boxes"] == [
        {
            "id": "m",
            "box": [1, 2, 3, 4],
            "label": "car",
            "confidence": 0.9,
            "untouched": True,
        }
    ]


def test_message_is_read() -> None:
    actions = [[1, "next", "i"], [2, "label:car"], [3, "approve", "i", "t"]]
    message = parse_message(SAID | {"actions": actions})
    (drawing,) = message.drawings
    assert (drawing.tag, drawing.seq) == ("t", 3)
    assert drawing.boxes == (("a1", Box(1, 2.5, 3, 4), "car"),)
    assert message.actions == (
        Action(1, "next", "i"),
        Action(2, "label:car"),
        Action(3, "approve", "i", "t"),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"box": [1, 2, 3]},
        {"box": [1, 2, 3, "4"]},
        {"box": [1, 2, 3, float("nan")]},
        {"box": [1, 2, 3, 10**400]},
        {"box": [1, 2, 3, 9]},
        {"id": None},
        {"id": "../x y"},
        {"id": "x" * 65},
        {"label": 3},
    ],
    ids=lambda case: str(case)[:40],
)
@pytest.mark.parametrize("part", ["boxes", "before"])
def test_drawing_with_a_senseless_box_is_answered_without_any(
    changes: dict[str, object], part: str
) -> None:
    drawing = {"tag": "t", "seq": 3, "image": "i", "place": "p", "boxes": [BOX]}
    drawing[part] = [BOX, BOX | changes]
    (found,) = parse_message({"drawings": [drawing]}).drawings
    assert (found.where, found.seq, found.boxes) == (("p", "i"), 3, None)


def test_drawing_tells_what_it_was_made_from() -> None:
    kept, moved, gone = (BOX | {"id": name} for name in ("kept", "moved", "gone"))
    drawing = {
        "tag": "t",
        "seq": 3,
        "boxes": [kept, moved | {"label": "dog"}, BOX | {"id": "new"}],
        "before": [moved, gone],
        "added": ["new"],
        "copies": [["new", "kept"], ["new"], 3],
    }
    (found,) = parse_message({"drawings": [drawing]}).drawings
    assert found.copies == {"new": "kept"}
    base = [(annotation.annotation_id, annotation.label) for annotation in found.base]
    assert base == [("kept", "car"), ("moved", "car"), ("gone", "car")]


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        [],
        "x",
        "[3]",
        '"x"',
        "[" * 100_000,
        {},
        {"drawings": None, "actions": 3},
        {"drawings": [3, {"tag": "t"}], "actions": [["1", "next"], [2]]},
    ],
    ids=lambda value: str(value)[:20],
)
def test_nonsense_is_no_message(nonsense: object) -> None:
    assert parse_message(nonsense) == Message()


def test_text_is_read_as_what_it_says() -> None:
    assert parse_message(json.dumps(SAID)) == parse_message(SAID) != Message()


def test_parcel_is_a_line_and_the_bytes() -> None:
    assert (
        canvas_messages.parcel({"kind": "é"}, b"\n\x00")
        == b'{"kind": "\\u00e9"}\n\n\x00'
    )


def test_a_fresh_box_is_read() -> None:
    asked = {"image": "a", "id": "n", "box": [1, 2, 3, 4], "label": "car"}
    more = {"previous": "dog", "attempt": 2}
    fresh = parse_fresh_box(asked | more)
    assert fresh == FreshBox("a", "n", Box(1, 2, 3, 4), "dog", 2)
    assert parse_fresh_box(asked) == FreshBox("a", "n", Box(1, 2, 3, 4))


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"image": 3, "id": "n", "box": [1, 2, 3, 4], "label": "car"},
        {"image": "a", "id": "n", "box": [1, 2, 1, 4], "label": "car"},
        {"image": "a", "id": "n", "box": [1, 2, 3], "label": "car"},
        {"image": "a", "id": "../n", "box": [1, 2, 3, 4], "label": "car"},
    ],
)
def test_an_invalid_fresh_box_is_none(value: object) -> None:
    assert parse_fresh_box(value) is None


def test_action_names_the_image_that_is_shown_since() -> None:
    said = [[1, "approve", "a", "tag-a", "b", "tag-b"], [2, "next", "b", 3]]
    (action,) = canvas_messages.parse_message({"actions": said}).actions
    assert (action.then, action.then_tag) == ("b", "tag-b")

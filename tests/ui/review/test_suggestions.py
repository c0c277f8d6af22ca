"""What the browser says of a page of images, taken as it was drawn."""

import pytest
import streamlit as st

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    ReviewStatus,
    Size,
    Source,
)
from imagebase.errors import EditError
from imagebase.learning.choice import Found
from imagebase.review.bulk_edits import ShownImage
from imagebase.store import Scope
from imagebase.ui import services, state
from imagebase.ui.review import suggestions
from imagebase.ui.review.suggestions import _as_shown, _Page, _size, _Tile


@pytest.fixture(autouse=True)
def ann(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "scope", lambda: Scope("team", "d", "ann"))


def box(at: float) -> Annotation:
    xyxy = Box(at, at, at + 10, at + 8)
    return Annotation(xyxy, "cat", source=Source.MODEL, confidence=0.6, model_id="m")


def page() -> _Page:
    saved, suggested = box(1), box(20)
    record = ImageRecord("i1", "a.jpg", Size(64, 48), annotations=(saved,), revision=3)
    tile = _Tile("v1", record, (suggested,), Found.of([]))
    return _Page("d", ["i1"], tiles={"i1": tile})


def test_an_image_is_taken_as_it_was_drawn() -> None:
    drawn = page()
    added = {"box": [2, 3, 90, 40], "label": " dog "}
    answer = {"id": "i1", "version": "v1", "off": [0], "added": [added]}

    shown, changed = _as_shown(drawn, [answer])

    tile = drawn.tiles["i1"]
    assert changed == ()
    ((image_id, image),) = shown.items()
    assert (image_id, image.revision) == ("i1", 3)
    assert image.suggested == tile.suggested
    assert image.removed == {tile.record.annotations[0].annotation_id}
    (mine,) = image.added
    assert (mine.box, mine.label) == (Box(2, 3, 64, 40), "dog")
    assert (mine.source, mine.changed_by) == (Source.HUMAN, "ann")


def test_an_image_of_another_version_is_left_out_and_named() -> None:
    shown, changed = _as_shown(page(), [{"id": "i1", "version": "v0"}])
    assert (shown, changed) == ({}, ("a.jpg",))


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "i1",
        [None],
        ["i1"],
        [{"id": "i2", "version": "v1"}],
        [{"id": ["i1"], "version": "v1"}],
    ],
    ids=repr,
)
def test_nothing_is_approved_by_an_answer_about_no_image(answer: object) -> None:
    assert _as_shown(page(), answer) == ({}, ())


def test_a_place_without_a_box_takes_nothing_off() -> None:
    answer = {"id": "i1", "version": "v1", "off": [7, -1, "0", None], "added": 5}
    drawn = page()
    shown, _ = _as_shown(drawn, [answer])
    assert shown == {"i1": ShownImage(3, drawn.tiles["i1"].suggested)}


@pytest.mark.parametrize(
    "added",
    [
        {"box": [2, 3, 4], "label": "dog"},
        {"box": [2, 3, 4, None], "label": "dog"},
        {"box": [2, 3, 4, float("nan")], "label": "dog"},
        {"box": [90, 90, 95, 95], "label": "dog"},
        {"box": [2, 3, 9, 9], "label": " "},
        {"box": [2, 3, 9, 9]},
        None,
    ],
    ids=repr,
)
def test_a_box_that_is_none_is_refused_with_the_whole_page(added: object) -> None:
    answer = {"id": "i1", "version": "v1", "added": [added]}
    with pytest.raises(EditError):
        _as_shown(page(), [answer])


def test_a_page_grows_with_what_is_approved(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    for approved in (0, 1, 10, 500):
        counts = dict.fromkeys([ReviewStatus.APPROVED], approved)

        class Counting:
            def progress(self, _: Scope, counts: object = counts) -> object:
                return counts

        monkeypatch.setattr(services, "store", Counting)
        sizes.append(_size())
    assert sizes == [6, 6, 10, 24]


def test_an_answer_that_is_not_saved_can_be_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn, said = page(), list[str]()
    answer = {"images": [{"id": "i1", "version": "v1", "added": [{}]}]}
    session = {suggestions.KEY: {"approve": answer}, suggestions._PAGE: drawn}
    monkeypatch.setattr(st, "session_state", session)
    monkeypatch.setattr(state, "say", said.append)
    suggestions._approve()
    assert said == ["A box on this page cannot be read. Draw it again."]
    # The browser opens the page again for another answer.
    assert drawn.answers == 1
    assert session[suggestions._PAGE] is drawn

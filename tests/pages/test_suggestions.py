"""Suggestions are shown with the image on every page until they are saved."""

import pytest

from imagebase.annotation import ReviewStatus, Source
from imagebase.store import JobState
from imagebase.ui.edit import canvas
from tests.app_fixtures import Tab, records, store, the_scope

SAVE = "edit.save_suggestions"


@pytest.fixture
def suggested(filled: Tab) -> Tab:
    """A tab whose photographs a model ran on; nothing of it is saved."""
    filled.open("annotate")
    filled.press("annotate.run")
    assert filled.wait("annotate").state is JobState.DONE
    return filled


def suggestions(tab: Tab) -> int:
    """Return how many suggestions the button on Edit names; 0 without it."""
    labels = [button.label for button in tab.app.button if button.key == SAVE]
    return int(labels[0].split()[1]) if labels else 0


def test_edit_shows_suggestions_with_their_labels(suggested: Tab) -> None:
    suggested.open("edit")
    count = suggestions(suggested)
    assert count > 1
    assert "**0 boxes**" in suggested.words()
    shown = suggested.app.session_state["imagebase.editor." + canvas.CANVAS_KEY]
    boxes = shown.filling["boxes"]
    assert len(boxes) == count
    assert all(box["untouched"] for box in boxes)
    (pills,) = (
        group
        for group in suggested.app.button_group
        if group.label == "Label of the next box"
    )
    assert pills.value == boxes[0]["label"]
    assert pills.value != "object"


def test_suggestions_of_an_image_are_saved_with_one_undo(suggested: Tab) -> None:
    suggested.open("edit")
    count = suggestions(suggested)
    suggested.press(SAVE)
    first, second = records()
    assert len(first.annotations) == count
    assert {annotation.source for annotation in first.annotations} == {Source.MODEL}
    assert (first.status, second.status) == (ReviewStatus.SUGGESTED, ReviewStatus.NEW)
    assert suggestions(suggested) == 0
    suggested.press("edit.undo")
    assert not records()[0].annotations
    assert suggestions(suggested) == count


def test_approval_takes_the_suggestions_that_are_on_screen(suggested: Tab) -> None:
    suggested.open("edit")
    count = suggestions(suggested)
    suggested.press("edit.approve")
    first = records()[0]
    assert (first.status, len(first.annotations)) == (ReviewStatus.APPROVED, count)
    assert all(annotation.accepted for annotation in first.annotations)


def test_bulk_approval_takes_suggestions_too(suggested: Tab) -> None:
    suggested.open("review")
    suggested.app.session_state["review.view"] = "Images"
    suggested.app.run()
    (every,) = (
        checkbox
        for checkbox in suggested.app.main.checkbox
        if (checkbox.key or "").startswith("review.images.all")
    )
    every.check().run()
    suggested.press("review.images.approve")
    approved = records()
    assert {record.status for record in approved} == {ReviewStatus.APPROVED}
    assert all(record.annotations for record in approved)
    assert all(box.accepted for record in approved for box in record.annotations)
    suggested.press("review.images.undo")
    assert [(record.status, record.annotations) for record in records()] == [
        (ReviewStatus.NEW, ()),
        (ReviewStatus.NEW, ()),
    ]


def test_every_page_tells_of_suggestions(suggested: Tab) -> None:
    suggested.open("upload")
    assert suggested.words().count("suggestions not saved") == 2
    suggested.open("review")
    suggested.app.session_state["review.view"] = "Images"
    suggested.app.run()
    assert "suggestions not saved" in suggested.words()
    suggested.open("export")
    assert "suggestions not saved: not in this export" in suggested.words()


def test_saved_boxes_are_suggestions_no_more(suggested: Tab) -> None:
    suggested.press("annotate.keep")
    assert suggested.wait("keep").state is JobState.DONE
    for page in ("upload", "edit", "export"):
        suggested.open(page)
        assert "not saved" not in suggested.words()
    assert suggestions(suggested) == 0


def test_thresholds_of_annotate_choose_what_is_suggested(suggested: Tab) -> None:
    suggested.open("edit")
    many = suggestions(suggested)
    suggested.open("annotate")
    suggested.app.slider(key="annotate.confidence").set_value(0.8).run()
    suggested.open("edit")
    assert 0 < suggestions(suggested) < many


def test_without_a_run_nothing_is_suggested(filled: Tab) -> None:
    filled.open("edit")
    assert suggestions(filled) == 0
    assert store().latest_job(the_scope(), "annotate") is None

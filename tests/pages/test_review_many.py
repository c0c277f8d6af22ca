"""What is done to more images at once than a blink is enough for."""

import pytest

from imagebase.annotation import ReviewStatus
from imagebase.ui import bulk_progress
from tests.app_fixtures import Tab, records
from tests.pages.test_review_figures import show


@pytest.fixture(autouse=True)
def two_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_progress, "AT_ONCE", 1)


def take_all(tab: Tab) -> None:
    """Take all images on the Images view."""
    show(tab, "Images")
    next(
        box for box in tab.app.checkbox if box.label.startswith("Select all 2")
    ).check().run()


def test_many_images_are_approved_and_taken_back_under_a_bar(
    labelled: Tab,
) -> None:
    before = [record.status for record in records()]
    take_all(labelled)
    labelled.press("review.images.approve")
    assert {record.status for record in records()} == {ReviewStatus.APPROVED}
    assert "Approved 2 images" in labelled.toasts()[0]
    assert "**2** of 2 images approved" in labelled.progress()
    labelled.press("sidebar.undo")
    assert [record.status for record in records()] == before
    assert "Undone on 2 images" in labelled.toasts()[0]
    labelled.press("sidebar.redo")
    assert {record.status for record in records()} == {ReviewStatus.APPROVED}
    assert "Done again on 2 images" in labelled.toasts()[0]


def test_many_images_are_rejected_with_what_was_typed_last(
    labelled: Tab,
) -> None:
    take_all(labelled)
    labelled.press("review.images.reject")
    assert "Say in a few words" in labelled.toasts()[0]
    labelled.app.text_area(key="review.images.comment").input("dark")
    labelled.press("review.images.reject")
    assert [record.comment for record in records()] == ["dark", "dark"]


def test_many_images_are_removed_under_a_bar(labelled: Tab) -> None:
    take_all(labelled)
    sure = "Delete 2 images with 3 boxes"
    next(
        checkbox for checkbox in labelled.app.checkbox if checkbox.label == sure
    ).check().run()
    labelled.press("review.images.remove")
    assert records() == []
    assert "Deleted 2 images with 3 boxes" in labelled.toasts()[0]
    assert "no images yet" in labelled.words()


def test_many_images_are_taken_back_from_the_editor_too(labelled: Tab) -> None:
    before = [record.status for record in records()]
    take_all(labelled)
    labelled.press("review.images.approve")
    labelled.open("edit")
    labelled.press("edit.undo")
    assert [record.status for record in records()] == before
    assert "Undone on 2 images" in labelled.toasts()[0]
    labelled.press("edit.redo")
    assert {record.status for record in records()} == {ReviewStatus.APPROVED}

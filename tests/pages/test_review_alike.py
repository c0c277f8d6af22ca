"""Review and Edit: the map, near-duplicates, similar images, what to label next."""

import io

import pytest
from PIL import Image

from imagebase.annotation import ReviewStatus
from imagebase.images.scan import Incoming
from imagebase.ingest.add_images import admit
from imagebase.settings import Limits
from imagebase.ui.edit.navigation import ImageQueue
from imagebase.ui.review import duplicates
from tests.app_fixtures import (
    Tab,
    add_photographs,
    model_box,
    photograph,
    put,
    records,
    store,
    the_scope,
)


def show(tab: Tab, view: str) -> Tab:
    """Open a view of Review, and wait until the images are compared."""
    tab.open("review")
    tab.app.main.button_group[0].set_value(view).run()
    tab.wait("vectors")
    assert not tab.app.exception
    return tab


def cut(name: str) -> bytes:
    """Return a photograph with 2 % cut off its left and upper side."""
    image = Image.open(io.BytesIO(photograph(name)))
    width, height = image.size
    stream = io.BytesIO()
    image.crop((width // 50, height // 50, width, height)).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def with_copy(labelled: Tab) -> Tab:
    """A tab with two photographs, and a third that is one of them cut off a little."""
    copy = Incoming("cut.jpg", cut("bear.jpg"))
    admit(store(), the_scope(), [copy], limits=Limits())
    return labelled


def statuses() -> dict[str, ReviewStatus]:
    return {record.file_name: record.status for record in records()}


def test_map_colours_images_by_status_and_by_label(labelled: Tab) -> None:
    show(labelled, "Map")
    assert "Images that look alike are near each other" in labelled.words()
    assert "No images selected." in labelled.words()
    (colour,) = (
        group for group in labelled.app.main.button_group if group.label == "Colour by"
    )
    colour.set_value("most frequent label").run()
    assert not labelled.app.exception


def test_new_images_are_compared_when_they_come(labelled: Tab) -> None:
    show(labelled, "Map")
    add_photographs(the_scope(), "fruit.jpg")
    labelled.app.run()
    job = labelled.wait("vectors")
    assert job.result == {"images": 1, "unread": 0}


def test_of_a_large_group_some_are_drawn(
    with_copy: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "_SHOWN", 1)
    show(with_copy, "Near-duplicates")
    assert "and 1 more" in with_copy.words()
    (keep,) = (box for box in with_copy.app.selectbox if box.label == "Keep")
    assert keep.options == ["bear.jpg", "cut.jpg"]


def test_near_duplicates_are_rejected_and_one_undo_takes_it_back(
    with_copy: Tab,
) -> None:
    show(with_copy, "Near-duplicates")
    assert "**1 group**" in with_copy.words()
    (keep,) = (box for box in with_copy.app.selectbox if box.label == "Keep")
    assert keep.options == ["bear.jpg", "cut.jpg"]
    assert keep.index == 0  # it has a box
    before = statuses()
    (reject,) = (
        button for button in with_copy.app.button if button.label == "Reject the others"
    )
    reject.click().run()
    assert statuses() == {**before, "cut.jpg": ReviewStatus.REJECTED}
    assert "Rejected 1 image" in with_copy.toasts()[0]
    with_copy.press("review.duplicates.undo")
    assert statuses() == before


def test_near_duplicates_are_deleted_once_that_is_confirmed(with_copy: Tab) -> None:
    show(with_copy, "Near-duplicates")
    (remove,) = (
        button
        for button in with_copy.app.button
        if (button.key or "").startswith("review.duplicates")
        and button.label == "Delete permanently"
    )
    assert remove.disabled
    (sure,) = (box for box in with_copy.app.checkbox if "Delete 1 image" in box.label)
    sure.check().run()
    with_copy.press(remove.key or "")
    assert [record.file_name for record in records()] == ["kitchen.jpg", "bear.jpg"]
    assert "No near-duplicates found." in with_copy.words()


def test_the_queue_can_begin_with_what_to_label_next(labelled: Tab) -> None:
    add_photographs(the_scope(), "fruit.jpg")
    labelled.open("review")
    labelled.app.main.button_group[0].set_value("Queue").run()
    (order,) = (
        group for group in labelled.app.main.button_group if group.label == "Sort by"
    )
    order.set_value("What to label next").run()
    labelled.wait("vectors")
    assert "their labels teach a model most" in labelled.words()
    keys = [button.key or "" for button in labelled.app.button]
    opened = [key for key in keys if key.startswith("queue.open.")]
    assert len(opened) == 3
    # No model ran on the new image and it has no box: it is not approved unseen.
    assert len([key for key in keys if key.startswith("queue.approve.")]) == 2
    labelled.press("queue.label_next")
    assert labelled.app.selectbox(key="edit.queue.NEXT").value == ImageQueue.NEXT


def test_approving_goes_to_what_to_label_next(labelled: Tab) -> None:
    kitchen, _ = records()
    put(kitchen, model_box("bottle", 0.9))
    add_photographs(the_scope(), "fruit.jpg")
    show(labelled, "Map")
    labelled.open("edit")
    labelled.app.selectbox(key="edit.queue.ALL").set_value(ImageQueue.NEXT).run()
    assert "their labels teach a model most" in labelled.toasts()[0]
    for left in (2, 1):
        labelled.press("edit.approve")
        assert f"**1** / {left}" in labelled.words()
    labelled.press("edit.approve")
    assert set(statuses().values()) == {ReviewStatus.APPROVED}


def test_similar_images_are_shown_nearest_first(with_copy: Tab) -> None:
    show(with_copy, "Map")
    _, bear, _ = records()
    with_copy.open("review")
    with_copy.app.main.button_group[0].set_value("Images").run()
    with_copy.select_rows("review.image_table", 1)
    with_copy.press("review.similar")
    opened = [
        button.label
        for button in with_copy.app.button
        if (button.key or "").startswith("similar.")
    ]
    assert opened == ["cut\\.jpg", "kitchen\\.jpg"]
    assert bear.image_id not in str(opened)

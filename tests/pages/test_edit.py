"""The Edit page around the canvas; the canvas itself is tested in a browser."""

from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1.element_tree import Multiselect, Selectbox

from imagebase.annotation import Annotation, Attributes, Box, ReviewStatus, Source
from imagebase.editing.records import reject
from imagebase.images.scan import Incoming
from imagebase.ingest.add_images import admit
from imagebase.settings import SAMPLES_FOLDER, TEAM_OWNER, Limits
from imagebase.store import Scope
from imagebase.ui.edit.navigation import ImageQueue
from tests.app_fixtures import Tab, model_box, put, records, store, the_scope

KITCHEN = r"kitchen\.jpg"
BEAR = r"bear\.jpg"


def test_first_image_is_shown_with_its_place(labelled: Tab) -> None:
    labelled.open("edit")
    assert "**1** / 2" in labelled.words()
    assert KITCHEN in labelled.words()
    assert labelled.app.button(key="edit.previous").disabled


def test_next_and_previous_turn_the_pages(labelled: Tab) -> None:
    labelled.open("edit")
    labelled.press("edit.next")
    assert BEAR in labelled.words()
    assert labelled.app.button(key="edit.next").disabled
    labelled.press("edit.previous")
    assert KITCHEN in labelled.words()


def test_image_stays_chosen_on_other_pages(labelled: Tab) -> None:
    labelled.open("edit")
    labelled.press("edit.next")
    labelled.open("review")
    labelled.open("edit")
    assert BEAR in labelled.words()


def test_approving_opens_the_next_image_to_review(labelled: Tab) -> None:
    labelled.open("edit")
    labelled.press("edit.approve")
    assert records()[0].status is ReviewStatus.APPROVED
    assert BEAR in labelled.words()
    assert "**1** of 2 images approved" in labelled.progress()


def test_rejected_image_shows_why(labelled: Tab) -> None:
    labelled.open("edit")
    why = f"edit.why.{records()[0].image_id}"
    labelled.app.text_area(key=why).input("[cut](off)").run()
    labelled.press("edit.reject")
    assert records()[0].status is ReviewStatus.REJECTED
    labelled.press("edit.previous")
    assert r"\[cut\]\(off\)" in labelled.words()


def test_image_is_confirmed_to_be_empty(labelled: Tab) -> None:
    labelled.open("edit")
    labelled.press("edit.empty")
    assert records()[0].is_confirmed_empty
    assert not records()[0].annotations


def test_models_boxes_are_accepted(labelled: Tab) -> None:
    labelled.open("edit")
    assert labelled.app.button(key="edit.accept").label == "Accept 2"
    labelled.press("edit.accept")
    assert all(box.accepted for box in records()[0].annotations)
    assert labelled.app.button(key="edit.accept").disabled


def test_boxes_of_the_image_before_are_copied(labelled: Tab) -> None:
    labelled.open("edit")
    labelled.press("edit.copy")
    assert "This is the first image" in labelled.words()
    labelled.press("edit.next")
    labelled.press("edit.copy")
    copied = records()[1].annotations
    assert sorted(annotation.label for annotation in copied) == [
        "bear",
        "bottle",
        "cup",
    ]
    assert {annotation.source for annotation in copied} == {Source.HUMAN}


def test_undo_and_redo_go_back_to_the_image_they_are_about(labelled: Tab) -> None:
    labelled.open("edit")
    labelled.press("edit.approve")
    labelled.press("edit.undo")
    assert records()[0].status is ReviewStatus.SUGGESTED
    assert KITCHEN in labelled.words()
    labelled.press("edit.redo")
    assert records()[0].status is ReviewStatus.APPROVED


def one_by_key(tab: Tab, start: str) -> Selectbox[str]:
    """Return the list whose key begins so."""
    return next(
        select
        for select in tab.app.main.selectbox
        if select.key and select.key.startswith(start)
    )


def go_through(tab: Tab, among: ImageQueue) -> None:
    one_by_key(tab, "edit.queue").set_value(among).run()


def test_label_of_the_next_box_is_chosen_or_created(labelled: Tab) -> None:
    labelled.open("edit")
    (pills,) = labelled.app.main.button_group
    assert pills.options == ["1 bottle", "2 cup", "3 bear"]
    assert pills.value == "bottle"
    one_by_key(labelled, "edit.more_labels").set_value("cup").run()
    (pills,) = labelled.app.main.button_group
    assert pills.value == "cup"
    labelled.submit("edit.new_label", "zebra *")
    (pills,) = labelled.app.main.button_group
    assert pills.options[-1] == r"4 zebra \*"
    assert pills.value == "zebra *"
    # Without a box it is not the dataset's, and so in no export.
    assert "zebra *" not in store().labels(the_scope())


def test_models_labels_are_offered_after_the_datasets(labelled: Tab) -> None:
    labelled.open("edit")
    options = one_by_key(labelled, "edit.more_labels").options
    assert options[:3] == ["bottle", "cup", "bear"]
    assert "orange (model)" in options
    assert "cup (model)" not in options


def test_label_chosen_in_one_dataset_is_not_the_next_ones(labelled: Tab) -> None:
    labelled.open("edit")
    labelled.submit("edit.new_label", "zebra")
    other = store().create_dataset(TEAM_OWNER, "Other", who="ann")
    photograph = Incoming("bear.jpg", (SAMPLES_FOLDER / "bear.jpg").read_bytes())
    scope = Scope(TEAM_OWNER, other.dataset_id, "ann")
    admit(store(), scope, [photograph], limits=Limits())
    labelled.app.session_state["imagebase.dataset"] = other.dataset_id
    labelled.app.run()
    (pills,) = labelled.app.main.button_group
    assert pills.options == ["1 object"]


def test_label_that_is_no_name_is_refused_in_a_sentence(labelled: Tab) -> None:
    labelled.open("edit")
    labelled.submit("edit.new_label", "\0")
    assert "Enter a label name" in labelled.words()
    assert not labelled.app.exception


def test_table_lists_the_boxes(labelled: Tab) -> None:
    labelled.open("edit")
    (table,) = labelled.app.dataframe
    assert "bottle" in table.value.to_string()
    assert len(table.value) == 2


def test_someone_elses_version_is_shown_and_not_overwritten(labelled: Tab) -> None:
    labelled.open("edit")
    put(records()[0], Annotation(Box(5, 5, 50, 50), "theirs"))
    labelled.press("edit.approve")
    assert [box.label for box in records()[0].annotations] == ["theirs"]


def test_box_at_the_very_edge_does_not_stop_the_page(labelled: Tab) -> None:
    size = records()[0].size
    edge = Box(size.width - 1, size.height - 1, size.width, size.height)
    put(records()[0], Annotation(edge, "corner"), model_box("cup", 0.5))
    labelled.open("edit")
    assert not labelled.app.exception


def test_deleted_image_is_replaced_by_another(labelled: Tab) -> None:
    labelled.open("edit")
    store().remove_images(the_scope(), [records()[0].image_id])
    labelled.press("edit.approve")
    assert not labelled.app.exception
    assert BEAR in labelled.words()


def be_sure(tab: Tab) -> None:
    """Tick that the image on screen is to be removed."""
    (sure,) = [
        checkbox
        for checkbox in tab.app.checkbox
        if checkbox.label.startswith("Delete 1 im")
    ]
    sure.check().run()


def test_image_on_screen_is_removed_once_one_is_sure(labelled: Tab) -> None:
    labelled.open("edit")
    assert labelled.app.button(key="edit.remove").disabled
    be_sure(labelled)
    labelled.press("edit.remove")
    assert [record.file_name for record in records()] == ["bear.jpg"]
    assert BEAR in labelled.words()
    assert labelled.toasts() == [r"Deleted kitchen\.jpg with 2 boxes\."]
    be_sure(labelled)
    labelled.press("edit.remove")
    assert records() == []
    assert "no images yet" in labelled.words()


def test_image_labelled_meanwhile_is_not_deleted(labelled: Tab) -> None:
    labelled.open("edit")
    be_sure(labelled)
    put(records()[0], Annotation(Box(5, 5, 50, 50), "theirs"))
    labelled.press("edit.remove")
    assert [box.label for box in records()[0].annotations] == ["theirs"]
    assert "This image has changed meanwhile" in labelled.words()
    # Its tick was for the image as it was.
    assert labelled.app.button(key="edit.remove").disabled


def test_click_after_the_dataset_was_deleted_says_what_to_do(labelled: Tab) -> None:
    labelled.open("edit")
    scope: Scope = the_scope()
    store().delete_dataset(scope)
    labelled.press("edit.approve")
    assert not labelled.app.exception
    assert "no images yet" in labelled.words()


def test_labels_are_numbered_in_their_own_order_without_deleted_ones(
    labelled: Tab,
) -> None:
    store().order_labels(the_scope(), [2, 0, 1])
    store().delete_label(the_scope(), 1, with_boxes=True)
    labelled.open("edit")
    (pills,) = labelled.app.main.button_group
    assert pills.options == ["1 bear", "2 bottle"]


def tags_of_image(tab: Tab) -> Multiselect[str]:
    return next(
        select
        for select in tab.app.main.multiselect
        if str(select.key).startswith("edit.tags")
    )


def test_tags_are_saved_at_once_and_undone(labelled: Tab) -> None:
    labelled.open("edit")
    tags = tags_of_image(labelled)
    tags.options.append("night *")  # AppTest knows no options that are typed
    tags.set_value(["night *"]).run()
    assert records()[0].tags == ("night *",)
    assert "Saved " in labelled.words()
    labelled.press("edit.next")
    tags = tags_of_image(labelled)
    assert (tags.options, tags.value) == (["night *"], [])
    labelled.press("edit.undo")
    assert records()[0].tags == ()


def test_saved_mark_is_shown_after_undo_too(labelled: Tab) -> None:
    labelled.open("edit")
    assert "All changes saved" in labelled.words()
    labelled.press("edit.accept")
    assert "Saved " in labelled.words()
    labelled.press("edit.undo")
    assert "Saved " in labelled.words()
    assert any("taken" in toast or "Undone" in toast for toast in labelled.toasts())


def comment(tab: Tab, text: str) -> None:
    tab.app.text_area(key=f"edit.comment.{records()[0].image_id}").input(text)
    tab.press("edit.comment.add")


def test_comment_is_open_until_it_is_resolved_and_can_be_opened_again(
    labelled: Tab,
) -> None:
    labelled.open("edit")
    comment(labelled, "*wheel* cut off")
    assert r"\*wheel\* cut off" in labelled.words()
    (said,) = store().comments(the_scope(), records()[0].image_id)
    labelled.press(f"edit.resolve.{said.comment_id}")
    assert "1 comment resolved" in labelled.popovers()
    assert store().open_comment_counts(the_scope()) == {}
    labelled.press(f"edit.reopen.{said.comment_id}")
    assert store().open_comment_counts(the_scope()) == {said.image_id: 1}


def test_empty_comment_is_refused_in_a_sentence(labelled: Tab) -> None:
    labelled.open("edit")
    comment(labelled, "  ")
    assert labelled.toasts() == ["Write a few words first; the comment was empty\\."]


@pytest.mark.parametrize(
    "among",
    [ImageQueue.REJECTED, ImageQueue.MINE, ImageQueue.COMMENTED],
    ids=lambda case: case.name,
)
def test_one_goes_through_the_images_that_came_back(
    labelled: Tab, among: ImageQueue
) -> None:
    store().save(the_scope(), reject(records()[1], comment="cut off"))
    labelled.app.text_input(key="visitor.name").input("ann").run()
    labelled.open("edit")
    go_through(labelled, among)
    assert BEAR in labelled.words()
    assert "**1** / 1" in labelled.words()
    assert labelled.app.button(key="edit.next").disabled
    labelled.press("edit.approve")
    assert "\u2013 / 0" in labelled.words()
    assert "no more images in this queue" in labelled.toasts()[0]


def test_images_to_review_leave_out_those_that_are_approved(labelled: Tab) -> None:
    labelled.open("edit")
    labelled.press("edit.approve")
    labelled.press("edit.previous")
    go_through(labelled, ImageQueue.WAITING)
    assert BEAR in labelled.words()
    assert "**1** / 1" in labelled.words()


def test_empty_queue_is_reported(labelled: Tab) -> None:
    labelled.open("edit")
    go_through(labelled, ImageQueue.REJECTED)
    assert labelled.toasts() == ["No images in this queue\\: rejected\\."]
    assert "**1** / 2" in labelled.words()


def test_most_doubtful_come_first(labelled: Tab) -> None:
    put(records()[1], model_box("bear", 0.9), model_box("bear", 0.9, at=22))
    labelled.open("edit")
    go_through(labelled, ImageQueue.DOUBTFUL)
    ids = store().doubtful_ids(the_scope())
    assert ids[0] == records()[1].image_id
    assert BEAR in labelled.words()


def test_approving_the_last_one_says_that_all_is_done(labelled: Tab) -> None:
    labelled.open("edit")
    labelled.press("edit.approve")
    labelled.press("edit.approve")
    assert "all images are reviewed" in labelled.toasts()[0]


def test_copy_without_an_image_is_a_message(labelled: Tab) -> None:
    labelled.open("edit")
    store().remove_images(the_scope(), [record.image_id for record in records()])
    labelled.press("edit.copy")
    assert not labelled.app.exception
    assert "no longer exists" in "".join(labelled.toasts())


def widget(tab: Tab, kind: str, box: Annotation, end: str) -> Any:  # noqa: ANN401
    """Return the widget of one box's attributes whose key ends so."""
    start = f"edit.attributes.{box.annotation_id}."
    return next(
        widget
        for widget in tab.app.get(kind)
        if widget.key
        and widget.key.startswith(start)
        and widget.key.endswith(f".{end}")
    )


def known_of(place: int) -> Attributes:
    return records()[0].annotations[place].attributes


def test_flags_of_a_box_are_checked_and_taken_back(labelled: Tab) -> None:
    labelled.open("edit")
    assert "Attributes" in labelled.popovers()
    (first, second) = records()[0].annotations
    widget(labelled, "checkbox", first, "occluded").check().run()
    assert known_of(0) == {"occluded": True}
    assert records()[0].annotations[0].accepted
    assert "Attributes (1)" in labelled.popovers()
    labelled.press("edit.undo")
    assert known_of(0) == {}
    assert not records()[0].annotations[0].accepted
    assert widget(labelled, "checkbox", first, "occluded").value is False
    one_by_key(labelled, "edit.attributes.box").set_value(second.annotation_id).run()
    widget(labelled, "checkbox", second, "truncated").check().run()
    assert (known_of(0), known_of(1)) == ({}, {"truncated": True})
    widget(labelled, "checkbox", second, "truncated").uncheck().run()
    assert known_of(1) == {}


def test_attributes_are_typed_changed_and_deleted(labelled: Tab) -> None:
    kitchen, _ = records()
    first, *rest = kitchen.annotations
    before: Attributes = {"occluded": True, "plate": "007", "night": False}
    put(kitchen, replace(first, attributes=before), *rest)
    labelled.open("edit")

    def give(*words: str) -> Attributes:
        field = widget(labelled, "multiselect", first, "others")
        field.options.extend(word for word in words if word not in field.options)
        field.set_value(list(words)).run()
        return known_of(0)

    shown = widget(labelled, "multiselect", first, "others").value
    assert shown == ["night = false", "plate = 007"]
    assert give(*shown, "color = red", "count=3") == {
        **before,
        "color": "red",
        "count": 3,
    }
    assert give("plate = 007", "color = blue", "seen") == {
        "occluded": True,
        "plate": "007",
        "color": "blue",
        "seen": True,
    }
    assert give() == {"occluded": True}
    long = "x" * 101
    assert give(long) == {"occluded": True}
    assert "has a name of more than 100 characters" in labelled.words()


def test_image_without_boxes_has_no_attributes_to_edit(filled: Tab) -> None:
    filled.open("edit")
    (button,) = [
        widget.proto.popover
        for widget in filled.app.get("popover")
        if widget.proto.popover.label == "Attributes"
    ]
    assert button.disabled

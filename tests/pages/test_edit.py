"""The Edit page around the canvas; the canvas itself is tested in a browser."""

from imagebase.annotation import Annotation, Box, ReviewStatus, Source
from imagebase.store import Scope
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


def test_image_stays_chosen_while_one_looks_elsewhere(labelled: Tab) -> None:
    labelled.open("edit")
    labelled.press("edit.next")
    labelled.open("review")
    labelled.open("edit")
    assert BEAR in labelled.words()


def test_approving_goes_on_to_the_next_image_in_need(labelled: Tab) -> None:
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
    assert [one.value for one in labelled.app.warning] == [r"\[cut\]\(off\)"]


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
    assert sorted(one.label for one in copied) == ["bear", "bottle", "cup"]
    assert {one.source for one in copied} == {Source.HUMAN}


def test_undo_and_redo_go_back_to_the_image_they_are_about(labelled: Tab) -> None:
    labelled.open("edit")
    labelled.press("edit.approve")
    labelled.press("edit.undo")
    assert records()[0].status is ReviewStatus.AUTO
    assert KITCHEN in labelled.words()
    labelled.press("edit.redo")
    assert records()[0].status is ReviewStatus.APPROVED


def type_label(tab: Tab, name: str) -> None:
    (more,) = tab.app.main.selectbox
    more.options.append(name)  # AppTest knows no options that are typed
    more.set_value(name).run()


def test_label_of_the_next_box_is_chosen_or_new(labelled: Tab) -> None:
    labelled.open("edit")
    (pills,) = labelled.app.main.button_group
    assert pills.options == ["1 bottle", "2 cup", "3 bear"]
    assert pills.value == "bottle"
    type_label(labelled, "zebra *")
    (pills,) = labelled.app.main.button_group
    assert pills.options[-1] == r"4 zebra \*"
    assert pills.value == "zebra *"
    assert store().labels(the_scope()).names[-1] == "zebra *"


def test_label_that_is_no_name_is_refused_in_a_sentence(labelled: Tab) -> None:
    labelled.open("edit")
    type_label(labelled, "\0")
    assert "A label needs a name" in labelled.words()
    assert not labelled.app.exception


def test_table_lists_the_boxes(labelled: Tab) -> None:
    labelled.open("edit")
    (table,) = labelled.app.dataframe
    assert "bottle" in table.value.to_string()
    assert len(table.value) == 2


def test_what_somebody_else_saved_is_shown_and_not_overwritten(labelled: Tab) -> None:
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


def test_image_that_somebody_removed_gives_way_to_another(labelled: Tab) -> None:
    labelled.open("edit")
    store().remove_images(the_scope(), [records()[0].image_id])
    labelled.press("edit.approve")
    assert not labelled.app.exception
    assert BEAR in labelled.words()


def test_press_after_the_dataset_is_gone_says_what_to_do(labelled: Tab) -> None:
    labelled.open("edit")
    scope: Scope = the_scope()
    store().delete_dataset(scope)
    labelled.press("edit.approve")
    assert not labelled.app.exception
    assert "no images yet" in labelled.words()

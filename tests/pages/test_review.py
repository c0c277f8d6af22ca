"""The Review page: filters, and actions on selected rows."""

import math
from dataclasses import replace
from datetime import date

import pytest
from streamlit.testing.v1.element_tree import Checkbox

from imagebase.annotation import Annotation, Box, ReviewStatus, Source
from tests.app_fixtures import Tab, put, records, store, the_scope

TABLE = "review.table"
IMAGES = "review.image_table"


def labels(tab: Tab) -> list[str]:
    return list(tab.app.dataframe[0].value["label"])


def all_labels() -> list[str]:
    return [box.label for record in records() for box in record.annotations]


def test_images_without_labels_say_the_next_step(filled: Tab) -> None:
    filled.open("review")
    assert "run a model on **Annotate**" in filled.words()


def test_labels_are_sorted_by_doubt_and_as_one_likes(labelled: Tab) -> None:
    labelled.open("review")
    assert labels(labelled) == ["cup", "bottle", "bear"]
    labelled.app.selectbox(key="review.order").select("upload").run()
    assert labels(labelled) == ["bottle", "cup", "bear"]


def test_confidence_is_in_percent_and_a_persons_box_has_none(labelled: Tab) -> None:
    labelled.open("review")
    labelled.app.selectbox(key="review.order").select("upload").run()
    table = labelled.app.dataframe[0]
    assert table.value["confidence"].tolist()[:2] == pytest.approx([90, 40])
    assert math.isnan(table.value["confidence"].tolist()[2])
    assert table.proto.placeholder == ""


def test_each_filter_leaves_what_passes(labelled: Tab) -> None:
    app = labelled.open("review")
    app.multiselect(key="review.statuses").select(ReviewStatus.EDITED).run()
    assert labels(labelled) == ["bear"]
    app.multiselect(key="review.statuses").set_value([]).run()
    app.multiselect(key="review.labels").select("cup").run()
    assert labels(labelled) == ["cup"]
    app.multiselect(key="review.labels").set_value([]).run()
    app.multiselect(key="review.sources").select(Source.HUMAN).run()
    assert labels(labelled) == ["bear"]
    app.multiselect(key="review.sources").set_value([]).run()
    app.slider(key="review.confidence").set_value((0.5, 1.0)).run()
    assert labels(labelled) == ["bottle"]
    app.slider(key="review.confidence").set_value((0.0, 1.0)).run()
    app.text_input(key="review.text").input("KITCH").run()
    assert sorted(labels(labelled)) == ["bottle", "cup"]


def test_filters_that_nothing_passes_say_so(labelled: Tab) -> None:
    labelled.open("review")
    labelled.app.text_input(key="review.text").input("zebra%_").run()
    assert "No boxes match" in labelled.words()


def test_filters_stay_while_one_looks_elsewhere(labelled: Tab) -> None:
    labelled.open("review")
    labelled.app.multiselect(key="review.labels").select("cup").run()
    labelled.open("upload")
    labelled.open("review")
    assert labels(labelled) == ["cup"]


def test_filter_by_a_label_of_another_dataset_is_dropped(labelled: Tab) -> None:
    labelled.open("review")
    labelled.app.multiselect(key="review.labels").select("cup").run()
    labelled.submit("sidebar.new_dataset", "Second")
    assert not labelled.app.exception
    assert "no images yet" in labelled.words()


def test_nothing_is_done_without_a_choice(labelled: Tab) -> None:
    labelled.open("review")
    assert "Select rows to act on them." in labelled.words()
    assert labelled.app.button(key="review.labels.delete").disabled
    assert labelled.app.button(key="review.labels.approve").disabled


def test_images_of_selected_boxes_are_approved(labelled: Tab) -> None:
    labelled.open("review")
    labelled.select_rows(TABLE, 0, 1)
    assert "2 boxes on 1 image selected" in labelled.words()
    labelled.press("review.labels.approve")
    assert [record.status for record in records()] == [
        ReviewStatus.APPROVED,
        ReviewStatus.EDITED,
    ]
    assert "Approved 1 image" in labelled.toasts()[0]


def test_rejected_images_show_the_comment_as_text(labelled: Tab) -> None:
    labelled.open("review")
    labelled.select_rows(TABLE, 0)
    labelled.app.text_area(key="review.labels.comment").input("*Wheel* cut off").run()
    labelled.press("review.labels.reject")
    (kitchen, _) = records()
    assert (kitchen.status, kitchen.comment) == (
        ReviewStatus.REJECTED,
        "*Wheel* cut off",
    )
    labelled.select_rows(TABLE, 0)
    assert r"\*Wheel\* cut off" in labelled.words()


def test_selected_boxes_get_another_name(labelled: Tab) -> None:
    labelled.open("review")
    labelled.select_rows(TABLE, 0, 1)
    labelled.app.selectbox(key="review.labels.relabel.to").select("bear").run()
    labelled.press("review.labels.relabel")
    assert all_labels() == ["bear", "bear", "bear"]
    assert {b.source for b in records()[0].annotations} == {Source.HUMAN}


def test_text_entered_with_the_click_counts(labelled: Tab) -> None:
    labelled.open("review")
    labelled.select_rows(TABLE, 0, 1)
    field = labelled.app.selectbox(key="review.labels.relabel.to")
    assert field.value != "cup"
    field.select("cup")
    labelled.press("review.labels.relabel")
    assert all_labels() == ["cup", "cup", "bear"]
    labelled.select_rows(TABLE, 0)
    labelled.app.text_area(key="review.labels.comment").input("Wheel cut off")
    labelled.press("review.labels.reject")
    assert "Wheel cut off" in [record.comment for record in records()]


def test_selected_boxes_are_deleted_and_are_restored_by_undo(labelled: Tab) -> None:
    labelled.open("review")
    labelled.select_rows(TABLE, 0, 2)
    labelled.press("review.labels.delete")
    assert all_labels() == ["bottle"]
    labelled.press("sidebar.undo")
    assert sorted(all_labels()) == ["bear", "bottle", "cup"]


def test_selection_is_cleared_when_the_rows_change(labelled: Tab) -> None:
    labelled.open("review")
    labelled.select_rows(TABLE, 0)
    labelled.press("review.labels.delete")
    assert "Select rows to act on them." in labelled.words()


def test_image_opens_in_the_editor(labelled: Tab) -> None:
    labelled.open("review")
    labelled.select_rows(TABLE, 2)
    labelled.press("review.open")
    assert "**2** / 2" in labelled.words()


def show_images(tab: Tab) -> None:
    tab.open("review")
    tab.app.main.button_group[0].set_value("Images").run()


def test_images_are_listed_with_their_labels(labelled: Tab) -> None:
    show_images(labelled)
    table = labelled.app.dataframe[0].value
    assert table["image"].tolist() == ["kitchen.jpg", "bear.jpg"]
    assert table["labels"].tolist() == ["bottle, cup", "bear"]


def test_images_are_approved_without_looking_at_each_label(labelled: Tab) -> None:
    show_images(labelled)
    labelled.select_rows(IMAGES, 0, 1)
    labelled.press("review.images.approve")
    assert {record.status for record in records()} == {ReviewStatus.APPROVED}
    assert "**2** of 2 images approved" in labelled.progress()


def test_images_are_filtered_by_their_state(labelled: Tab) -> None:
    show_images(labelled)
    states = labelled.app.main.button_group[1]
    states.set_value([ReviewStatus.REJECTED]).run()
    assert "No images match. Clear a filter." in labelled.words()


def test_last_page_gives_way_when_a_filter_leaves_fewer(labelled: Tab) -> None:
    bear = records()[1]
    many = [Annotation(Box(n, 0, n + 5, 5), "ant") for n in range(130)]
    put(bear, *many)
    labelled.open("review")
    labelled.app.get("pagination")[0].set_value(3).run()  # type: ignore[union-attr]
    labelled.app.multiselect(key="review.labels").select("cup").run()
    assert labels(labelled) == ["cup"]
    labelled.app.multiselect(key="review.labels").set_value(["ant"]).run()
    assert labels(labelled)
    assert not labelled.app.exception


def test_label_with_markup_is_only_text(labelled: Tab) -> None:
    store().add_labels(the_scope(), ["<b>*x*</b>"])
    put(records()[1], Annotation(Box(1, 1, 9, 9), "<b>*x*</b>"))
    for page in ("review", "edit", "export"):
        labelled.open(page)
        assert not labelled.app.exception
        assert "<b>" not in labelled.words()


def test_each_folded_filter_leaves_what_passes(labelled: Tab) -> None:
    app = labelled.open("review")
    app.multiselect(key="review.who").select("ann").run()
    assert labels(labelled) == ["bear"]
    labelled.press("review.clear_all")
    app.text_input(key="review.image").input("bear").run()
    assert labels(labelled) == ["bear"]
    labelled.press("review.clear_all")
    app.number_input(key="review.least_px").set_value(61).run()
    assert labels(labelled) == ["bear"]
    app.number_input(key="review.below_px").set_value(100).run()
    assert "No boxes match" in labelled.words()
    labelled.press("review.clear_all")
    app.date_input(key="review.until").set_value(date(2020, 1, 1)).run()
    assert "No boxes match" in labelled.words()
    app.date_input(key="review.until").set_value(None).run()
    app.date_input(key="review.since").set_value(date(2020, 1, 1)).run()
    assert len(labels(labelled)) == 3
    app.slider(key="review.share").set_value((0, 2)).run()
    assert labels(labelled) == ["cup", "bottle"]
    assert "Filter: " in labelled.app.button(key="review.clear_labels").label
    labelled.press("review.clear_labels")
    assert len(labels(labelled)) == 3


def test_folded_filters_are_counted_on_their_button(labelled: Tab) -> None:
    app = labelled.open("review")
    assert "More" in labelled.popovers()
    app.multiselect(key="review.who").select("ann").run()
    app.text_input(key="review.image").input("bear").run()
    assert "More (2)" in labelled.popovers()


def test_filter_by_a_label_that_was_merged_is_dropped(labelled: Tab) -> None:
    app = labelled.open("review")
    app.multiselect(key="review.labels").select("cup").run()
    known = store().labels(the_scope())
    store().merge_label(
        the_scope(), known.class_id("cup"), into=known.class_id("bottle")
    )
    app.run()
    assert not app.exception
    assert labels(labelled) == ["bottle", "bottle", "bear"]


def reject_kitchen(tab: Tab) -> None:
    show_images(tab)
    tab.select_rows(IMAGES, 0)
    tab.app.text_area(key="review.images.comment").input("Wheel *cut* off").run()
    tab.press("review.images.reject")


def test_rejection_is_a_comment_that_is_resolved_and_opened_again(
    labelled: Tab,
) -> None:
    reject_kitchen(labelled)
    (said,) = store().comments(the_scope(), records()[0].image_id)
    assert r"Wheel \*cut\* off" in labelled.words()
    labelled.press(f"edit.resolve.{said.comment_id}")
    (said,) = store().comments(the_scope(), records()[0].image_id)
    assert not said.is_open
    labelled.press(f"edit.reopen.{said.comment_id}")
    (said,) = store().comments(the_scope(), records()[0].image_id)
    assert said.is_open


def test_a_person_comments_on_an_image(labelled: Tab) -> None:
    show_images(labelled)
    image_id = records()[0].image_id
    labelled.app.text_area(key=f"edit.comment.{image_id}").input("Good one")
    labelled.press("edit.comment.add")
    (said,) = store().comments(the_scope(), image_id)
    assert (said.text, said.is_open) == ("Good one", True)
    assert "Good one" in labelled.words()


def test_a_blank_comment_is_refused_in_words(labelled: Tab) -> None:
    show_images(labelled)
    labelled.press("edit.comment.add")
    assert "the comment was empty" in labelled.toasts()[0]


def image_names(tab: Tab) -> list[str]:
    return list(tab.app.dataframe[0].value["image"])


def test_images_with_open_comments_are_found(labelled: Tab) -> None:
    reject_kitchen(labelled)
    labelled.app.main.button_group[2].set_value(["open comments"]).run()
    assert image_names(labelled) == ["kitchen.jpg"]
    assert list(labelled.app.dataframe[0].value["open"]) == ["1"]


def test_an_annotator_finds_what_came_back(labelled: Tab) -> None:
    reject_kitchen(labelled)
    only = labelled.app.main.button_group[2]
    only.set_value(["mine, rejected"]).run()
    assert "None of your images were rejected" in labelled.words()
    _, bear = records()
    who = labelled.app.get("popover")[1].proto.popover.label
    box = Annotation(Box(50, 60, 150, 160), "bear", changed_by=who)
    put(bear, box)
    labelled.app.main.button_group[2].set_value([]).run()
    labelled.select_rows(IMAGES, 1)
    labelled.app.text_area(key="review.images.comment").input("Too wide").run()
    labelled.press("review.images.reject")
    labelled.app.main.button_group[2].set_value(["mine, rejected"]).run()
    assert image_names(labelled) == ["bear.jpg"]


def test_all_images_that_pass_are_approved_at_once(labelled: Tab) -> None:
    show_images(labelled)
    all_of_them = labelled.app.main.checkbox[0]
    assert all_of_them.label == "Select all 2 matching images, on every page"
    all_of_them.check().run()
    labelled.press("review.images.approve")
    assert {record.status for record in records()} == {ReviewStatus.APPROVED}
    labelled.press("review.images.undo")
    assert {record.status for record in records()} == {
        ReviewStatus.SUGGESTED,
        ReviewStatus.EDITED,
    }


def box_labelled(tab: Tab, label: str) -> Checkbox:
    (found,) = [checkbox for checkbox in tab.app.checkbox if checkbox.label == label]
    return found


def test_selected_images_are_deleted_after_confirmation(labelled: Tab) -> None:
    kitchen, bear = records()
    store().add_comment(the_scope(), kitchen.image_id, "Blurred")
    show_images(labelled)
    assert labelled.app.button(key="review.images.remove").disabled
    labelled.select_rows(IMAGES, 0)
    assert (
        "The image file will be deleted with 2 boxes and 1 open comment."
        in labelled.words()
    )
    assert labelled.app.button(key="review.images.remove").disabled
    box_labelled(labelled, "Delete 1 image with 2 boxes and 1 open comment").check()
    labelled.app.run()
    labelled.press("review.images.remove")
    assert labelled.toasts() == [r"Deleted 1 image with 2 boxes\."]
    assert records() == [bear]
    assert image_names(labelled) == ["bear.jpg"]


def test_an_image_whose_file_is_lost_can_be_removed(labelled: Tab) -> None:
    kitchen, bear = records()
    store()._files.delete(the_scope().owner_id, bear.image_id)
    show_images(labelled)
    labelled.select_rows(IMAGES, 1)
    box_labelled(labelled, "Delete 1 image with 1 box").check().run()
    labelled.press("review.images.remove")
    assert records() == [kitchen]
    assert image_names(labelled) == ["kitchen.jpg"]


def test_confirmation_for_one_image_does_not_hold_for_all(labelled: Tab) -> None:
    show_images(labelled)
    labelled.select_rows(IMAGES, 1)
    box_labelled(labelled, "Delete 1 image with 1 box").check().run()
    box_labelled(labelled, "Select all 2 matching images, on every page").check().run()
    assert labelled.app.button(key="review.images.remove").disabled
    box_labelled(labelled, "Delete 2 images with 3 boxes").check().run()
    labelled.press("review.images.remove")
    assert records() == []
    assert "no images yet" in labelled.words()


def test_image_labelled_meanwhile_is_not_deleted(labelled: Tab) -> None:
    show_images(labelled)
    labelled.select_rows(IMAGES, 1)
    box_labelled(labelled, "Delete 1 image with 1 box").check().run()
    theirs = Annotation(Box(5, 5, 50, 50), "theirs")
    put(records()[1], theirs)
    labelled.press("review.images.remove")
    assert [annotation.label for annotation in records()[1].annotations] == ["theirs"]
    assert "changed by someone else" in labelled.toasts()[0]


def test_images_are_found_by_name_and_tag(labelled: Tab) -> None:
    store().save(the_scope(), replace(records()[1], tags=("night",)))
    show_images(labelled)
    labelled.app.text_input(key="review.image_text").input("KITCH").run()
    assert image_names(labelled) == ["kitchen.jpg"]
    labelled.app.text_input(key="review.image_text").input("").run()
    labelled.app.multiselect(key="review.image_tags").select("night").run()
    assert image_names(labelled) == ["bear.jpg"]


@pytest.mark.parametrize("view", ["Queue", "Boxes", "Crops", "Images", "Statistics"])
def test_every_view_is_drawn(labelled: Tab, view: str) -> None:
    labelled.open("review")
    labelled.app.main.button_group[0].set_value(view).run()
    assert not labelled.app.exception
    assert not labelled.app.error


def test_labels_are_filtered_by_an_attribute_and_show_it(labelled: Tab) -> None:
    kitchen, _ = records()
    first, *rest = kitchen.annotations
    known = replace(first, attributes={"occluded": True, "color": "red"})
    put(kitchen, known, *rest)
    app = labelled.open("review")
    app.text_input(key="review.attribute").input("Color = Red").run()
    assert "No boxes match" in labelled.words()
    app.text_input(key="review.attribute").input("color = Red").run()
    assert list(app.dataframe[0].value["attributes"]) == ["color = red, occluded"]
    app.text_input(key="review.attribute").input("truncated").run()
    assert "No boxes match" in labelled.words()
    app.text_input(key="review.attribute").input(" occluded ").run()
    assert labels(labelled) == [first.label]

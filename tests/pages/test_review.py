"""The Review page: filters, and what is done to a choice of rows."""

from imagebase.annotation import Annotation, Box, ReviewStatus, Source
from tests.app_fixtures import Tab, put, records, store, the_scope

TABLE = "review.table"
IMAGES = "review.image_table"


def labels(tab: Tab) -> list[str]:
    return list(tab.app.dataframe[0].value["label"])


def all_labels() -> list[str]:
    return [box.label for one in records() for box in one.annotations]


def test_images_without_labels_say_where_labels_come_from(filled: Tab) -> None:
    filled.open("review")
    assert "let a model look for objects on **Annotate**" in filled.words()


def test_labels_are_sorted_by_doubt_and_as_one_likes(labelled: Tab) -> None:
    labelled.open("review")
    assert labels(labelled) == ["cup", "bottle", "bear"]
    labelled.app.selectbox(key="review.order").select("upload").run()
    assert labels(labelled) == ["bottle", "cup", "bear"]


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
    assert "No label passes these filters" in labelled.words()


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
    assert "Tick rows to act on them." in labelled.words()
    assert labelled.app.button(key="review.labels.delete").disabled
    assert labelled.app.button(key="review.labels.approve").disabled


def test_images_of_ticked_labels_are_approved(labelled: Tab) -> None:
    labelled.open("review")
    labelled.select_rows(TABLE, 0, 1)
    assert "2 labels on 1 image selected" in labelled.words()
    labelled.press("review.labels.approve")
    assert [one.status for one in records()] == [
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


def test_ticked_labels_get_another_name(labelled: Tab) -> None:
    labelled.open("review")
    labelled.select_rows(TABLE, 0, 1)
    labelled.app.selectbox(key="review.labels.relabel.to").select("bear").run()
    labelled.press("review.labels.relabel")
    assert all_labels() == ["bear", "bear", "bear"]
    assert {b.source for b in records()[0].annotations} == {Source.HUMAN}


def test_ticked_labels_are_deleted_and_come_back_with_undo(labelled: Tab) -> None:
    labelled.open("review")
    labelled.select_rows(TABLE, 0, 2)
    labelled.press("review.labels.delete")
    assert all_labels() == ["bottle"]
    labelled.press("sidebar.undo")
    assert sorted(all_labels()) == ["bear", "bottle", "cup"]


def test_choice_is_gone_once_the_rows_are_others(labelled: Tab) -> None:
    labelled.open("review")
    labelled.select_rows(TABLE, 0)
    labelled.press("review.labels.delete")
    assert "Tick rows to act on them." in labelled.words()


def test_picture_opens_in_the_editor(labelled: Tab) -> None:
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
    assert {one.status for one in records()} == {ReviewStatus.APPROVED}
    assert "**2** of 2 images approved" in labelled.progress()


def test_images_are_filtered_by_their_state(labelled: Tab) -> None:
    show_images(labelled)
    states = labelled.app.main.button_group[1]
    states.set_value([ReviewStatus.REJECTED]).run()
    assert "No image passes these filters" in labelled.words()


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

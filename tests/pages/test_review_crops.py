"""The Review page's contact sheet, look-alikes, and acceptance above a confidence."""

from collections.abc import Sequence

import pytest

from imagebase.annotation import Annotation, Box, ReviewStatus, Source
from imagebase.ui.contact_sheet import Tile
from tests.app_fixtures import Tab, put, records, store, the_scope
from tests.planted_logo import LABEL, fill, made_set

DELETE = "review.crops.delete"


@pytest.fixture
def ticked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The places of the crops that are ticked; the browser's part of it is not there.

    tests/browser ticks them with the mouse.
    """
    places: list[int] = []

    def draw(tiles: Sequence[Tile], **_: object) -> frozenset[str]:
        return frozenset(tiles[place].id for place in places if place < len(tiles))

    monkeypatch.setattr("imagebase.ui.review.crops.draw_sheet", draw)
    return places


def show_crops(tab: Tab) -> Tab:
    tab.open("review")
    tab.app.main.button_group[0].set_value("Crops").run()
    return tab


def all_labels() -> list[str]:
    return [box.label for record in records() for box in record.annotations]


def test_crops_are_counted_by_label(labelled: Tab) -> None:
    show_crops(labelled)
    assert "3 boxes" in labelled.words()
    assert "Click crops to select them" in labelled.words()
    assert labelled.app.button(key=DELETE).disabled


def test_a_frequent_label_is_one_press_away(labelled: Tab) -> None:
    show_crops(labelled)
    labelled.app.main.button_group[1].set_value("cup").run()
    assert "1 box" in labelled.words()
    assert labelled.app.multiselect(key="review.labels").value == ["cup"]


def test_selected_crops_are_deleted_and_are_restored_by_one_undo(
    labelled: Tab, ticked: list[int]
) -> None:
    ticked += [0, 2]
    show_crops(labelled)
    assert "2 boxes on 2 images selected" in labelled.words()
    labelled.press(DELETE)
    assert all_labels() == ["bottle"]
    assert "Deleted 2 boxes on 2 images" in labelled.toasts()[0]
    labelled.press("review.crops.undo")
    assert sorted(all_labels()) == ["bear", "bottle", "cup"]


def test_main_actions_on_crops_correct_them(labelled: Tab) -> None:
    show_crops(labelled)
    (relabel,) = (
        widget.proto.popover
        for widget in labelled.app.get("popover")
        if widget.proto.popover.label == "Relabel"
    )
    assert relabel.type == "primary"
    assert labelled.app.button(key=DELETE).proto.type == "primary"
    assert labelled.app.button(key="review.crops.approve").proto.type == "secondary"


def test_selected_crops_get_another_label_and_lose_it_by_one_undo(
    labelled: Tab, ticked: list[int]
) -> None:
    ticked += [0, 1, 2]
    show_crops(labelled)
    labelled.app.selectbox(key="review.crops.relabel.to").select("bear").run()
    labelled.press("review.crops.relabel")
    assert all_labels() == ["bear", "bear", "bear"]
    labelled.press("review.crops.undo")
    assert sorted(all_labels()) == ["bear", "bottle", "cup"]


def test_selected_crops_of_a_model_are_accepted(
    labelled: Tab, ticked: list[int]
) -> None:
    ticked += [0, 2]
    show_crops(labelled)
    labelled.press("review.crops.accept")
    accepted = [
        b.label for record in records() for b in record.annotations if b.accepted
    ]
    assert accepted == ["cup"]


def test_images_of_selected_crops_are_approved(
    labelled: Tab, ticked: list[int]
) -> None:
    ticked += [2]
    show_crops(labelled)
    labelled.press("review.crops.approve")
    statuses = [record.status for record in records()]
    assert statuses == [ReviewStatus.SUGGESTED, ReviewStatus.APPROVED]


def test_acceptance_is_counted_before_it_happens(labelled: Tab) -> None:
    labelled.open("review")
    assert "**1 box** on 1 image would be accepted." in labelled.words()
    labelled.app.slider(key="accept.least").set_value(0.3).run()
    assert "**2 boxes** of 2 labels on 1 image would be accepted." in labelled.words()
    labelled.press("accept.apply")
    boxes = {box.label: box for record in records() for box in record.annotations}
    assert boxes["cup"].accepted
    assert boxes["bottle"].accepted
    assert boxes["bear"].source is Source.HUMAN
    assert "Accepted 2 boxes on 1 image" in labelled.toasts()[0]
    labelled.press("review.labels.undo")
    assert not any(box.accepted for record in records() for box in record.annotations)


def test_acceptance_begins_with_the_labels_that_are_filtered(labelled: Tab) -> None:
    labelled.open("review")
    labelled.app.slider(key="accept.least").set_value(0.0).run()
    labelled.app.multiselect(key="review.labels").select("cup").run()
    assert "**1 box** on 1 image would be accepted." in labelled.words()
    labelled.press("accept.apply")
    accepted = [
        b.label for record in records() for b in record.annotations if b.accepted
    ]
    assert accepted == ["cup"]


def test_nothing_so_sure_cannot_be_accepted(labelled: Tab) -> None:
    labelled.open("review")
    labelled.app.slider(key="accept.least").set_value(1.0).run()
    assert "No unaccepted box is that confident." in labelled.words()
    assert labelled.app.button(key="accept.apply").disabled


@pytest.fixture
def planted(tab: Tab) -> Tab:
    """A tab on Review whose dataset has a logo at the same place on five images."""
    fill(store(), the_scope(), made_set(with_logo=5, without=2))
    tab.open("review")
    return tab


def delete_first(tab: Tab) -> None:
    tab.app.text_input(key="review.text").input("logo-000").run()
    tab.select_rows("review.table", 0)
    tab.press("review.labels.delete")
    tab.app.text_input(key="review.text").input("").run()


def test_a_delete_offers_the_same_place_on_other_images(planted: Tab) -> None:
    delete_first(planted)
    assert (
        f"**6 other images** have a **{LABEL}** box at the same place"
        in planted.words()
    )


def test_an_offer_is_gone_when_it_is_put_away(planted: Tab) -> None:
    delete_first(planted)
    planted.press("looks.drop")
    assert "other images" not in planted.words()


def test_an_undo_takes_the_offer_away(planted: Tab) -> None:
    delete_first(planted)
    planted.press("review.labels.undo")
    assert "other images" not in planted.words()


def test_a_relabel_offers_the_same_for_others(planted: Tab) -> None:
    store().add_labels(the_scope(), ["badge"])
    planted.select_rows("review.table", 0)
    planted.app.selectbox(key="review.labels.relabel.to").select("badge").run()
    planted.press("review.labels.relabel")
    assert "where you relabelled one **badge**" in planted.words()


def test_look_alikes_alone_are_shown(planted: Tab) -> None:
    delete_first(planted)
    planted.press("looks.show")
    assert "**4** of 4 boxes selected." in planted.words()
    labels = [button.label for button in planted.app.button]
    assert "Delete 4 boxes" in labels


def test_look_alikes_are_deleted_and_are_restored_by_one_undo(planted: Tab) -> None:
    delete_first(planted)
    left = len(all_labels())
    planted.press("looks.show")
    planted.press("looks.apply")
    assert len(all_labels()) == left - 4
    assert "Deleted 4 boxes on 4 images" in planted.toasts()[0]
    assert "other images" not in planted.words()
    planted.press("sidebar.undo")
    assert len(all_labels()) == left


def test_boxes_that_people_made_start_unselected(
    planted: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[frozenset[str]] = []

    def draw(
        tiles: Sequence[Tile], *, selected: frozenset[str], **_: object
    ) -> frozenset[str]:
        seen.append(selected)
        return selected

    monkeypatch.setattr("imagebase.ui.similar_offer.draw_sheet", draw)
    second = next(record for record in records() if record.file_name == "logo-001.jpg")
    (logo,) = second.annotations
    put(second, logo.with_acceptance(who="ann"))
    delete_first(planted)
    planted.press("looks.show")
    assert "reviewed, not selected at first" in planted.words()
    assert not any(key.startswith(second.image_id) for key in seen[-1])


def test_a_person_draws_no_offer_by_a_lone_delete(labelled: Tab) -> None:
    labelled.open("review")
    labelled.select_rows("review.table", 0)
    labelled.press("review.labels.delete")
    assert "other image" not in labelled.words()


def test_sheet_of_a_page_that_was_deleted_gives_way(
    labelled: Tab, ticked: list[int]
) -> None:
    bear = records()[1]
    put(bear, *(Annotation(Box(n, 0, n + 5, 5), "ant") for n in range(60)))
    show_crops(labelled)
    labelled.app.get("pagination")[0].set_value(2).run()  # type: ignore[union-attr]
    ticked += range(48)
    labelled.app.run()
    labelled.press(DELETE)
    assert not labelled.app.exception
    assert store().count_annotations(the_scope()) == 48
    assert "48 boxes" in labelled.words()

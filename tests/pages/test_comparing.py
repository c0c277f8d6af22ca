"""Comparison of two label versions on the Upload page."""

import json

import pytest

from imagebase.annotation import Annotation, Box
from imagebase.ui.upload import page as upload_page
from tests.app_fixtures import Tab, put, records, store, the_scope


@pytest.fixture
def tab(labelled: Tab) -> Tab:
    """A tab whose dataset has a bear, a bottle and a cup, on the comparison."""
    kitchen, _ = records()
    put(kitchen, Annotation(Box(10, 10, 90, 90), "cup", changed_by="ann"))
    store().add_labels(the_scope(), ["<b>"])
    (tools,) = (
        group for group in labelled.app.main.button_group if group.label == "More"
    )
    tools.set_value(upload_page.COMPARE).run()
    return labelled


def coco(**boxes: tuple[str, list[float]]) -> bytes:
    """Return a label file with a box on each of these images."""
    labels = ["bear", "bottle", "cup"]
    return json.dumps(
        {
            "images": [
                {"id": n, "file_name": f"{box}.jpg"} for n, box in enumerate(boxes)
            ],
            "categories": [{"id": n, "name": label} for n, label in enumerate(labels)],
            "annotations": [
                {"image_id": n, "category_id": labels.index(label), "bbox": bbox}
                for n, (label, bbox) in enumerate(boxes.values())
            ],
        }
    ).encode()


def drop(tab: Tab, side: str, data: bytes) -> None:
    (field,) = (
        uploader
        for uploader in tab.app.file_uploader
        if uploader.key and uploader.key.startswith(f"compare.files.{side}")
    )
    field.set_value([("labels.json", data, "application/json")])
    tab.app.run()
    assert not tab.app.exception


EARLIER = coco(
    kitchen=("bottle", [10, 10, 80, 80]),
    bear=("bear", [60, 70, 100, 100]),
    none=("cup", [1, 1, 5, 5]),
)


def test_files_are_compared_with_the_dataset(tab: Tab) -> None:
    assert "Drop another version of the labels" in tab.words()
    drop(tab, "Before", EARLIER)
    assert ":material/open_with: **1** moved" in tab.words()
    assert ":material/label: **1** relabelled" in tab.words()
    assert "0 boxes unchanged · on 2 images in both" in tab.words()
    assert "1 image only in Before" in tab.words()
    changes = next(
        table.value for table in tab.app.dataframe if "overlap" in table.value
    )
    assert list(changes["before"]) == [
        "bottle  10, 10  80 × 80",
        "bear  60, 70  100 × 100",
    ]
    assert list(changes["after"]) == ["cup  10, 10  80 × 80", "bear  50, 60  100 × 100"]


def test_changed_class_ids_are_a_warning(tab: Tab) -> None:
    drop(tab, "Before", EARLIER)
    assert store().labels(the_scope()).names == ("bottle", "cup", "bear", "<b>")
    (warning,) = tab.app.warning
    assert "bear 0 → 2, bottle 1 → 0, cup 2 → 1" in warning.value
    numbers = next(
        table.value for table in tab.app.dataframe if "ID after" in table.value
    )
    assert list(numbers["change"]) == ["changed", "changed", "changed", "new"]


def test_before_and_after_are_drawn_side_by_side(tab: Tab) -> None:
    before = len(tab.app.get("image"))
    drop(tab, "Before", EARLIER)
    assert len(tab.app.get("image")) == before + 4
    assert "After: 1 box differs" in tab.words()


def test_two_files_are_compared_and_others_can_be_chosen(tab: Tab) -> None:
    (after,) = (group for group in tab.app.main.button_group if group.label == "After")
    after.set_value("Label files").run()
    drop(tab, "Before", EARLIER)
    drop(tab, "After", EARLIER)
    assert "3 boxes unchanged · on 3 images in both" in tab.words()
    assert "No boxes differ." in tab.words()
    tab.press("compare.forget.After")
    assert "Drop another version of the labels" in tab.words()


def test_file_that_holds_no_labels_is_a_sentence(tab: Tab) -> None:
    drop(tab, "Before", b"{}")
    assert tab.app.warning
    assert records()

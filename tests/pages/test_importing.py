"""Import of label files on the Upload page: preview, confirm, import."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from imagebase.annotation import Box, ReviewStatus, Source
from imagebase.ui.upload import page as upload_page
from tests.app_fixtures import (
    Tab,
    begun_elsewhere,
    model_box,
    photograph,
    put,
    records,
    store,
    the_scope,
)

LABELS = ("Dog", "cat")
MARKUP = "<b>x</b> **y**.jpg"


def coco(*boxes: tuple[str, str], labels: Sequence[str] = LABELS) -> bytes:
    """Return a label file: of each box its image and its label."""
    names = list(dict.fromkeys(name for name, _ in boxes))
    return json.dumps(
        {
            "images": [{"id": n, "file_name": name} for n, name in enumerate(names)],
            "categories": [{"id": n, "name": label} for n, label in enumerate(labels)],
            "annotations": [
                {
                    "image_id": names.index(name),
                    "category_id": labels.index(label),
                    "bbox": [10 * n, 10, 40, 30],
                }
                for n, (name, label) in enumerate(boxes)
            ],
        }
    ).encode()


BOTH = coco(("kitchen.jpg", "Dog"), ("bear.jpg", "cat"), ("none.jpg", "cat"))


def opened(tab: Tab) -> Tab:
    """Open the part of the page that these tests are about."""
    (tools,) = (group for group in tab.app.main.button_group if group.label == "More")
    tools.set_value(upload_page.IMPORT).run()
    return tab


@pytest.fixture
def tab(tab: Tab) -> Tab:
    return opened(tab)


@pytest.fixture
def labelled(labelled: Tab) -> Tab:
    return opened(labelled)


@pytest.fixture
def filled(filled: Tab) -> Tab:
    return opened(filled)


def drop(tab: Tab, *files: tuple[str, bytes]) -> None:
    (field,) = (
        uploader
        for uploader in tab.app.file_uploader
        if uploader.key and uploader.key.startswith("import.files")
    )
    field.set_value([(name, data, "application/json") for name, data in files])
    tab.app.run()
    assert not tab.app.exception


def table(tab: Tab, column: str) -> list[object]:
    """Return a column of the only table that has it."""
    (found,) = (
        table.value for table in tab.app.dataframe if column in table.value.columns
    )
    return list(found[column])


def test_dry_run_says_it_all_and_stores_nothing(filled: Tab) -> None:
    before = records()
    drop(filled, ("labels.json", BOTH))
    assert (
        "**2 boxes** on **2 images** will be imported · "
        "2 of 3 images matched: 2 by name"
    ) in filled.words()
    assert "Skipped: 1 image not found or of another size" in filled.words()
    assert table(filled, "here") == ["Dog", "cat"]
    assert table(filled, "note")[0] == (
        "No image here has this name, and none like it was dropped."
    )
    assert records() == before
    assert not len(store().labels(the_scope()))


def test_confirmed_labels_are_imported_and_one_undo_removes_them(filled: Tab) -> None:
    drop(filled, ("labels.json", BOTH))
    assert filled.app.button(key="import.agree").label == "Import 2 boxes"
    filled.press("import.agree")
    filled.wait("import")
    assert "**2 boxes** imported on **2 images**" in filled.words()
    assert [record.annotations[0].label for record in records()] == ["Dog", "cat"]
    assert all(record.annotations[0].source is Source.IMPORT for record in records())
    filled.press("sidebar.undo")
    assert [record.annotations for record in records()] == [(), ()]


def test_a_label_takes_the_name_it_has_here(filled: Tab) -> None:
    store().add_labels(the_scope(), ["dog", "bird"])
    drop(filled, ("labels.json", BOTH))
    assert table(filled, "here") == ["dog", "cat"]
    assert table(filled, "how") == ["same but for capitals", "new"]
    assert "**1 new label**: cat" in filled.words()


def test_names_can_be_changed_and_cleared(filled: Tab) -> None:
    drop(filled, ("labels.json", BOTH))
    key = next(
        k
        for table in filled.app.dataframe
        if (k := table.key or "") and "here" in table.value.columns
    )
    filled.app.session_state[key] = {
        "edited_rows": {0: {"here": "hound"}, 1: {"here": None}},
        "added_rows": [],
        "deleted_rows": [],
    }
    filled.app.run()
    assert "1 box with a skipped label" in filled.words()
    filled.press("import.agree")
    filled.wait("import")
    assert store().labels(the_scope()).names == ("hound",)
    assert [len(record.annotations) for record in records()] == [1, 0]


def test_labels_that_confirm_model_boxes_delete_none(labelled: Tab) -> None:
    kitchen = records()[0]
    put(kitchen, replace(model_box("Dog", 0.9), box=Box(0, 10, 40, 40)))
    drop(labelled, ("labels.json", coco(("kitchen.jpg", "Dog"))))
    assert not labelled.app.warning
    said = labelled.words()
    assert "Existing boxes are kept" in said
    assert "1 of them confirm model boxes, which count as imported from then on" in said


def test_boxes_of_people_are_deleted_only_on_request_with_a_warning(
    labelled: Tab,
) -> None:
    drop(labelled, ("labels.json", BOTH))
    assert not labelled.app.warning
    (mode,) = (
        group
        for group in labelled.app.main.button_group
        if group.label == "Existing boxes"
    )
    mode.set_value("Replace all").run()
    (warning,) = labelled.app.warning
    assert warning.value == (
        "**2 model boxes** and **1 box made by people** will be deleted."
    )
    labelled.press("import.agree")
    labelled.wait("import")
    assert [len(record.annotations) for record in records()] == [1, 1]


def test_images_are_imported_with_their_labels_into_an_empty_dataset(tab: Tab) -> None:
    labels = coco(("bear.jpg", "cat"))
    drop(tab, ("labels.json", labels), ("images/bear.jpg", photograph("bear.jpg")))
    assert "**1 new image**" in tab.words()
    assert "1 of 1 image matched: 1 from the dropped files" in tab.words()
    tab.press("import.agree")
    tab.wait("import")
    assert "**1 box** imported on **1 image** · 1 image added" in tab.words()
    (bear,) = records()
    assert bear.annotations[0].label == "cat"


def test_files_of_no_known_format_are_a_sentence_and_can_be_named(filled: Tab) -> None:
    drop(filled, ("notes.md", b"hello"))
    assert "No readable labels were found in" in filled.app.warning[0].value
    filled.app.selectbox(key=_format_key(filled)).select("yolo").run()
    assert not filled.app.exception
    assert filled.app.warning
    filled.press("import.forget")
    assert not filled.app.warning
    assert "before you confirm the preview" in filled.words()


def _format_key(tab: Tab) -> str:
    return next(
        key
        for select in tab.app.selectbox
        if (key := select.key or "").startswith("import.format")
    )


def test_dropped_labels_are_for_the_dataset_on_screen_only(filled: Tab) -> None:
    drop(filled, ("labels.json", BOTH))
    filled.submit("sidebar.new_dataset", "Other")
    assert "will be imported" not in filled.words()


def test_names_with_markup_are_shown_as_text(filled: Tab) -> None:
    drop(filled, (MARKUP, b"hello"))
    assert "<b>" not in filled.words()
    filled.press("import.forget")
    drop(filled, ("labels.json", coco((MARKUP, "cat"), labels=("cat", "<b>"))))
    assert "<b>" not in filled.words()


def test_upload_with_other_files_points_to_the_import(tab: Tab) -> None:
    tab.app.button_group[0].set_value("Folder").run()
    tab.uploads(("set/bear.jpg", photograph("bear.jpg")), ("set/labels.json", BOTH))
    assert "To import label files, use **Import labels** below." in tab.words()


def test_boxes_with_a_confidence_are_counted_apart(filled: Tab) -> None:
    said = json.loads(BOTH)
    said["annotations"][0]["score"] = 0.6
    drop(filled, ("labels.json", json.dumps(said).encode()))
    assert "1 of them unaccepted model boxes" in filled.words()
    filled.press("import.agree")
    filled.wait("import")
    assert [record.annotations[0].is_untouched for record in records()] == [True, False]


def test_approved_images_are_skipped_unless_requested(filled: Tab) -> None:
    first, _ = records()
    store().save(the_scope(), replace(first, status=ReviewStatus.APPROVED))
    drop(filled, ("labels.json", BOTH))
    assert "1 image approved" in filled.words()
    (tick,) = (
        checkbox for checkbox in filled.app.checkbox if "approved" in checkbox.label
    )
    tick.check().run()
    assert "**2 boxes** on **2 images** will be imported" in filled.words()


def test_dropped_files_stay_where_the_import_is_refused(filled: Tab) -> None:
    drop(filled, ("labels.json", BOTH))
    begun_elsewhere("import")
    filled.press("import.agree")
    assert "of this kind" in "".join(filled.toasts())
    store().interrupt_workers(["elsewhere:1:x"])
    filled.app.run()
    assert filled.app.button(key="import.agree")


@pytest.mark.parametrize("key", ["import.agree", "import.forget"])
def test_click_for_a_deleted_dataset_is_a_message(filled: Tab, key: str) -> None:
    drop(filled, ("labels.json", BOTH))
    store().delete_dataset(the_scope())
    filled.press(key)
    assert not filled.app.exception

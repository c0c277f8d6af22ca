"""The Export page: the contents of the zip, and its verification."""

import json
import zipfile
from pathlib import Path

from imagebase.annotation import Box, ReviewStatus
from imagebase.annotation.areas import rectangle
from imagebase.images.decode import load_image
from imagebase.store import JobState
from tests.app_fixtures import (
    Configure,
    NewTab,
    Tab,
    begun_elsewhere,
    ended,
    records,
    started,
    store,
    the_scope,
)


def choose(tab: Tab, label: str, value: str) -> None:
    (group,) = (group for group in tab.app.main.button_group if group.label == label)
    group.set_value(value).run()


def chosen(tab: Tab, label: str) -> object:
    (group,) = (group for group in tab.app.main.button_group if group.label == label)
    return group.value


def approve_first(tab: Tab) -> None:
    tab.open("edit")
    tab.press("edit.approve")


def zip_of(tab: Tab) -> zipfile.ZipFile:
    """Wait for the zip that the page builds, and open it."""
    job = tab.wait("export")
    assert job.state is JobState.DONE, job.error
    return zipfile.ZipFile(Path((job.result or {})["path"]))


def test_nothing_approved_exports_all_and_says_they_are_unreviewed(
    labelled: Tab,
) -> None:
    labelled.open("export")
    assert chosen(labelled, "Images") == "all"
    zip_of(labelled).close()
    assert "have not been reviewed" in labelled.words()


def test_approved_images_alone_are_the_scope_once_there_are_some(
    labelled: Tab,
) -> None:
    approve_first(labelled)
    labelled.open("export")
    assert chosen(labelled, "Images") == "approved"
    with zip_of(labelled) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("default.json"))
        coco = json.loads(archive.read(name))
    assert [Path(entry["file_name"]).name for entry in coco["images"]] == [
        "kitchen.jpg"
    ]
    assert len(coco["annotations"]) == 2
    assert "been reviewed" not in labelled.words()


def test_zip_is_offered_with_its_proof(labelled: Tab) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    assert labelled.downloads()[0].startswith(r"Download my\-images\-coco\.zip")
    assert "**3 of 3 boxes match** · 2 images · 3 labels" in labelled.words()


def test_another_format_builds_another_zip(labelled: Tab) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    for name in ("yolo", "darknet", "voc", "csv", "folders"):
        choose(labelled, "Format", name)
        # On a busy machine its zip may be there by now; the one before must be gone.
        assert all(f"-{name}" in zipped for zipped in labelled.downloads())
        zip_of(labelled).close()
        assert f"images\\-{name}\\.zip" in labelled.downloads()[0]


def test_zip_of_every_format_is_drawn_from_its_files(labelled: Tab) -> None:
    labelled.open("export")
    for name in ("coco", "yolo", "darknet", "voc", "csv", "folders"):
        choose(labelled, "Format", name)
        zip_of(labelled).close()
        assert labelled.app.get("image"), name


def test_images_can_be_left_out(labelled: Tab) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    labelled.app.checkbox(key="export.with_images").uncheck().run()
    with zip_of(labelled) as archive:
        assert not [n for n in archive.namelist() if n.endswith(".jpg")]


def test_images_can_be_exported_without_metadata(labelled: Tab) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    assert not ended(the_scope(), "export").parameters["without_metadata"]
    labelled.app.checkbox(key="export.without_metadata").check().run()
    with zip_of(labelled) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("kitchen.jpg"))
        assert b"Exif" not in archive.read(name)
    assert ended(the_scope(), "export").parameters["without_metadata"]


def test_edit_after_the_export_builds_it_again(labelled: Tab) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    first = ended(the_scope(), "export").job_id
    approve_first(labelled)
    labelled.open("export")
    zip_of(labelled).close()
    choose(labelled, "Images", "all")
    zip_of(labelled).close()
    assert ended(the_scope(), "export").job_id != first
    assert labelled.downloads()


def test_scope_without_images_says_what_to_do(labelled: Tab) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    choose(labelled, "Images", "approved")
    assert "Approve some on **Review**, or export all images." in labelled.words()


def test_zip_that_was_deleted_can_be_built_again(labelled: Tab) -> None:
    labelled.open("export")
    with zip_of(labelled) as archive:
        path = Path(str(archive.filename))
    path.unlink()
    labelled.app.run()
    labelled.press("export.again")
    zip_of(labelled).close()
    assert labelled.downloads()


def test_export_that_was_cancelled_can_be_built_again(labelled: Tab) -> None:
    labelled.open("export")
    with zip_of(labelled) as archive:
        path = Path(str(archive.filename))
    path.unlink()
    parameters = ended(the_scope(), "export").parameters
    job_id = store().submit_job(the_scope(), "export", parameters)
    store().cancel_job(the_scope(), job_id)
    labelled.app.run()
    labelled.press("export.again")
    zip_of(labelled).close()
    assert labelled.downloads()


def test_two_people_with_two_choices_build_each_of_them_once(
    labelled: Tab, new_tab: NewTab
) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    colleague = started(new_tab)
    colleague.open("export")
    assert colleague.downloads() == labelled.downloads()
    choose(colleague, "Format", "yolo")
    zip_of(colleague).close()
    labelled.app.run()
    assert r"images\-coco\.zip" in labelled.downloads()[0]
    assert len(store().jobs(the_scope(), kind="export")) == 2


def test_failure_of_another_choice_is_not_said_of_this_one(labelled: Tab) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    begun_elsewhere("export")
    store().interrupt_workers(["elsewhere:1:x"])
    labelled.app.run()
    assert labelled.downloads()
    assert "The server stopped" not in labelled.words()


def test_name_of_a_dataset_is_text_and_a_safe_file_name(labelled: Tab) -> None:
    store().rename_dataset(the_scope(), "../__a__ **b**")
    labelled.open("export")
    zip_of(labelled).close()
    assert r"Download \_\_a\_\_\-b\-coco\.zip" in labelled.downloads()[0]


def test_only_confirmed_empty_images_left_out_fail_in_a_sentence(filled: Tab) -> None:
    for record in records():
        assert record.status is ReviewStatus.NEW
        filled.open("edit")
        filled.press("edit.empty")
    filled.open("export")
    zip_of(filled).close()
    filled.app.checkbox(key="export.with_empty").uncheck().run()
    assert filled.wait("export").state is JobState.FAILED
    assert [message.value for message in filled.app.error] == [
        r"No image is left to export; choose more of them\."
    ]


def test_six_more_formats_are_behind_a_press(labelled: Tab) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    choose(labelled, "Format", "more")
    for name in ("createml", "labelme", "cvat", "labelstudio", "openimages"):
        choose(labelled, "More formats", name)
        zip_of(labelled).close()
        assert f"images\\-{name}\\.zip" in labelled.downloads()[0]
        assert labelled.app.get("image"), name


def split_in_two(tab: Tab) -> None:
    """Split the two images by shares, one each, and wait for the zip of that."""
    choose(tab, "Train, val, test", "shares")
    zip_of(tab).close()
    tab.app.number_input(key="export.split.val").set_value(80).run()
    zip_of(tab).close()


def test_split_is_a_table_before_anything_is_exported(labelled: Tab) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    assert not labelled.app.dataframe
    choose(labelled, "Train, val, test", "shares")
    (table,) = labelled.app.dataframe
    rows = table.value.set_index("label").to_dict("index")
    assert rows["all images"] == {"train": 1, "val": 1, "boxes": 3}
    assert rows["bear"]["train"] + rows["bear"]["val"] == 1
    assert "No val images" in labelled.words()
    assert "Split: 80 / 20 / 0" in labelled.popovers()
    zip_of(labelled).close()
    assert "2 images (train 1, val 1)" in labelled.words()


def test_split_by_tags_that_no_image_has_says_so(labelled: Tab) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    choose(labelled, "Train, val, test", "tags")
    assert "No image has one of these tags: all go to train" in labelled.words()


def test_variants_need_a_split(labelled: Tab) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    assert "only training images are augmented" in labelled.words()
    assert not [
        slider for slider in labelled.app.slider if slider.key == "export.variants"
    ]


def test_variants_are_seen_before_they_are_built_and_proven_after(
    labelled: Tab,
) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    choose(labelled, "Format", "yolo")
    zip_of(labelled).close()
    split_in_two(labelled)
    labelled.app.slider(key="export.variants").set_value(2).run()
    assert "Augment: × 2" in labelled.popovers()
    assert "Preview of augmented images" in labelled.words()
    assert len(labelled.app.get("image")) == 2
    assert not labelled.downloads()
    labelled.press("export.build")
    with zip_of(labelled) as archive:
        pictures = [n for n in archive.namelist() if n.endswith(".jpg")]
    train = [name for name in pictures if name.startswith("images/train/")]
    assert (len(pictures), len(train)) == (4, 3)
    assert "4 images (train 3, val 1)" in labelled.words()


def test_images_are_resized_on_a_click(labelled: Tab) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    choose(labelled, "Resize", "letterbox")
    assert "Size: letterboxed to 640 × 640" in labelled.popovers()
    labelled.app.number_input(key="export.size.width").set_value(320).run()
    labelled.press("export.build")
    with zip_of(labelled) as archive:
        coco = json.loads(archive.read("annotations/instances_default.json"))
    assert {(entry["width"], entry["height"]) for entry in coco["images"]} == {
        (320, 640)
    }


def test_split_is_proposed_where_training_needs_one(labelled: Tab) -> None:
    labelled.open("export")
    assert "Split: none" in labelled.popovers()
    zip_of(labelled).close()
    choose(labelled, "Format", "yolo")
    assert "Split: 80 / 20 / 0" in labelled.popovers()
    with zip_of(labelled) as archive:
        names = archive.namelist()
    assert any(name.startswith("images/val/") for name in names)
    choose(labelled, "Train, val, test", "none")
    assert "Split: none" in labelled.popovers()
    choose(labelled, "Format", "coco")
    assert "Split: none" in labelled.popovers()


def test_labels_can_be_chosen(labelled: Tab) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    labelled.app.main.multiselect[0].set_value(["cup"]).run()
    assert "Labels: 1 of 3" in labelled.popovers()
    with zip_of(labelled) as archive:
        coco = json.loads(archive.read("annotations/instances_default.json"))
    assert len(coco["annotations"]) == len(coco["images"]) == 1
    assert [entry["name"] for entry in coco["categories"]] == ["bottle", "cup", "bear"]
    labelled.app.checkbox(key="export.renumbers").check().run()
    with zip_of(labelled) as archive:
        coco = json.loads(archive.read("annotations/instances_default.json"))
    assert [entry["name"] for entry in coco["categories"]] == ["cup"]
    assert "Not exported: 2 items" in [
        expander.label for expander in labelled.app.expander
    ]


def test_label_that_was_chosen_and_is_deleted_since_is_chosen_no_more(
    labelled: Tab,
) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    labelled.app.main.multiselect[0].set_value(["cup"]).run()
    zip_of(labelled).close()
    store().delete_label(the_scope(), 1, with_boxes=True)
    labelled.app.run()
    assert "Labels: all" in labelled.popovers()
    with zip_of(labelled) as archive:
        coco = json.loads(archive.read("annotations/instances_default.json"))
    assert len(coco["annotations"]) == 2


def test_boxes_can_be_cut_out_and_classified(labelled: Tab) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    choose(labelled, "Format", "more")
    zip_of(labelled).close()
    choose(labelled, "More formats", "classification")
    zip_of(labelled).close()
    (group,) = (
        group for group in labelled.app.main.button_group if group.key == "export.crops"
    )
    group.set_value(True).run()
    labelled.press("export.build")
    with zip_of(labelled) as archive:
        pictures = sorted(n for n in archive.namelist() if n.endswith(".jpg"))
    assert pictures == ["bear/bear_1.jpg", "bottle/kitchen_1.jpg", "cup/kitchen_2.jpg"]


def test_set_above_the_size_of_a_zip_is_in_several(
    configure: Configure, labelled: Tab
) -> None:
    configure(MAX_ZIP_BYTES="100000")
    labelled.open("export")
    job = labelled.wait("export")
    zips = (job.result or {})["zips"]
    assert len(zips) == 2
    assert "The export is split into 2 zips" in labelled.words()
    assert len(labelled.downloads()) == 1
    assert "1\\-of\\-2" in labelled.downloads()[0]


def test_ignore_areas_are_written_or_black_as_chosen(labelled: Tab) -> None:
    first, *_ = records()
    stamp = rectangle(Box(0, 0, 40, 20))
    store().add_ignore_areas(the_scope(), first.image_id, [stamp], all_of_size=False)
    labelled.open("export")
    with zip_of(labelled) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["counts"]["ignore_areas"] == 1
    labelled.app.radio(key="export.areas.True").set_value("black").run()
    with zip_of(labelled) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        name = next(n for n in archive.namelist() if n.endswith("kitchen.jpg"))
        rgb = load_image(archive.read(name), file_name=name, max_pixels=10**7).rgb
    assert "ignore_areas" not in manifest["counts"]
    assert rgb[2:16, 2:36].max() < 40


def test_without_ignore_areas_nothing_is_to_be_chosen(labelled: Tab) -> None:
    labelled.open("export")
    assert not [radio for radio in labelled.app.radio if radio.label == "Ignore areas"]

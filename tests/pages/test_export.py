"""The Export page: what is in the zip, and that it was read back and compared."""

import json
import zipfile
from pathlib import Path

from imagebase.annotation import ReviewStatus
from imagebase.store import JobState
from tests.app_fixtures import Tab, ended, records, store, the_scope


def choose(tab: Tab, label: str, value: str) -> None:
    (group,) = (one for one in tab.app.main.button_group if one.label == label)
    group.set_value(value).run()


def chosen(tab: Tab, label: str) -> object:
    (group,) = (one for one in tab.app.main.button_group if one.label == label)
    return group.value


def approve_first(tab: Tab) -> None:
    tab.open("edit")
    tab.press("edit.approve")


def zip_of(tab: Tab) -> zipfile.ZipFile:
    """Wait for the zip that the page builds, and open it."""
    job = tab.wait("export")
    assert job.state is JobState.DONE, job.error
    return zipfile.ZipFile(Path((job.result or {})["path"]))


def downloads(tab: Tab) -> list[str]:
    return [one.label for one in tab.app.get("download_button")]  # type: ignore[union-attr]


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
        (name,) = (n for n in archive.namelist() if n.endswith("annotations.json"))
        coco = json.loads(archive.read(name))
    assert [Path(one["file_name"]).name for one in coco["images"]] == ["kitchen.jpg"]
    assert len(coco["annotations"]) == 2
    assert "been reviewed" not in labelled.words()


def test_zip_is_offered_with_its_proof(labelled: Tab) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    assert downloads(labelled)[0].startswith(r"Download my\-images\-coco\.zip")
    assert "**3 of 3 boxes equal** · 2 images · 3 labels" in labelled.words()


def test_another_format_builds_another_zip(labelled: Tab) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    for name in ("yolo", "darknet", "voc", "csv", "folders"):
        choose(labelled, "Format", name)
        assert not downloads(labelled)
        zip_of(labelled).close()
        assert f"images\\-{name}\\.zip" in downloads(labelled)[0]


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
    assert downloads(labelled)


def test_scope_without_images_says_what_to_do(labelled: Tab) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    choose(labelled, "Images", "approved")
    assert "Approve some on **Review**, or export all." in labelled.words()


def test_zip_that_is_gone_can_be_built_again(labelled: Tab) -> None:
    labelled.open("export")
    with zip_of(labelled) as archive:
        path = Path(str(archive.filename))
    path.unlink()
    labelled.app.run()
    labelled.press("export.again")
    zip_of(labelled).close()
    assert downloads(labelled)


def test_export_that_was_cancelled_can_be_built_again(labelled: Tab) -> None:
    labelled.open("export")
    zip_of(labelled).close()
    parameters = ended(the_scope(), "export").parameters
    job_id = store().submit_job(the_scope(), "export", parameters)
    store().cancel_job(the_scope(), job_id)
    labelled.app.run()
    labelled.press("export.again")
    zip_of(labelled).close()
    assert downloads(labelled)


def test_name_of_a_dataset_is_text_and_a_safe_file_name(labelled: Tab) -> None:
    store().rename_dataset(the_scope(), "../__a__ **b**")
    labelled.open("export")
    zip_of(labelled).close()
    assert r"Download \_\_a\_\_\-b\-coco\.zip" in downloads(labelled)[0]


def test_only_confirmed_empty_images_left_out_fail_in_a_sentence(filled: Tab) -> None:
    for one in records():
        assert one.status is ReviewStatus.NEW
        filled.open("edit")
        filled.press("edit.empty")
    filled.open("export")
    zip_of(filled).close()
    filled.app.checkbox(key="export.with_empty").uncheck().run()
    assert filled.wait("export").state is JobState.FAILED
    assert [one.value for one in filled.app.error] == [
        r"No image is left to export; choose more of them\."
    ]

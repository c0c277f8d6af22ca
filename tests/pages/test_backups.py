"""Back up and restore on the Upload page."""

from pathlib import Path

import pytest

from imagebase.jobs.temporary_files import exports_folder
from imagebase.ui import state
from imagebase.ui.identity import TEAM_OWNER
from imagebase.ui.upload import backup_panel
from tests.app_fixtures import (
    Tab,
    begun_elsewhere,
    ended,
    records,
    store,
    the_scope,
)


def backup_of(tab: Tab) -> bytes:
    """Press, wait, and return the zip that is offered."""
    tab.press("backup.start")
    job = tab.wait("backup")
    assert tab.downloads()
    return Path((job.result or {})["path"]).read_bytes()


def opened(tab: Tab) -> Tab:
    """Open the part of the page that these tests are about."""
    (tools,) = (group for group in tab.app.main.button_group if group.label == "More")
    tools.set_value(state.BACK_UP).run()
    return tab


@pytest.fixture
def tab(tab: Tab) -> Tab:
    return opened(tab)


@pytest.fixture
def labelled(labelled: Tab) -> Tab:
    return opened(labelled)


def put(tab: Tab, data: bytes, name: str = "a-backup.zip") -> None:
    """Put a file into the field, without the run that sends it."""
    (field,) = (
        uploader
        for uploader in tab.app.file_uploader
        if uploader.key and uploader.key.startswith("restore.file")
    )
    field.set_value([(name, data, "application/zip")])


def drop(tab: Tab, data: bytes, name: str = "a-backup.zip") -> None:
    put(tab, data, name)
    scope = the_scope()
    tab.app.run()
    assert not tab.app.exception
    ended(scope, "restore")
    tab.app.run()


def test_empty_dataset_offers_no_backup(tab: Tab) -> None:
    assert tab.app.button(key="backup.start").disabled


def test_dataset_is_backed_up_restored_and_opened(labelled: Tab) -> None:
    before = records()
    data = backup_of(labelled)
    assert "2 images, 3 boxes." in labelled.words()
    drop(labelled, data)
    assert "**My images \\(restored\\)** restored with 2 images." in labelled.words()
    labelled.press("restore.open")
    assert labelled.app.sidebar.selectbox[0].value == the_scope().dataset_id
    assert [dataset.name for dataset in store().datasets(TEAM_OWNER)] == [
        "My images",
        "My images (restored)",
    ]
    assert records() == before


def test_backup_reports_an_image_whose_file_is_missing(
    labelled: Tab, tmp_path: Path
) -> None:
    lost, _ = records()
    image_id = lost.image_id
    images = tmp_path / "home" / "images"
    (images / TEAM_OWNER / image_id[:2] / image_id).unlink()
    backup_of(labelled)
    assert (
        "Not in the backup: 1 image whose file is missing or damaged. Add it again, "
        "then back up again."
    ) in labelled.words()
    (table,) = labelled.app.dataframe
    assert table.value["image"].to_list() == [lost.file_name]
    assert "1 image, " in labelled.words()


def test_backup_of_what_has_changed_since_is_made_again(labelled: Tab) -> None:
    backup_of(labelled)
    assert labelled.app.button(key="backup.start").label == "Back up again"
    store().add_labels(the_scope(), ["new"])
    labelled.app.run()
    assert not labelled.downloads()
    assert labelled.app.button(key="backup.start").label == "Back up this dataset"


def test_what_is_no_backup_is_refused_in_a_sentence(labelled: Tab) -> None:
    drop(labelled, b"PK nope", name="<b>.zip")
    (error,) = labelled.app.error
    assert "is not a zip file, or a broken one" in error.value
    assert "<b>" not in error.value.replace("\\<b\\>", "")
    assert len(store().datasets(TEAM_OWNER)) == 1


def test_restore_that_was_cut_short_does_not_say_that_it_is_kept(tab: Tab) -> None:
    store().submit_job(the_scope(), "restore", {})
    assert store().claim_job("elsewhere:1:x", ["restore"])
    store().interrupt_workers(["elsewhere:1:x"])
    tab.app.run()
    assert "deletes the restored part, unless someone has edited it" in tab.words()
    assert "Completed work is kept." not in tab.words()


def test_cancelled_restore_does_not_say_that_it_is_kept(tab: Tab) -> None:
    job_id = store().submit_job(the_scope(), "restore", {})
    # As if it had been dropped in this tab.
    tab.app.session_state[backup_panel._STARTED] = {"restore": the_scope().dataset_id}
    tab.app.run()
    tab.press(f"jobs.cancel.{job_id}")
    assert "Nothing is kept, unless someone has edited" in tab.words()
    assert "Completed work is kept." not in tab.words()


def test_backup_is_not_offered_on_another_dataset(labelled: Tab) -> None:
    backup_of(labelled)
    labelled.submit("sidebar.new_dataset", "Other")
    assert not labelled.downloads()


def test_the_datasets_menu_leads_here(filled: Tab) -> None:
    filled.open("review")
    filled.press("sidebar.backup")
    assert filled.app.title[0].value == "Upload"
    assert filled.app.button(key="backup.start")


def test_click_for_a_deleted_dataset_is_a_message(labelled: Tab) -> None:
    store().delete_dataset(the_scope())
    labelled.press("backup.start")
    assert not labelled.app.exception
    assert "choose another" in "".join(labelled.toasts())


def test_backup_that_is_refused_is_not_ones_own(labelled: Tab) -> None:
    begun_elsewhere("backup")
    labelled.press("backup.start")
    assert "of this kind" in "".join(labelled.toasts())
    assert backup_panel._STARTED not in labelled.app.session_state


def test_restore_that_is_refused_leaves_no_file(
    labelled: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(labelled, b"PK")
    # Between the look at the jobs and the drop, a colleague was faster.
    draw = backup_panel._drop_zone

    def draw_late() -> None:
        begun_elsewhere("restore")
        draw()

    monkeypatch.setattr(backup_panel, "_drop_zone", draw_late)
    labelled.app.run()
    (error,) = labelled.app.error
    assert "of this kind" in error.value
    assert not list(exports_folder(the_scope()).glob("dropped-*"))

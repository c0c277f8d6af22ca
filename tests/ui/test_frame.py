"""The frame around every page: datasets, undo, and what happens when things fail."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import streamlit as st
from sqlalchemy import event
from streamlit.testing.v1 import AppTest

from imagebase.annotation import ReviewStatus, new_id
from imagebase.errors import StoreError
from imagebase.jobs.temporary_files import exports_folder
from imagebase.settings import PROJECT_ROOT
from imagebase.store import Scope
from imagebase.ui import services
from imagebase.ui.identity import TEAM_OWNER
from imagebase.ui.upload import page as upload_page
from tests.app_fixtures import Configure, Tab, records, store, the_scope

DIALOG = "imagebase.dialog"
STRANGE = "*a* [b](http://c) <b>:smile:"


def names() -> list[str]:
    return [dataset.name for dataset in store().datasets(TEAM_OWNER)]


def create(tab: Tab, name: str) -> None:
    tab.submit("sidebar.new_dataset", name)


def test_new_dataset_is_empty_and_chosen(filled: Tab) -> None:
    create(filled, "Night shots")
    assert names() == ["My images", "Night shots"]
    assert filled.app.selectbox[0].value == the_scope().dataset_id
    assert "No images yet." in filled.words()


@pytest.mark.parametrize("name", [" ", "\0"], ids=["space", "nul"])
def test_dataset_without_a_name_is_not_begun(tab: Tab, name: str) -> None:
    create(tab, name)
    assert not tab.app.exception
    assert names() == ["My images"]


def test_dataset_is_renamed(filled: Tab) -> None:
    filled.submit("sidebar.rename", STRANGE)
    assert names() == [STRANGE]
    assert filled.app.selectbox[0].options == [STRANGE]


def test_name_that_cannot_be_is_refused_in_a_sentence(tab: Tab) -> None:
    tab.submit("sidebar.rename", "\0")
    assert tab.toasts() == ["A dataset needs a name; give it one\\."]
    assert not tab.app.exception


def test_dataset_is_deleted_only_by_someone_who_is_sure(filled: Tab) -> None:
    assert filled.app.button(key="sidebar.delete").disabled
    filled.app.checkbox(key="sidebar.sure").check().run()
    filled.press("sidebar.delete")
    assert names() == ["My images"]
    assert not records()
    assert not filled.app.checkbox(key="sidebar.sure").value


def test_exports_go_with_their_dataset(filled: Tab) -> None:
    exported = exports_folder(the_scope()) / "my-images-coco.zip"
    exported.parent.mkdir(parents=True)
    exported.write_bytes(b"")
    filled.app.checkbox(key="sidebar.sure").check().run()
    filled.press("sidebar.delete")
    assert not exported.exists()


def test_no_more_datasets_than_the_limit_are_begun(
    configure: Configure, new_tab: Callable[[], Tab]
) -> None:
    configure(MAX_DATASETS="2")
    opened = new_tab()
    opened.app.run()
    create(opened, "Second")
    create(opened, "Third")
    assert names() == ["My images", "Second"]
    assert "delete one" in "".join(opened.toasts())


def test_chosen_dataset_is_shown_on_every_page(filled: Tab) -> None:
    first = the_scope()
    create(filled, "Second")
    filled.app.selectbox[0].select(first.dataset_id).run()
    assert "2 images approved" in filled.progress()
    filled.open("review")
    assert filled.app.sidebar.selectbox[0].value == first.dataset_id


def test_datasets_of_the_same_name_are_numbered(filled: Tab) -> None:
    first = the_scope()
    create(filled, "My images")
    options = filled.app.selectbox[0].options
    assert len(set(options)) == 2
    filled.app.selectbox[0].select(first.dataset_id).run()
    assert filled.app.selectbox[0].value == first.dataset_id


def test_dataset_deleted_by_someone_else_is_replaced_by_another(filled: Tab) -> None:
    filled.open("edit")
    store().delete_dataset(the_scope())
    filled.app.run()
    assert not filled.app.exception
    assert "no images yet" in filled.words()


@pytest.fixture
def second(filled: Tab, new_tab: Callable[[], Tab]) -> Tab:
    """A tab whose dataset, the second one, a colleague has just deleted."""
    begun = store().create_dataset(TEAM_OWNER, "Second", who="ann")
    opened = new_tab()
    opened.app.run()
    opened.app.selectbox[0].select(begun.dataset_id).run()
    opened.app.checkbox(key="sidebar.sure").check().run()
    store().delete_dataset(Scope(TEAM_OWNER, begun.dataset_id, "ann"))
    return opened


def test_deletion_of_a_deleted_dataset_spares_the_others(second: Tab) -> None:
    second.press("sidebar.delete")
    assert names() == ["My images"]
    assert len(records()) == 2
    assert "choose another" in "".join(second.toasts())
    assert not second.app.checkbox(key="sidebar.sure").value


def test_renaming_a_deleted_dataset_spares_the_others(second: Tab) -> None:
    second.submit("sidebar.rename", "Bears")
    assert names() == ["My images"]


def test_confirmation_for_a_dataset_does_not_count_for_another(filled: Tab) -> None:
    first = the_scope()
    create(filled, "Second")
    filled.app.checkbox(key="sidebar.sure").check().run()
    filled.app.selectbox[0].select(first.dataset_id).run()
    assert filled.app.button(key="sidebar.delete").disabled


def test_strip_says_how_far_the_dataset_is(labelled: Tab) -> None:
    assert "**0** of 2 images approved" in labelled.progress()
    assert "2 to review" in labelled.words()


def test_undo_takes_back_ones_last_change_and_redo_does_it_again(labelled: Tab) -> None:
    assert labelled.app.button(key="sidebar.undo").disabled
    labelled.open("edit")
    labelled.press("edit.approve")
    labelled.press("sidebar.undo")
    assert labelled.toasts()
    assert records()[0].status is ReviewStatus.SUGGESTED
    labelled.press("sidebar.redo")
    assert records()[0].status is ReviewStatus.APPROVED


def test_dialog_is_open_until_the_page_runs_again(labelled: Tab) -> None:
    labelled.open("edit")
    labelled.press("edit.labels")
    assert labelled.app.text_input(key="labels.add")
    assert labelled.app.session_state[DIALOG]
    labelled.app.run()
    assert not labelled.app.session_state[DIALOG]


def test_page_does_not_run_again_over_an_open_dialog() -> None:
    def script() -> None:
        import streamlit as st

        from imagebase.ui import state

        state.note_dialog(is_open=True)
        state.run_page_again()
        st.markdown("what was typed")

    app = AppTest.from_function(script).run()
    assert app.markdown[0].value == "what was typed"


@pytest.mark.parametrize("page", ["annotate", "review", "evaluate"])
def test_a_run_asks_once_which_datasets_there_are(labelled: Tab, page: str) -> None:
    labelled.open(page)
    asked: list[str] = []
    event.listen(
        store()._database.engine,
        "before_cursor_execute",
        lambda conn, cursor, statement, *rest: asked.append(statement),
    )
    labelled.app.run()
    listed = [
        query for query in asked if query.startswith("SELECT datasets.dataset_id, ")
    ]
    assert len(listed) == 1


def fail(error: Exception) -> None:
    raise error


def test_error_of_ours_is_one_sentence(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = StoreError("The disk is full; make room for *it*.")
    monkeypatch.setattr(upload_page, "drop_zone", lambda: fail(error))
    tab.app.run()
    assert [error.value for error in tab.app.error] == [
        r"The disk is full; make room for \*it\*\."
    ]
    assert not tab.app.exception


def test_error_of_a_click_is_one_message_and_the_page_stays(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = StoreError("The disk is full.")
    monkeypatch.setattr(services.store(), "add_image", lambda *a, **k: fail(error))
    monkeypatch.setattr(services.store(), "usage", lambda *a, **k: fail(error))
    tab.press("upload.samples")
    assert tab.toasts() == [r"The disk is full\."]
    assert tab.app.file_uploader
    assert not tab.app.exception


def test_configuration_shows_no_stack_trace() -> None:
    text = (PROJECT_ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8")
    assert 'showErrorDetails = "none"' in text


def test_unexpected_error_shows_neither_message_nor_stack_trace(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = ZeroDivisionError("a secret path")
    monkeypatch.setattr(upload_page, "drop_zone", lambda: fail(secret))
    details = st.get_option("client.showErrorDetails")
    st.set_option("client.showErrorDetails", "none")
    tab.app.run()
    st.set_option("client.showErrorDetails", details)
    (shown,) = tab.app.exception
    assert "secret" not in shown.message
    assert not shown.stack_trace


@pytest.mark.parametrize("page", ["upload", "review", "edit", "export"])
def test_page_opens_while_another_process_writes_for_long(
    filled: Tab, app_home: Path, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    with closing(sqlite3.connect(app_home / "imagebase.db")) as writer:
        writer.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        filled.open(page)
        assert not filled.app.exception
        assert "busy" not in filled.words()
        assert "**0** of 2 images approved" in filled.progress()
        assert time.monotonic() - started < 30


def test_full_disk_is_said_before_it_matters(
    filled: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagebase.ui.frame.free_bytes", lambda folder: 3_000_000)
    filled.open("review")
    assert "nearly full (3.0 MB free)" in filled.words()


def test_half_restored_backup_is_undone_from_any_page(filled: Tab) -> None:
    target = new_id()
    half = replace(the_scope(), dataset_id=target)
    parameters = {"upload": "u", "dataset_id": target}
    store().submit_job(the_scope(), "restore", parameters)
    assert store().claim_job("elsewhere:1:x", ["restore"]) is not None
    store().begin_copy(half, "Street (being restored)")
    store().interrupt_workers(["elsewhere:1:x"])
    source = replace(half, dataset_id=store().datasets(TEAM_OWNER)[0].dataset_id)
    filled.open("review")
    assert "A backup is only partly restored." in filled.words()
    job = store().latest_job(source, "restore")
    assert job is not None
    filled.press(f"jobs.top.undo.{job.job_id}")
    assert "the restored part is deleted" in filled.toasts()[0]
    assert names() == ["My images"]
    assert "only partly" not in filled.words()

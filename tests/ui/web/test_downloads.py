"""A download's address: for one browser, one file of one dataset, while both last."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import streamlit as st
from starlette.responses import FileResponse
from starlette.routing import Match

from imagebase.jobs.temporary_files import exports_folder
from imagebase.store import Scope
from imagebase.ui import identity, services, state
from imagebase.ui.models import page
from imagebase.ui.web import cookies, downloads
from tests.app_fixtures import Configure

CONTENT = b"the zip"


@pytest.fixture
def mine(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> Scope:
    """A demo visitor's dataset, with an export."""
    configure(MODE="demo")
    token = cookies.new_token()
    owner_id = cookies.owner_of(token)
    created = services.store().create_dataset(owner_id, "Mine", who="visitor")
    scope = Scope(owner_id, created.dataset_id, "visitor")
    folder = exports_folder(scope) / "job"
    folder.mkdir(parents=True)
    (folder / "mine.zip").write_bytes(CONTENT)
    monkeypatch.setattr(identity, "token", lambda: token)
    monkeypatch.setattr(state, "scope", lambda: scope)
    return scope


def address(scope: Scope, path: str = "job/mine.zip") -> str:
    return downloads.address("export", {"path": path}, file_name="mine.zip")


def ask(address: str, token: str | None = None) -> int | bytes:
    """Return the content that an address answers with, or the status."""
    mine = identity.token() if token is None else token
    answer = downloads._respond(address.split("/")[2], mine)
    if isinstance(answer, FileResponse):
        return Path(answer.path).read_bytes()
    return answer.status_code


def test_own_browser_downloads_the_file(mine: Scope) -> None:
    assert ask(address(mine)) == CONTENT


def test_address_is_the_same_at_each_rerun(mine: Scope) -> None:
    assert address(mine) == address(mine)


@pytest.mark.parametrize("base", ["", "images", "/team/images/"])
def test_address_is_one_that_the_server_answers_to(mine: Scope, base: str) -> None:
    st.config.set_option("server.baseUrlPath", base)
    try:
        scope = {"type": "http", "method": "GET", "path": address(mine)}
        match, _ = downloads.route().matches(scope)
        assert match is Match.FULL
        assert address(mine).startswith(f"/{base.strip('/')}".rstrip("/"))
    finally:
        st.config.set_option("server.baseUrlPath", "")


@pytest.mark.parametrize("token", ["", "0" * 64])
def test_no_other_browser_does(mine: Scope, token: str) -> None:
    assert ask(address(mine), token) == 404


def test_no_changed_address_does(mine: Scope) -> None:
    whole = address(mine)
    text, _, rest = whole.split("/")[2].partition(".")
    for forged in (f"{text[:-2]}AA.{rest}", f"{text}.{'0' * 64}", text, "", "..%2f"):
        assert ask(f"/download/{forged}/mine.zip") == 404
    for forged in ("é.é", f"{text}.é", "\udcff.\udcff"):
        assert ask(f"/download/{forged}/mine.zip") == 404


@pytest.mark.parametrize("path", ["../other/x.zip", "/etc/passwd", "job", ""])
def test_no_path_outside_the_exports_does(mine: Scope, path: str) -> None:
    assert ask(address(mine, path)) == 404


def _delete_dataset(scope: Scope) -> None:
    services.store().delete_dataset(scope)


def _delete_owner(scope: Scope) -> None:
    services.store().delete_owner(scope.owner_id)


def _delete_file(scope: Scope) -> None:
    (exports_folder(scope) / "job" / "mine.zip").unlink()


@pytest.mark.parametrize("delete", [_delete_dataset, _delete_owner, _delete_file])
def test_nothing_is_served_of_what_is_deleted(
    mine: Scope, delete: Callable[[Scope], None]
) -> None:
    known = address(mine)
    delete(mine)
    assert ask(known) == 404


def test_address_ends_with_the_login(
    mine: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "login_ends_at", lambda: time.time() + 60)
    assert ask(address(mine)) == CONTENT
    monkeypatch.setattr(identity, "login_ends_at", lambda: time.time() - 1)
    assert ask(address(mine)) == 404


def test_model_of_another_owner_is_not_served(mine: Scope) -> None:
    assert page.library().find("theirs") is None
    known = downloads.address("model", {"name": "theirs"}, file_name="theirs.zip")
    assert ask(known) == 404


def test_dataset_of_another_owner_is_not_served(
    mine: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = services.store().create_dataset("theirs", "Theirs", who="ann")
    wrong = replace(mine, dataset_id=theirs.dataset_id)
    monkeypatch.setattr(state, "scope", lambda: wrong)
    assert ask(address(wrong)) == 404

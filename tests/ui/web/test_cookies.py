"""The visitor's cookie: only what this server made counts."""

import stat
from pathlib import Path

import pytest

from imagebase.settings import settings
from imagebase.ui import services
from imagebase.ui.web import cookies
from tests.app_fixtures import Configure


@pytest.fixture(autouse=True)
def home(configure: Configure) -> Path:
    configure(MODE="demo")
    return settings().home


def test_cookie_is_read_back() -> None:
    token = cookies.new_token()
    assert cookies.token_in(cookies.value_of(token)) == token


@pytest.mark.parametrize("value", ["", "team", "0" * 64, f"{'0' * 64}.{'0' * 64}"])
def test_what_the_server_did_not_make_is_no_token(value: str) -> None:
    assert cookies.token_in(value) == ""


def test_signature_counts_for_its_own_token_and_purpose() -> None:
    token, other = cookies.new_token(), cookies.new_token()
    signature = cookies.value_of(token).partition(".")[2]
    assert cookies.token_in(f"{other}.{signature}") == ""
    assert not cookies.is_signed("download", token, signature)


def test_old_cookie_counts_while_its_owner_is_in_the_store() -> None:
    token = cookies.new_token()
    assert cookies.token_in(token) == ""
    owner_id = cookies.owner_of(token)
    services.store().ensure_owner(owner_id, expires_at=None)
    assert cookies.token_in(token) == token
    services.store().delete_owner(owner_id)
    assert cookies.token_in(token) == ""


def test_key_is_the_same_after_a_restart_and_for_its_user_only(home: Path) -> None:
    before = cookies.sign("visitor", "text")
    cookies._key.cache_clear()
    assert cookies.sign("visitor", "text") == before
    assert stat.S_IMODE((home / "cookie.key").stat().st_mode) == 0o600
    assert [path.name for path in home.glob(".cookie*")] == []


def test_key_that_cannot_be_kept_lasts_for_the_process(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (home / "cookie.key").write_bytes(b"cut off")
    cookies._key.cache_clear()
    token = cookies.new_token()
    assert cookies.token_in(cookies.value_of(token)) == token
    assert "cookies end with this process" in caplog.text
    cookies._key.cache_clear()


@pytest.mark.parametrize("header", ["a=1; imagebase_visitor=x", 'a="\x00";;=', "é=ü"])
def test_any_header_is_read(header: str) -> None:
    assert isinstance(cookies.read(header), dict)

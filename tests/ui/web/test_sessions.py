"""Which browser a session belongs to, and how long that is known."""

from typing import Final

import pytest

from imagebase.ui.web import cookies, sessions

SESSION: Final = "a session"


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    """The token of the browser that began the session, which is kept for no time."""
    monkeypatch.setattr(sessions, "_sessions", {})
    monkeypatch.setattr(sessions, "_LATE_SECONDS", -1000.0)
    token = cookies.new_token()
    sessions._note(SESSION, token)
    return token


def test_session_belongs_to_the_browser_that_began_it(token: str) -> None:
    assert sessions.belongs_to(SESSION, token)
    assert not sessions.belongs_to(SESSION, cookies.new_token())
    assert not sessions.belongs_to(SESSION, "")
    assert not sessions.belongs_to("another session", token)


def test_session_of_a_browser_without_cookies_belongs_to_nobody() -> None:
    sessions._note("no cookies", "")
    assert not sessions.belongs_to("no cookies", "")


def test_session_is_forgotten_once_it_cannot_be_resumed(token: str) -> None:
    assert sessions.forget_ended() == []
    sessions._close(SESSION)
    assert sessions.forget_ended() == [SESSION]
    assert not sessions.belongs_to(SESSION, token)


def test_session_stays_where_its_old_connection_ends_after_the_new_one_began(
    token: str,
) -> None:
    sessions._note(SESSION, token)
    sessions._close(SESSION)
    assert sessions.forget_ended() == []
    assert sessions.belongs_to(SESSION, token)

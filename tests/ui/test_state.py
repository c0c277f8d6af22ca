"""Session state of the editor."""

import pytest
import streamlit as st

from imagebase.ui import state


@pytest.fixture(autouse=True)
def _fresh_session() -> None:
    st.session_state.clear()


def test_problem_stays_over_the_reruns_that_follow_at_once() -> None:
    assert state.lasting_problem("Look at both.", "a") == "Look at both."
    assert state.lasting_problem("", "a") == "Look at both."


def test_problem_belongs_to_its_image() -> None:
    state.lasting_problem("Look at both.", "a")
    assert state.lasting_problem("", "b") == ""


def test_problem_disappears_after_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    state.lasting_problem("Look at both.", "a")
    monkeypatch.setattr(state, "PROBLEM_SECONDS", 0.0)
    assert state.lasting_problem("", "a") == ""

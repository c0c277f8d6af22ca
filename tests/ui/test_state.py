"""Session state of the editor."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from imagebase.annotation import ImageRecord, Size
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


def test_only_what_others_saved_needs_another_confirmation() -> None:
    record = ImageRecord("a", "a.jpg", Size(9, 9), revision=3)
    state.note_revision(record)
    state.note_revision(replace(record, revision=4), is_own=True)
    state.note_revision(replace(record, revision=4))
    assert state.their_revision("a") == 3
    state.note_revision(replace(record, revision=6))
    assert state.their_revision("a") == 6


@pytest.mark.parametrize(
    ("clicked", "known", "reruns"),
    [
        (["gone"], ["other"], 1),
        (["gone", "here"], ["here"], 0),
        (None, ["here"], 0),
    ],
    ids=["gone", "here", "page"],
)
def test_a_click_in_a_fragment_that_has_gone_draws_the_page(
    clicked: list[str] | None,
    known: list[str],
    reruns: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = SimpleNamespace(contains=known.__contains__)
    context = SimpleNamespace(
        fragment_ids_this_run=clicked, fragment_storage=storage, page_script_hash="edit"
    )
    done: list[str] = []
    monkeypatch.setattr(st, "session_state", {})
    monkeypatch.setattr(state, "get_script_run_ctx", lambda **_: context)
    state.note_page()
    monkeypatch.setattr(st, "rerun", lambda: done.append("drawn"))
    state.reports_errors(lambda: done.append("clicked"))()
    assert done == ["clicked", *["drawn"] * reruns]


def test_a_late_click_of_another_page_draws_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = SimpleNamespace(contains=lambda _: False)
    context = SimpleNamespace(
        fragment_ids_this_run=["editor"], fragment_storage=storage, page_script_hash="r"
    )
    done: list[str] = []
    monkeypatch.setattr(st, "session_state", {})
    monkeypatch.setattr(state, "get_script_run_ctx", lambda **_: context)
    monkeypatch.setattr(st, "rerun", lambda: done.append("drawn"))
    state.note_page()  # the click before went to Review
    context.page_script_hash = "edit"
    state.reports_errors(lambda: None)()
    assert not done


def interrupted_page() -> None:
    import streamlit as st
    from streamlit.runtime.scriptrunner import RerunData, get_script_run_ctx

    from imagebase.ui import state  # noqa: F401 (callbacks finish with it)

    def clicked() -> None:
        context = get_script_run_ctx()
        assert context is not None
        assert context.script_requests is not None
        # Another click is on its way.
        context.script_requests.request_rerun(RerunData())
        st.session_state["steps"] = 1
        st.session_state["steps"] += 1

    st.button("Approve", on_click=clicked)
    st.text(f"{st.session_state.get('steps', 0)} steps done")


def test_a_click_is_not_cut_short_by_the_next_one() -> None:
    app = AppTest.from_function(interrupted_page, default_timeout=20).run()
    app.button[0].click().run()
    assert not app.exception
    assert app.session_state["steps"] == 2
    assert app.text[0].value == "2 steps done"

"""Bulk work started by a click: runs once and to its end, despite other clicks."""

import pytest
from streamlit.testing.v1 import AppTest

from tests.app_fixtures import Configure


def counting() -> None:
    import streamlit as st
    from streamlit.runtime.scriptrunner_utils.script_requests import RerunData
    from streamlit.runtime.scriptrunner_utils.script_run_context import (
        get_script_run_ctx,
    )

    from imagebase.errors import EditError
    from imagebase.ui import bulk_progress

    done = st.session_state.setdefault("done", [])

    def work(on_progress: bulk_progress.OnProgress) -> str:
        for number in range(1, 4):
            # As a click does, while the bar is about to be drawn.
            context = get_script_run_ctx()
            assert context is not None
            assert context.script_requests is not None
            context.script_requests.request_rerun(RerunData())
            on_progress(number * 100, 300)
        done.append("worked")
        return "300 images"

    def refuse(on_progress: bulk_progress.OnProgress) -> str:
        raise EditError("This cannot be.")

    def say(what: str) -> None:
        st.session_state["said"] = what

    def begin(images: int) -> None:
        bulk_progress.run_or_schedule("Counting", work, then=say, images=images)

    st.button("many", on_click=begin, args=(201,))
    st.button("few", on_click=begin, args=(200,))
    st.button(
        "refused",
        on_click=bulk_progress.schedule,
        args=("No", refuse),
        kwargs={"then": say},
    )
    bulk_progress.run_scheduled()
    st.text(f"{len(done)} {st.session_state.get('said')}")


@pytest.fixture
def app(configure: Configure) -> AppTest:
    return AppTest.from_function(counting, default_timeout=20).run()


def press(app: AppTest, words: str) -> str:
    """Press what says so; return what is shown then."""
    next(button for button in app.button if button.label == words).click().run()
    assert not app.exception
    return app.text[0].value


@pytest.mark.parametrize("words", ["many", "few"])
def test_work_runs_once_despite_clicks(app: AppTest, words: str) -> None:
    assert press(app, words) == "1 300 images"
    app.run()
    assert app.text[0].value == "1 300 images"


def test_bar_is_gone_afterwards(app: AppTest) -> None:
    press(app, "many")
    assert not app.get("progress")


def test_error_is_shown_and_not_retried(app: AppTest) -> None:
    assert press(app, "refused") == "0 None"
    assert app.session_state["imagebase.message"] == "This cannot be."
    app.run()
    assert app.text[0].value == "0 None"

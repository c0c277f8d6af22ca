"""What people said of an image: open until somebody resolves it."""

from collections.abc import Callable
from typing import Final

import streamlit as st

from imagebase.store import Comment
from imagebase.ui import services, state, widgets
from imagebase.ui.edit import canvas

_FIELD: Final = "edit.comment"


def draw_comments(image_id: str, *, beside: Callable[[], None] | None = None) -> None:
    """Draw the comments on an image, the open ones in full, and a field for another.

    beside: draws what else there is to do, in the same row as the field.
    """
    said = services.store().comments(state.scope(), image_id)
    done = [one for one in said if not one.is_open]
    for one in said:
        if one.is_open:
            _draw_open(one)
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.popover("Comment", icon=":material/add_comment:", type="tertiary"):
            _draw_field(image_id)
        if done:
            label = widgets.plural(len(done), "comment")
            with st.popover(
                f"{label} resolved", icon=":material/check:", type="tertiary"
            ):
                for one in done:
                    _draw_resolved(one)
        if beside:
            beside()


def _draw_open(one: Comment) -> None:
    with st.container(border=True, gap="xsmall"):
        st.markdown(f":material/comment: {widgets.escape(one.text)}")
        with st.container(
            horizontal=True,
            vertical_alignment="center",
            horizontal_alignment="distribute",
        ):
            st.caption(_by(one), width="content")
            st.button(
                "Resolve",
                key=f"edit.resolve.{one.comment_id}",
                icon=":material/check:",
                help="Says that this is done. It can be opened again.",
                on_click=_resolve,
                args=(one.comment_id,),
            )


def _draw_resolved(one: Comment) -> None:
    st.markdown(widgets.escape(one.text))
    st.caption(f"{_by(one)}; resolved by {widgets.escape(one.resolved_by or '')}")
    st.button(
        "Open again",
        key=f"edit.reopen.{one.comment_id}",
        on_click=_reopen,
        args=(one.comment_id,),
    )


def _by(one: Comment) -> str:
    return widgets.escape(f"{one.who}, {state.local(one.created_at):%d %b, %H:%M}")


def _draw_field(image_id: str) -> None:
    key = f"{_FIELD}.{image_id}"
    with st.form(f"{key}.form", clear_on_submit=True, border=False):
        st.text_area("Say something of this image", key=key)
        st.form_submit_button(
            "Add", key=f"{_FIELD}.add", on_click=_add, args=(image_id, key)
        )


@state.reports_errors
def _add(image_id: str, key: str) -> None:
    canvas.settle()
    services.store().add_comment(state.scope(), image_id, st.session_state[key])
    state.note_saved()


@state.reports_errors
def _resolve(comment_id: str) -> None:
    canvas.settle()
    services.store().resolve_comment(state.scope(), comment_id)
    state.note_saved()


@state.reports_errors
def _reopen(comment_id: str) -> None:
    canvas.settle()
    services.store().reopen_comment(state.scope(), comment_id)
    state.note_saved()

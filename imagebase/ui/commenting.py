"""What people said of an image: open until somebody resolves it."""

from datetime import timedelta

import streamlit as st

from imagebase.annotation import utc_now
from imagebase.store import Comment
from imagebase.ui import backend, state, widgets


def draw_comments(image_id: str, *, key: str) -> None:
    """Draw what was said of an image, the open ones first, and a field to say more."""
    known = backend.store().comments(state.scope(), image_id)
    for one in known:
        if one.is_open:
            _draw(one, key)
    resolved = [one for one in known if not one.is_open]
    if resolved:
        with st.expander(f"{widgets.plural(len(resolved), 'comment')} resolved"):
            for one in resolved:
                _draw(one, key)
    _draw_field(image_id, key)


def _draw(one: Comment, key: str) -> None:
    icon = ":material/comment:" if one.is_open else ":material/check_circle:"
    with st.container(border=one.is_open, gap="xsmall"):
        st.markdown(f"{icon} {widgets.escape(one.text)}")
        with st.container(
            horizontal=True,
            horizontal_alignment="distribute",
            vertical_alignment="center",
        ):
            st.caption(_who_and_when(one), width="content")
            st.button(
                "Resolve" if one.is_open else "Open again",
                key=f"{key}.{one.comment_id}",
                type="tertiary",
                on_click=_resolve if one.is_open else _reopen,
                args=(one.comment_id,),
                help="What it asks for is done."
                if one.is_open
                else "It is not done after all.",
            )


def _who_and_when(one: Comment) -> str:
    if one.resolved_at is None:
        return f"{widgets.escape(one.who)}, {ago(utc_now() - one.created_at)}"
    who = widgets.escape(one.resolved_by or "")
    return (
        f"{widgets.escape(one.who)}; resolved by {who}, "
        f"{ago(utc_now() - one.resolved_at)}"
    )


def ago(span: timedelta) -> str:
    """Return a span of time as people say it: just now, 5 min ago, 3 days ago."""
    minutes = int(span.total_seconds() // 60)
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    if minutes < 60 * 24:
        return f"{minutes // 60} h ago"
    return f"{widgets.plural(minutes // (60 * 24), 'day')} ago"


def _draw_field(image_id: str, key: str) -> None:
    # A field by itself may send its text twice, at Enter and when it is left.
    with (
        st.popover("Comment", icon=":material/add_comment:"),
        st.form(f"{key}.form.{image_id[:12]}", clear_on_submit=True, border=False),
    ):
        field = f"{key}.text.{image_id[:12]}"
        st.text_area("Say something of this image", key=field)
        st.form_submit_button(
            "Add comment",
            key=f"{key}.add.{image_id[:12]}",
            type="primary",
            on_click=_add,
            args=(image_id, field),
        )


@state.told
def _add(image_id: str, field: str) -> None:
    backend.store().add_comment(state.scope(), image_id, st.session_state[field])


@state.told
def _resolve(comment_id: str) -> None:
    backend.store().resolve_comment(state.scope(), comment_id)


@state.told
def _reopen(comment_id: str) -> None:
    backend.store().reopen_comment(state.scope(), comment_id)

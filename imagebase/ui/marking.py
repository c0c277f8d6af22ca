"""What is wrong with an image, drawn on it by a reviewer who rejects it."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import streamlit as st

from imagebase.annotation import ImageRecord, Size, new_id
from imagebase.annotation.areas import Shape
from imagebase.editing.records import MAX_MARKS
from imagebase.errors import EditError
from imagebase.ui import cache, identity, rough_canvas, services, state, widgets
from imagebase.ui.rough_canvas import Tool

# Is called with the comment and the marks.
OnReject = Callable[[str, tuple[Shape, ...]], None]

_CANVAS: Final = "marking.canvas"
_MARKS: Final = "imagebase.marking.marks"
_REJECT: Final = "imagebase.marking.reject"
_REJECTING: Final = "imagebase.marking.rejecting"
_PROBLEM: Final = "imagebase.marking.problem"
_ROOM: Final = Size(780, 460)
_LINE_PX: Final = 4
# The canvas says what was drawn 0.2 s later.
_LAST_STROKE_SECONDS: Final = 0.4
_TOOLS: Final = {
    Tool.CIRCLE: ":material/circle: Circle",
    Tool.BRUSH: ":material/draw: Scribble",
}


def open_button(
    record: ImageRecord,
    *,
    key: str,
    why: str,
    on_reject: OnReject,
    on_open: Callable[[], None] | None = None,
) -> None:
    """Draw the button that opens the dialog for an image.

    why: what was typed already. on_open: is called before it opens.
    """
    if st.button(
        "Mark what is wrong",
        key=key,
        icon=":material/draw:",
        type="tertiary",
        help="Circle or scribble what is wrong; whoever corrects it sees the marks.",
        on_click=on_open,
    ):
        rough_canvas.refill(_CANVAS)
        st.session_state[_PROBLEM] = ""
        st.session_state[_REJECT], st.session_state[_REJECTING] = on_reject, None
        st.session_state.setdefault(_why(record.image_id), why)
        _dialog(record.image_id)


def open_marks(image_id: str) -> tuple[Shape, ...]:
    """Return what was drawn on an image with comments that nobody has resolved."""
    said = services.store().comments(state.scope(), image_id)
    return tuple(mark for one in said if one.is_open for mark in one.marks)


def _why(image_id: str) -> str:
    return f"marking.why.{image_id}"


@st.dialog(
    "Mark what is wrong", width="large", icon=":material/draw:", on_dismiss="rerun"
)
@widgets.in_dialog
def _dialog(image_id: str) -> None:
    state.leave_deleted_dataset()
    rough_canvas.settle(_CANVAS, _book)
    record = services.store().record(state.scope(), image_id)
    tool: Tool = st.segmented_control(
        "Tool",
        list(_TOOLS),
        format_func=_TOOLS.__getitem__,
        default=Tool.CIRCLE,
        required=True,
        key="marking.tool",
        label_visibility="collapsed",
    )
    left, right = st.columns([2, 1], gap="medium")
    with left:
        _canvas(record, tool)
    with right:
        _words(record)


def _canvas(record: ImageRecord, tool: Tool) -> None:
    scope = state.scope()
    width = identity.room_width("marking.room") or _ROOM.width
    room = Size(min(width, _ROOM.width), _ROOM.height)
    _, factor = rough_canvas.fitted(record.size, room)
    rough_canvas.draw_canvas(
        _CANVAS,
        record.image_id,
        record.size,
        picture=lambda there: cache.marked_picture(
            scope, record.image_id, record.revision, there
        ),
        there=_drawn(record.image_id),
        room=room,
        tool=tool,
        width_px=_LINE_PX / factor,
        is_line=True,
        book=_book,
    )


def _words(record: ImageRecord) -> None:
    why = _why(record.image_id)
    st.text_area("What is wrong?", key=why)
    marks = len(_drawn(record.image_id))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(widgets.plural(marks, "mark"), width="content")
        st.button(
            "Delete the marks",
            key="marking.clear",
            icon=":material/delete:",
            type="tertiary",
            disabled=not marks,
            on_click=_clear,
            args=(record.image_id,),
        )
    st.button(
        "Reject",
        key="marking.reject",
        type="primary",
        icon=":material/close:",
        on_click=_ask_to_reject,
    )
    every = _LAST_STROKE_SECONDS if st.session_state.get(_REJECTING) else None
    st.fragment(_reject_soon, run_every=every)(record.image_id)


def _drawn(image_id: str) -> tuple[Shape, ...]:
    """Return the marks on an image that nobody has rejected it with yet."""
    kept: dict[str, dict[str, Shape]] = st.session_state.setdefault(_MARKS, {})
    return tuple(kept.get(image_id, {}).values())


def _book(image_id: str, new: Sequence[Shape], gone: Sequence[str]) -> Sequence[str]:
    kept: dict[str, dict[str, Shape]] = st.session_state.setdefault(_MARKS, {})
    marks = kept.setdefault(image_id, {})
    for one in gone:
        marks.pop(one, None)
    ids = [new_id() for _ in new]
    marks.update(zip(ids, new, strict=True))
    return ids


def _clear(image_id: str) -> None:
    rough_canvas.settle(_CANVAS, _book)
    st.session_state[_MARKS].pop(image_id, None)
    rough_canvas.refill(_CANVAS)


def _ask_to_reject() -> None:
    st.session_state[_REJECTING] = time.monotonic()


@widgets.guarded
def _reject_soon(image_id: str) -> None:
    """Reject once the browser has said everything that was drawn before the click."""
    clicked = st.session_state.get(_REJECTING)
    if clicked and time.monotonic() - clicked >= _LAST_STROKE_SECONDS:
        st.session_state[_REJECTING] = None
        if _reject(image_id):
            st.rerun()  # the page goes on without the dialog
    problem = st.session_state.get(_PROBLEM)
    if problem and not st.session_state.get(_REJECTING):
        st.error(widgets.escape(problem))


def _reject(image_id: str) -> bool:
    """Reject with what is drawn and typed; return whether that was enough."""
    rough_canvas.settle(_CANVAS, _book)
    marks, comment = _drawn(image_id), st.session_state[_why(image_id)].strip()
    try:
        _check(comment, marks)
    except EditError as error:
        st.session_state[_PROBLEM] = str(error)
        return False
    on_reject: OnReject = st.session_state[_REJECT]
    on_reject(comment or "See the marks on the image.", marks)
    st.session_state[_MARKS].pop(image_id, None)
    rough_canvas.refill(_CANVAS)
    return True


def _check(comment: str, marks: Sequence[Shape]) -> None:
    if not comment and not marks:
        raise EditError("Mark what is wrong, or say it in a few words.")
    if len(marks) > MAX_MARKS:
        raise EditError(f"An image has at most {MAX_MARKS} marks; delete some.")

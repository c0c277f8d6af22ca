"""Dialogs with a drawing canvas: ignore areas, and marks of a reviewer who rejects."""

import time
from collections.abc import Callable, Sequence
from typing import Final, Literal

import streamlit as st

from imagebase.annotation import ImageRecord, Size, new_id
from imagebase.annotation.areas import Shape, ShapeKind
from imagebase.editing.records import MAX_MARKS
from imagebase.errors import EditError, ImageBaseError
from imagebase.store.ignore_areas import IgnoreArea
from imagebase.ui import cache, rough_canvas, services, state, widgets
from imagebase.ui.rough_canvas import Tool

_TOOLS: Final = {
    Tool.POLYGON: ":material/polyline: Polygon",
    Tool.RECTANGLE: ":material/crop_square: Rectangle",
    Tool.CIRCLE: ":material/circle: Circle",
    Tool.BRUSH: ":material/brush: Brush",
}


def _choose_tool(
    tools: Sequence[Tool],
    default: Tool,
    key: str,
    label_visibility: Literal["visible", "collapsed"] = "visible",
) -> Tool:
    tool: Tool = st.segmented_control(
        "Tool",
        tools,
        format_func=_TOOLS.__getitem__,
        default=default,
        required=True,
        key=key,
        label_visibility=label_visibility,
    )
    return tool


# Ignore areas

_AREAS: Final = "areas.canvas"
_UNDOABLE: Final = "imagebase.areas.done"
_AREA_PROBLEM: Final = "imagebase.areas.problem"
_SCOPE: Final = "areas.scope"
_THIS: Final = "This image"
_LIST_PX: Final = 400
_HINTS: Final = {
    Tool.POLYGON: "Click the corners; click the first one again to close the polygon.",
    Tool.RECTANGLE: "Drag from one corner to the opposite one.",
    Tool.BRUSH: "Hold the mouse button down and paint.",
}
_SHAPES: Final = {
    ShapeKind.POLYGON: "Polygon",
    ShapeKind.RECTANGLE: "Rectangle",
    ShapeKind.ELLIPSE: "Circle",
    ShapeKind.BRUSH: "Brush",
}


def ignore_areas_button(record: ImageRecord, *, key: str) -> None:
    """Draw the button that opens the dialog for an image's ignore areas."""
    count = len(record.ignored)
    if st.button(
        f"Ignore areas ({count})" if count else "Ignore areas",
        key=key,
        icon=":material/hide_image:",
        type="tertiary",
        help="Parts of the image not to label: a time stamp, a bonnet, a mirror.",
    ):
        rough_canvas.refill(_AREAS)
        st.session_state[_UNDOABLE], st.session_state[_AREA_PROBLEM] = 0, ""
        _ignore_areas_dialog(record.image_id)


# The editor behind the dialog shows the areas once it is closed.
@st.dialog(
    "Ignore areas", width="large", icon=":material/hide_image:", on_dismiss="rerun"
)
@widgets.in_dialog
def _ignore_areas_dialog(image_id: str) -> None:
    state.leave_deleted_dataset()
    rough_canvas.settle(_AREAS, _save_areas)
    record = services.store().record(state.scope(), image_id)
    st.caption(
        "Models suggest no boxes in these areas. Training and evaluation ignore them; "
        "Export can black them out or write them as ignore regions."
    )
    tool, brush_width = _area_tools(record)
    left, right = st.columns([2, 1], gap="medium")
    with left:
        scope = state.scope()
        rough_canvas.draw_canvas(
            _AREAS,
            image_id,
            record.size,
            picture=lambda drawn: cache.ignored_picture(scope, image_id, drawn),
            drawn=record.ignored,
            tool=tool,
            brush_width=brush_width,
            book=_save_areas,
        )
    with right:
        _area_list(record)


def _area_tools(record: ImageRecord) -> tuple[Tool, int]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        tool = _choose_tool(list(_HINTS), Tool.RECTANGLE, "areas.tool")
        longest = max(record.size)
        # Always drawn, so that the canvas below stays where it is.
        brush_width: int = st.slider(
            "Brush width (pixels)",
            1,
            max(longest // 4, 2),
            max(longest // 30, 1),
            key=f"areas.width.{longest}",
            disabled=tool is not Tool.BRUSH,
            width=180,
        )
        count = services.store().count_of_size(state.scope(), record.size)
        st.segmented_control(
            "Area applies to",
            [_THIS, "all"],
            format_func=lambda scope_choice: (
                scope_choice if scope_choice == _THIS else _all(count, record.size)
            ),
            default=_THIS,
            required=True,
            key=_SCOPE,
        )
    st.caption(_HINTS[tool])
    return tool, brush_width


def _all(count: int, size: Size) -> str:
    images = f"{count:,} images" if count > 1 else "images"
    return f"All {images} of {size.width} × {size.height}"


def _area_list(record: ImageRecord) -> None:
    problem = st.session_state.get(_AREA_PROBLEM)
    if problem:
        st.error(widgets.escape(problem))
    areas = services.store().ignore_areas(state.scope(), record.image_id)
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        st.markdown(f"**{widgets.plural(len(areas), 'area')}**", width="content")
        st.button(
            "Undo",
            key="areas.undo",
            icon=":material/undo:",
            disabled=not st.session_state.get(_UNDOABLE),
            on_click=_undo_area,
        )
    with st.container(height=_LIST_PX, border=False):
        for area in areas:
            _area_row(area)


def _area_row(area: IgnoreArea) -> None:
    with st.container(
        horizontal=True,
        vertical_alignment="center",
        horizontal_alignment="distribute",
        wrap=False,
    ):
        box = area.shape.bounds.clipped(area.size)
        where = _THIS if area.image_id else "All of this size"
        with st.container(gap=None):
            st.markdown(
                f"{_SHAPES[area.shape.kind]}, {box.width:.0f} × {box.height:.0f} px"
            )
            st.caption(f"{where} · {widgets.escape(area.who)}")
        widgets.icon_button(
            "Delete this area",
            key=f"areas.delete.{area.area_id}",
            icon=":material/delete:",
            is_plain=True,
            on_click=_delete_area,
            args=(area.area_id,),
        )


def _save_areas(
    image_id: str, added: Sequence[Shape], deleted: Sequence[str]
) -> Sequence[str]:
    scope, store = state.scope(), services.store()
    applies_to_all = st.session_state.get(_SCOPE, _THIS) != _THIS
    try:
        areas = store.add_ignore_areas(
            scope, image_id, added, all_of_size=applies_to_all, instead_of=deleted
        )
    except ImageBaseError as error:
        st.session_state[_AREA_PROBLEM] = str(error)
        return [new_id() for _ in added]  # so that it is not tried again
    st.session_state[_AREA_PROBLEM] = ""
    _count_undoable(1)
    return [area.area_id for area in areas]


def _count_undoable(step: int) -> None:
    st.session_state[_UNDOABLE] = max(st.session_state.get(_UNDOABLE, 0) + step, 0)
    state.note_saved()


def _delete_area(area_id: str) -> None:
    rough_canvas.settle(_AREAS, _save_areas)
    if services.store().delete_ignore_areas(state.scope(), [area_id]):
        _count_undoable(1)
    rough_canvas.refill(_AREAS)


def _undo_area() -> None:
    rough_canvas.settle(_AREAS, _save_areas)
    try:
        services.store().undo(state.scope())
    except ImageBaseError as error:
        st.session_state[_AREA_PROBLEM] = str(error)
    _count_undoable(-1)
    rough_canvas.refill(_AREAS)


# Marks

# Is called with the comment and the marks.
OnReject = Callable[[str, tuple[Shape, ...]], None]

_MARKING: Final = "marking.canvas"
_MARKS: Final = "imagebase.marking.marks"
_ON_REJECT: Final = "imagebase.marking.reject"
_REJECTED_AT: Final = "imagebase.marking.rejecting"
_MARK_PROBLEM: Final = "imagebase.marking.problem"
# The canvas sends a stroke 0.2 s after it was drawn.
_LAST_STROKE_SECONDS: Final = 0.4


def marks_button(
    record: ImageRecord,
    *,
    key: str,
    comment: str,
    on_reject: OnReject,
    on_open: Callable[[], None] | None = None,
) -> None:
    """Draw the button that opens the dialog for marks on an image to reject.

    comment: the text typed so far. on_open: is called before the dialog opens.
    """
    if st.button(
        "Mark what is wrong",
        key=key,
        icon=":material/draw:",
        type="tertiary",
        help="Circle or paint over the mistake. The marks are shown in the editor.",
        on_click=on_open,
    ):
        rough_canvas.refill(_MARKING)
        st.session_state[_MARK_PROBLEM] = ""
        st.session_state[_ON_REJECT] = on_reject
        st.session_state[_REJECTED_AT] = None
        st.session_state.setdefault(_comment_key(record.image_id), comment)
        _marks_dialog(record.image_id)


def open_marks(image_id: str) -> tuple[Shape, ...]:
    """Return the marks of an image's open comments."""
    comments = services.store().comments(state.scope(), image_id)
    return tuple(
        mark for comment in comments if comment.is_open for mark in comment.marks
    )


def _comment_key(image_id: str) -> str:
    return f"marking.why.{image_id}"


@st.dialog(
    "Mark what is wrong", width="large", icon=":material/draw:", on_dismiss="rerun"
)
@widgets.in_dialog
def _marks_dialog(image_id: str) -> None:
    state.leave_deleted_dataset()
    rough_canvas.settle(_MARKING, _keep_marks)
    record = services.store().record(state.scope(), image_id)
    tool = _choose_tool(
        [Tool.CIRCLE, Tool.BRUSH], Tool.CIRCLE, "marking.tool", "collapsed"
    )
    left, right = st.columns([2, 1], gap="medium")
    with left:
        scope = state.scope()
        rough_canvas.draw_canvas(
            _MARKING,
            image_id,
            record.size,
            picture=lambda drawn: cache.marked_picture(
                scope, image_id, record.revision, drawn
            ),
            drawn=_marks(image_id),
            tool=tool,
            book=_keep_marks,
        )
    with right:
        _reject_form(record)


def _reject_form(record: ImageRecord) -> None:
    st.text_area("What is wrong?", key=_comment_key(record.image_id))
    marks = len(_marks(record.image_id))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(widgets.plural(marks, "mark"), width="content")
        st.button(
            "Delete the marks",
            key="marking.clear",
            icon=":material/delete:",
            type="tertiary",
            disabled=not marks,
            on_click=_clear_marks,
            args=(record.image_id,),
        )
    st.button(
        "Reject",
        key="marking.reject",
        type="primary",
        icon=":material/close:",
        on_click=_note_reject,
    )
    every = _LAST_STROKE_SECONDS if st.session_state.get(_REJECTED_AT) else None
    st.fragment(_reject_soon, run_every=every)(record.image_id)


def _marks(image_id: str) -> tuple[Shape, ...]:
    return tuple(_kept_marks(image_id).values())


def _kept_marks(image_id: str) -> dict[str, Shape]:
    marks: dict[str, dict[str, Shape]] = st.session_state.setdefault(_MARKS, {})
    return marks.setdefault(image_id, {})


def _keep_marks(
    image_id: str, added: Sequence[Shape], deleted: Sequence[str]
) -> Sequence[str]:
    marks = _kept_marks(image_id)
    for mark_id in deleted:
        marks.pop(mark_id, None)
    ids = [new_id() for _ in added]
    marks.update(zip(ids, added, strict=True))
    return ids


def _clear_marks(image_id: str) -> None:
    rough_canvas.settle(_MARKING, _keep_marks)
    st.session_state[_MARKS].pop(image_id, None)
    rough_canvas.refill(_MARKING)


def _note_reject() -> None:
    st.session_state[_REJECTED_AT] = time.monotonic()


@widgets.guarded
def _reject_soon(image_id: str) -> None:
    """Reject once the browser has sent everything that was drawn before the click."""
    clicked_at = st.session_state.get(_REJECTED_AT)
    if clicked_at and time.monotonic() - clicked_at >= _LAST_STROKE_SECONDS:
        st.session_state[_REJECTED_AT] = None
        if _reject(image_id):
            st.rerun()  # which closes the dialog
    problem = st.session_state.get(_MARK_PROBLEM)
    if problem and not st.session_state.get(_REJECTED_AT):
        st.error(widgets.escape(problem))


def _reject(image_id: str) -> bool:
    """Reject with the marks and the comment; return whether that was enough."""
    rough_canvas.settle(_MARKING, _keep_marks)
    marks = _marks(image_id)
    comment = st.session_state[_comment_key(image_id)].strip()
    try:
        _check(comment, marks)
    except EditError as error:
        st.session_state[_MARK_PROBLEM] = str(error)
        return False
    on_reject: OnReject = st.session_state[_ON_REJECT]
    on_reject(comment or "See the marks on the image.", marks)
    st.session_state[_MARKS].pop(image_id, None)
    rough_canvas.refill(_MARKING)
    return True


def _check(comment: str, marks: Sequence[Shape]) -> None:
    if not comment and not marks:
        raise EditError("Mark what is wrong, or write a comment.")
    if len(marks) > MAX_MARKS:
        raise EditError(f"An image has at most {MAX_MARKS} marks; delete some.")

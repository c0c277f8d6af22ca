"""Ignore areas of an image in a dialog: drawn with the mouse, listed, deleted."""

from collections.abc import Sequence
from typing import Final

import streamlit as st

from imagebase.annotation import ImageRecord, Size, new_id
from imagebase.annotation.areas import Shape, ShapeKind
from imagebase.errors import ImageBaseError
from imagebase.store.ignore_areas import IgnoreArea
from imagebase.ui import cache, identity, rough_canvas, services, state, widgets
from imagebase.ui.rough_canvas import Tool

_CANVAS: Final = "areas.canvas"
_DONE: Final = "imagebase.areas.done"
_PROBLEM: Final = "imagebase.areas.problem"
_SCOPE: Final = "areas.scope"
_THIS: Final = "this image"
_ROOM: Final = Size(780, 460)
_TOOLS: Final = {
    Tool.POLYGON: ":material/polyline: Polygon",
    Tool.RECTANGLE: ":material/crop_square: Rectangle",
    Tool.BRUSH: ":material/brush: Brush",
}
_HINTS: Final = {
    Tool.POLYGON: "Click the corners; click the first one again to close the polygon.",
    Tool.RECTANGLE: "Drag from one corner to the opposite one.",
    Tool.BRUSH: "Draw with the button held down.",
}
_WORDS: Final = {
    ShapeKind.POLYGON: "Polygon",
    ShapeKind.RECTANGLE: "Rectangle",
    ShapeKind.ELLIPSE: "Circle",
    ShapeKind.BRUSH: "Brush",
}


def open_button(record: ImageRecord, *, key: str) -> None:
    """Draw the button that opens the dialog for an image."""
    count = len(record.ignored)
    if st.button(
        f"Ignore areas ({count})" if count else "Ignore areas",
        key=key,
        icon=":material/hide_image:",
        type="tertiary",
        help="Parts of the image that nobody labels: a time stamp, a bonnet, a mirror.",
    ):
        rough_canvas.refill(_CANVAS)
        st.session_state[_DONE], st.session_state[_PROBLEM] = 0, ""
        _dialog(record.image_id)


# The editor behind the dialog shows the areas once it is closed.
@st.dialog(
    "Ignore areas",
    width="large",
    icon=":material/hide_image:",
    on_dismiss="rerun",
)
@widgets.in_dialog
def _dialog(image_id: str) -> None:
    state.leave_deleted_dataset()
    rough_canvas.settle(_CANVAS, _book)
    record = services.store().record(state.scope(), image_id)
    st.caption(
        "Models suggest no boxes in these areas. Training and evaluation ignore them; "
        "Export can black them out or write them as ignore regions."
    )
    tool = _tools(record)
    left, right = st.columns([2, 1], gap="medium")
    with left:
        _canvas(record, tool)
    with right:
        _list(record)


def _tools(record: ImageRecord) -> Tool:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        tool: Tool = st.segmented_control(
            "Tool",
            list(_TOOLS),
            format_func=_TOOLS.__getitem__,
            default=Tool.RECTANGLE,
            required=True,
            key="areas.tool",
        )
        longest = max(record.size)
        # It is always there: nothing above the canvas comes or goes.
        st.slider(
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
            format_func=lambda one: one if one == _THIS else _all(count, record.size),
            default=_THIS,
            required=True,
            key=_SCOPE,
        )
    st.caption(_HINTS[tool])
    return tool


def _all(count: int, size: Size) -> str:
    images = f"{count:,} images" if count > 1 else "images"
    return f"all {images} of {size.width} × {size.height}"


def _canvas(record: ImageRecord, tool: Tool) -> None:
    scope = state.scope()
    width = identity.room_width("areas.room") or _ROOM.width
    longest = max(record.size)
    rough_canvas.draw_canvas(
        _CANVAS,
        record.image_id,
        record.size,
        picture=lambda there: cache.ignored_picture(scope, record.image_id, there),
        there=record.ignored,
        room=Size(min(width, _ROOM.width), _ROOM.height),
        tool=tool,
        width_px=st.session_state[f"areas.width.{longest}"],
        book=_book,
    )


def _list(record: ImageRecord) -> None:
    problem = st.session_state.get(_PROBLEM)
    if problem:
        st.error(widgets.escape(problem))
    areas = services.store().ignore_areas(state.scope(), record.image_id)
    with st.container(
        horizontal=True,
        vertical_alignment="center",
        horizontal_alignment="distribute",
    ):
        st.markdown(f"**{widgets.plural(len(areas), 'area')}**", width="content")
        st.button(
            "Undo",
            key="areas.undo",
            icon=":material/undo:",
            disabled=not st.session_state.get(_DONE),
            on_click=_undo,
        )
    with st.container(height=_ROOM.height - 60, border=False):
        for area in areas:
            _draw_area(area)


def _draw_area(area: IgnoreArea) -> None:
    with st.container(
        horizontal=True,
        vertical_alignment="center",
        horizontal_alignment="distribute",
        wrap=False,
    ):
        box = area.shape.bounds.clipped(area.size)
        where = _THIS if area.image_id else "all of this size"
        with st.container(gap=None):
            st.markdown(
                f"{_WORDS[area.shape.kind]}, {box.width:.0f} × {box.height:.0f} px"
            )
            st.caption(f"{where} · {widgets.escape(area.who)}")
        widgets.icon_button(
            "Delete this area",
            key=f"areas.delete.{area.area_id}",
            icon=":material/delete:",
            is_plain=True,
            on_click=_delete,
            args=(area.area_id,),
        )


def _book(image_id: str, new: Sequence[Shape], gone: Sequence[str]) -> Sequence[str]:
    """Save what was drawn and delete what was taken away, as one change."""
    scope, store = state.scope(), services.store()
    applies_to_all = st.session_state.get(_SCOPE, _THIS) != _THIS
    try:
        added = store.add_ignore_areas(
            scope, image_id, new, all_of_size=applies_to_all, instead_of=gone
        )
    except ImageBaseError as error:
        st.session_state[_PROBLEM] = str(error)
        return [new_id() for _ in new]  # the next message says it no more
    st.session_state[_PROBLEM] = ""
    _note_done(1)
    return [one.area_id for one in added]


def _note_done(step: int) -> None:
    st.session_state[_DONE] = max(st.session_state.get(_DONE, 0) + step, 0)
    state.note_saved()


def _delete(area_id: str) -> None:
    rough_canvas.settle(_CANVAS, _book)
    if services.store().delete_ignore_areas(state.scope(), [area_id]):
        _note_done(1)
    rough_canvas.refill(_CANVAS)


def _undo() -> None:
    rough_canvas.settle(_CANVAS, _book)
    try:
        services.store().undo(state.scope())
    except ImageBaseError as error:
        st.session_state[_PROBLEM] = str(error)
    _note_done(-1)
    rough_canvas.refill(_CANVAS)

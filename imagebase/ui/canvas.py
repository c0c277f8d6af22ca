"""The editor's canvas: the one place that knows streamlit-drawable-canvas."""

from functools import partial
from typing import Final

import streamlit as st

from imagebase.annotation import Box, ImageRecord, LabelSet, Size
from imagebase.ui import fabric
from imagebase.ui.editor import Editor, RecordAccess, undisturbed
from imagebase.ui.fabric import Viewport

CANVAS_KEY: Final = "edit.canvas"

_EDITOR: Final = "imagebase.editor."
_LARGEST_SCALE: Final = 4.0


def fitted(size: Size, within: Size) -> Size:
    """Return the largest display size of an image that fits, at most four times it."""
    fits = min(within.width / size.width, within.height / size.height)
    scale = min(fits, _LARGEST_SCALE)
    return Size(max(round(size.width * scale), 1), max(round(size.height * scale), 1))


def draw_editor(
    record: ImageRecord,
    *,
    background: bytes,
    display_size: Size,
    labels: LabelSet,
    current_label: str,
    access: RecordAccess,
    region: Box | None = None,
    max_display_height: int | None = None,
    key: str = CANVAS_KEY,
) -> None:
    """Draw the canvas with the record's boxes; what a person does is saved at once.

    Call `settle` before, and pass the record as it is then.

    Args:
        background: the region as JPEG, PNG or WebP bytes at about the display size.
        display_size: of the canvas, in screen pixels.
        current_label: what a box drawn next gets.
        region: the part of the image that is shown; the whole of it by default.
        max_display_height: a taller canvas scrolls within this height.
    """
    # Importing the package registers a component, which fails outside a Streamlit run.
    import streamlit_drawable_canvas as drawable

    editor = _editor(key)
    editor.access = access
    viewport = Viewport(region or Box(0, 0, *map(float, record.size)), display_size)
    was_left = key not in st.session_state  # and the browser knows nothing any more
    if was_left or not editor.shows(record, viewport):
        editor.fill(record, viewport, labels=labels)
    drawable.st_canvas(
        drawing_mode="labeled_rect",
        background_image=background,
        width=display_size.width,
        height=display_size.height,
        initial_drawing=editor.drawing,
        label=current_label,
        stroke_color=labels.colour_of(current_label),
        stroke_width=fabric.STROKE_WIDTH,
        fill_color=fabric.TRANSPARENT,
        font_size=fabric.FONT_SIZE,
        max_display_height=max_display_height,
        on_change=partial(settle, key=key),
        key=key,
    )


def settle(*, key: str = CANVAS_KEY) -> None:
    """Book what the canvas has said and nobody has taken in yet.

    Call it first in the fragment, and first in every callback that changes a record or
    goes to another image: the browser sends the drawing before the button, but their
    callbacks may come in one run, in any order. Doing so twice does no harm.
    """
    interruptions: list[BaseException] = []
    editor = undisturbed(lambda: _editor(key), interruptions)
    state = undisturbed(lambda: st.session_state.get(key), interruptions)
    drawing = (state or {}).get("drawing") or {}
    editor.book(drawing.get("raw") or {}, interruptions)
    if interruptions:
        raise interruptions[-1]


def refill(*, key: str = CANVAS_KEY) -> None:
    """Fill the canvas anew at the next run: the browser has made a new one."""
    _editor(key).refill()


def report(problem: str, *, key: str = CANVAS_KEY) -> None:
    """Keep a sentence for `take_problem`."""
    _editor(key).problem = problem


def take_problem(*, key: str = CANVAS_KEY) -> str:
    """Return once why a change was not saved; empty when all is well."""
    editor = _editor(key)
    problem, editor.problem = editor.problem, ""
    return problem


def actions_done(*, key: str = CANVAS_KEY) -> int:
    """Return how many keys the page has answered, for the browser to wait for."""
    return _editor(key).actions_done


def count_action(*, key: str = CANVAS_KEY) -> None:
    """Note that a key is answered by the run that follows."""
    _editor(key).actions_done += 1


def _editor(key: str) -> Editor:
    editor: Editor = st.session_state.setdefault(_EDITOR + key, Editor())
    return editor

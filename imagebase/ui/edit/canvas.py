"""Canvas of the Edit page: its keys, its overlay, and the adapter to the browser."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import streamlit as st

from imagebase.annotation import Annotation, Box, ImageRecord, LabelSet
from imagebase.annotation.areas import Shape, ShapeKind
from imagebase.errors import ImageBaseError
from imagebase.formats.shapes import corners
from imagebase.settings import ASSETS_FOLDER
from imagebase.ui.edit.canvas_messages import Action, Message, parcel, parse_message
from imagebase.ui.edit.canvas_state import Editor, RecordAccess
from imagebase.ui.state import undisturbed


def overlay(record: ImageRecord, marks: Iterable[Shape]) -> dict[str, Any]:
    """Return ignore areas and a reviewer's marks as the editor takes them.

    Paths are in pixels of the image; a brush has the width of its stroke.
    """
    kinds = (("ignored", record.ignored), ("mark", marks))
    return {
        "image": record.image_id,
        "paths": [
            {"kind": kind, "d": svg_path(one), "width": one.width}
            for kind, shapes in kinds
            for one in shapes
        ],
    }


def svg_path(shape: Shape) -> str:
    """Return a shape as the commands of an SVG path."""
    if shape.kind is ShapeKind.ELLIPSE:
        box = shape.bounds.normalised()
        middle = (box.y_min + box.y_max) / 2
        turn = f"A{box.width / 2:g} {box.height / 2:g} 0 0 1"
        return (
            f"M{box.x_min:g} {middle:g} {turn} {box.x_max:g} {middle:g} "
            f"{turn} {box.x_min:g} {middle:g}Z"
        )
    is_brush = shape.kind is ShapeKind.BRUSH
    points = list(shape.points) if is_brush else corners(shape)
    # A single point is a line to itself, which a round end makes a dot.
    line = [*points, *points] if len(points) == 1 else points
    path = " ".join(f"{x:g} {y:g}" for x, y in line)
    return f"M{path}" if is_brush else f"M{path}Z"


class Key(NamedTuple):
    """What some keys do.

    shown: how the keys are written for people.
    words: what they do.
    names: by key as the browser calls it, such as `ctrl+z`: a command of the editor
        itself, or else an action that it asks of the page.
    """

    shown: str
    words: str
    names: dict[str, str]


_DIGITS: Final = {str(digit): f"label:{digit}" for digit in range(1, 10)}

KEYS: Final = (
    Key("1 to 9", "Label the selected box, else the next one", _DIGITS),
    Key("L or double click", "Choose a label, or create one", {"l": "pick"}),
    Key("Tab", "Select the next box", {"tab": "following"}),
    Key("Shift + Tab", "Select the box before", {"shift+tab": "preceding"}),
    Key(
        "Arrows",
        "Move the selected box by 1 pixel; else ← → go to another image",
        {
            "arrowleft": "left",
            "arrowright": "right",
            "arrowup": "up",
            "arrowdown": "down",
        },
    ),
    Key(
        "Shift + arrows",
        "Move the selected box by 10 pixels",
        {
            "shift+arrowleft": "far-left",
            "shift+arrowright": "far-right",
            "shift+arrowup": "far-up",
            "shift+arrowdown": "far-down",
        },
    ),
    Key("D", "Duplicate the selected box", {"d": "duplicate"}),
    Key(
        "Delete or Backspace",
        "Delete the selected box, else the one under the pointer",
        {"delete": "delete", "backspace": "delete"},
    ),
    Key(
        "Escape",
        "Cancel the drawing or a waiting action, or deselect",
        {"escape": "cancel"},
    ),
    Key("Z", "Zoom to the selected box, and back", {"z": "closer"}),
    Key("F", "Fit the picture", {"f": "whole"}),
    Key(
        "Wheel, + and -",
        "Zoom",
        {"+": "larger", "=": "larger", "-": "smaller"},
    ),
    Key("Space, middle or right button", "Drag the picture", {}),
    Key("Shift", "Draw from an edge, or inside the selected box", {}),
    Key("H", "Hide or show labels", {"h": "chips"}),
    Key("N", "Next image", {"n": "next"}),
    Key("P", "Previous image", {"p": "previous"}),
    Key("Q", "Next doubtful image", {"q": "doubtful"}),
    Key("M", "Copy the boxes of the image before", {"m": "copy"}),
    Key("A", "Accept all boxes", {"a": "accept"}),
    Key("Enter", "Approve and go on", {"enter": "approve"}),
    Key("E", "Nothing here: approve as empty", {"e": "empty"}),
    Key("Ctrl + Z", "Undo", {"ctrl+z": "undo"}),
    Key(
        "Ctrl + Shift + Z or Ctrl + Y",
        "Redo",
        {"ctrl+shift+z": "redo", "ctrl+y": "redo"},
    ),
    Key("?", "Show or hide this list", {"?": "help"}),
)

# The page's buttons that do what a key does: the editor counts their clicks with the
# keys, so that each is once, for the image that was on screen, and after its boxes.
BUTTONS: Final = {
    "edit-previous": "previous",
    "edit-next": "next",
    "edit-undo": "undo",
    "edit-redo": "redo",
    "edit-copy": "copy",
    "edit-accept": "accept",
    "edit-empty": "empty",
    "edit-approve": "approve",
}


def in_words() -> list[list[str]]:
    """Return how the keys are written and what they do, for people."""
    return [[one.shown, one.words] for one in KEYS]


def names() -> dict[str, str]:
    """Return what each key does, by its name in the browser."""
    return {key: name for one in KEYS for key, name in one.names.items()}


CANVAS_KEY: Final = "edit.canvas"

_EDITOR: Final = "imagebase.editor."
_WISH: Final = ".wish"
_BELOW_PX: Final = 90


def draw_editor(
    record: ImageRecord,
    *,
    picture: bytes,
    labels: LabelSet,
    current_label: str,
    key_labels: Sequence[str],
    access: RecordAccess,
    on_action: Callable[[Action], None],
    detail: Callable[[Box], bytes],
    suggested: Sequence[Annotation] = (),
    offered_labels: Sequence[str] = (),
    pills: Sequence[str] = (),
    marks: Sequence[Shape] = (),
    below_px: int = _BELOW_PX,
    key: str = CANVAS_KEY,
) -> None:
    """Draw the editor with the record's boxes; what a person does is saved at once.

    Call `settle` before, and pass the record as it is then.

    Args:
        picture: of the whole image as JPEG, PNG or WebP bytes; it may be smaller.
        current_label: what a box drawn next gets.
        key_labels: what the keys from 1 on stand for, at most nine.
        on_action: is called with an action: its name is one in `keys.KEYS`, or `label:`
            and the name of a label, or `show:` and the id of an image. What was drawn
            before is booked by then.
        detail: returns a picture of a part of the image, as sharp as may be.
        suggested: boxes that are not stored; one that a person touches is then.
        offered_labels: names to choose from that the dataset has not.
        pills: the labels that are drawn above the editor, in their order.
        marks: what reviewers drew on it; shown, as ignore areas are.
        below_px: CSS pixels of the window to leave free below the editor.
    """
    editor = _editor(key)
    editor.access = access
    editor.note_choices()
    was_left = key not in st.session_state  # and the browser knows nothing any more
    view = record.with_annotations([*record.annotations, *suggested])
    if was_left or not editor.shows(view):
        editor.fill(view, {one.annotation_id: one for one in suggested})
    # Between them, or else gaps would be seen where there is nothing to see.
    with st.container(gap=None):
        _relay(key, "picture", {"image": record.image_id}, picture)
        _component()(
            key=key,
            data={
                "key": key,
                "filling": editor.filling,
                "labels": _colours(view, labels),
                "label": current_label,
                "keyLabels": list(key_labels[:9]),
                "keys": names(),
                "help": in_words(),
                "below": below_px,
                "place": access.place,
                "offered": list(offered_labels),
                "buttons": BUTTONS,
                "pills": list(pills),
                "shapes": overlay(record, marks),
            },
            on_said_change=partial(_listen, on_action, key),
            on_parting_change=partial(settle, key=key),
        )
        _details(record.image_id, detail, key)
        _relay(key, "answer", editor.answer())


def settle(*, key: str = CANVAS_KEY) -> None:
    """Book what the editor has said and nobody has taken in yet.

    Call it first in the fragment, and first in every callback that changes a record or
    goes to another image: the browser sends the drawing before the button, but their
    callbacks may come in one run, in any order. Doing so twice does no harm.
    """
    interruptions: list[BaseException] = []
    _settle(key, interruptions)
    if interruptions:
        raise interruptions[-1]


def refill(*, key: str = CANVAS_KEY) -> None:
    """Fill the editor anew at the next run."""
    _editor(key).refill()


def report(problem: str, *, key: str = CANVAS_KEY) -> None:
    """Keep a sentence for `take_problem`."""
    _editor(key).problem = problem


def take_problem(*, key: str = CANVAS_KEY) -> str:
    """Return once why a change was not saved; empty when all is well."""
    editor = _editor(key)
    problem, editor.problem = editor.problem, ""
    return problem


def _editor(key: str) -> Editor:
    editor: Editor = st.session_state.setdefault(_EDITOR + key, Editor())
    return editor


def _settle(key: str, interruptions: list[BaseException]) -> Message:
    editor = undisturbed(lambda: _editor(key), interruptions)
    state = undisturbed(lambda: st.session_state.get(key), interruptions)
    message = parse_message((state or {}).get("said"))
    for one in (parse_message((state or {}).get("parting")), message):
        editor.book(one, interruptions)
    return message


def _listen(on_action: Callable[[Action], None], key: str) -> None:
    """Book what was drawn, then do what the keys ask for, in their order."""
    interruptions: list[BaseException] = []
    message = _settle(key, interruptions)
    editor = undisturbed(lambda: _editor(key), interruptions)
    for action in editor.take_actions(message):
        on_action(action)
    if interruptions:
        raise interruptions[-1]


def _colours(record: ImageRecord, labels: LabelSet) -> list[tuple[str, str]]:
    shown = {one.name: one.colour for one in labels.shown}
    others = [one for one in record.labels if one not in shown]
    return [*shown.items(), *((one, labels.colour_of(one)) for one in others)]


@st.fragment
def _details(image_id: str, detail: Callable[[Box], bytes], key: str) -> None:
    """Send a sharper picture of what the person looks at; nothing else is drawn."""
    region = _region(st.session_state.get(_EDITOR + key + _WISH), image_id)
    content = b""
    if region is not None:
        try:
            content = detail(region)
        except ImageBaseError:
            region = None  # the coarser picture stays
    head = {"image": image_id, "box": None if region is None else list(region)}
    _relay(key, "detail", head, content, on_ask_change=partial(_keep_wish, key))


def _keep_wish(key: str) -> None:
    wish = (st.session_state.get(f"{key}.detail") or {}).get("ask")
    if wish:
        st.session_state[_EDITOR + key + _WISH] = wish


def _region(wish: object, image_id: str) -> Box | None:
    """Return the part that is asked for; None where it is not of this image."""
    match wish:
        case {"image": str(image), "box": [x0, y0, x1, y1]} if image == image_id:
            edges = (x0, y0, x1, y1)
            if all(isinstance(one, int | float) for one in edges):
                box = Box(*map(float, edges))
                return box if box.is_finite and box.area > 0 else None
    return None


def _relay(
    key: str,
    kind: str,
    head: Mapping[str, object],
    content: bytes = b"",
    on_ask_change: Callable[[], None] | None = None,
) -> None:
    """Send something to the editor; Streamlit sends what is large once only."""
    relay = st.components.v2.component("imagebase_relay", js=_text("relay.js"))
    relay(
        key=f"{key}.{kind}",
        data=parcel({"editor": key, "kind": kind, **head}, content),
        on_ask_change=on_ask_change,
    )


def _component() -> Callable[..., Any]:
    return st.components.v2.component(
        "imagebase_editor",
        html=_text("editor.html"),
        css=_text("editor.css"),
        js="".join(map(_text, ("boxes.js", "outbox.js", "picker.js", "editor.js"))),
    )


def _text(file_name: str) -> str:
    return (ASSETS_FOLDER / file_name).read_text(encoding="utf-8")

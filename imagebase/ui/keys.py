"""The editor's keys and tool buttons: a small component beside the canvas.

The canvas has no keyboard and its tools cannot be switched from Python. This component
presses the canvas's own buttons, sends a drawing on its way before anything else can
happen, keeps the pointer on the picture while a box is drawn, and says so when the
browser has made a new canvas, which shows an old drawing.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import streamlit as st

from imagebase.ui import canvas
from imagebase.ui.editor import undisturbed

KEYS_KEY: Final = "edit.keys"

# What a key asks of the page; `label:3` is the third label.
ACTIONS: Final = {
    "next": "N or →",
    "previous": "P or ←",
    "approve": "Enter",
    "accept": "A",
    "undo": "Ctrl + Z",
    "redo": "Ctrl + Shift + Z or Ctrl + Y",
    "help": "?",
}

# What a key does on the canvas itself.
TOOLS: Final = {
    "Draw boxes": "D",
    "Move, resize and relabel": "V",
    "Delete the selected box": "Delete or Backspace",
    "Label the next box, or the selected one": "1 to 9",
}

_ASSETS: Final = Path(__file__).parent / "assets"


def draw_keys(
    *,
    on_action: Callable[[str], None],
    label_names: tuple[str, ...],
    room: str | None = None,
    key: str = KEYS_KEY,
    canvas_key: str = canvas.CANVAS_KEY,
) -> None:
    """Draw the tool buttons and listen for keys.

    Args:
        on_action: is called with a name among `ACTIONS` or with `label:` and a number
            from 1, or with `room:` and what there is of it; what was drawn before is
            booked by then.
        label_names: what the keys from 1 on stand for, at most nine.
        room: width of the page and height of the window as known, such as 1130x800, in
            CSS pixels; None where nobody wants to hear of another.
    """
    listener = st.components.v2.component(
        "imagebase_editor_keys",
        html=(_ASSETS / "keys.html").read_text(encoding="utf-8"),
        css=(_ASSETS / "keys.css").read_text(encoding="utf-8"),
        js=(_ASSETS / "keys.js").read_text(encoding="utf-8"),
    )
    listener(
        key=key,
        data={
            "canvas": _css_class(canvas_key),
            "labels": list(label_names[:9]),
            "room": room,
            "done": canvas.actions_done(key=canvas_key),
        },
        on_action_change=partial(_act, on_action, key, canvas_key),
        on_remount_change=partial(canvas.refill, key=canvas_key),
    )


def _css_class(key: str) -> str:
    """Return the class that Streamlit gives to the element of this key."""
    kept = (c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in key)
    return "st-key-" + "".join(kept)


def _act(on_action: Callable[[str], None], key: str, canvas_key: str) -> None:
    interruptions: list[BaseException] = []
    finish = partial(undisturbed, interruptions=interruptions)
    finish(partial(canvas.settle, key=canvas_key))
    state = finish(lambda: st.session_state.get(key)) or {}
    action = str(state.get("action") or "")
    if action:
        finish(partial(canvas.count_action, key=canvas_key))
        on_action(action)
    if interruptions:
        raise interruptions[-1]

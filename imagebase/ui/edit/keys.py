"""The one table of the editor's keys, and the keys that a person chose.

The editor, its list of keys, the tooltips, README.md and docs/correcting.md take them
from here; after a change run `python -m scripts.key_tables`. To add a key, add a row:
its name is a command of the editor (`commands` in editor.js) or an action of the page
(`_KEYS` in page.py).
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import streamlit as st

IMAGEBASE: Final = "ImageBase"
# Keys of other tools, where they do what an action here does. Read in November 2026:
# https://github.com/cvat-ai/cvat/blob/develop/site/content/en/docs/getting_started/shortcuts.md
# https://github.com/HumanSignal/labelImg#hotkeys and the menus of its labelImg.py
# https://docs.roboflow.com/annotate/use-roboflow-annotate, and for R
# https://github.com/SkalskiP/make-sense/issues/345. Its N marks an image as null, so
# the next image needs another key; it documents none.
PRESETS: Final = (IMAGEBASE, "CVAT", "labelImg", "Roboflow")


@dataclass(frozen=True, slots=True)
class Hotkey:
    """A row of the table.

    name: the command or action that its keys run.
    words: its description.
    keys: as the browser names them, like `ctrl+z`; several with spaces between.
    cvat, labelimg, roboflow: the keys in this preset; None for the usual ones.
    beside: what the mouse does for it, for people; several with commas between.
    fixed: by key the command or action, in a row that cannot be changed.
    shown: the keys of such a row, for people.
    """

    name: str
    words: str
    keys: str = ""
    cvat: str | None = None
    labelimg: str | None = None
    roboflow: str | None = None
    beside: str = ""
    fixed: Mapping[str, str] = field(default_factory=dict)
    shown: str = ""

    def in_preset(self, preset: str) -> tuple[str, ...]:
        """Return the keys in a preset; none in a row that cannot be changed."""
        own = {"CVAT": self.cvat, "labelImg": self.labelimg, "Roboflow": self.roboflow}
        keys = own.get(preset)
        return tuple((self.keys if keys is None else keys).split())


def _arrows(before: str, name: str) -> dict[str, str]:
    """Return the four arrows with a modifier, such as `shift+`, by key."""
    ways = ("left", "right", "up", "down")
    return {f"{before}arrow{way}": f"{name}{way}" for way in ways}


KEYS: Final = (
    Hotkey(
        "labels",
        "Label the selected boxes or the next one",
        fixed={str(digit): f"label:{digit}" for digit in range(1, 10)},
        shown="1 to 9",
    ),
    Hotkey(
        "pick",
        "Choose or create a label",
        "l",
        labelimg="ctrl+e",
        beside="double-click",
    ),
    Hotkey(
        "click",
        "Select the box, or add the suggestion as a box",
        shown="Click or tap",
    ),
    Hotkey(
        "gather",
        "Add a box to the selection or remove it (by touch: hold it); select all in "
        "a rectangle",
        shown="Ctrl + click, Ctrl + drag",
    ),
    Hotkey("all", "Select all boxes", "ctrl+a"),
    Hotkey("take", "Add the suggestion as a box, even inside another box", "g"),
    Hotkey(
        "other",
        "Show the next suggestion, or change the box just made of one to it",
        "v",
        beside="Alt + wheel",
    ),
    Hotkey(
        "snap",
        "Snap the selected box, or the one under the pointer, to a suggestion",
        "s",
    ),
    Hotkey("following", "Select the next box", "tab"),
    Hotkey("preceding", "Select the previous box", "shift+tab"),
    Hotkey(
        "move",
        "Move the selected boxes by 1 pixel; without any, ← → change the image",
        fixed=_arrows("", ""),
        shown="Arrows",
    ),
    Hotkey(
        "move-far",
        "Move the selected boxes by 10 pixels",
        fixed=_arrows("shift+", "far-"),
        shown="Shift + arrows",
    ),
    Hotkey(
        "far-edges",
        "Move right or bottom edges of the selected boxes by 1 pixel, held by 10",
        fixed=_arrows("ctrl+", "far-edge-"),
        shown="Ctrl + arrows",
    ),
    Hotkey(
        "near-edges",
        "Move their left or top edges",
        fixed=_arrows("ctrl+shift+", "near-edge-"),
        shown="Ctrl + Shift + arrows",
    ),
    Hotkey(
        "duplicate",
        "Duplicate the selected boxes",
        "d",
        cvat="ctrl+v",
        labelimg="ctrl+d",
    ),
    Hotkey(
        "delete",
        "Delete the selected boxes or the one under the pointer",
        "delete backspace",
    ),
    Hotkey(
        "cancel",
        "Cancel drawing or a waiting action, deselect, or hide the suggestion",
        fixed={"escape": "cancel"},
        shown="Escape",
    ),
    Hotkey("closer", "Zoom to the selected box and back", "z"),
    Hotkey("whole", "Fit image", "f", cvat="shift+f", labelimg="ctrl+f"),
    Hotkey("larger", "Zoom in", "+ =", beside="wheel"),
    Hotkey("smaller", "Zoom out", "-", beside="wheel"),
    Hotkey(
        "pan", "Drag the image", "space", labelimg="", beside="middle, right button"
    ),
    Hotkey("draw", "Draw from an edge or inside the selected box", shown="Shift"),
    Hotkey("chips", "Hide or show labels; hold to hide them briefly", "h"),
    Hotkey(
        "boxes",
        "Hide or show boxes; hold to hide them briefly",
        "b",
        labelimg="ctrl+h",
    ),
    Hotkey("display", "Brightness, contrast, gamma, line width", "i"),
    Hotkey("brighter", "Brighten the image", "."),
    Hotkey("darker", "Darken the image", ","),
    Hotkey("more-contrast", "More contrast", ">"),
    Hotkey("less-contrast", "Less contrast", "<"),
    Hotkey("plain", "Reset the display settings", "o"),
    Hotkey("next", "Next image", "n", cvat="f", labelimg="d", roboflow="pagedown"),
    Hotkey(
        "previous", "Previous image", "p", cvat="d", labelimg="a", roboflow="pageup"
    ),
    Hotkey("doubtful", "Next uncertain image", "q"),
    Hotkey(
        "copy",
        "Copy the boxes of the previous image",
        "m",
        labelimg="ctrl+v",
        roboflow="r",
    ),
    Hotkey("copy-on", "Copy the boxes on to other images", "shift+m", cvat="ctrl+b"),
    Hotkey("accept", "Accept all boxes", "a", labelimg="shift+a"),
    Hotkey(
        "approve",
        "Approve and open the next image",
        "enter",
        labelimg="space enter",
    ),
    Hotkey("empty", "Mark as empty: delete boxes and approve", "e", roboflow="n"),
    Hotkey("undo", "Undo", "ctrl+z"),
    Hotkey("redo", "Redo", "ctrl+shift+z ctrl+y"),
    Hotkey("help", "Show or hide this list, and change keys", "?", cvat="f1 ?"),
)

# Keys that close, reload or leave the page, or belong to the browser in another way.
RESERVED: Final = (
    *("tab", "shift+tab", "ctrl+tab", "ctrl+shift+tab", "contextmenu", "printscreen"),
    *("f3", "f5", "f6", "f7", "f10", "f11", "f12", "shift+f5", "ctrl+f4", "ctrl+f5"),
    *(f"ctrl+{key}" for key in "wtnrlqjkopusc0123456789+-="),
    *(f"ctrl+shift+{key}" for key in "wtnrqijckbop"),
    *("ctrl+pageup", "ctrl+pagedown", "ctrl+shift+delete"),
)
_NAMES: Final = {
    "arrowleft": "←",
    "arrowright": "→",
    "arrowup": "↑",
    "arrowdown": "↓",
    "pagedown": "Page Down",
    "pageup": "Page Up",
}
_KEPT: Final = "imagebase.edit.keys"
_LONGEST: Final = 40


def in_words(key: str) -> str:
    """Return a key as people write it: `ctrl+shift+z` as Ctrl + Shift + Z."""
    *modifiers, last = re.split(r"\+(?=.)", key)
    names = [*modifiers, _NAMES.get(last, last)]
    return " + ".join(name[:1].upper() + name[1:] for name in names)


def shown(row: Hotkey, keys: Iterable[str]) -> str:
    """Return the keys of a row, and what the mouse does for it, for people."""
    words = [*_parts(row.shown), *map(in_words, keys), *_parts(row.beside)] or ["none"]
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def listed(preset: str = IMAGEBASE) -> list[list[str]]:
    """Return keys and description of each row."""
    return [[shown(row, row.in_preset(preset)), row.words] for row in KEYS]


def names(preset: str = IMAGEBASE) -> dict[str, str]:
    """Return the command or action of each key, by its name in the browser."""
    return {
        key: name
        for row in KEYS
        for key, name in [
            *((key, row.name) for key in row.in_preset(preset)),
            *row.fixed.items(),
        ]
    }


@cache
def packed() -> dict[str, Any]:
    """Return the table for the editor; `presets` is empty where keys are fixed."""
    return {
        "presets": PRESETS,
        "reserved": RESERVED,
        "words": _NAMES,
        "rows": [
            {
                "name": row.name,
                "words": row.words,
                "shown": _parts(row.shown),
                "beside": _parts(row.beside),
                "fixed": dict(row.fixed),
                "presets": _presets(row),
            }
            for row in KEYS
        ],
    }


def _parts(text: str) -> list[str]:
    return text.split(", ") if text else []


def _presets(row: Hotkey) -> dict[str, list[str]]:
    """Return the keys in the first preset, and in those that have others."""
    usual = row.in_preset(IMAGEBASE)
    all_keys = {preset: row.in_preset(preset) for preset in PRESETS if row.keys}
    return {
        preset: list(keys)
        for preset, keys in all_keys.items()
        if preset == IMAGEBASE or keys != usual
    }


def keep(text: str) -> None:
    """Keep what a browser says a person chose: JSON of `preset` and `own` keys."""
    st.session_state[_KEPT] = text


def kept() -> str:
    """Return what was kept last."""
    text: str = st.session_state.get(_KEPT, "")
    return text


def chosen(text: str) -> dict[str, tuple[str, ...]]:
    """Return the keys of each row as a person chose; what is not valid is left out."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = {}
    given = given if isinstance(given, dict) else {}
    preset, own = given.get("preset"), given.get("own")
    usual = {row.name: row.in_preset(str(preset)) for row in KEYS if row.keys}
    changed = {
        name: tuple(
            key for key in keys if isinstance(key, str) and 0 < len(key) < _LONGEST
        )
        for name, keys in (own.items() if isinstance(own, dict) else ())
        if name in usual and isinstance(keys, list)
    }
    taken = {key for keys in changed.values() for key in keys}
    left = {
        name: tuple(key for key in keys if key not in taken)
        for name, keys in usual.items()
    }
    return left | changed


def hint(words: str, name: str) -> str:
    """Return words for a tooltip with this person's key of an action."""
    keys = chosen(kept()).get(name)
    return f"{words} ({in_words(keys[0])})" if keys else words

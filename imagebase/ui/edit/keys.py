"""The editor's keys: the one table of what is pressed, what it does, and its words."""

from typing import Final, NamedTuple


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

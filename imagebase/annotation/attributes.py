"""Attributes of a box: their names, which values are allowed, and how they are written.

A name may be any text. Some have one meaning in all formats: `occluded`, `truncated`
and `difficult` are true or false, `pose` is a text, and `group` a number or text that
boxes of one object share.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from imagebase.annotation import Attributes, AttributeValue, clean_text

OCCLUDED: Final = "occluded"
TRUNCATED: Final = "truncated"
DIFFICULT: Final = "difficult"
POSE: Final = "pose"
GROUP: Final = "group"
FLAGS: Final = (OCCLUDED, TRUNCATED, DIFFICULT)

MAX_ATTRIBUTES: Final = 50
MAX_NAME_LENGTH: Final = 100
MAX_VALUE_LENGTH: Final = 1_000

# False says no more of these than that nothing is known.
_QUIET_IF_FALSE: Final = frozenset({*FLAGS, "depiction", "inside"})
# What XML 1.0 cannot hold, and line ends, which it changes.
_UNKEPT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_LINE_ENDS: Final = re.compile("\r\n?|[\x85\u2028]")
_MAX_WHOLE: Final = 2**53
_WORDS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("true", "yes", "1", "1.0"), True),
    **dict.fromkeys(("false", "no", "0", "0.0"), False),
}
_SHOWN_LETTERS: Final = 40


class Cleaned(NamedTuple):
    """Attributes fit to be kept, and a sentence about each that is left out."""

    kept: Attributes
    problems: tuple[str, ...]


def clean_attributes(given: Mapping[str, object]) -> Cleaned:
    """Return what can be kept of attributes from a file or a form.

    Texts are cleaned; None and empty values are no attributes.
    """
    clean: dict[str, AttributeValue] = {}
    problems = []
    for key, value in given.items():
        name = _cleaned(str(key)).replace("\n", " ")
        shown = repr(name[:_SHOWN_LETTERS])
        if isinstance(value, str):
            value = _cleaned(value)
        if value is None or value in ("", [], {}):
            continue
        reason = _reason_against(name, value, clean)
        if reason is not None:
            problems.append(f"its attribute {shown} {reason}, and is not kept")
        else:
            assert isinstance(value, bool | int | float | str)
            clean[name] = value
    return Cleaned(clean, tuple(problems))


def _cleaned(text: str) -> str:
    return _UNKEPT.sub("", clean_text(_LINE_ENDS.sub("\n", text))).strip()


def _reason_against(name: str, value: object, clean: Attributes) -> str | None:
    """Return why an attribute cannot be added to those kept so far, or None."""
    if not name:
        return "has no name"
    if len(name) > MAX_NAME_LENGTH:
        return f"has a name of more than {MAX_NAME_LENGTH} characters"
    if not isinstance(value, bool | int | float | str):
        return "holds more than one value"
    if isinstance(value, str) and len(value) > MAX_VALUE_LENGTH:
        return f"is longer than {MAX_VALUE_LENGTH:,} characters"
    if isinstance(value, int) and abs(value) > _MAX_WHOLE:
        return "is too large a number"
    if isinstance(value, float) and not math.isfinite(value):
        return "is not a number"
    if name in clean:
        return "is there twice"
    if len(clean) >= MAX_ATTRIBUTES:
        return f"comes after {MAX_ATTRIBUTES} others, which are the most"
    return None


def check_attributes(attributes: object) -> None:
    """Check that attributes can be stored unchanged; None stands for none.

    Raises:
        ValueError: they cannot.
    """
    if attributes is None:
        return
    if not isinstance(attributes, dict) or clean_attributes(attributes) != (
        attributes,
        (),
    ):
        raise ValueError("its attributes are invalid")


def stated(attributes: Attributes) -> Attributes:
    """Return the attributes that say something, by name: `occluded: False` does not."""
    return {
        name: value
        for name, value in sorted(attributes.items())
        if value is not False or name not in _QUIET_IF_FALSE
    }


def text_of(value: AttributeValue) -> str:
    """Return a value as text that `value_of` reads."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def value_of(text: str) -> AttributeValue:
    """Return what a text stands for: true or false, a number, or itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        # "007" and "1e3" are texts: as numbers they would come back as others.
        if str(number) == text and (kind is int or math.isfinite(number)):
            return number
    return text


def read_value(name: str, value: object) -> object:
    """Return a value that a file has under this name.

    Flags may be written as numbers or words; what is neither true nor false stays, and
    false is None, since most programs write it for every box.
    """
    if name not in FLAGS:
        return value
    known = _WORDS.get(str(value).strip().lower(), value)
    return None if known is False else known


def read_text(name: str, text: str | None) -> object:
    """Return the value that a text stands for, in a file that has texts only."""
    typed = value_of((text or "").strip())
    return read_value(name, typed)


def as_texts(attributes: Attributes) -> dict[str, str]:
    """Return stated attributes as texts that are the same in every format."""
    items = stated(attributes).items()
    return {name: text_of(value_of(text_of(value))) for name, value in items}


def in_words(attributes: Attributes) -> str:
    """Return attributes as people read them: `occluded, color = red`."""
    return ", ".join(_words(attributes)) if attributes else ""


def _words(attributes: Attributes) -> Iterator[str]:
    for name, value in stated(attributes).items():
        yield name if value is True else f"{name} = {text_of(value)}"


def parsed(text: str) -> tuple[str, str | None]:
    """Return the name and the value of `color = red`; None for a name alone."""
    name, equals, value = text.partition("=")
    return name.strip(), value.strip() if equals else None

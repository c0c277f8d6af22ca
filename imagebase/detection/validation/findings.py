"""What the doctor says: one sentence a finding, and how bad it is."""

from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """Good to know, to be looked at, or in the way of using the model."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


class Finding(NamedTuple):
    """One sentence for a person, and how bad it is."""

    level: Level
    text: str


def good(text: str) -> Finding:
    return Finding(Level.GOOD, text)


def warning(text: str) -> Finding:
    return Finding(Level.WARNING, text)


def bad(text: str) -> Finding:
    return Finding(Level.BAD, text)


def is_bad(findings: list[Finding]) -> bool:
    """Say whether any of them is in the way."""
    return any(one.level is Level.BAD for one in findings)

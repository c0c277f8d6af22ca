"""Counts and lists in sentences."""

from collections.abc import Sequence


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: 1 image, 2 images, 3 boxes."""
    return f"{count:,} {plural_noun(count, noun)}"


def plural_noun(count: int, noun: str) -> str:
    """Return a noun as it stands behind a count."""
    if count == 1:
        return noun
    return f"{noun}{'es' if noun.endswith(('x', 's')) else 's'}"


def listed(parts: Sequence[str]) -> str:
    """Return parts as a sentence has them: a, b and c."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def ordinal(number: int) -> str:
    """Return a place in a row: 1st, 2nd, 3rd, 11th."""
    endings = {1: "st", 2: "nd", 3: "rd"}
    is_teen = number % 100 in (11, 12, 13)
    return f"{number:,}{'th' if is_teen else endings.get(number % 10, 'th')}"


def and_more(first: str, count: int) -> str:
    """Return the first of so many things, and how many more there are."""
    return f"{first} and {count - 1:,} more" if count > 1 else first


def percent(share: float) -> str:
    """Return a confidence or a share, 0 to 1, as people read it: 94 %."""
    return f"{share * 100:.0f} %"

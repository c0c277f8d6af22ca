"""Which label each digit chooses: see docs/decisions/0021-digits-and-guesses.md."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import streamlit as st

from imagebase.annotation import LabelSet, Source
from imagebase.ui import services, state

# Keys for labels.
DIGITS: Final = 9
_NEWEST: Final = 200
_KEPT: Final = "imagebase.edit.digits"
_PINNED: Final = "imagebase.edit.pinned"


@dataclass(frozen=True, slots=True)
class Digits:
    """The labels of the digits, from 1 on, while an image is open.

    place: dataset and image. names: labels of the dataset, when they were given digits.
    """

    place: tuple[str, str] = ("", "")
    names: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


def arranged(
    names: Sequence[str],
    *,
    pinned: Mapping[str, int] = {},
    guessed: Sequence[str] = (),
    recent: Sequence[str] = (),
    before: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return the labels of the digits from 1 on, at most nine.

    Where the dataset has no more labels than digits, they are in its order, and guessed
    ones that it lacks come after them. Of more labels the pinned ones keep their
    digits; guessed ones come next, then recent ones, then the others. A label that had
    a digit before keeps it.

    Args:
        names: of the dataset, in its order.
        pinned: digits by label.
        guessed: for the box that was just finished, best first.
        recent: used last first. before: the arrangement until now.
    """
    if len(names) <= DIGITS:
        return tuple(dict.fromkeys([*names, *guessed]))[:DIGITS]
    slots: dict[int, str] = {
        digit: label
        for label, digit in pinned.items()
        if label in names and 1 <= digit <= DIGITS
    }
    known = [label for label in recent if label in names]
    wanted = dict.fromkeys([*slots.values(), *guessed, *known, *names])
    rest = [label for label in wanted if label not in slots.values()]
    rest = rest[: DIGITS - len(slots)]
    for digit, label in enumerate(before[:DIGITS], 1):
        if label in rest and digit not in slots:
            slots[digit] = label
    new = iter([label for label in rest if label not in slots.values()])
    return tuple(
        slots[digit] if digit in slots else next(new) for digit in range(1, DIGITS + 1)
    )


def current(labels: LabelSet, image_id: str) -> tuple[str, ...]:
    """Return the labels of the digits on this image; they change when it is opened.

    Labels that were added since take free digits.
    """
    names = tuple(labels.shown_names)
    place = (state.scope().dataset_id, image_id)
    kept = _kept()
    if kept.place != place or kept.names != names[: len(kept.names)]:
        return _arrange(names, place)
    added = names[len(kept.names) :]
    now = tuple(dict.fromkeys([*kept.labels, *added]))[:DIGITS]
    st.session_state[_KEPT] = replace(kept, names=names, labels=now)
    return now


def with_guesses(
    labels: LabelSet, image_id: str, guessed: Sequence[str]
) -> tuple[str, ...]:
    """Return the labels of the digits now that a box has been finished."""
    place = (state.scope().dataset_id, image_id)
    return _arrange(tuple(labels.shown_names), place, guessed)


def _arrange(
    names: tuple[str, ...], place: tuple[str, str], guessed: Sequence[str] = ()
) -> tuple[str, ...]:
    kept = _kept()
    is_many = len(names) > DIGITS
    now = arranged(
        names,
        pinned=pinned(),
        guessed=guessed,
        recent=list(_recent()) if is_many else (),
        before=kept.labels if kept.place[0] == place[0] else (),
    )
    st.session_state[_KEPT] = Digits(place, names, now)
    return now


def _kept() -> Digits:
    kept: Digits = st.session_state.get(_KEPT, Digits())
    return kept


def _recent() -> Iterator[str]:
    """Yield the labels this person used last, then the most frequent of late."""
    scope = state.scope()
    rows = services.store().annotation_rows(scope, order="newest", limit=_NEWEST)
    boxes = [row.annotation for row in rows]
    for box in boxes:
        if box.source is Source.HUMAN and box.changed_by == scope.who:
            yield box.label
    for label, _ in Counter(box.label for box in boxes).most_common():
        yield label


def pin(text: str) -> None:
    """Keep the pinned labels, `{label: digit}` as JSON; anything else is left out."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(given, dict):
        return
    digits = {
        label: digit
        for label, digit in given.items()
        if isinstance(digit, int) and 1 <= digit <= DIGITS
    }
    st.session_state[_PINNED] = (state.scope().dataset_id, digits)
    st.session_state[_KEPT] = replace(_kept(), place=(_kept().place[0], ""))


def pinned() -> dict[str, int]:
    """Return the digits of the labels that are pinned in this dataset."""
    kept: tuple[str, dict[str, int]] = st.session_state.get(_PINNED, ("", {}))
    dataset_id, digits = kept
    return digits if dataset_id == state.scope().dataset_id else {}

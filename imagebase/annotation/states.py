"""Groups of images by their state: counted, filtered and chosen alike everywhere."""

from collections.abc import Iterable, Mapping
from typing import Final

from imagebase.annotation import NOT_APPROVED, TO_REVIEW, ReviewStatus

Statuses = tuple[ReviewStatus, ...]

# Neither approved nor rejected yet: what a person still goes through.
UNDECIDED: Final[Statuses] = (ReviewStatus.NEW, *TO_REVIEW)

APPROVED: Final = "approved"
REVIEWED: Final = "reviewed"
LABELLED: Final = "labelled"
ALL: Final = "all"

# Which images an export holds, or an evaluation rests on, by the name that is kept.
SCOPES: Final[Mapping[str, Statuses]] = {
    APPROVED: (ReviewStatus.APPROVED,),
    REVIEWED: (ReviewStatus.EDITED, ReviewStatus.APPROVED),
    LABELLED: (ReviewStatus.IMPORTED, ReviewStatus.EDITED, ReviewStatus.APPROVED),
    ALL: tuple(ReviewStatus),
}
SCOPE_WORDS: Final[Mapping[str, str]] = {
    APPROVED: "approved",
    REVIEWED: "edited and approved",
    LABELLED: "imported, edited and approved",
    ALL: "all",
}

# What can be filtered by, by its word on screen.
GROUPS: Final[Mapping[str, Statuses]] = {
    "new": (ReviewStatus.NEW,),
    "to review": TO_REVIEW,
    "suggested": (ReviewStatus.SUGGESTED,),
    "imported": (ReviewStatus.IMPORTED,),
    "edited": (ReviewStatus.EDITED,),
    "approved": (ReviewStatus.APPROVED,),
    "rejected": (ReviewStatus.REJECTED,),
    "not approved": NOT_APPROVED,
}
# Those that Review's filters offer.
FILTERS: Final = tuple(name for name in GROUPS if name != "not approved")


def count(counts: Mapping[ReviewStatus, int], statuses: Iterable[ReviewStatus]) -> int:
    """Return how many images stand in any of these states."""
    return sum(counts.get(status, 0) for status in statuses)


def group_counts(counts: Mapping[ReviewStatus, int]) -> dict[str, int]:
    """Return how many images each of the `GROUPS` has."""
    return {name: count(counts, statuses) for name, statuses in GROUPS.items()}


def statuses_of(groups: Iterable[str]) -> list[ReviewStatus]:
    """Return the states that are in any of these groups, each once, in their order."""
    wanted = {status for name in groups for status in GROUPS[name]}
    return [status for status in ReviewStatus if status in wanted]


def usual_scope(counts: Mapping[ReviewStatus, int], names: Iterable[str]) -> str:
    """Return the first of these scopes that holds any image, or the first of them."""
    known = list(names)
    filled = (name for name in known if count(counts, SCOPES[name]))
    return next(filled, known[0])

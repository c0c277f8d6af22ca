"""What a step of undo or redo did, in words."""

from collections import Counter
from collections.abc import Sequence

from imagebase.store.changes import Revision
from imagebase.store.columns import JsonObject
from imagebase.store.differences import ANNOTATION, Difference


def where_in_words(revisions: Sequence[Revision]) -> str:
    """Return the image of a step, or how many there are; empty for none."""
    if not revisions:
        return ""
    if len(revisions) == 1:
        return f" on {revisions[0].stored.record.file_name}"
    return f" on {len(revisions)} images"


def words_of_boxes(revisions: Sequence[Revision]) -> list[str]:
    """Return what happened to boxes and reviews, a clause for each kind of it."""
    counted = Counter(
        _kind_of(one) for revision in revisions for one in revision.differences
    )
    return [
        f"{count} {noun if count == 1 else plural} {verb}"
        for (noun, plural, verb), count in counted.items()
    ]


def words_of_removed(names: Sequence[str]) -> list[str]:
    """Return which labels are removed, as a clause."""
    if len(names) == 1:
        return [f"the label {names[0]} is removed"]
    return [f"{len(names)} labels are removed"] if names else []


def _kind_of(one: Difference) -> tuple[str, str, str]:
    if one.kind != ANNOTATION:
        return ("review", "reviews", "restored")
    verbs = {
        (False, True): "put back",
        (True, False): "taken away",
        (True, True): "changed",
        (False, False): "forgotten",
    }
    return ("box", "boxes", verbs[is_shown(one.before), is_shown(one.after)])


def is_shown(kept: JsonObject | None) -> bool:
    """Say whether an event kept a box that is on its image."""
    return kept is not None and not kept["is_deleted"]

"""Truth and detections on one picture: objects solid, detections thinner and dashed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from imagebase.annotation import Annotation, Box, LabelSet, Size, Source
from imagebase.evaluation.error_types import Fate, Mistake, Verdicts
from imagebase.images.decode import RgbArray
from imagebase.images.draw import draw_annotations
from imagebase.wording import percent

_NAMED: Final = 4


def boxes_of_mistakes(
    verdicts: Verdicts, mistakes: Iterable[Mistake]
) -> list[Annotation]:
    """Return the boxes that mistakes are about, to be drawn: each box once."""
    drawn: dict[tuple[str, int], Annotation] = {}
    for one in mistakes:
        if one.object is not None:
            drawn["object", one.object] = object_box(verdicts, one.object)
        if one.found is not None:
            drawn["found", one.found] = found_box(verdicts, one.found)
    return list(drawn.values())


def object_box(verdicts: Verdicts, row: int) -> Annotation:
    """Return an object of the truth as a person's box: a solid line."""
    truth = verdicts.truth
    return Annotation(
        Box(*truth.xyxy[row].tolist()),
        truth.labels[truth.label[row]],
        annotation_id=f"object {row}",
        source=Source.HUMAN,
    )


def found_box(verdicts: Verdicts, row: int) -> Annotation:
    """Return a detection as a model's untouched box: a dashed line."""
    found = verdicts.found
    return Annotation(
        Box(*found.xyxy[row].tolist()),
        verdicts.truth.labels[found.label[row]],
        annotation_id=f"found {row}",
        source=Source.MODEL,
        confidence=float(found.confidence[row]),
    )


def drawn(
    rgb: RgbArray, annotations: Sequence[Annotation], labels: LabelSet, size: Size
) -> RgbArray:
    """Return a copy of a picture with these boxes on it."""
    return draw_annotations(rgb, annotations, labels=labels, from_size=size)


def in_words(verdicts: Verdicts, mistake: Mistake) -> str:
    """Return what is wrong in a few words: "no dog was found here"."""
    thing = _label_of_object(verdicts, mistake.object)
    said, sure = "", ""
    if mistake.found is not None:
        said = verdicts.truth.labels[verdicts.found.label[mistake.found]]
        sure = percent(float(verdicts.found.confidence[mistake.found]))
    match mistake.fate:
        case Fate.RIGHT:
            return f"found: {said} {sure}"
        case Fate.MISSED:
            return f"missed: {thing}"
        case Fate.FALSE_ALARM:
            return f"false alarm: {said} {sure}"
        case Fate.MIX_UP:
            return f"mix-up: {thing} taken for {said} {sure}"
        case _:
            overlap = f"{mistake.overlap:.0%}".replace("%", " %")
            return f"loose: {said} {sure}, overlaps by {overlap}"


def _label_of_object(verdicts: Verdicts, row: int | None) -> str:
    return "" if row is None else verdicts.truth.labels[verdicts.truth.label[row]]


def listed(verdicts: Verdicts, mistakes: Sequence[Mistake]) -> str:
    """Return the first few mistakes in words, and how many more there are."""
    counts = Counter(in_words(verdicts, one) for one in mistakes)
    told = [
        words if count == 1 else f"{words} × {count}"
        for words, count in list(counts.items())[:_NAMED]
    ]
    rest = sum(list(counts.values())[_NAMED:])
    return "; ".join([*told, f"and {rest} more"] if rest else told)

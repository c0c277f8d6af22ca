"""Boxes that people have labelled, as examples of what a label looks like."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from imagebase.annotation import Source
from imagebase.assist.label_guess import BoxExamples, extent_of
from imagebase.review.similar_boxes import looks_of
from imagebase.store import AnnotationFilter, AnnotationRow, Scope, Store

# Of the newest boxes so many are examples, and so many of each label.
_NEWEST: Final = 600
_PER_LABEL: Final = 40
_PEOPLES: Final = AnnotationFilter(sources=[Source.HUMAN, Source.IMPORT])


def box_examples(
    store: Store,
    scope: Scope,
    *,
    max_pixels: int,
    most_images: int,
    besides: str = "",
) -> tuple[BoxExamples, bool]:
    """Return the newest boxes of each label with looks, and whether all have theirs.

    Looks are kept in the store; an image that cannot be read is left out.

    Args:
        store, scope: the dataset.
        max_pixels: of an image that may be decoded.
        most_images: how many to decode at most for looks that the store lacks.
        besides: id of a box that is no example.
    """
    newest = store.annotation_rows(scope, _PEOPLES, order="newest", limit=_NEWEST)
    rows = [
        row
        for row in _most_of_each_label(newest)
        if row.annotation.annotation_id != besides
    ]
    looks = looks_of(store, scope, rows, max_pixels=max_pixels, most_images=most_images)
    seen = [row for row in rows if row.key in looks]
    is_complete = len(seen) == len(rows)
    if not seen:
        return BoxExamples.none(), is_complete
    examples = BoxExamples(
        np.array([row.annotation.label for row in seen], np.str_),
        np.stack([looks[row.key] for row in seen]),
        np.stack([extent_of(row.annotation.box, row.size) for row in seen]),
    )
    return examples, is_complete


def _most_of_each_label(rows: Sequence[AnnotationRow]) -> Iterator[AnnotationRow]:
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row.annotation.label] += 1
        if counts[row.annotation.label] <= _PER_LABEL and row.annotation.box.area > 0:
            yield row

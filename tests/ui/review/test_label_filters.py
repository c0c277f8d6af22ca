"""The filters of boxes in words."""

import math
from datetime import UTC, datetime

import pytest

from imagebase.annotation import ReviewStatus, Source
from imagebase.store import ORDERS, AnnotationFilter
from imagebase.ui.review.label_filters import ORDER_WORDS, describe


def test_every_order_of_the_store_has_words_of_its_own() -> None:
    assert set(ORDER_WORDS) == set(ORDERS)
    assert len(set(ORDER_WORDS.values())) == len(ORDERS)


def test_a_filter_that_everything_passes_says_nothing() -> None:
    assert describe(AnnotationFilter()) == ""


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"text": "cat"}, "“cat”"),
        ({"labels": ["cat", "dog"]}, "cat · dog"),
        ({"labels": ["a", "b", "c", "d"]}, "4 labels"),
        ({"statuses": [ReviewStatus.SUGGESTED]}, "suggested"),
        ({"confidence": (0.25, 0.5)}, "confidence 25 % to 50 %"),
        ({"sources": [Source.MODEL]}, "made by model"),
        ({"who": ["ann"]}, "changed by ann"),
        ({"image": "IMG"}, "image “IMG”"),
        ({"attribute": ("occluded", None)}, "occluded"),
        ({"attribute": ("color", "red")}, "color = red"),
        ({"since": datetime(2026, 11, 1, tzinfo=UTC)}, "changed in a span"),
        ({"sides": (0, 8)}, "side from 0 px to under 8 px"),
        ({"sides": (20, math.inf)}, "side from 20 px"),
        ({"share": (0.0, 0.1)}, "0 to 10 % of the image"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else None,
)
def test_each_filter_is_told(wanted: dict[str, object], words: str) -> None:
    assert describe(AnnotationFilter(**wanted)) == words  # type: ignore[arg-type]

"""When something was said, in words."""

from datetime import timedelta

import pytest

from imagebase.ui.commenting import ago


@pytest.mark.parametrize(
    ("span", "words"),
    [
        (timedelta(seconds=-3), "just now"),
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=5, seconds=30), "5 min ago"),
        (timedelta(minutes=60), "1 h ago"),
        (timedelta(hours=23, minutes=59), "23 h ago"),
        (timedelta(days=1), "1 day ago"),
        (timedelta(days=40), "40 days ago"),
    ],
    ids=str,
)
def test_spans_are_told_as_people_do(span: timedelta, words: str) -> None:
    assert ago(span) == words

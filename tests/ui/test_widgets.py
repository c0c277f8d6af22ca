"""Shared texts and page numbers."""

from contextlib import suppress

import pytest
import streamlit as st
from streamlit.runtime.scriptrunner import RerunData, RerunException

from imagebase.ui import widgets
from imagebase.ui.widgets import escape, megabytes, page_of, plural, short_name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("bear", "bear"),
        ("**x**", r"\*\*x\*\*"),
        ("<b>", r"\<b\>"),
        ("[a](b)", r"\[a\]\(b\)"),
        (":smile: $x$", r"\:smile\: \$x\$"),
        ("a&lt;b", r"a\&lt;b"),
        ("C:\\x", r"C\:\\x"),
    ],
)
def test_text_of_a_stranger_is_not_markup(text: str, shown: str) -> None:
    assert escape(text) == shown


@pytest.mark.parametrize(
    ("count", "noun", "words"),
    [
        (0, "image", "0 images"),
        (1, "box", "1 box"),
        (2, "box", "2 boxes"),
        (1234, "image", "1,234 images"),
    ],
)
def test_count_agrees_with_its_noun(count: int, noun: str, words: str) -> None:
    assert plural(count, noun) == words


@pytest.mark.parametrize(
    ("byte_count", "words"), [(0, "0.0 MB"), (340_000, "0.3 MB"), (14_200_000, "14 MB")]
)
def test_size_is_in_megabytes(byte_count: int, words: str) -> None:
    assert megabytes(byte_count) == words


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("bear.jpg", "bear.jpg"),
        ("set/day/bear.jpg", "bear.jpg"),
        ("a-very-long-name-of-a-file.jpg", "a-very-lo…file.jpg"),
    ],
)
def test_long_name_keeps_its_ends(name: str, short: str) -> None:
    assert short_name(name) == short
    assert len(short) <= 18


@pytest.mark.parametrize("items", [[], [1], [1, 2, 3]], ids=len)
def test_short_list_is_one_page(items: list[int]) -> None:
    assert page_of(items, page_size=3, key="page") == items


def test_a_page_is_gone_to_until_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    went: list[str] = []
    monkeypatch.setattr(st, "session_state", {})
    monkeypatch.setattr(st, "switch_page", went.append)
    widgets.go_to("pages/edit.py")
    widgets.go_on()
    with suppress(RerunException), widgets.drawing("pages/edit.py"):
        widgets.go_on()  # a fragment of the page
        raise RerunException(RerunData())  # another run ends it
    widgets.go_on()
    with widgets.drawing("pages/edit.py"):
        pass
    widgets.go_on()
    assert went == ["pages/edit.py", "pages/edit.py"]

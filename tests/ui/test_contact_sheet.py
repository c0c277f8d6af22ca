"""Contact sheet: the browser's selection counts only for the tiles it shows."""

import pytest
from streamlit.testing.v1 import AppTest

from imagebase.ui.contact_sheet import Tile, parse_selected

TILES = [
    Tile(letter, "", "cat", "#000000", ".5", "a.jpg") for letter in ("a", "b", "c")
]


def test_selected_tiles_are_those_the_browser_names() -> None:
    said = {"version": "1", "ids": ["a", "c"]}
    assert parse_selected(said, "1", TILES, otherwise=()) == {"a", "c"}


def test_empty_selection_counts() -> None:
    said: object = {"version": "1", "ids": []}
    assert parse_selected(said, "1", TILES, otherwise=["a"]) == frozenset()


@pytest.mark.parametrize(
    "said",
    [
        None,
        "a",
        {"ids": ["b"]},
        {"version": "1"},
        {"version": "1", "ids": "b"},
        {"version": "0", "ids": ["b"]},
    ],
    ids=["silence", "text", "no version", "no ids", "ids as text", "another version"],
)
def test_invalid_value_keeps_the_initial_selection(said: object) -> None:
    assert parse_selected(said, "1", TILES, otherwise=["a"]) == {"a"}


def test_unknown_ids_are_left_out() -> None:
    said = {"version": "1", "ids": ["a", "z", 3, None]}
    assert parse_selected(said, "1", TILES, otherwise=()) == {"a"}


def test_selection_stays_when_other_tiles_change() -> None:
    said = {"version": "1", "ids": ["a", "b"]}
    assert parse_selected(said, "1", TILES[1:], otherwise=()) == {"b"}
    assert parse_selected(said, "1", TILES, otherwise=()) == {"a", "b"}


def test_sheet_without_a_value_keeps_the_initial_selection() -> None:
    def page() -> None:
        import streamlit as st

        from imagebase.ui.contact_sheet import Tile, draw_sheet

        tiles = [Tile(letter, "", "cat", "#000000", "", "a.jpg") for letter in "ab"]
        st.text(sorted(draw_sheet(tiles, key="sheet", selected=["b"])))

    app = AppTest.from_function(page, default_timeout=20).run()
    assert not app.exception
    assert app.text[0].value == "['b']"

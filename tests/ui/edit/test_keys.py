"""The one table of keys."""

import pytest

from imagebase.settings import PROJECT_ROOT
from imagebase.ui.edit import keys
from scripts import key_tables

STREAMLITS = {"c", "r"}


@pytest.mark.parametrize("preset", keys.PRESETS)
def test_no_key_is_there_twice(preset: str) -> None:
    pressed = [key for row in keys.KEYS for key in (*row.in_preset(preset), *row.fixed)]
    assert len(pressed) == len(set(pressed)) == len(keys.names(preset))


def test_no_usual_key_is_streamlits() -> None:
    assert not STREAMLITS & set(keys.names())


def test_every_line_has_a_name_and_words_of_its_own() -> None:
    for texts in (
        [row.name for row in keys.KEYS],
        [row.words for row in keys.KEYS],
    ):
        assert len(texts) == len(set(texts))
        assert all(texts)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("n", "N"),
        ("ctrl+shift+z", "Ctrl + Shift + Z"),
        ("+", "+"),
        ("ctrl++", "Ctrl + +"),
        ("shift+arrowleft", "Shift + ←"),
        ("pagedown", "Page Down"),
    ],
)
def test_a_key_reads_as_people_write_it(key: str, words: str) -> None:
    assert keys.in_words(key) == words


def test_a_row_shows_its_keys_and_what_the_mouse_does() -> None:
    shown = {row.name: keys.shown(row, row.in_preset("labelImg")) for row in keys.KEYS}
    assert shown["larger"] == "+, = or wheel"
    assert shown["pick"] == "Ctrl + E or double-click"
    assert shown["pan"] == "middle or right button"
    assert shown["move"] == "Arrows"


@pytest.mark.parametrize("name", key_tables.DOCUMENTS)
def test_documents_show_the_table(name: str) -> None:
    text = (PROJECT_ROOT / name).read_text(encoding="utf-8")
    assert "<!-- keys" in text
    assert text == key_tables.updated(text), "run python -m scripts.key_tables"


CHOICES = [
    ("", "next", ("n",)),
    ("not JSON", "next", ("n",)),
    ("[1]", "next", ("n",)),
    ('{"preset": "CVAT"}', "next", ("f",)),
    ('{"preset": "Supervisely"}', "next", ("n",)),
    ('{"preset": "CVAT", "own": {"next": ["x"]}}', "next", ("x",)),
    ('{"preset": ["CVAT"], "own": {"next": "x"}}', "next", ("n",)),
    ('{"own": {"empty": ["n"]}}', "next", ()),
    ('{"own": {"next": [7, "' + "x" * 99 + '"]}}', "next", ()),
]


@pytest.mark.parametrize(("text", "name", "expected"), CHOICES)
def test_choice_of_a_person_as_far_as_it_is_valid(
    text: str, name: str, expected: tuple[str, ...]
) -> None:
    assert keys.chosen(text)[name] == expected


def test_rows_that_stay_cannot_be_chosen() -> None:
    assert "cancel" not in keys.chosen('{"own": {"cancel": ["x"], "nothing": ["y"]}}')


@pytest.mark.parametrize("preset", keys.PRESETS)
def test_presets_leave_the_browser_its_keys(preset: str) -> None:
    own = {"tab", "shift+tab"}  # select the next box, as long as the editor has one
    assert set(keys.names(preset)) & set(keys.RESERVED) == own


def test_hint_names_the_key_of_this_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "kept", lambda: '{"own": {"next": ["ctrl+arrowup"]}}')
    assert keys.hint("Next image", "next") == "Next image (Ctrl + ↑)"
    monkeypatch.setattr(keys, "kept", lambda: '{"own": {"empty": ["n"]}}')
    assert keys.hint("Next image", "next") == "Next image"

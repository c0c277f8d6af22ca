"""The one table of keys."""

from imagebase.ui.edit import canvas


def test_no_key_is_there_twice_and_none_is_streamlits() -> None:
    pressed = [name for one in canvas.KEYS for name in one.names]
    assert len(pressed) == len(set(pressed))
    assert not {"c", "r"} & set(pressed)


def test_every_line_has_words_of_its_own() -> None:
    words = [one.words for one in canvas.KEYS]
    assert len(words) == len(set(words))
    assert all(one.shown and one.words for one in canvas.KEYS)

"""The one table of keys."""

from imagebase.ui.edit import canvas


def test_no_key_is_there_twice_and_none_is_streamlits() -> None:
    pressed = [name for key in canvas.KEYS for name in key.names]
    assert len(pressed) == len(set(pressed))
    assert not {"c", "r"} & set(pressed)


def test_every_line_has_words_of_its_own() -> None:
    words = [key.words for key in canvas.KEYS]
    assert len(words) == len(set(words))
    assert all(key.shown and key.words for key in canvas.KEYS)

"""The labels above the canvas: what fits in a row."""

from imagebase.ui.edit.label_picker import fitting


def test_short_names_are_left_alone() -> None:
    assert fitting(["person", "car"]) == ["person", "car"]


def test_the_longest_names_are_cut_and_the_others_kept() -> None:
    names = ["a" * 200, "b" * 60, "car"]
    cut = fitting(names)
    assert sum(map(len, cut)) <= 88
    assert cut == ["a" * 41 + "…", "b" * 41 + "…", "car"]


def test_many_long_names_still_tell_something() -> None:
    assert min(map(len, fitting(["x" * 200] * 60))) == 4

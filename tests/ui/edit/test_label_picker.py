"""The labels above the canvas: their digits, and what fits in a row."""

from imagebase.ui.edit.digits import arranged
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


FEW = ["bear", "dog", "cat"]
MANY = [f"label {number}" for number in range(12)]


def test_few_labels_have_the_digits_of_their_order() -> None:
    assert arranged(FEW, guessed=["cat"], recent=["cat"]) == ("bear", "dog", "cat")
    assert arranged(FEW, pinned={"cat": 1}) == ("bear", "dog", "cat")


def test_a_guess_that_the_dataset_lacks_takes_a_free_digit() -> None:
    assert arranged(FEW, guessed=["cow", "dog"]) == (*FEW, "cow")
    assert arranged(MANY[:9], guessed=["cow"]) == tuple(MANY[:9])


def test_of_many_labels_the_guessed_ones_come_before_the_recent_ones() -> None:
    digits = arranged(MANY, guessed=[MANY[11], "cow"], recent=[MANY[10], "gone"])
    assert digits == (MANY[11], "cow", MANY[10], *MANY[:6])


def test_a_label_keeps_its_digit() -> None:
    before = arranged(MANY, recent=[MANY[3]])
    assert before[0] == MANY[3]
    now = arranged(MANY, guessed=[MANY[11]], recent=[MANY[5], MANY[3]], before=before)
    assert [a == b for a, b in zip(before, now, strict=True)].count(False) == 1
    assert now[8] == MANY[11]  # in place of the one that was least wanted


def test_pinned_labels_have_their_digits_whatever_was_before() -> None:
    pinned = {MANY[11]: 2, MANY[10]: 9, "gone": 5}
    digits = arranged(MANY, pinned=pinned, guessed=[MANY[9]], before=MANY[:9])
    assert digits[1] == MANY[11]
    assert digits[8] == MANY[10]
    assert MANY[9] in digits
    assert digits[0] == MANY[0]
    assert len(set(digits)) == 9

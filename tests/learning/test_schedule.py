"""When to train while a person labels, and what to relabel first."""

from imagebase.learning.schedule import (
    Labelled,
    may_train,
    minutes_for,
    to_forget,
    to_relabel,
)


def test_training_waits_for_images_and_boxes() -> None:
    assert not may_train(Labelled(images=19, boxes=200))
    assert not may_train(Labelled(images=40, boxes=29))
    assert may_train(Labelled(images=20, boxes=30))


def test_the_next_run_waits_for_half_as_many_images_again() -> None:
    assert not may_train(Labelled(39, 100), trained_on=20)
    assert may_train(Labelled(40, 100), trained_on=20)
    assert not may_train(Labelled(149, 500), trained_on=100)
    assert may_train(Labelled(150, 500), trained_on=100)


def test_more_images_get_more_minutes() -> None:
    assert minutes_for(20) < minutes_for(100) < minutes_for(1000)


def test_what_is_shown_next_is_relabelled_first_and_each_image_once() -> None:
    order = list(to_relabel(["d", "e", "f", "g"], ["a", "d", "g", "h"]))

    assert [name for name, _ in order] == ["d", "e", "f", "g", "a", "h"]
    assert [soon for _, soon in order] == [True] * 3 + [False] * 3


def test_the_oldest_example_goes_unless_a_label_would_be_unlearned() -> None:
    examples = {"a": ["fox", "owl"], "b": ["fox"], "c": ["fox"]}

    assert to_forget(examples) == "b"
    assert to_forget({"a": ["owl"], "b": ["fox"]}) == "a"

"""Which model suggests which label, judged on what it found before an approval."""

import numpy as np

from imagebase.annotation import Size
from imagebase.learning.choice import (
    RUN,
    SHOWN,
    TAUGHT,
    TRAINED,
    Found,
    JudgedImage,
    ModelChoice,
    challenge,
    choose,
    label_scores,
)

SIZE = Size(100, 100)
RIGHT = (10.0, 10.0, 50.0, 50.0)
WRONG = (60.0, 60.0, 90.0, 90.0)


def found(*rows: tuple[tuple[float, ...], float, str]) -> Found:
    return Found.of(rows)


def judged(number: int, label: str = "fox", **by_model: Found) -> JudgedImage:
    return JudgedImage(
        f"image {number}",
        SIZE,
        np.array([RIGHT], np.float32),
        np.array([label]),
        by_model,
    )


def test_without_evidence_the_first_model_that_knows_a_label_suggests_it() -> None:
    choice = choose([], {RUN: ["dog"], TAUGHT: ["dog", "fox"]})

    assert choice.model == {"dog": RUN, "fox": TAUGHT}


def test_a_model_that_was_better_before_the_approvals_takes_a_label() -> None:
    images = [
        judged(
            number,
            run=found((WRONG, 0.9, "fox")),
            taught=found((RIGHT, 0.9, "fox")),
        )
        for number in range(6)
    ]

    assert choose(images, {RUN: ["fox"], TAUGHT: ["fox"]}).model == {"fox": TAUGHT}


def test_a_label_that_the_run_model_covers_as_well_stays_with_it() -> None:
    both = found((RIGHT, 0.9, "person"))
    images = [judged(n, "person", run=both, taught=both) for n in range(6)]

    choice = choose(images, {RUN: ["person"], TAUGHT: ["person"]})

    assert choice.model == {"person": RUN}


def test_few_boxes_change_nothing() -> None:
    images = [
        judged(n, run=found((WRONG, 0.9, "fox")), taught=found((RIGHT, 0.9, "fox")))
        for n in range(4)
    ]

    assert choose(images, {RUN: ["fox"], TAUGHT: ["fox"]}).model == {"fox": RUN}


def test_a_label_that_nobody_wanted_is_not_suggested_any_more() -> None:
    images = [
        judged(n, run=found((RIGHT, 0.9, "bear")), taught=found((RIGHT, 0.9, "fox")))
        for n in range(6)
    ]

    choice = choose(images, {RUN: ["bear"], TAUGHT: ["fox"]})

    assert "bear" not in choice.model
    shown = choice.suggestions({RUN: found((RIGHT, 0.9, "bear"))})
    assert not len(shown.label)


def test_the_threshold_follows_what_was_right_and_wrong() -> None:
    often_wrong = [
        judged(n, taught=found((RIGHT, 0.8, "fox"), (WRONG, 0.6, "fox")))
        for n in range(20)
    ]
    often_unsure = [judged(n, taught=found((RIGHT, 0.2, "fox"))) for n in range(20)]
    knows = {TAUGHT: ["fox"]}

    assert choose(often_unsure, knows).least[TAUGHT, "fox"].surest <= 0.2
    assert choose(often_wrong, knows).least[TAUGHT, "fox"].others > 0.6


def test_the_surest_box_of_an_image_has_a_threshold_of_its_own() -> None:
    images = [
        judged(n, taught=found((RIGHT, 0.2, "fox"), (WRONG, 0.15, "fox")))
        for n in range(20)
    ]
    choice = choose(images, {TAUGHT: ["fox"]})

    surest, others = choice.least[TAUGHT, "fox"]
    assert surest <= 0.2 < others
    two = found((RIGHT, 0.25, "fox"), (WRONG, 0.22, "fox"))
    assert choice.suggestions({TAUGHT: two}).xyxy.tolist() == [list(RIGHT)]


def test_one_object_is_suggested_once_whatever_its_labels() -> None:
    choice = ModelChoice({"fox": TAUGHT, "dog": RUN})

    shown = choice.suggestions(
        {RUN: found((RIGHT, 0.5, "dog")), TAUGHT: found((RIGHT, 0.9, "fox"))}
    )

    assert shown.label.tolist() == ["fox"]


def test_scores_are_of_the_images_that_a_model_was_judged_on() -> None:
    images = [judged(0, taught=found((RIGHT, 0.9, "fox"))), judged(1)]

    assert label_scores(images, TAUGHT)["fox"].boxes == 1
    assert label_scores(images, TRAINED) == {}


def test_a_trained_model_is_judged_on_images_it_was_not_fitted_on() -> None:
    images = [judged(n, shown=found((WRONG, 0.9, "fox"))) for n in range(12)]
    asked: list[str] = []

    def find(image_id: str) -> Found:
        asked.append(image_id)
        return found((RIGHT, 0.9, "fox"))

    fitted_on = {"image 0", "image 1"}
    updated, takeover = challenge(images, fitted_on=fitted_on, find=find)

    assert not fitted_on & set(asked)
    assert takeover.is_better
    assert str(takeover) == "AP50 .00 → 1.00 on 10 held-out images"
    assert [TRAINED in image.found for image in updated] == [False] * 2 + [True] * 10
    assert SHOWN in updated[0].found


def test_a_trained_model_does_not_take_over_on_few_images_or_when_worse() -> None:
    good, bad = found((RIGHT, 0.9, "fox")), found((WRONG, 0.9, "fox"))
    few = [judged(n, shown=bad) for n in range(7)]
    many = [judged(n, shown=good) for n in range(12)]

    assert not challenge(few, fitted_on=(), find=lambda _: good)[1].is_better
    assert not challenge(many, fitted_on=(), find=lambda _: bad)[1].is_better
    assert not challenge(many, fitted_on=(), find=lambda _: good)[1].is_better

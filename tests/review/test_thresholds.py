"""Thresholds learned: against planted ones, and against figures worked out by hand."""

import numpy as np
import pytest

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    ReviewStatus,
    Size,
    Source,
    utc_now,
)
from imagebase.detection.candidate_pool import CandidatePool
from imagebase.detection.candidates import Candidates
from imagebase.detection.selection_rule import SelectionRule, select_all
from imagebase.review.corrections import Decision, Fate
from imagebase.review.thresholds import (
    FLOOR,
    LabelEvidence,
    Learned,
    TooFew,
    by_model_label,
    changes_under,
    decided_evidence,
    learn,
    wilson_interval,
    with_missed,
)

LABELS = ("dog", "cat")
SIZE = Size(100, 100)
LEFT, RIGHT = Box(0, 0, 40, 40), Box(50, 0, 90, 40)


def learned(evidence: LabelEvidence) -> Learned:
    found = learn("dog", evidence)
    assert isinstance(found, Learned)
    return found


def planted(best: float, count: int, *, seed: int) -> LabelEvidence:
    """Return decisions under which the best threshold is known.

    Above it a box is right more often than not by a wide margin, below it less than
    once in three: a box is worth showing where twice its chance to be right exceeds
    its chance to be wrong, so where that chance is above a third.
    """
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.05, 0.95, count)
    chance = np.clip(1 / 3 + (confidence - best) * 1.2, 0.02, 0.98)
    is_right = rng.random(count) < chance
    return LabelEvidence(
        right=tuple(confidence[is_right]), wrong=tuple(confidence[~is_right])
    )


@pytest.mark.parametrize("best", [0.2, 0.35, 0.5])
def test_the_planted_threshold_is_in_the_interval(best: float) -> None:
    found = [learned(planted(best, 400, seed=seed)) for seed in range(40)]
    # An interval of 95 % misses once in twenty.
    assert sum(rule.low <= best <= rule.high for rule in found) >= 36
    assert all(rule.low <= rule.threshold <= rule.high for rule in found)
    assert np.mean([rule.threshold for rule in found]) == pytest.approx(best, abs=0.02)


def test_more_decisions_make_the_interval_narrower() -> None:
    few, many = (learned(planted(0.4, count, seed=7)) for count in (60, 6000))
    assert many.high - many.low < (few.high - few.low) / 2
    assert abs(many.threshold - 0.4) < 0.06


def test_what_is_ruleis_the_same_every_time() -> None:
    assert learned(planted(0.3, 200, seed=5)) == learned(planted(0.3, 200, seed=5))


def test_between_wrong_and_right_the_middle_is_taken() -> None:
    found = learned(LabelEvidence(right=(0.6,) * 20, wrong=(0.3,) * 20))
    # 0.31 to 0.60 cost nothing.
    assert found.threshold == pytest.approx(0.45)
    assert (found.right, found.wrong, found.decisions) == (20, 20, 40)
    assert found.precision == 1


def test_a_missed_box_costs_twice_what_a_false_one_does() -> None:
    # At 0.4 and above: with the 10 right ones at 0.3 hidden, 20; shown, 15 deletions.
    shown = learned(
        LabelEvidence(right=(0.3,) * 10 + (0.8,) * 10, wrong=(0.3,) * 15 + (0.1,) * 5)
    )
    assert 0.1 < shown.threshold <= 0.3
    hidden = learned(
        LabelEvidence(right=(0.3,) * 10 + (0.8,) * 10, wrong=(0.3,) * 25 + (0.1,) * 5)
    )
    assert hidden.threshold > 0.3


def test_a_label_that_is_always_right_is_shown_from_the_least_sure_on() -> None:
    found = learned(LabelEvidence(right=np.linspace(0.25, 0.9, 40).tolist()))
    assert found.threshold == pytest.approx(0.25)


def test_a_label_that_is_always_wrong_is_hidden() -> None:
    found = learned(LabelEvidence(wrong=np.linspace(0.25, 0.6, 40).tolist()))
    assert found.threshold > 0.6
    assert (found.precision, found.precision_low, found.precision_high) == (0, 0, 1)


def test_deletes_alone_never_lower_a_threshold_and_missed_boxes_do() -> None:
    decided = LabelEvidence(right=(0.6,) * 20, wrong=(0.27,) * 12)
    assert learned(decided).threshold > 0.27
    # Drawn by hand though the model had said it at 0.15; 30 quiet ones were nothing.
    missed = LabelEvidence(
        right=(0.6,) * 20, wrong=(0.27,) * 12, missed=(0.15,) * 10, unseen=(0.08,) * 30
    )
    found = learned(missed)
    assert 0.08 < found.threshold <= 0.15
    assert found.missed == 10
    assert found.decisions == 42
    unwanted = LabelEvidence(
        right=(0.6,) * 20, wrong=(0.27,) * 12, missed=(0.15,) * 10, unseen=(0.15,) * 30
    )
    assert learned(unwanted).threshold > 0.27


def test_nothing_is_rulebelow_the_lowest_threshold_there_is() -> None:
    found = learned(LabelEvidence(right=(0.01,) * 40))
    assert found.threshold == found.low == found.high == FLOOR


def test_a_confidence_passes_a_threshold_of_the_same_number() -> None:
    # 0.3 is less than float64's 0.3 once it has been a float32.
    sure = float(np.float32(0.3))
    found = learned(LabelEvidence(right=(sure,) * 30, wrong=(0.29,) * 30))
    assert found.threshold == pytest.approx(0.3)


def test_too_few_decisions_say_how_many_are_missing() -> None:
    found = learn("dog", LabelEvidence(right=(0.5,) * 4, wrong=(0.4,) * 3))
    assert found == TooFew("dog", 7)
    assert isinstance(found, TooFew)
    assert found.needed == 23


def test_wilsons_interval() -> None:
    # 8 of 10: 0.490 to 0.943 (Wilson 1927, no correction for continuity).
    assert wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson_interval(0, 10)[0] == 0
    assert wilson_interval(10, 10) == pytest.approx((0.7225, 1), abs=1e-4)
    assert wilson_interval(0, 0) == (0, 1)


def decision(fate: Fate, *, model_id: str = "m", confidence: float = 0.5) -> Decision:
    return Decision(
        "a", fate, "dog", utc_now(), confidence=confidence, model_id=model_id
    )


def test_evidence_is_of_one_model_and_relabelled_boxes_say_nothing() -> None:
    told = decided_evidence(
        [
            decision(Fate.KEPT, confidence=0.9),
            decision(Fate.MOVED, confidence=0.8),
            decision(Fate.DELETED, confidence=0.3),
            decision(Fate.RELABELLED, confidence=0.4),
            decision(Fate.KEPT, model_id="other"),
            Decision("a", Fate.ADDED, "dog", utc_now()),
        ],
        model_id="m",
    )
    assert list(told) == ["dog"]
    assert told["dog"].right == [0.9, 0.8]
    assert told["dog"].wrong == [0.3]


def pool_of(**images: list[tuple[Box, str, float]]) -> CandidatePool:
    """Return a pool of images by id: boxes, their labels and confidences."""
    return CandidatePool.of(
        {
            image_id: Candidates(
                np.array([box for box, _, _ in found], np.float32).reshape(-1, 4),
                np.array([sure for _, _, sure in found], np.float32),
                np.array([LABELS.index(name) for _, name, _ in found], np.int32),
            )
            for image_id, found in images.items()
        }
    )


def hidden(
    final: list[Annotation], *found: tuple[Box, str, float], rule: SelectionRule
) -> dict[str, LabelEvidence]:
    """Return what an approved image tells of what was found on it; others tell none."""
    pool = pool_of(seen=list(found), other=list(found))
    quiet = select_all(
        pool, SelectionRule(FLOOR, mapping=rule.mapping), model_labels=LABELS
    )
    return with_missed({}, {"seen": final}, quiet, rule=rule, model_labels=LABELS)


def test_a_drawn_box_over_a_quiet_detection_was_missed() -> None:
    drawn = Annotation(Box(2, 2, 42, 42), "dog")
    told = hidden(
        [drawn], (LEFT, "dog", 0.2), (RIGHT, "dog", 0.1), rule=SelectionRule(0.25)
    )
    assert told["dog"].missed == pytest.approx((0.2,))
    assert told["dog"].unseen == pytest.approx((0.1,))


def test_other_labels_other_boxes_and_shown_detections_were_not_missed() -> None:
    kept = Annotation(LEFT, "dog", source=Source.MODEL)
    told = hidden([kept], (LEFT, "dog", 0.2), rule=SelectionRule(0.25))
    assert told == {}
    drawn = Annotation(LEFT, "cat")
    told = hidden([drawn], (LEFT, "dog", 0.2), rule=SelectionRule(0.25))
    assert (told["dog"].missed, len(told["dog"].unseen)) == ((), 1)
    told = hidden([drawn], (LEFT, "cat", 0.3), rule=SelectionRule(0.25))
    assert told == {}


def test_a_labels_own_threshold_and_name_tell_what_was_hidden() -> None:
    drawn = Annotation(LEFT, "hound")
    rule = SelectionRule(
        0.25, mapping={"dog": "hound"}, per_label_confidence={"dog": 0.6}
    )
    told = hidden([drawn], (LEFT, "dog", 0.5), rule=rule)
    assert told["hound"].missed == (0.5,)


def test_one_drawn_box_was_missed_once() -> None:
    # NMS leaves both: they share less with each other than with the drawn one.
    drawn = Annotation(Box(0, 0, 40, 40), "dog")
    halves = [(Box(0, 0, 40, 24), "dog", 0.2), (Box(0, 16, 40, 40), "dog", 0.15)]
    told = hidden([drawn], *halves, rule=SelectionRule(0.25))
    assert told["dog"].missed == pytest.approx((0.2,))
    assert told["dog"].unseen == ()


def test_thresholds_of_labels_become_those_of_the_models_labels() -> None:
    own = by_model_label(
        {"pet": 0.4, "car": 0.6},
        mapping={"dog": "pet", "cat": "pet"},
        model_labels=("dog", "cat", "car", "bus"),
    )
    assert own == {"dog": 0.4, "cat": 0.4, "car": 0.6}


def as_found(box: Box, confidence: float) -> Annotation:
    return Annotation(
        box,
        "dog",
        source=Source.MODEL,
        confidence=float(np.float32(confidence)),
        model_id="m",
        changed_by="m",
    )


def test_changes_are_those_that_keeping_would_make() -> None:
    found = [(LEFT, "dog", 0.3), (RIGHT, "dog", 0.7)]
    pool = pool_of(auto=found, approved=found, person=found, same=found)
    shown = (as_found(LEFT, 0.3), as_found(RIGHT, 0.7))

    def record(image_id: str, *boxes: Annotation, status: ReviewStatus) -> ImageRecord:
        return ImageRecord(image_id, "a.jpg", SIZE, annotations=boxes, status=status)

    records = [
        record("auto", *shown, status=ReviewStatus.SUGGESTED),
        record("approved", *shown, status=ReviewStatus.APPROVED),
        record("person", Annotation(LEFT, "dog"), status=ReviewStatus.EDITED),
        record("same", shown[1], status=ReviewStatus.SUGGESTED),
        record("never seen", *shown, status=ReviewStatus.SUGGESTED),
    ]
    rule = SelectionRule(0.25, per_label_confidence={"dog": 0.5})
    changed = changes_under(
        rule,
        records,
        select_all(pool, rule, model_labels=LABELS),
        model_labels=LABELS,
        model_id="m",
    )
    told = {change.before.image_id: (change.gone, change.come) for change in changed}
    assert told == {"auto": (1, 0), "person": (0, 1)}
    assert changed[0].after.annotations == (shown[1],)

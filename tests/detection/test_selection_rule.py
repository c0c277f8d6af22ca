"""Rules over kept candidates."""

import json

import numpy as np
import pytest

from imagebase.annotation import Box, Source
from imagebase.detection.candidate_pool import CandidatePool
from imagebase.detection.candidates import Candidates
from imagebase.detection.selection_rule import (
    SelectionRule,
    Tally,
    as_annotations,
    by_doubt,
    found_labels,
    gained,
    kept_labels,
    select_all,
    tally,
)

LABELS = ("person", "car", "dog")


def candidates(*found: tuple[int, float]) -> Candidates:
    """Boxes that do not touch, one for each class id and confidence."""
    count = len(found)
    near = np.arange(count, dtype=np.float32) * 20
    return Candidates(
        np.stack([near, near, near + 10, near + 10], axis=1).reshape(count, 4),
        np.array([confidence for _, confidence in found], dtype=np.float32),
        np.array([class_id for class_id, _ in found], dtype=np.int32),
    )


@pytest.fixture
def pool() -> CandidatePool:
    return CandidatePool.of(
        {
            "street": candidates((0, 0.9), (1, 0.3), (2, 0.1)),
            "meadow": candidates((2, 0.6), (2, 0.2)),
            "sky": candidates((0, 0.05)),
        }
    )


def select(pool: CandidatePool, rule: SelectionRule) -> Tally:
    return tally(select_all(pool, rule, model_labels=LABELS))


def test_threshold_decides_how_many_boxes_there_are(pool: CandidatePool) -> None:
    assert select(pool, SelectionRule(0.25)) == Tally(boxes=3, images=2)
    assert select(pool, SelectionRule(0.05)) == Tally(boxes=6, images=3)


def test_only_the_labels_named_pass(pool: CandidatePool) -> None:
    assert select(pool, SelectionRule(0.05, labels=("dog",))).boxes == 3


def test_label_mapped_to_nothing_is_left_out(pool: CandidatePool) -> None:
    assert select(pool, SelectionRule(0.05, mapping={"dog": ""})).boxes == 3
    assert select(pool, SelectionRule(0.05, mapping={"dog": "wolf"})).boxes == 6


def test_label_with_its_own_threshold_follows_that(pool: CandidatePool) -> None:
    rule = SelectionRule(0.5, per_label_confidence={"dog": 0.15})
    assert select(pool, rule).boxes == 3


def test_lower_threshold_tells_what_it_would_add(pool: CandidatePool) -> None:
    now = select_all(pool, SelectionRule(0.5), model_labels=LABELS)
    then = select_all(pool, SelectionRule(0.15), model_labels=LABELS)
    assert gained(now, then) == Tally(boxes=2, images=2)


def test_labels_found_are_in_the_models_order(pool: CandidatePool) -> None:
    found = found_labels(pool, model_labels=LABELS, confidence_threshold=0.1)
    assert list(found.items()) == [("person", 1), ("car", 1), ("dog", 3)]


def test_image_with_the_least_sure_box_comes_first(pool: CandidatePool) -> None:
    selection = select_all(pool, SelectionRule(0.15), model_labels=LABELS)
    assert by_doubt(selection) == ["meadow", "street", "sky"]


def test_detections_become_untouched_model_boxes(pool: CandidatePool) -> None:
    selection = select_all(pool, SelectionRule(0.5), model_labels=LABELS)
    (box,) = as_annotations(
        selection.of("meadow"),
        model_labels=LABELS,
        model_id="net-1",
        mapping={"dog": "wolf"},
    )
    assert box.box == Box(0, 0, 10, 10)
    assert (box.label, box.source, box.model_id) == ("wolf", Source.MODEL, "net-1")
    assert box.confidence == pytest.approx(0.6)
    assert box.is_untouched


def test_labels_to_keep_are_in_the_models_order_under_ones_own_names(
    pool: CandidatePool,
) -> None:
    rule = SelectionRule(0.25, mapping={"car": "vehicle"})
    selection = select_all(pool, rule, model_labels=LABELS)
    names = kept_labels(selection, rule, model_labels=LABELS)
    assert names == ["person", "vehicle", "dog"]


def test_labels_of_one_name_suppress_each_other() -> None:
    one_thing_seen_twice = Candidates(
        np.array([[0, 0, 10, 10], [0, 0, 10, 11]], dtype=np.float32),
        np.array([0.8, 0.6], dtype=np.float32),
        np.array([1, 2], dtype=np.int32),
    )
    pool = CandidatePool.of({"street": one_thing_seen_twice})
    assert select(pool, SelectionRule(0.25)).boxes == 2
    merged = SelectionRule(0.25, mapping={"car": "vehicle", "dog": "vehicle"})
    assert select(pool, merged).boxes == 1


@pytest.mark.parametrize(
    "rule",
    [
        SelectionRule(),
        SelectionRule(0.4, 0.6, ("dog",), {"dog": "hound"}, {"dog": 0.7}),
    ],
    ids=["defaults", "all fields"],
)
def test_a_jobs_parameters_give_the_rule_back(rule: SelectionRule) -> None:
    stored = json.loads(json.dumps({"model": "m", **rule.parameters()}))
    assert SelectionRule.of(stored) == rule


def test_missing_parameters_are_the_defaults() -> None:
    assert SelectionRule.of({"labels": [], "mapping": None}) == SelectionRule()

"""What a model found that a dataset does not have, the likeliest first."""

import numpy as np

from imagebase.annotation import Annotation, Box, ImageRecord, Source
from imagebase.detection.candidate_pool import CandidatePool
from imagebase.detection.candidates import Candidates
from imagebase.detection.selection_rule import SelectionRule
from imagebase.detection.taught.taught_detector import TaughtDetector
from imagebase.editing.records import approve
from imagebase.learning.found_boxes import by_image, coverage, found_boxes
from imagebase.store import Scope, Store
from tests.detection.taught.test_taught_file import some_model
from tests.store.fixtures import add_image, box

DETECTOR = TaughtDetector(some_model(("cat", "dog")), name="pets")


def found_in(*rows: tuple[float, float, int]) -> Candidates:
    """Return candidates of 10 × 8 pixels: where, how sure, and of which class."""
    return Candidates(
        np.array([(at, at, at + 10, at + 8) for at, _, _ in rows], np.float32),
        np.array([confidence for _, confidence, _ in rows], np.float32),
        np.array([class_id for _, _, class_id in rows], np.int32),
    )


def images(store: Store, scope: Scope) -> list[ImageRecord]:
    store.add_labels(scope, ["cat", "dog"])
    return [add_image(store, scope, f"{number}.jpg") for number in range(3)]


def test_the_likeliest_come_first_of_one_label_on_open_images(
    store: Store, scope: Scope
) -> None:
    first, second, third = images(store, scope)
    store.save(scope, first.with_annotations([box("cat", at=1)]))
    store.save(scope, approve(third, who="ann"))
    pool = CandidatePool.of(
        {
            first.image_id: found_in((1, 0.9, 0), (30, 0.4, 0)),
            second.image_id: found_in((20, 0.8, 0), (20, 0.9, 1), (40, 0.02, 0)),
            third.image_id: found_in((20, 0.9, 0)),
        }
    )
    rule = SelectionRule(0.05)
    found = found_boxes(store, scope, DETECTOR, pool, rule, label="cat")
    assert [(one.file_name, round(one.confidence, 2)) for one in found] == [
        ("1.jpg", 0.8),
        ("0.jpg", 0.4),
    ]
    assert found[1].revision == 1
    assert list(by_image(found)) == [second.image_id, first.image_id]
    assert found_boxes(store, scope, DETECTOR, pool, rule, label="bird") == []


def test_labels_are_those_of_the_dataset(store: Store, scope: Scope) -> None:
    first, *_ = images(store, scope)
    pool = CandidatePool.of({first.image_id: found_in((1, 0.9, 0))})
    rule = SelectionRule(0.05, mapping={"cat": "tiger"})
    (found,) = found_boxes(store, scope, DETECTOR, pool, rule, label="tiger")
    assert found.annotation.label == "tiger"
    assert not found_boxes(store, scope, DETECTOR, pool, rule, label="cat")


def test_coverage_counts_the_boxes_of_people(store: Store, scope: Scope) -> None:
    first, second, _ = images(store, scope)
    models = Annotation(Box(50, 30, 60, 40), "cat", source=Source.MODEL, model_id="m")
    drawn = [box("cat", at=1), box("cat", at=20), box("cat", at=35), models]
    store.save(scope, first.with_annotations(drawn))
    store.save(scope, second.with_annotations([box("dog", at=1)]))
    pool = CandidatePool.of({first.image_id: found_in((1, 0.1, 0))})
    covered = coverage(store, scope, pool, label="cat")
    assert (covered.boxes, covered.found) == (3, 1)
    assert covered.is_poor
    assert not coverage(store, scope, pool, label="dog").is_poor

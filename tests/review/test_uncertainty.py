"""What makes an image doubtful, planted one by one, and what the queue is worth."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from imagebase.annotation import Box, ImageRecord, ReviewStatus, Size, Source
from imagebase.detection.candidate_pool import CandidatePool
from imagebase.detection.candidates import Candidates
from imagebase.detection.factory import shared_detector
from imagebase.detection.library import find_model
from imagebase.detection.pipeline import ImageSource, detect_many
from imagebase.errors import EditError
from imagebase.geometry import (
    FloatArray,
    as_xyxy,
    pairwise_containment,
    pairwise_iou,
    xywh_to_xyxy,
)
from imagebase.review.uncertainty import (
    SEEN_SHARE,
    WEIGHTS,
    Boxes,
    ImageEvidence,
    Looked,
    add_missed,
    judge,
    place_in_words,
)
from imagebase.store.uncertainty import Doubt, DoubtKind, MissedObject

SIZE = Size(300, 200)
NAMES = ("person", "dog", "apple")
PERSON, DOG, APPLE = range(3)
THRESHOLD = 0.25
# Enough boxes that no label is rare.
MANY = np.array([1000, 1000, 1000])

Row = tuple[int, tuple[float, float, float, float], int, float]
LEFT = (0.0, 80.0, 40.0, 120.0)
RIGHT = (250.0, 80.0, 290.0, 120.0)


def boxes(*rows: Row, untouched: bool = True) -> Boxes:
    """Return boxes of (image, xyxy, label, confidence)."""
    return Boxes(
        np.array([row[0] for row in rows], dtype=np.intp),
        np.array([row[1] for row in rows], dtype=np.float64).reshape(-1, 4),
        np.array([row[2] for row in rows], dtype=np.intp),
        np.array([row[3] for row in rows], dtype=np.float64),
        np.full(len(rows), untouched, dtype=np.bool_),
    )


def evidence(count: int = 1, /, **known: object) -> ImageEvidence:
    """Return the evidence of so many open images about which nothing is known."""
    usual: dict[str, Any] = {
        "images": [Looked(str(i), 1, SIZE, is_open=True) for i in range(count)],
        "boxes": Boxes.empty(),
        "marks": Boxes.empty(),
        "plain": Boxes.empty(),
        "mirrored": Boxes.empty(),
        "has_both": np.ones(count, dtype=np.bool_),
        "names": NAMES,
        "thresholds": np.full(3, THRESHOLD),
        "label_counts": MANY,
        "model_id": "tiny-abc",
    }
    usual.update(known)
    return ImageEvidence(**usual)


def only(known: ImageEvidence) -> Doubt:
    (doubt,) = judge(known)
    return doubt


def seen(*rows: Row, count: int = 1, **known: object) -> ImageEvidence:
    """Return the evidence of boxes that both passes show just as they are."""
    same = boxes(*rows)
    return evidence(count, boxes=same, plain=same, mirrored=same, **known)


def test_sure_box_that_both_passes_show_is_no_doubt() -> None:
    doubt = only(seen((0, LEFT, DOG, 0.9)))
    assert (doubt.score, dict(doubt.reasons)) == (0.0, {})


def test_image_that_nothing_is_known_of_is_no_doubt() -> None:
    assert only(evidence(has_both=np.zeros(1, np.bool_))).score == 0.0


def test_boxes_near_the_threshold_are_named_the_nearest_first() -> None:
    doubt = only(seen((0, LEFT, PERSON, 0.36), (0, RIGHT, DOG, 0.27)))
    (reason,) = doubt.reasons.values()
    assert reason.text == "2 objects near the threshold: dog 27 %, person 36 %"
    assert 0 < doubt.score < 1
    assert doubt.score == pytest.approx(reason.part)


def test_the_nearer_to_the_threshold_the_more_doubtful() -> None:
    rows = [(i, LEFT, DOG, 0.25 + 0.03 * i) for i in range(6)]
    scores = [doubt.score for doubt in judge(seen(*rows, count=6))]
    assert scores[0] == pytest.approx(WEIGHTS[DoubtKind.NEAR])
    assert scores == sorted(scores, reverse=True)
    assert scores[5] == 0


def test_candidate_just_below_the_threshold_that_no_box_covers_is_near_it() -> None:
    below = boxes((0, LEFT, DOG, 0.22))
    reason = only(evidence(plain=below)).reasons[DoubtKind.NEAR]
    assert reason.text == "1 object near the threshold: dog 22 % (no box)"
    covered = boxes((0, LEFT, PERSON, np.nan), untouched=False)
    assert only(evidence(plain=below, boxes=covered)).score == 0


def test_box_of_a_person_is_never_near_the_threshold() -> None:
    person = boxes((0, LEFT, DOG, 0.26), untouched=False)
    assert only(evidence(boxes=person, plain=person, mirrored=person)).score == 0


def test_each_label_has_its_own_threshold() -> None:
    known = seen((0, LEFT, DOG, 0.52), thresholds=np.array([0.25, 0.5, 0.25]))
    assert list(only(known).reasons) == [DoubtKind.NEAR]
    known = seen((0, LEFT, PERSON, 0.52), thresholds=np.array([0.25, 0.5, 0.25]))
    assert only(known).score == 0


def test_without_a_threshold_no_confidence_is_near_it() -> None:
    known = seen((0, LEFT, DOG, 0.26), thresholds=np.full(3, np.nan))
    assert only(known).score == 0


@pytest.mark.parametrize("which", ["plain", "mirrored"])
def test_object_that_a_pass_shows_without_a_box_is_perhaps_missed(which: str) -> None:
    doubt = only(evidence(1, **{which: boxes((0, LEFT, APPLE, 0.61))}))
    (kind,) = doubt.reasons
    reason = doubt.reasons[kind]
    assert kind is DoubtKind.MISSED
    assert reason.text == "possibly missed: an apple at the left edge 61 %"
    assert reason.found == (MissedObject(Box(*LEFT), "apple", 0.61, "tiny-abc"),)


def test_object_that_both_passes_show_is_missed_once() -> None:
    shifted = (4.0, 80.0, 44.0, 120.0)
    doubt = only(
        evidence(
            plain=boxes((0, LEFT, DOG, 0.5)), mirrored=boxes((0, shifted, DOG, 0.6))
        )
    )
    (found,) = doubt.reasons[DoubtKind.MISSED].found
    assert (found.box, found.confidence) == (Box(*shifted), 0.6)


def test_equally_sure_passes_name_a_missed_object_once() -> None:
    same = boxes((0, LEFT, DOG, 0.5))
    doubt = only(evidence(plain=same, mirrored=same))
    assert len(doubt.reasons[DoubtKind.MISSED].found) == 1


@pytest.mark.parametrize(
    ("there", "label", "is_missed"),
    [
        (LEFT, DOG, False),
        (LEFT, PERSON, False),  # somebody says what it is
        ((0.0, 70.0, 100.0, 130.0), DOG, False),  # it lies in a larger dog
        ((0.0, 70.0, 100.0, 130.0), PERSON, True),
        (RIGHT, DOG, True),
    ],
    ids=["same", "other label", "contained", "in another label", "elsewhere"],
)
def test_boxes_that_cover_an_object(
    there: tuple[float, float, float, float], label: int, is_missed: bool
) -> None:
    known = evidence(
        boxes=boxes((0, there, label, np.nan), untouched=False),
        mirrored=boxes((0, LEFT, DOG, 0.8)),
    )
    assert (DoubtKind.MISSED in only(known).reasons) is is_missed


def test_what_a_person_deleted_is_not_missed() -> None:
    shown = boxes((0, LEFT, DOG, 0.8))
    marks = boxes((0, LEFT, DOG, 0.8))
    assert only(evidence(plain=shown, mirrored=shown, marks=marks)).score == 0
    other = boxes((0, LEFT, PERSON, 0.8))
    assert only(evidence(plain=shown, mirrored=shown, marks=other)).score > 0


def test_objects_of_one_image_do_not_cover_those_of_another() -> None:
    known = evidence(
        2,
        boxes=boxes((1, LEFT, DOG, np.nan), untouched=False),
        mirrored=boxes((0, LEFT, DOG, 0.8), (1, LEFT, DOG, 0.8)),
    )
    first, second = judge(known)
    assert list(first.reasons) == [DoubtKind.MISSED]
    assert second.score == 0


def test_box_that_only_one_pass_shows_is_doubtful() -> None:
    box = boxes((0, LEFT, DOG, 0.9))
    doubt = only(evidence(boxes=box, plain=box))
    assert doubt.reasons[DoubtKind.ONE_WAY].text == (
        "not detected in the mirrored image: dog 90 %"
    )
    once = evidence(boxes=box, plain=box, has_both=np.zeros(1, np.bool_))
    assert only(once).score == 0  # nobody looked a second time
    faint = boxes((0, LEFT, DOG, 0.1))
    assert only(evidence(boxes=box, plain=box, mirrored=faint)).score == 0


def test_box_without_a_confidence_is_named_without_one() -> None:
    box = boxes((0, LEFT, DOG, float("nan")))
    doubt = only(evidence(boxes=box))
    assert doubt.reasons[DoubtKind.ONE_WAY].text == (
        "not detected in the mirrored image: dog"
    )


def test_boxes_that_overlap_are_told_with_how_much() -> None:
    # 40 × 40 px, moved by 6: 34 × 40 of 46 × 40 px are shared, 74 %.
    beside = (6.0, 80.0, 46.0, 120.0)
    twice = boxes((0, LEFT, DOG, np.nan), (0, beside, DOG, np.nan), untouched=False)
    reason = only(evidence(boxes=twice)).reasons[DoubtKind.OVERLAP]
    assert reason.text == "two 'dog' boxes overlap by 74 %"
    two = boxes((0, LEFT, DOG, np.nan), (0, beside, PERSON, np.nan), untouched=False)
    assert only(evidence(boxes=two)).score == 0
    same = boxes((0, LEFT, DOG, np.nan), (0, LEFT, PERSON, np.nan), untouched=False)
    reason = only(evidence(boxes=same)).reasons[DoubtKind.OVERLAP]
    assert reason.text == "'dog' and 'person' overlap by 100 %"


def test_rare_labels_are_told_each_once() -> None:
    rare = boxes(
        (0, LEFT, APPLE, np.nan),
        (0, RIGHT, APPLE, np.nan),
        (1, LEFT, PERSON, np.nan),
        untouched=False,
    )
    counts = np.array([997, 0, 2])
    first, second = judge(evidence(2, boxes=rare, label_counts=counts))
    assert first.reasons[DoubtKind.RARE].text == "one of 2 'apple' of the set"
    assert second.score == 0
    single = judge(evidence(2, boxes=rare, label_counts=np.array([997, 0, 1])))[0]
    assert single.reasons[DoubtKind.RARE].text == "the only 'apple' of the set"
    assert single.score > first.score


def test_in_a_small_set_no_label_is_rare() -> None:
    known = seen((0, LEFT, DOG, 0.9), label_counts=np.array([15, 1, 0]))
    assert only(known).score == 0


def test_reasons_add_up_and_come_strongest_first() -> None:
    box = boxes((0, LEFT, DOG, 0.35))
    known = evidence(boxes=box, plain=box, mirrored=boxes((0, RIGHT, PERSON, 0.5)))
    doubt = only(known)
    assert list(doubt.reasons) == [DoubtKind.ONE_WAY, DoubtKind.MISSED, DoubtKind.NEAR]
    parts = [reason.part for reason in doubt.reasons.values()]
    assert doubt.score == pytest.approx(1 - np.prod([1 - part for part in parts]))
    assert parts[0] == pytest.approx(WEIGHTS[DoubtKind.ONE_WAY])


def test_closed_image_has_no_doubt_whatever_is_known() -> None:
    known = seen((0, LEFT, DOG, 0.25))
    closed = replace(known, images=[replace(known.images[0], is_open=False)])
    doubt = only(closed)
    assert (doubt.score, dict(doubt.reasons)) == (0.0, {})


def test_long_lists_say_how_many_more_there_are() -> None:
    rows = [(0, (20.0 * i, 0.0, 20.0 * i + 9, 9.0), DOG, 0.26) for i in range(5)]
    reason = only(seen(*rows)).reasons[DoubtKind.NEAR]
    assert reason.text == (
        "5 objects near the threshold: dog 26 %, dog 26 %, dog 26 % and 2 more"
    )


def test_no_images_have_no_doubts() -> None:
    assert judge(evidence(0)) == []


@pytest.mark.parametrize(
    ("box", "words"),
    [
        (Box(0, 80, 40, 120), "at the left edge"),
        (Box(5, 80, 45, 120), "at the left"),
        (Box(260, 80, 300, 120), "at the right edge"),
        (Box(130, 80, 170, 120), "in the middle"),
        (Box(130, 0, 170, 40), "at the top"),
        (Box(260, 160, 300, 200), "at the bottom right"),
    ],
)
def test_places_in_words(box: Box, words: str) -> None:
    assert place_in_words(box, SIZE) == words


def test_added_object_is_a_model_box_that_a_person_accepted() -> None:
    record = ImageRecord("0" * 64, "a.jpg", SIZE, status=ReviewStatus.SUGGESTED)
    found = MissedObject(Box(-5, 10, 40, 60), "dog", 0.61, "tiny-abc")
    (added,) = add_missed(record, found, who="ann").annotations
    assert added.box == Box(0, 10, 40, 60)
    assert (added.label, added.source, added.confidence) == ("dog", Source.MODEL, 0.61)
    assert (added.accepted, added.changed_by, added.model_id) == (
        True,
        "ann",
        "tiny-abc",
    )
    assert add_missed(record, found, who="ann").status is ReviewStatus.EDITED
    with pytest.raises(EditError):
        add_missed(record, replace(found, box=Box(400, 0, 500, 10)), who="ann")


# --- on photographs with known objects ---


@dataclass(frozen=True)
class Measured:
    """128 images judged, and how many errors each has against its known objects."""

    scores: FloatArray
    least_confidence: FloatArray
    errors: NDArray[np.intp]

    def first_quarter(self, order: FloatArray) -> tuple[float, float]:
        """Return the share of images with errors in it, and of all errors."""
        first = np.argsort(-order, kind="stable")[: len(order) // 4]
        caught = self.errors[first]
        return float((caught > 0).mean()), float(caught.sum() / self.errors.sum())


@pytest.fixture(
    scope="module",
    params=[pytest.param("yolov4-tiny", marks=pytest.mark.long), "yolox-nano"],
)
def measured(request: pytest.FixtureRequest, shared_data: Path) -> Measured:
    folder = shared_data / "coco_val_dev128"
    truth = json.loads((folder / "instances.json").read_text(encoding="utf-8"))
    detector = shared_detector(find_model(request.param))
    plain, mirrored = (
        selected(folder, truth, detector.name, is_mirrored)
        for is_mirrored in (False, True)
    )
    kept = plain.only(plain.confidence >= THRESHOLD)
    images = [
        Looked(
            image["file_name"], 1, Size(image["width"], image["height"]), is_open=True
        )
        for image in truth["images"]
    ]
    count = len(detector.labels)
    doubts = judge(
        ImageEvidence(
            images=images,
            boxes=kept,
            marks=Boxes.empty(),
            plain=plain,
            mirrored=mirrored,
            has_both=np.ones(len(images), dtype=np.bool_),
            names=detector.labels,
            thresholds=np.full(count, THRESHOLD),
            label_counts=np.bincount(kept.label, minlength=count),
        )
    )
    least = np.ones(len(images))
    np.minimum.at(least, kept.image, kept.confidence)
    return Measured(
        np.array([doubt.score for doubt in doubts]),
        least,
        errors_of(truth, kept, detector.labels),
    )


def selected(
    folder: Path, truth: Mapping[str, Any], model: str, mirrored: bool
) -> Boxes:
    """Return what a pass shows of the photographs from a third of the threshold on."""
    detector = shared_detector(find_model(model))
    names = [image["file_name"] for image in truth["images"]]
    sources = [
        ImageSource(name, (folder / "images" / name).read_bytes) for name in names
    ]
    found: dict[str, Candidates] = {}
    for item in detect_many(detector, sources, mirrored=mirrored):
        assert item.candidates is not None
        found[item.name] = item.candidates
    pool = CandidatePool.of(found)
    rows = pool.select(
        confidence_threshold=THRESHOLD * SEEN_SHARE, nms_threshold=0.45
    ).rows
    return Boxes(
        pool.image[rows],
        pool.xyxy[rows].astype(np.float64),
        pool.class_id[rows].astype(np.intp),
        pool.confidence[rows].astype(np.float64),
        np.ones(len(rows), dtype=np.bool_),
    )


def errors_of(
    truth: Mapping[str, Any], kept: Boxes, labels: tuple[str, ...]
) -> NDArray[np.intp]:
    """Return wrong and missed boxes of each image at IoU 0.5; crowds are no error."""
    names = {category["id"]: category["name"] for category in truth["categories"]}
    errors = []
    for place, image in enumerate(truth["images"]):
        known = [box for box in truth["annotations"] if box["image_id"] == image["id"]]
        crowds = xywh_to_xyxy(as_xyxy([o["bbox"] for o in known if o["iscrowd"]]))
        real = [box for box in known if not box["iscrowd"]]
        there = xywh_to_xyxy(as_xyxy([box["bbox"] for box in real]))
        label = np.array([labels.index(names[box["category_id"]]) for box in real])
        ours = kept.only(kept.image == place)
        iou = pairwise_iou(ours.xyxy, there)
        iou[ours.label[:, None] != label[None, :]] = 0
        in_crowd = pairwise_containment(ours.xyxy, crowds).max(axis=1, initial=0) > 0.5
        right = 0
        wrong = 0
        for row in np.argsort(-ours.confidence):
            if iou.shape[1] and iou[row].max() >= 0.5:
                iou[:, iou[row].argmax()] = 0
                right += 1
            elif not in_crowd[row]:
                wrong += 1
        errors.append(wrong + len(real) - right)
    return np.array(errors)


def test_first_quarter_of_the_queue_holds_twice_its_share_of_the_errors(
    measured: Measured,
) -> None:
    with_errors = float((measured.errors > 0).mean())
    images, errors = measured.first_quarter(measured.scores)
    usual_images, usual_errors = measured.first_quarter(-measured.least_confidence)
    print(
        f"\nimages with errors, errors caught: random {with_errors:.3f} .250, "
        f"least confident first {usual_images:.3f} {usual_errors:.3f}, "
        f"queue {images:.3f} {errors:.3f}"
    )
    assert images > with_errors + 0.1
    assert images >= usual_images
    assert errors > 1.8 * 0.25
    assert errors > usual_errors

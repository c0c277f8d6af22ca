"""What is learned from: every image once an epoch, changed, its boxes with it."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagebase.annotation import Size
from imagebase.annotation.areas import Shape, rectangle
from imagebase.formats.placement import Frame
from imagebase.training.data import TRAIN, TrainingSet, load_set, prepare
from imagebase.training.data_loader import Batch, Batches, Move
from imagebase.training.run_settings import TrainingSettings
from tests.training.shapes import LABELS, sources
from tests.training.shapes import picture as picture_of


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    folder = tmp_path_factory.mktemp("set")
    return prepare(folder, sources(10), labels=LABELS, input_size=Size(96, 96))


def settings(**changed: bool | int) -> TrainingSettings:
    document: dict[str, Any] = {"base": "", "steps": 1, "colours": False, **changed}
    return TrainingSettings(**document)


def same(a: Batch, b: Batch) -> bool:
    pairs: list[tuple[Any, Any]] = list(zip(a, b, strict=True))
    return all(np.array_equal(pair, other) for pair, other in pairs)


def test_a_batch_depends_on_seed_and_number_only(small_set: TrainingSet) -> None:
    batch, other = Batches(small_set, settings()), Batches(small_set, settings())
    stream = other.from_number(0)
    first = [next(stream) for _ in range(4)]
    stream.close()  # type: ignore[attr-defined]
    assert same(first[3], batch.batch(3))
    assert not same(batch.batch(3), batch.batch(2))
    assert not same(batch.batch(3), Batches(small_set, settings(seed=1)).batch(3))


def test_augmented_boxes_match_the_pixels(small_set: TrainingSet) -> None:
    batches, seen = Batches(small_set, settings()), 0
    for number in range(8):
        batch = batches.batch(number)
        for image, label, box in zip(
            batch.image, batch.label, batch.boxes, strict=True
        ):
            picture = batch.pictures[image].astype(int)
            channel, other = (0, 2) if label == 0 else (2, 0)
            rows, columns = np.nonzero(
                picture[..., channel] - picture[..., other] > 100
            )
            found = np.array(
                [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            )
            half = box[2:] / 2
            expected = np.concatenate([box[:2] - half, box[:2] + half]) * 96
            np.testing.assert_allclose(found, expected, atol=3.0)
            seen += 1
    assert seen > 40


def test_each_image_occurs_once_per_epoch(small_set: TrainingSet) -> None:
    batches = Batches(small_set, settings(batch_size=1))
    count = len(small_set.of_part(TRAIN))
    for epoch in range(3):
        places = [batches._image_at(epoch * count + index) for index in range(count)]
        assert sorted(places) == small_set.of_part(TRAIN)


def test_objects_cut_off_too_far_are_dropped() -> None:
    move = Move((1.0, 1.0), (0.5, 0.0))
    boxes = np.array(
        [[0.2, 0.5, 0.2, 0.2], [0.5, 0.5, 0.2, 0.2], [0.58, 0.5, 0.2, 0.2]], np.float32
    )
    cut, is_kept = move.boxes(boxes)
    assert is_kept.tolist() == [True, True, False]
    np.testing.assert_allclose(cut[1], [0.95, 0.5, 0.1, 0.2], atol=1e-6)


def test_ignore_areas_are_augmented_with_the_image(tmp_path: Path) -> None:
    """The red square of each image is its area: it covers what is red, moved or not."""
    marked = [
        source._replace(ignored=partial(_red_square, at))
        for at, source in enumerate(sources(10))
    ]
    prepared = prepare(tmp_path, marked, labels=LABELS, input_size=Size(96, 96))
    again = load_set(tmp_path)
    assert again.fingerprint == prepared.fingerprint
    assert [image.ignored for image in again.images] == [
        _red_square(at, Frame(Size(160, 120))) for at in range(10)
    ]
    batch = Batches(prepared, settings()).batch(0)
    assert batch.ignored is not None
    assert batch.ignored.shape == (len(batch.pictures), 24, 24)
    for picture, ignored in zip(batch.pictures.astype(int), batch.ignored, strict=True):
        is_red = (picture[..., 0] - picture[..., 2] > 100).reshape(24, 4, 24, 4)
        np.testing.assert_allclose(ignored, is_red.mean(axis=(1, 3)), atol=0.6)
        assert abs(float(ignored.mean()) - is_red.mean()) < 0.02


def _red_square(number: int, frame: Frame) -> tuple[Shape, ...]:
    _, boxes = picture_of(number)
    return tuple(rectangle(box) for label, box in boxes if label == LABELS[0])


def test_without_areas_nothing_is_ignored(small_set: TrainingSet) -> None:
    assert Batches(small_set, settings()).batch(0).ignored is None

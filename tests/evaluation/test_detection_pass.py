"""A pass over real images: what it keeps, what it refuses, and what it costs."""

from functools import partial

import numpy as np
import pytest

from imagebase.detection.candidates import Candidates
from imagebase.detection.pipeline import ImageSource
from imagebase.errors import UnknownModelError
from imagebase.evaluation.arrays import Truth
from imagebase.evaluation.detection_pass import (
    CancelledError,
    parse_model_spec,
    run_pass,
    selected,
)
from imagebase.images.decode import encode_png
from tests.detection.darknet.darknet_models import write_one_box_model
from tests.evaluation.builders import truth

DOG = (16.0, 18.0, 48.0, 30.0)


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that finds one dog in the middle of every image of 64 × 48."""
    return str(write_one_box_model(tmp_path_factory.mktemp("models") / "pets"))


def picture() -> bytes:
    return encode_png(np.full((48, 64, 3), 90, np.uint8))


def sources(things: Truth, *, broken: tuple[int, ...] = ()) -> list[ImageSource]:
    def content(place: int) -> bytes:
        return b"no" if place in broken else picture()

    return [
        ImageSource(image.name, partial(content, place))
        for place, image in enumerate(things.images)
    ]


def test_every_image_is_looked_at_and_measured(pets: str) -> None:
    things = truth((0, "dog", DOG), images=3)
    looked: list[int] = []

    def on_looked(done: int) -> bool:
        looked.append(done)
        return True

    done = run_pass(
        parse_model_spec(pets), things, sources(things), on_looked=on_looked
    )
    assert looked == [1, 2, 3]
    assert done.spec == pets
    assert done.found.image.tolist() == [0, 1, 2]
    assert {things.labels[place] for place in done.found.label} == {"dog"}
    np.testing.assert_allclose(done.found.xyxy[0], DOG, atol=1e-3)
    assert done.cost is not None
    assert done.cost.images_per_second > 0
    assert done.cost.load_seconds > 0
    assert done.cost.memory_bytes is None or done.cost.memory_bytes > 0


def test_labels_that_the_truth_lacks_are_left_out_and_named(pets: str) -> None:
    things = truth((0, "hound", DOG), labels=["hound", "person"])
    done = run_pass(parse_model_spec(pets), things, sources(things))
    assert len(done.found) == 0
    assert "dog" in done.mapping.unmapped
    assert done.mapping.unknown == ("hound",)  # nobody is on the images


def test_a_choice_names_them(pets: str) -> None:
    things = truth((0, "hound", DOG), labels=["hound"])
    done = run_pass(
        parse_model_spec(pets),
        things,
        sources(things),
        choices_for=lambda _: {"dog": "hound"},
    )
    assert done.found.label.tolist() == [0]
    assert done.mapping.unknown == ()


def test_a_broken_image_is_refused_and_the_others_go_on(pets: str) -> None:
    things = truth((0, "dog", DOG), images=3)
    done = run_pass(parse_model_spec(pets), things, sources(things, broken=(1,)))
    assert done.found.image.tolist() == [0, 2]
    assert list(done.refused) == ["1.jpg"]


def test_cancelling_stops_at_once(pets: str) -> None:
    things = truth((0, "dog", DOG), images=3)
    with pytest.raises(CancelledError):
        run_pass(
            parse_model_spec(pets), things, sources(things), on_looked=lambda _: False
        )


def test_unknown_model() -> None:
    things = truth((0, "dog", DOG))
    with pytest.raises(UnknownModelError):
        run_pass(parse_model_spec("nobody"), things, sources(things))


def test_a_pass_keeps_what_is_hardly_there_and_a_hundred_at_most() -> None:
    """Far below the floor of kept candidates, 0.01; overlapping ones of a class go."""
    left = np.arange(150, dtype=np.float32) * 20
    xyxy = np.stack([left, left * 0, left + 10, left * 0 + 10], axis=1)
    confidence = np.linspace(0.9, 0.0005, 150, dtype=np.float32)
    kept = selected(
        Candidates(xyxy, confidence, np.zeros(150, np.int32)), np.zeros(150, np.int32)
    )
    assert len(kept) == 100
    few = selected(
        Candidates(
            xyxy[[0, 0, 1]],
            np.array([0.002, 0.001, 0.0009], np.float32),
            np.zeros(3, np.int32),
        ),
        np.zeros(3, np.int32),
    )
    assert few.confidence.tolist() == pytest.approx([0.002])

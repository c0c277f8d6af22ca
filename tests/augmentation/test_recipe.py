import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebase.annotation import Annotation, Box, Size
from imagebase.augmentation import (
    STEPS,
    FlipHorizontally,
    LabelledImage,
    Mosaic,
    Recipe,
    Rotate,
    RotatedBoxes,
    ScaleShift,
    Step,
    recipe_from_json,
    recipe_json,
    train_variants,
    variant,
)
from imagebase.augmentation.scene import Scene
from imagebase.errors import ExportError
from imagebase.formats.split import Split
from imagebase.images.decode import load_image
from imagebase.images.scan import sample_photographs
from tests.augmentation.planting import COLOURS, boxes_of, found, planted

ALL: Final = Recipe(tuple(make() for make in STEPS.values()), Mosaic(), variants=3)
ALWAYS: Final = recipe_from_json(
    {
        "steps": [{"step": name, "probability": 1.0} for name in STEPS],
        "mosaic": None,
    }
)
NAMES: Final = tuple("abcdefgh")


def load(image_id: str) -> LabelledImage:
    """Return an image that follows from its id."""
    seed = ord(image_id)
    rgb = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    box = Box(seed % 30, 5, seed % 30 + 40, 50)
    return LabelledImage(rgb, (Annotation(box, image_id),))


def digest(image: LabelledImage) -> str:
    boxes = [(annotation.label, *annotation.box) for annotation in image.annotations]
    return hashlib.sha256(image.rgb.tobytes() + repr(boxes).encode()).hexdigest()


def digests(recipe: Recipe = ALL) -> list[str]:
    return [
        digest(variant(recipe, name, number, load=load, partners=NAMES))
        for name in NAMES
        for number in range(3)
    ]


def test_every_variant_is_another() -> None:
    assert len(set(digests(ALWAYS))) == 3 * len(NAMES)


def test_seed_decides() -> None:
    other = Recipe(ALWAYS.steps, seed=1)
    assert not set(digests(ALWAYS)) & set(digests(other))


def test_variant_depends_on_neither_order_nor_process() -> None:
    expected = digests()
    last = variant(ALL, "h", 2, load=load, partners=NAMES[::-1])
    assert digest(last) == expected[-1]
    script = "from tests.augmentation.test_recipe import *\nprint(*digests())"
    shown = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONHASHSEED": "5", "PYTHONPATH": "."},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown.split() == expected


def test_only_training_images_have_variants_and_stand_in_mosaics() -> None:
    split = Split({"c": "test", "b": "train", "a": "train", "d": "val", "e": "train"})
    loaded: list[str] = []

    def watched(image_id: str) -> LabelledImage:
        loaded.append(image_id)
        return load(image_id)

    recipe = Recipe((), Mosaic(probability=1), variants=4)
    made = list(train_variants(recipe, split, watched))
    assert [(variant.image_id, variant.number) for variant in made] == [
        (image_id, number) for image_id in "abe" for number in range(4)
    ]
    assert set(loaded) == {"a", "b", "e"}
    labels = {
        annotation.label for each in made for annotation in each.image.annotations
    }
    assert labels == {"a", "b", "e"}


def test_no_variants_and_no_training_images_give_nothing() -> None:
    split = Split({"a": "train"})
    assert list(train_variants(Recipe(variants=0), split, load)) == []
    assert list(train_variants(ALL, Split({"a": "val"}), load)) == []


def test_recipe_without_steps_copies_the_image() -> None:
    copy = variant(Recipe(), "a", 0, load=load, partners=())
    np.testing.assert_array_equal(copy.rgb, load("a").rgb)
    assert [annotation.box for annotation in copy.annotations] == [
        annotation.box for annotation in load("a").annotations
    ]


def test_probability_is_the_share_of_variants() -> None:
    recipe = Recipe((FlipHorizontally(probability=0.3),))
    original = load("a").rgb
    flipped = sum(
        not np.array_equal(
            variant(recipe, "a", number, load=load, partners=()).rgb, original
        )
        for number in range(1000)
    )
    assert 260 < flipped < 340


def test_mosaic_without_partners_is_the_image_four_times() -> None:
    recipe = Recipe((), Mosaic(probability=1), least_visible=0.01)
    image = variant(recipe, "a", 0, load=load, partners=())
    assert {annotation.label for annotation in image.annotations} == {"a"}
    assert image.rgb.shape == (60, 80, 3)


def test_mosaic_holds_four_pictures_with_boxes_on_their_objects() -> None:
    boxes = {
        "red": Box(40, 30, 100, 80),
        "green": Box(10, 20, 50, 70),
        "blue": Box(0, 0, 160, 120),
        "yellow": Box(20, 20, 90, 30),
    }
    sizes = (Size(160, 120), Size(60, 150), Size(160, 120), Size(301, 93))
    pictures = [
        planted({colour: box.clipped(size)}, size=size)
        for (colour, box), size in zip(boxes.items(), sizes, strict=True)
    ]
    for seed in range(50):
        first, *others = (Scene.of(picture) for picture in pictures)
        result = Mosaic().apply(first, others, np.random.default_rng(seed))
        image = result.finished(least_visible=0.0, least_side_px=0.0)
        assert image.rgb.shape == (120, 160, 3)
        boxes_seen = boxes_of(image)
        for colour in COLOURS:
            seen, said = found(image.rgb, colour), boxes_seen.get(colour)
            if seen is not None:
                assert said is not None
                np.testing.assert_allclose(seen, said, atol=1, err_msg=colour)
            else:
                assert said is None or min(said.width, said.height) < 1


def test_recipe_survives_json() -> None:
    recipe = Recipe(
        (*ALL.steps, Rotate(3, RotatedBoxes.ELLIPSE)), Mosaic(0.1, 0.9), seed=9
    )
    kept = json.loads(json.dumps(recipe_json(recipe)))
    again = recipe_from_json(kept)
    assert again == recipe
    assert isinstance(again.steps[-1], Rotate)
    assert again.steps[-1].boxes is RotatedBoxes.ELLIPSE
    assert recipe_from_json(recipe_json(Recipe())) == Recipe()


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"steps": [{"step": "no such step"}], "mosaic": None},
        {"steps": [{"step": "blur", "sigma": 1}], "mosaic": None},
        {"steps": [{"step": "rotate", "boxes": "circle"}], "mosaic": None},
        {"steps": [5], "mosaic": None},
        {"steps": [], "mosaic": {"size": 4}},
        {"steps": [], "mosaic": None, "variants": "many"},
        {"steps": [{"step": "rotate", "max_degrees": 400}], "mosaic": None},
    ],
    ids=str,
)
def test_damaged_recipe_is_refused_with_a_sentence(kept: dict[str, object]) -> None:
    with pytest.raises(ExportError, match="choose"):
        recipe_from_json(kept)


steps = st.lists(st.sampled_from(ALWAYS.steps), max_size=5)
edges = st.floats(-20, 120, allow_nan=False)
boxes = st.lists(st.builds(Box, edges, edges, edges, edges), max_size=6)


@given(steps, boxes, st.integers(1, 90), st.integers(1, 90), st.integers(0, 9))
def test_boxes_of_any_variant_lie_in_it_and_are_large_enough(
    chosen: list[Step], given_boxes: list[Box], width: int, height: int, seed: int
) -> None:
    image = LabelledImage(
        np.full((height, width, 3), 90, dtype=np.uint8),
        tuple(Annotation(box, str(at)) for at, box in enumerate(given_boxes)),
    )
    recipe = Recipe(tuple(chosen), Mosaic(), seed=seed)
    made = variant(recipe, "a", 0, load=lambda _: image, partners=("a",))
    size = Size(made.rgb.shape[1], made.rgb.shape[0])
    for annotation in made.annotations:
        assert annotation.box == annotation.box.clipped(size)
        assert min(annotation.box.width, annotation.box.height) >= 2 - 1e-6


def test_variant_of_a_photograph_takes_a_few_milliseconds() -> None:
    _, path = sample_photographs()[0]
    rgb = load_image(path.read_bytes(), file_name=path.name, max_pixels=10**8).rgb
    photograph = LabelledImage(np.ascontiguousarray(rgb[:480, :640]))
    recipe = Recipe((FlipHorizontally(), ScaleShift(), Rotate(), *ALL.steps[6:8]))
    seconds = []
    for number in range(20):
        started = time.process_time()
        variant(recipe, "a", number, load=lambda _: photograph, partners=())
        seconds.append(time.process_time() - started)
    # 5 ms of computing; what else the machine does counts for nothing.
    assert min(seconds) < 0.05

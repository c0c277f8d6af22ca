"""Labels of drawn boxes: how often the guess is right, in the order of drawing.

Each box is drawn 6 % loose (one standard deviation of each edge, seeded), image by
image; its label is guessed, and then known: the boxes before it are the examples, as in
the app. Printed are the share of boxes whose first guess is right, and whose label is
among three; then BCCD from a few example images, judged on the others.

    python -m benchmarks.labels [--images N]

Sets: COCO photographs, whose labels the models know; blood cells, which no model knows;
and both and raccoons shuffled in one dataset. Reads `../shared/data`.
"""

import argparse
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from benchmarks.point import SETS, Photo, photos
from imagebase.annotation import Box, Size
from imagebase.assist.appearance import look_at
from imagebase.assist.label_guess import (
    BoxExamples,
    LabelGuess,
    Surroundings,
    extent_of,
    guessed,
    label_views,
    ranked_labels,
)
from imagebase.assist.pointing import ASSIST_MODELS, whole_image
from imagebase.detection.factory import shared_detector
from imagebase.detection.library import find_model
from imagebase.geometry import FloatArray
from imagebase.images.decode import load_image

_LOOSE: Final = 0.06
_LEAST_PX: Final = 2.0
_PER_LABEL: Final = 40
_EXAMPLE_IMAGES: Final = (1, 5, 20)
_DRAWS: Final = 10


class Drawn(NamedTuple):
    """A drawn box, what the models guess, and what it looks like."""

    image: str
    label: str
    guesses: list[LabelGuess]
    look: FloatArray
    extent: FloatArray
    seconds: float


def drawn(chosen: Sequence[Photo]) -> Iterator[Drawn]:
    """Yield every box of the images, drawn loosely."""
    noise = np.random.default_rng(3)
    detectors = [shared_detector(find_model(name)) for name in ASSIST_MODELS]
    for photo in chosen:
        loaded = load_image(
            photo.path.read_bytes(), file_name=photo.path.name, max_pixels=10**9
        )
        whole = whole_image(loaded.rgb, detectors)
        for corners, label in photo.boxes:
            box = _loose(corners, loaded.size, noise)
            if min(box.width, box.height) < _LEAST_PX:
                continue
            started = time.perf_counter()
            views = label_views(loaded, box, detectors)
            guesses = guessed([whole, whole, *views], box, k=80)
            look, extent = look_at(loaded, [box])[0], extent_of(box, loaded.size)
            spent = time.perf_counter() - started
            yield Drawn(photo.path.name, label, guesses, look, extent, spent)


def _loose(
    corners: tuple[float, float, float, float], size: Size, noise: np.random.Generator
) -> Box:
    box = np.array(corners)
    sides = np.tile(box[2:] - box[:2], 2)
    edges = np.clip(box + noise.normal(0, _LOOSE, 4) * sides, 0, [*size] * 2)
    return Box(*map(float, edges))


def in_order(boxes: Sequence[Drawn], *, looks: bool, context: bool) -> list[FloatArray]:
    """Return for each box whether the first label is right, and one of three.

    looks: boxes before it are examples. context: the label before it and those on its
    image count too.
    """
    labels = sorted({box.label for box in boxes})
    known = _known()
    examples: dict[str, list[Drawn]] = defaultdict(list)
    hits: list[FloatArray] = []
    previous: Drawn | None = None
    here: set[str] = set()
    for box in boxes:
        if previous is None or previous.image != box.image:
            here = set()
        around = Surroundings(
            labels,
            known,
            _likeness(box, examples) if looks else {},
            previous.label if previous and context else None,
            frozenset(here) if context else (),
        )
        hits.append(_hit(box, around))
        examples[box.label].append(box)
        here.add(box.label)
        previous = box
    return hits


def _hit(box: Drawn, around: Surroundings) -> FloatArray:
    first, likely = ranked_labels(box.guesses, around)
    return np.array([first == box.label, box.label in likely], np.float32)


def _likeness(box: Drawn, examples: dict[str, list[Drawn]]) -> dict[str, float]:
    kept = [one for ones in examples.values() for one in ones[-_PER_LABEL:]]
    return _examples(kept).likeness(box.look, box.extent)


def _examples(boxes: Sequence[Drawn]) -> BoxExamples:
    if not boxes:
        return BoxExamples.none()
    return BoxExamples(
        np.array([box.label for box in boxes]),
        np.stack([box.look for box in boxes]),
        np.stack([box.extent for box in boxes]),
    )


def _known() -> frozenset[str]:
    models = (find_model(name) for name in ASSIST_MODELS)
    return frozenset(label for model in models for label in model.labels)


def from_images(boxes: Sequence[Drawn], count: int) -> FloatArray:
    """Return the shares of right labels from so many example images: of the boxes, of
    those among three, and the mean over the labels."""
    images = sorted({box.image for box in boxes})
    labels = sorted({box.label for box in boxes})
    known = _known()
    shares = []
    for seed in range(_DRAWS):
        chosen = set(random.Random(seed).sample(images, count))
        examples = _examples([box for box in boxes if box.image in chosen])
        hits: dict[str, list[FloatArray]] = defaultdict(list)
        for box in boxes:
            if box.image not in chosen:
                alike = examples.likeness(box.look, box.extent)
                hits[box.label].append(_hit(box, Surroundings(labels, known, alike)))
        every = np.concatenate([np.stack(rows) for rows in hits.values()])
        by_label = np.mean([np.stack(rows)[:, 0].mean() for rows in hits.values()])
        shares.append([*every.mean(axis=0), by_label])
    return np.asarray(np.mean(shares, axis=0), np.float32)


def _shuffled(sets: dict[str, list[Drawn]]) -> list[Drawn]:
    by_image: dict[str, list[Drawn]] = defaultdict(list)
    for boxes in sets.values():
        for box in boxes:
            by_image[box.image].append(box)
    images = sorted(by_image)
    random.Random(0).shuffle(images)
    return [box for image in images for box in by_image[image]]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=128)
    options = parser.parse_args()
    sets = {name: list(drawn(photos(name)[: options.images])) for name in SETS}
    set_of = {box.image: name for name, boxes in sets.items() for box in boxes}
    mixed = _shuffled(sets)
    print("| dataset | boxes | guess by | first | in three |\n|---|---|---|---|---|")
    ways = {
        "models": (False, False),
        "models, labels before": (False, True),
        "models, labels before, looks": (True, True),
    }
    for way, (looks, context) in ways.items():
        for name in ("coco", "bccd"):
            hits = in_order(sets[name], looks=looks, context=context)
            first, three = np.mean(hits, axis=0)
            print(f"| {name} | {len(hits)} | {way} | {first:.3f} | {three:.3f} |")
        hits = in_order(mixed, looks=looks, context=context)
        for name in SETS:
            own = [
                hit
                for hit, box in zip(hits, mixed, strict=True)
                if set_of[box.image] == name
            ]
            first, three = np.mean(own, axis=0)
            print(f"| mixed: {name} | {len(own)} | {way} | {first:.3f} | {three:.3f} |")
    print("\n| BCCD from | first | mean of the labels |\n|---|---|---|")
    for count in _EXAMPLE_IMAGES:
        first, _, by_label = from_images(sets["bccd"], count)
        print(f"| {count} images | {first:.3f} | {by_label:.3f} |")
    spent = np.median([box.seconds for box in sets["coco"]]) * 1e3
    print(f"\nA guess takes {spent:.0f} ms (median).")


if __name__ == "__main__":
    main()

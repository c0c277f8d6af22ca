"""Labelling a new domain from nothing while ImageBase learns: actions of a person.

A perfect annotator goes through a set in order. Each image shows what the models of
the moment suggest; what is wrong is corrected, and the image approved; then the taught
model is refitted. Counted against drawing every box, by actions (clicks, drags and
keys) and by the keystroke-level model (Card, Moran and Newell, 1980), which
`benchmarks.walk` uses too, with 1.35 s to look at each image and each correction.

    python -m benchmarks.loop [--set bccd|raccoon|all] [--images N] [--training]
        [--minutes M] [--steps-per-minute N]

A suggestion stands from IoU 0.5 on, and in a second count from 0.75 on. Actions:
approving an image 1; a wrong box 1; a right box with another label 2; each corner of a
box to pull 1; a missed object 1, by a click where the first suggestion at that point
stands and else by a drag, and 1 more where its label is another one than the last.

`--training` trains a YOLOv4-tiny (needs PyTorch) when the app would: it is ready after
its minutes of the person's own time, as if it ran while that person labels. The steps
are those of an idle machine of two cores. Reads `../shared/data`.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from benchmarks.point import Photo, photos
from benchmarks.training import Length, settings_for, trained
from imagebase.annotation import Box, Size
from imagebase.assist.pointing import PointCandidates, ranked
from imagebase.detection.detector import Detector, load_single
from imagebase.detection.model_files import model_in_folder
from imagebase.detection.taught.described_image import DescribedImage
from imagebase.detection.taught.model import TaughtModel
from imagebase.detection.taught.scores import scored
from imagebase.detection.taught.teacher import MOST_EXAMPLES, Teacher
from imagebase.geometry import FloatArray, pairwise_iou
from imagebase.images.decode import LoadedImage, load_image
from imagebase.learning.choice import (
    ENOUGH_IMAGES,
    FOUND_FLOOR,
    SHOWN,
    TAUGHT,
    TRAINED,
    Found,
    JudgedImage,
    ModelChoice,
    challenge,
    choose,
)
from imagebase.learning.schedule import (
    QUICK,
    Labelled,
    may_train,
    minutes_for,
    to_forget,
)
from imagebase.training.data import SourceImage

STANDS: Final = (0.5, 0.75)
_MEANT: Final = 0.4
_SECONDS: Final = {"key": 0.2, "point": 1.1, "click": 1.3, "drag": 2.4, "look": 1.35}
_OFF_CENTRE: Final = 0.08
_REPORT_EVERY: Final = 50
_STEPS_PER_MINUTE: Final = 165


class Tally(Counter[str]):
    """What a person did: `click`, `drag`, `key`, `point` for a key, `look`, and fates.

    Fates are what became of boxes: `stood`, `deleted`, `pulled`, `renamed`, `clicked`,
    `drawn`.
    """

    @property
    def actions(self) -> int:
        return self["click"] + self["drag"] + self["key"]

    @property
    def seconds(self) -> float:
        """Seconds by the keystroke-level model."""
        return sum(self[name] * seconds for name, seconds in _SECONDS.items())


class Truth(NamedTuple):
    """An image's true boxes, (N, 4), and their labels."""

    xyxy: FloatArray
    label: tuple[str, ...]


class Person:
    """A perfect annotator, who takes a box as it is from one IoU on."""

    def __init__(self, stands: float) -> None:
        self._stands = stands
        self._last = ""
        self._random = np.random.default_rng(0)

    def draw(self, truth: Truth) -> Tally:
        """Draw every box of an image, and approve it."""
        tally = Tally(key=1, look=1)
        for label in truth.label:
            tally.update(["drag", "look"])
            self._label(tally, label)
        return tally

    def correct(self, shown: Found, truth: Truth, points: PointCandidates) -> Tally:
        """Bring suggestions to the truth, and approve the image."""
        tally = Tally(key=1, look=1)
        pairs = _meant(shown, truth)
        for _ in range(len(shown.label) - len(pairs)):
            tally.update(["deleted", "key", "point", "look"])
        for row, number in pairs.items():
            self._mend(tally, shown, row, truth, number)
        for number in sorted(set(range(len(truth.label))) - set(pairs.values())):
            self._add(tally, truth, number, points)
        return tally

    def _mend(
        self, tally: Tally, shown: Found, row: int, truth: Truth, number: int
    ) -> None:
        drags = _drags(shown.xyxy[row], truth.xyxy[number], self._stands)
        is_named = str(shown.label[row]) == truth.label[number]
        if is_named and not drags:
            tally["stood"] += 1
            return
        tally["look"] += 1
        if drags:
            tally["pulled"] += 1
            tally["drag"] += drags
        if not is_named:
            tally.update(["renamed", "click", "key"])

    def _add(
        self, tally: Tally, truth: Truth, number: int, points: PointCandidates
    ) -> None:
        box, label = truth.xyxy[number], truth.label[number]
        off = self._random.normal(0, _OFF_CENTRE, 2) * (box[2:] - box[:2])
        x, y = np.clip((box[:2] + box[2:]) / 2 + off, box[:2], box[2:])
        size = Size(int(points.view_side.max(initial=1)), 1)
        offered = ranked(points, (float(x), float(y)), size=size, k=1)
        tally["look"] += 1
        if offered and _iou(np.array(offered[0].xyxy), box) >= self._stands:
            tally.update(["clicked", "click"])
            self._last = offered[0].label or self._last
        else:
            tally.update(["drawn", "drag"])
        self._label(tally, label)

    def _label(self, tally: Tally, label: str) -> None:
        tally["key"] += label != self._last
        self._last = label


def _iou(a: FloatArray, b: FloatArray) -> float:
    return float(pairwise_iou(a[None], b[None])[0, 0])


def _meant(shown: Found, truth: Truth) -> dict[int, int]:
    """Return which true box each suggestion is for, the best overlaps first."""
    iou = pairwise_iou(shown.xyxy, truth.xyxy)
    same = shown.label[:, None] == np.array(truth.label, np.str_)[None]
    pairs: dict[int, int] = {}
    for flat in np.argsort(-(iou + same), axis=None, kind="stable"):
        row, column = (int(index) for index in np.unravel_index(flat, iou.shape))
        is_free = row not in pairs and column not in pairs.values()
        if is_free and iou[row, column] >= _MEANT:
            pairs[row] = column
    return pairs


def _drags(now: FloatArray, then: FloatArray, stands: float) -> int:
    """Return how many corners have to be pulled."""
    if _iou(now, then) >= stands:
        return 0
    first = np.array([then[0], then[1], now[2], now[3]])
    last = np.array([now[0], now[1], then[2], then[3]])
    return 1 if max(_iou(first, then), _iou(last, then)) >= stands else 2


@dataclass(slots=True)
class Costs:
    """Processor seconds of computing, and how often the taught model was fitted."""

    describing: float = 0.0
    finding: float = 0.0
    fitting: float = 0.0
    training: float = 0.0
    fits: int = 0
    notes: list[str] = field(default_factory=list)


# By the IoU from which a box stands: each image's tally, and the one by hand.
Tallies = dict[float, list[tuple[Tally, Tally]]]


class Run(NamedTuple):
    """A training run: the images it has, and when it is ready by the person's time."""

    images: frozenset[str]
    ready_at: float
    detector: Detector


class Trainer:
    """Trains as the app does in the background; a minute is so many steps."""

    def __init__(self, folder: Path, minutes: float | None, steps_each: int) -> None:
        self._folder = folder
        self._minutes = minutes
        self._steps_each = steps_each
        self._count = 0
        self._base: Path | None = None

    def run(self, seen: Sequence[Photo], *, now: float) -> Run:
        """Return a run that starts now, seconds of the person's time."""
        minutes = self._minutes or minutes_for(len(seen))
        length = Length(steps=round(minutes * self._steps_each))
        self._count += 1
        folder = self._folder / str(self._count)
        settings = settings_for(self._count, length, self._base)
        done = trained(folder, [_source(photo) for photo in seen], settings)
        self._base = done.model
        names = frozenset(photo.path.name for photo in seen)
        detector = load_single(model_in_folder(done.model))
        return Run(names, now + 60 * minutes, detector)


def _source(photo: Photo) -> SourceImage:
    boxes = [(label, Box(*corners)) for corners, label in photo.boxes]
    name = photo.path.name
    return SourceImage(name, name, photo.path.read_bytes, lambda _: boxes)


class Loop:
    """What the app does between the images, without threads and files."""

    def __init__(self, trainer: Trainer | None) -> None:
        self._teacher = Teacher()
        self._taught: TaughtModel | None = None
        self._taught_before: TaughtModel | None = None
        self._trained: Detector | None = None
        self._trainer = trainer
        self._running: Run | None = None
        self._trained_on = 0
        self._seen: list[Photo] = []
        self._examples: dict[str, Sequence[str]] = {}
        self._found: dict[str, Found] = {}
        self.judged: list[JudgedImage] = []
        self.choice = ModelChoice()
        self.costs = Costs()

    def suggestions(self, scene: DescribedImage) -> Found:
        """Return what is shown on an image, and keep what every model found there."""
        started = time.process_time()
        self._found = {}
        # Later an image is on screen before the last one was learned from.
        is_quick = len(self._seen) <= QUICK
        taught = self._taught if is_quick else self._taught_before
        if taught is not None:
            self._found[TAUGHT] = _taught_found(taught, scene)
        if self._trained is not None:
            self._found[TRAINED] = _detector_found(self._trained, scene.loaded)
        self._found[SHOWN] = self.choice.shown(self._found)
        self.costs.finding += time.process_time() - started
        return self.choice.suggestions(self._found)

    def points(self, scene: DescribedImage) -> PointCandidates:
        """Return what pointing chooses from: candidates, and the suggestions' own."""
        count = len(scene.candidates)
        side = scene.longer_side
        shown = self._found[SHOWN]
        return PointCandidates.joined(
            [
                PointCandidates(
                    scene.candidates,
                    scene.confidence,
                    np.full(count, "", np.str_),
                    np.full(count, side, np.float32),
                ),
                PointCandidates(
                    shown.xyxy,
                    shown.confidence,
                    shown.label,
                    np.full(len(shown.label), side, np.float32),
                ),
            ]
        )

    def approve(
        self, photo: Photo, scene: DescribedImage, truth: Truth, *, now: float
    ) -> None:
        """Learn from an image; now: seconds of the person's time."""
        self._seen.append(photo)
        label = np.array(truth.label, np.str_)
        name, size = photo.path.name, scene.loaded.size
        self.judged.append(JudgedImage(name, size, truth.xyxy, label, self._found))
        started = time.process_time()
        boxes = [Box(*corners) for corners in truth.xyxy.tolist()]
        self._teacher.put(name, scene, boxes, truth.label)
        self._examples[name] = truth.label
        if len(self._examples) > MOST_EXAMPLES:
            oldest = to_forget(self._examples)
            self._teacher.drop(oldest)
            del self._examples[oldest]
        self._taught_before, self._taught = self._taught, self._teacher.model()
        self.costs.fits += 1
        self.costs.fitting += time.process_time() - started
        if self._trainer is not None:
            self._train(self._trainer, now)
        knows: dict[str, Sequence[str]] = {}
        if self._trained is not None:
            knows[TRAINED] = self._trained.labels
        if self._taught is not None:
            knows[TAUGHT] = self._taught.labels
        self.choice = choose(self.judged, knows)

    def _train(self, trainer: Trainer, now: float) -> None:
        """Start a training run where one is due; take its model once it is ready."""
        if self._running is not None:
            fresh = len(self._seen) - len(self._running.images)
            if now >= self._running.ready_at and fresh >= ENOUGH_IMAGES:
                self._take(self._running)
            return
        boxes = sum(len(photo.boxes) for photo in self._seen)
        if may_train(Labelled(len(self._seen), boxes), trained_on=self._trained_on):
            started = time.process_time()
            self._running = trainer.run(self._seen, now=now)
            self.costs.training += time.process_time() - started
            self._trained_on = len(self._seen)

    def _take(self, run: Run) -> None:
        photo_of = {photo.path.name: photo for photo in self._seen}

        def find(name: str) -> Found:
            content = photo_of[name].path.read_bytes()
            loaded = load_image(content, file_name=name, max_pixels=10**9)
            return _detector_found(run.detector, loaded)

        judged, takeover = challenge(self.judged, fitted_on=run.images, find=find)
        self._running = None
        words = "takes over" if takeover.is_better else "does not take over"
        self.costs.notes.append(
            f"after {len(self._seen)} images a model trained on {len(run.images)} "
            f"{words}: {takeover}"
        )
        if takeover.is_better:
            self.judged, self._trained = judged, run.detector


def _taught_found(model: TaughtModel, scene: DescribedImage) -> Found:
    boxes = scored(model, scene)
    row, label = np.nonzero(boxes.confidence >= FOUND_FLOOR)
    names = np.array(model.labels, np.str_)
    found = Found(boxes.xyxy[row], boxes.confidence[row, label], names[label])
    return found.suppressed()


def _detector_found(detector: Detector, loaded: LoadedImage) -> Found:
    found = detector.candidates(loaded.rgb, size=loaded.size, floor=FOUND_FLOOR)
    names = np.array(detector.labels, np.str_)
    return Found(found.xyxy, found.confidence, names[found.class_id]).suppressed()


def truth_of(photo: Photo) -> Truth:
    """Return the true boxes of an image."""
    return Truth(
        np.array([box for box, _ in photo.boxes], np.float32).reshape(-1, 4),
        tuple(label for _, label in photo.boxes),
    )


def described(photo: Photo) -> DescribedImage:
    """Return an image with what the nets see in it."""
    content = photo.path.read_bytes()
    loaded = load_image(content, file_name=photo.path.name, max_pixels=10**9)
    return DescribedImage.of(loaded.rgb, loaded.size)


def labelled(
    every: Sequence[Photo], loop: Loop
) -> dict[float, list[tuple[Tally, Tally]]]:
    """Label a set; return by IoU the tallies of each image, helped and by hand."""
    helped = {stands: Person(stands) for stands in STANDS}
    alone = {stands: Person(stands) for stands in STANDS}
    tallies: Tallies = {stands: [] for stands in STANDS}
    now = 0.0
    for photo in every:
        started = time.process_time()
        scene = described(photo)
        loop.costs.describing += time.process_time() - started
        truth = truth_of(photo)
        shown = loop.suggestions(scene)
        points = loop.points(scene)
        for stands in STANDS:
            own = helped[stands].correct(shown, truth, points)
            tallies[stands].append((own, alone[stands].draw(truth)))
        now += tallies[STANDS[0]][-1][0].seconds
        loop.approve(photo, scene, truth, now=now)
        done = len(tallies[STANDS[0]])
        if done % _REPORT_EVERY == 0 or done == len(every):
            print(_progress(done, tallies), flush=True)
    return tallies


def _progress(done: int, tallies: Tallies) -> str:
    words = []
    for stands, rows in tallies.items():
        last = rows[(done - 1) // _REPORT_EVERY * _REPORT_EVERY :]
        words.append(f"IoU {stands}: {_saved(last)}")
    return f"to image {done}: " + "; ".join(words)


def _sum(tallies: Sequence[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.update(tally)
    return total


def _saved(rows: Sequence[tuple[Tally, Tally]]) -> str:
    own, hand = (_sum(column) for column in zip(*rows, strict=True))
    actions = 1 - own.actions / hand.actions
    seconds = 1 - own.seconds / hand.seconds
    return (
        f"{own.actions} of {hand.actions} actions ({actions:.0%} saved), "
        f"{own.seconds:.0f} of {hand.seconds:.0f} s ({seconds:.0%} saved)"
    )


def main() -> None:
    """Print the figures of each set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=["bccd", "raccoon", "all"], default="all")
    parser.add_argument("--images", type=int)
    parser.add_argument(
        "--training", action=argparse.BooleanOptionalAction, default=False
    )
    parser.add_argument("--minutes", type=float, help="of each run; None: the app's")
    parser.add_argument("--steps-per-minute", type=int, default=_STEPS_PER_MINUTE)
    options = parser.parse_args()
    for name in ("bccd", "raccoon") if options.set == "all" else (options.set,):
        every = photos(name)
        order = np.random.default_rng(1).permutation(len(every))[: options.images]
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(Path(folder), options.minutes, options.steps_per_minute)
            loop = Loop(trainer if options.training else None)
            tallies = labelled([every[index] for index in order], loop)
        print(f"\n{name}, {len(order)} images")
        for stands, rows in tallies.items():
            print(f"IoU {stands}: {_saved(rows)}")
            print("  ", dict(_sum([row[0] for row in rows])))
        print(loop.costs)


if __name__ == "__main__":
    main()

"""Labelling a new domain from nothing while ImageBase learns: actions of a person.

A perfect annotator goes through a set in order. Each image shows what the models of
the moment suggest; what is wrong is corrected, and the image approved; then the taught
model is refitted. Counted against drawing every box, by actions (clicks, drags and
keys) and by the keystroke-level model (Card, Moran and Newell, 1980), which
`benchmarks.walk` uses too, with 1.35 s to look at each image and each correction.

    python -m benchmarks.loop [--set bccd|raccoon|all] [--images N] [--training]
        [--minutes M] [--steps-per-minute N] [--one-by-one]

The first images are labelled one by one in the editor. From then on the person checks
a page at a time, as Review has it under Suggestions: each image is looked at, what is
wrong is corrected on the page, and one action approves all its images; the models learn
from them and suggest on the next page. `--one-by-one` stays in the editor.

A suggestion stands from IoU 0.5 on, and in a second count from 0.75 on. Actions in the
editor: approving an image 1; a wrong box 1; a right box with another label 2; each
corner of a box to pull 1; a missed object 1, by a click where the first suggestion at
that point stands and else by a drag, and 1 more where its label is another one than the
last. On a page: approving it 1; a wrong box 1, by a click on it; a missed object 1, by
a click where that makes the right box with the right label, 2 where Shift has to be
held as the point is in another box, and else by a drag, with 1 more where it gets
another label, by what is seen there or as the last one. A box cannot be pulled or
renamed there: it is taken off and added. What a click on a page does is decided as in
`proofs.js`.

`--training` trains a YOLOv4-tiny (needs PyTorch) when the app would: it is ready after
its minutes of the person's own time, as if it ran while that person labels. The steps
are those of an idle machine of two cores. Reads `../shared/data`.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from benchmarks.point import Photo, photos
from benchmarks.training import Length, settings_for, trained
from imagebase.annotation import Box, Size
from imagebase.assist.pointing import (
    LEAST_SCORE,
    SAME_OBJECT_IOU,
    PointCandidates,
    point_features,
    ranked,
    score_of,
)
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
from imagebase.ui.review.suggestions import FEWEST, MOST

STANDS: Final = (0.5, 0.75)
_MEANT: Final = 0.4
_SECONDS: Final = {"key": 0.2, "point": 1.1, "click": 1.3, "drag": 2.4, "look": 1.35}
_OFF_CENTRE: Final = 0.08
_REPORT_EVERY: Final = 50
# So many images are labelled one by one, before pages of the app's size are checked.
_FIRST: Final = 5
_LIKE_IOU: Final = 0.3
# A person clicks a box at its middle, or where else that is no other box.
_PLACES: Final = (0.5, 0.3, 0.7, 0.15, 0.85)
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
        self._point_of_last = (0.0, 0.0)

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

    def check(self, shown: Found, seen: Found, truth: Truth, size: Size) -> Tally:
        """Bring an image on a page to the truth; the page is approved as a whole.

        seen: all that the models see in the image.
        """
        tally = Tally(look=1)
        sheet = _Sheet(shown, seen, size)
        right: dict[int, int] = {}
        for row, number in _meant(shown, truth).items():
            is_named = str(shown.label[row]) == truth.label[number]
            if is_named and not _drags(
                shown.xyxy[row], truth.xyxy[number], self._stands
            ):
                right[row] = number
                tally["stood"] += 1
        for row in sorted(set(range(len(shown.label))) - right.keys()):
            tally.update(["deleted", "click", "look"])
            tally["missed click"] += not sheet.take_off(row)
        for number in sorted(set(range(len(truth.label))) - set(right.values())):
            self._add_on_page(tally, truth, number, sheet)
        return tally

    def _add_on_page(
        self, tally: Tally, truth: Truth, number: int, sheet: "_Sheet"
    ) -> None:
        box, label = truth.xyxy[number], truth.label[number]
        tally["look"] += 1
        best = sheet.best(self._point(box))
        makes = best is not None and str(best[1]) == label
        if best is not None and makes and _iou(best[0], box) >= self._stands:
            tally.update(["clicked", "click"])
            tally["key"] += sheet.is_taken(self._point_of_last)
        else:
            tally.update(["drawn", "drag"])
            self._last = sheet.label_of(box) or self._last
            self._label(tally, label)
        sheet.put(box, label)

    def _point(self, box: FloatArray) -> tuple[float, float]:
        """Return where a person clicks at an object."""
        off = self._random.normal(0, _OFF_CENTRE, 2) * (box[2:] - box[:2])
        x, y = np.clip((box[:2] + box[2:]) / 2 + off, box[:2], box[2:])
        self._point_of_last = (float(x), float(y))
        return self._point_of_last

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
        size = Size(int(points.view_side.max(initial=1)), 1)
        offered = ranked(points, self._point(box), size=size, k=1)
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


class _Sheet:
    """What a click does on an image of a page, as `proofs.js` decides it."""

    def __init__(self, shown: Found, seen: Found, size: Size) -> None:
        self._xyxy, self._label = shown.xyxy.copy(), shown.label
        self._is_on = np.ones(len(shown.label), bool)
        side = np.full(len(seen.label), max(size), np.float32)
        self._seen = PointCandidates(seen.xyxy, seen.confidence, seen.label, side)
        self._size = size

    def take_off(self, row: int) -> bool:
        """Take a box off; return whether a click can do it, or a better box is hit."""
        box = self._xyxy[row]
        places = [
            box[:2] + (box[2:] - box[:2]) * np.array([x, y])
            for x in _PLACES
            for y in _PLACES
        ]
        is_hit = any(self._hit(place) == row for place in places)
        self._is_on[row] = False
        return is_hit

    def is_taken(self, point: tuple[float, float]) -> bool:
        """Say whether a click there is for a box, on or taken off, and adds none."""
        return self._hit(np.array(point)) is not None

    def _hit(self, point: FloatArray) -> int | None:
        """Return the box that a click is for: one that is on, the nearest middle."""
        low, high = self._xyxy[:, :2], self._xyxy[:, 2:]
        inside = np.flatnonzero(((low <= point) & (point <= high)).all(axis=1))
        if not len(inside):
            return None
        parts = (point - (low + high) / 2) / np.maximum(high - low, 1e-3)
        away = np.hypot(parts[:, 0], parts[:, 1])
        return int(min(inside, key=lambda row: (not self._is_on[row], away[row])))

    def best(self, point: tuple[float, float]) -> tuple[FloatArray, str] | None:
        """Return the box and the label that a click makes where none is on."""
        on = self._xyxy[self._is_on]
        for offered in ranked(self._seen, point, size=self._size, k=5):
            box = np.array(offered.xyxy, np.float32)
            if pairwise_iou(box[None], on).max(initial=0) < SAME_OBJECT_IOU:
                return (box, offered.label) if self._is_worth(point) else None
        return None

    def _is_worth(self, point: tuple[float, float]) -> bool:
        inside = self._seen.at(point)
        scores = score_of(point_features(inside, point, size=self._size))
        return bool(scores.max(initial=-np.inf) >= LEAST_SCORE)

    def label_of(self, box: FloatArray) -> str:
        """Return the label that a drawn box gets of what is seen there, if any."""
        iou = pairwise_iou(self._seen.xyxy, box[None])[:, 0]
        best = int(iou.argmax()) if len(iou) else 0
        is_like = len(iou) and iou[best] >= _LIKE_IOU
        return str(self._seen.label[best]) if is_like else ""

    def put(self, box: FloatArray, label: str) -> None:
        """Put a box on the image."""
        self._xyxy = np.concatenate([self._xyxy, box[None]])
        self._label = np.append(self._label, label)
        self._is_on = np.append(self._is_on, True)


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


class Checked(NamedTuple):
    """An image that a person is done with, and what the models found in it before."""

    photo: Photo
    scene: DescribedImage
    truth: Truth
    found: Mapping[str, Found]


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

    def suggestions(self, scene: DescribedImage, *, is_page: bool = False) -> Found:
        """Return what is shown on an image, and keep what every model found there."""
        started = time.process_time()
        self._found = {}
        # Later an image is on screen before the last one was learned from.
        # A page waits for the newest model.
        is_quick = len(self._seen) <= QUICK or is_page
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

    @property
    def found(self) -> Mapping[str, Found]:
        """What each model found in the image that was asked about last."""
        return self._found

    def approve(self, checked: Sequence["Checked"], *, now: float) -> None:
        """Learn from images; now: seconds of the person's time."""
        for one in checked:
            self._put(one)
        started = time.process_time()
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

    def _put(self, checked: "Checked") -> None:
        photo, scene, truth, found = checked
        self._seen.append(photo)
        label = np.array(truth.label, np.str_)
        name, size = photo.path.name, scene.loaded.size
        self.judged.append(JudgedImage(name, size, truth.xyxy, label, found))
        started = time.process_time()
        boxes = [Box(*corners) for corners in truth.xyxy.tolist()]
        self._teacher.put(name, scene, boxes, truth.label)
        self._examples[name] = truth.label
        if len(self._examples) > MOST_EXAMPLES:
            oldest = to_forget(self._examples)
            self._teacher.drop(oldest)
            del self._examples[oldest]
        self.costs.fitting += time.process_time() - started

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
    every: Sequence[Photo], loop: Loop, *, one_by_one: bool = False
) -> dict[float, list[tuple[Tally, Tally]]]:
    """Label a set; return by IoU the tallies of each image, helped and by hand.

    A page's approval is in the tally of its last image.
    """
    helped = {stands: Person(stands) for stands in STANDS}
    alone = {stands: Person(stands) for stands in STANDS}
    tallies: Tallies = {stands: [] for stands in STANDS}
    start = 0
    while start < len(every):
        is_page = start >= _FIRST and not one_by_one
        photos_here = every[start : start + (_size(start) if is_page else 1)]
        checked = []
        for photo in photos_here:
            scene, truth = _described(photo, loop), truth_of(photo)
            shown = loop.suggestions(scene, is_page=is_page)
            checked.append(Checked(photo, scene, truth, loop.found))
            for stands in STANDS:
                if is_page:
                    seen, size = loop.found[SHOWN], scene.loaded.size
                    own = helped[stands].check(shown, seen, truth, size)
                else:
                    own = helped[stands].correct(shown, truth, loop.points(scene))
                tallies[stands].append((own, alone[stands].draw(truth)))
            done = len(tallies[STANDS[0]])
            if done % _REPORT_EVERY == 0 or done == len(every):
                print(_progress(done, tallies), flush=True)
        if is_page:
            for stands in STANDS:
                tallies[stands][-1][0].update(["page", "click"])
        seconds = sum(own.seconds for own, _ in tallies[STANDS[0]])
        loop.approve(checked, now=seconds)
        start += len(photos_here)
    return tallies


def _size(approved: int) -> int:
    """Return how many images a page has, as the app does."""
    return min(max(approved, FEWEST), MOST)


def _described(photo: Photo, loop: Loop) -> DescribedImage:
    started = time.process_time()
    scene = described(photo)
    loop.costs.describing += time.process_time() - started
    return scene


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
    parser.add_argument("--one-by-one", action="store_true", help="no pages")
    parser.add_argument("--minutes", type=float, help="of each run; None: the app's")
    parser.add_argument("--steps-per-minute", type=int, default=_STEPS_PER_MINUTE)
    options = parser.parse_args()
    for name in ("bccd", "raccoon") if options.set == "all" else (options.set,):
        every = photos(name)
        order = np.random.default_rng(1).permutation(len(every))[: options.images]
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(Path(folder), options.minutes, options.steps_per_minute)
            loop = Loop(trainer if options.training else None)
            tallies = labelled(
                [every[index] for index in order], loop, one_by_one=options.one_by_one
            )
        print(f"\n{name}, {len(order)} images")
        for stands, rows in tallies.items():
            print(f"IoU {stands}: {_saved(rows)}")
            print("  ", dict(_sum([row[0] for row in rows])))
        print(loop.costs)


if __name__ == "__main__":
    main()

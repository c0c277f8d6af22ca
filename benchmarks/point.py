"""Pointing at objects: how often the first suggestion is the object that was clicked.

Each object is clicked once, off the middle of its box by 8 % of its width and height
(one standard deviation, seeded). Printed are the share of objects whose first
suggestion has an IoU of at least 0.5 or 0.75 with the box, whose first three have one,
and whose first has the right label too; and the time of a click.

    python -m benchmarks.point [--set coco|raccoon|bccd|all] [--images N] [--fit]
    python -m benchmarks.point --labels [--images N]
    python -m benchmarks.point --floors [--set coco|raccoon|bccd] [--images N]

`--fit` fits the weights of the score on each half of the COCO photographs, judges them
on the other half, and prints the weights fitted on all. `--labels` draws each box of
the COCO photographs 6 % loose instead, and prints how often its label is guessed.
`--floors` prints what the least score of a suggestion, and the score below which closer
views are taken, cost and spare, with points outside all boxes beside the objects. Reads
`../shared/data`.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from imagebase.annotation import Box, Size
from imagebase.assist import pointing
from imagebase.assist.label_guess import guessed, label_views
from imagebase.assist.pointing import ASSIST_MODELS, PointCandidates
from imagebase.detection.factory import shared_detector
from imagebase.detection.library import find_model
from imagebase.geometry import FloatArray, pairwise_iou
from imagebase.images.decode import load_image
from imagebase.settings import PROJECT_ROOT

DATA: Final = PROJECT_ROOT.parent / "shared" / "data"
SETS: Final = {
    "coco": ("coco_val_dev128", ("instances.json",)),
    "raccoon": ("raccoon", ("train.coco.json", "test.coco.json")),
    "bccd": ("bccd", ("train.coco.json", "val.coco.json", "test.coco.json")),
}
_OFF_CENTRE: Final = 0.08
_LOOSE: Final = 0.06
_LEAST_PX: Final = 2.0
_SKETCH_DISTANCE: Final = 3.0
_EMPTY_POINTS: Final = 8


Score = Callable[[FloatArray], FloatArray]


class Target(NamedTuple):
    """Where to click, and the true box there."""

    point: tuple[float, float]
    box: tuple[float, float, float, float]
    label: str


class Click(NamedTuple):
    """One click at an object: what the models offer there.

    box: the true corners; empty where the point is outside all boxes. candidates: those
    of the whole image and of closer views that hold the point.
    """

    image: int
    size: Size
    point: tuple[float, float]
    box: tuple[float, float, float, float]
    label: str
    candidates: PointCandidates
    milliseconds: float


class Photo(NamedTuple):
    """An image with its true boxes, as corners and label."""

    path: Path
    boxes: list[tuple[tuple[float, float, float, float], str]]


def photos(name: str) -> list[Photo]:
    """Return the images of a set in the order of their files."""
    folder, documents = SETS[name]
    paths = {path.name: path for path in (DATA / folder).rglob("*.jp*g")}
    found = []
    for document in documents:
        content = json.loads((DATA / folder / document).read_text(encoding="utf-8"))
        labels = {entry["id"]: entry["name"] for entry in content["categories"]}
        boxes: dict[int, Any] = {entry["id"]: [] for entry in content["images"]}
        for entry in content["annotations"]:
            x, y, width, height = entry["bbox"]
            if not entry.get("iscrowd") and min(width, height) > 1:
                corners = (x, y, x + width, y + height)
                boxes[entry["image_id"]].append((corners, labels[entry["category_id"]]))
        for entry in content["images"]:
            path = paths[Path(entry["file_name"]).name]
            found.append(Photo(path, boxes[entry["id"]]))
    return sorted(found, key=lambda photo: photo.path.name)


def clicks(
    chosen: Sequence[Photo], *, closer: bool = True, empty: bool = False
) -> Iterator[Click]:
    """Yield a click at every object, or at places outside all of them."""
    random = np.random.default_rng(0)
    detectors = [shared_detector(find_model(name)) for name in ASSIST_MODELS]
    for index, photo in enumerate(chosen):
        loaded = load_image(
            photo.path.read_bytes(), file_name=photo.path.name, max_pixels=10**9
        )
        known = pointing.whole_image(loaded.rgb, detectors)
        size = loaded.size
        targets = empty_targets if empty else object_targets
        for target in targets(photo, size, random):
            started = time.perf_counter()
            views = [
                pointing.closer_view(loaded.rgb, view, detectors[-1], size=size)
                for view in (pointing.views_at(size, target.point) if closer else ())
            ]
            spent = (time.perf_counter() - started) * 1e3
            every = PointCandidates.joined([known, *views])
            yield Click(index, size, *target, every.at(target.point), spent)


def object_targets(
    photo: Photo, size: Size, random: np.random.Generator
) -> Iterator[Target]:
    """Yield a point in every true box."""
    for box, label in photo.boxes:
        x_min, y_min, x_max, y_max = box
        off = random.normal(0, _OFF_CENTRE, 2)
        x = (x_min + x_max) / 2 + off[0] * (x_max - x_min)
        y = (y_min + y_max) / 2 + off[1] * (y_max - y_min)
        yield Target(
            (float(np.clip(x, x_min, x_max)), float(np.clip(y, y_min, y_max))),
            box,
            label,
        )


def empty_targets(
    photo: Photo, size: Size, random: np.random.Generator
) -> Iterator[Target]:
    """Yield some points outside all true boxes."""
    points = random.uniform((0, 0), size, (20 * _EMPTY_POINTS, 2))
    boxes = np.array([box for box, _ in photo.boxes]).reshape(-1, 1, 4)
    is_in = (boxes[..., :2] <= points) & (points <= boxes[..., 2:])
    outside = points[~is_in.all(axis=2).any(axis=0)]
    for x, y in outside[:_EMPTY_POINTS]:
        yield Target((float(x), float(y)), (0.0, 0.0, 0.0, 0.0), "")


def floors(chosen: Sequence[Photo]) -> None:
    """Print what floors of the score cost and spare."""
    rows = []
    known, every = clicks(chosen, closer=False), clicks(chosen)
    for first, second in zip(known, every, strict=True):
        rows.append((*top(first), *top(second)))
    empty = [top(click)[0] for click in clicks(chosen, empty=True)]
    score, is_hit, full_score, is_full_hit = np.array(rows).T
    print("| floor | empty places with a suggestion | first click right |")
    print("|---|---|---|")
    for floor in np.arange(-4, 3.1, 0.5):
        right = np.mean(is_full_hit * (full_score >= floor))
        print(
            f"| {floor:.1f} | {np.mean(np.array(empty) >= floor):.2f} | {right:.3f} |"
        )
    print("| closer views below | asked for | first click right |")
    print("|---|---|---|")
    for floor in [-np.inf, *np.arange(0, 10.1), np.inf]:
        is_poor = score < floor
        right = np.mean(np.where(is_poor, is_full_hit, is_hit))
        print(f"| {floor:.1f} | {is_poor.mean():.2f} | {right:.3f} |")


def top(click: Click) -> tuple[float, bool]:
    """Return the best score at a click, and whether its suggestion is the object."""
    features = pointing.point_features(click.candidates, click.point, size=click.size)
    score = float(pointing.score_of(features).max(initial=-np.inf))
    return score, bool(judged([click], pointing.score_of)[0])


def sketch_score(features: FloatArray) -> FloatArray:
    """Return the peer's score: root of the confidence × exp(−3 × distance)."""
    scores: FloatArray = np.log(features[:, 0]) - _SKETCH_DISTANCE * features[:, 1]
    return scores


def linear(weights: FloatArray) -> Score:
    """Return the score with these weights."""
    return lambda features: np.asarray(features @ weights)


def judged(chosen: Sequence[Click], score: Score) -> FloatArray:
    """Return the four shares of these clicks."""
    hits = []
    for click in chosen:
        suggestions = pointing.ranked(
            click.candidates, click.point, size=click.size, score=score
        )
        boxes = np.array([s.xyxy for s in suggestions], np.float32).reshape(-1, 4)
        iou = pairwise_iou(np.array([click.box], np.float32), boxes)[0]
        first = float(iou[0]) if len(iou) else 0.0
        is_right = bool(suggestions) and suggestions[0].label == click.label
        hits.append(
            (
                first >= 0.5,
                iou.max(initial=0) >= 0.5,
                first >= 0.75,
                first >= 0.5 and is_right,
            )
        )
    return np.asarray(np.mean(hits, axis=0))


def fitted(
    chosen: Sequence[Click], *, steps: int = 200, decay: float = 1e-3
) -> FloatArray:
    """Return weights that maximise the expected quality of the first suggestion.

    A softmax over the scores of a click's candidates picks one; its quality grows from
    0 at IoU 0.4 to 1 at 0.9. Adam (Kingma and Ba, 2014) on the mean logarithm.
    """
    sets = []
    for click in chosen:
        features = pointing.point_features(
            click.candidates, click.point, size=click.size
        )
        iou = pairwise_iou(np.array([click.box], np.float32), click.candidates.xyxy)[0]
        quality = np.clip((iou - 0.4) / 0.5, 0, 1)
        if quality.any():
            sets.append((features, quality))
    every = np.concatenate([features for features, _ in sets])
    scale = every.std(axis=0) + 1e-6
    weights = np.zeros(every.shape[1])
    mean, square = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(1, steps + 1):
        gradient = -decay * weights
        for features, quality in sets:
            scores = features / scale @ weights
            chance = np.exp(scores - scores.max())
            chance /= chance.sum()
            gain = chance * quality
            gradient = gradient + (features / scale).T @ (
                gain / gain.sum() - chance
            ) / len(sets)
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        step_size = 0.05 * mean / (1 - 0.9**step)
        weights = weights + step_size / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    result: FloatArray = weights / scale
    return result


def guesses(chosen: Sequence[Photo]) -> FloatArray:
    """Return for each box whether the first guess is right, and one of three."""
    random = np.random.default_rng(3)
    detectors = [shared_detector(find_model(name)) for name in ASSIST_MODELS]
    hits = []
    for photo in chosen:
        loaded = load_image(
            photo.path.read_bytes(), file_name=photo.path.name, max_pixels=10**9
        )
        known = [pointing.whole_image(loaded.rgb, [each]) for each in detectors]
        for corners, label in photo.boxes:
            box = np.array(corners)
            sides = np.tile(box[2:] - box[:2], 2)
            drawn = np.clip(
                box + random.normal(0, _LOOSE, 4) * sides, 0, [*loaded.size] * 2
            )
            if (drawn[2:] - drawn[:2]).min() < _LEAST_PX:
                continue
            box_drawn = Box(*map(float, drawn))
            views = label_views(loaded, box_drawn, detectors)
            found = [guess.label for guess in guessed([*known, *views], box_drawn)]
            hits.append((found[:1] == [label], label in found))
    return np.asarray(hits, dtype=np.float64)


def _print(name: str, count: int, shares: FloatArray) -> None:
    first, three, tight, label = shares
    print(
        f"| {name} | {count} | {first:.3f} | {three:.3f} | {tight:.3f} | {label:.3f} |"
    )


def main() -> None:
    """Print the table of each set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=[*SETS, "all"], default="all")
    parser.add_argument("--images", type=int)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--labels", action="store_true")
    parser.add_argument("--floors", action="store_true")
    options = parser.parse_args()
    if options.floors:
        name = "coco" if options.set == "all" else options.set
        floors(photos(name)[: options.images])
        return
    if options.labels:
        hits = guesses(photos("coco")[: options.images])
        first, three = hits.mean(axis=0)
        print(f"{len(hits)} boxes: first guess {first:.3f}, within three {three:.3f}")
        return
    names = list(SETS) if options.set == "all" else [options.set]
    print(
        "| set, candidates, score | objects | first | in three | first ≥ .75 | label |"
    )
    print("|---|---|---|---|---|---|")
    for name in names:
        chosen = photos(name)[: options.images]
        known = list(clicks(chosen, closer=False))
        every = list(clicks(chosen))
        _print(f"{name}, kept alone", len(known), judged(known, pointing.score_of))
        _print(f"{name}, sketch", len(every), judged(every, sketch_score))
        _print(f"{name}", len(every), judged(every, pointing.score_of))
        if options.fit and name == "coco":
            halves = [[c for c in every if c.image % 2 == half] for half in (0, 1)]
            for half in (0, 1):
                learned = fitted(halves[1 - half])
                _print(
                    f"half {half}, fitted on the other",
                    len(halves[half]),
                    judged(halves[half], linear(learned)),
                )
            print("weights:", ", ".join(f"{w:.3f}" for w in fitted(every)))
        spent = np.median([click.milliseconds for click in every])
        print(f"{name}: three closer views take {spent:.0f} ms (median)")


if __name__ == "__main__":
    main()

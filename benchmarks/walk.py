"""Effort of correcting: images brought to their ground truth in the app.

A script does what a person would who sees at once what is wrong: it clicks, drags and
presses keys in a real browser, and counts: first all boxes drawn by hand, without any
suggestion, then with the boxes of a model and suggestions where it points. A box stands
as it is from IoU 0.75 with its true label on; the result is compared with the ground
truth in the store.

    python -m benchmarks.walk [--images 20] [--skip N] [--folder FOLDER]
        [--models NAME …] [--confidence 0.5] [--only-helped]

FOLDER holds `instances.json` and `images/`, as COCO has them. Needs Chromium.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from benchmarks.pages import browsing, served, settled
from imagebase.geometry import pairwise_iou
from imagebase.settings import PROJECT_ROOT, read_settings
from imagebase.store import Scope, Store, open_store
from imagebase.store.learning import LearningRow, LearningState
from imagebase.ui.identity import TEAM_OWNER
from tests.browser.conftest import Canvas, Shown

DEV_FOLDER: Final = PROJECT_ROOT.parent / "shared" / "data" / "coco_val_dev128"
STANDS: Final = 0.75
MEANT: Final = 0.4
_DEFAULT_MODEL: Final = "YOLOv4-tiny"
_SMALL_PX: Final = 20.0
_EDGE_PX: Final = 7.5
_NO_DOUBLE_CLICK_MS: Final = 400
_GUESS_MS: Final = 3000
# A person looks at a new image for so long before doing anything, which is not counted.
_LOOK_MS: Final = 1350
_SLIDER_STEPS: Final = 0.025
# Card, Moran and Newell's keystroke-level model (1980), without thinking: a key by a
# good typist, pointing, pressing or letting go of the button.
_KEY_S: Final = 0.2
_POINT_S: Final = 1.1
_BUTTON_S: Final = 0.1

# Takes away what the server needs to be asked for: nothing is guessed of what is drawn.
_NO_GUESSES: Final = """() => {
  window[Symbol.for("imagebase.editor")].parcels.delete("edit.canvas/guess");
}"""

Corners = tuple[float, float, float, float]


class Truth(NamedTuple):
    """A box as it should be, in pixels of the image."""

    box: Corners
    label: str


@dataclass(slots=True)
class Tally:
    """What a person has done.

    points: the mouse moved for a key to act there. fates: what became of boxes.
    costs, spent: actions and seconds by what they were for. looks: milliseconds of
    closer looks.
    """

    clicks: int = 0
    drags: int = 0
    keys: int = 0
    points: int = 0
    seconds: float = 0.0
    boxes: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    costs: Counter[str] = field(default_factory=Counter)
    spent: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    looks: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def actions(self) -> int:
        return self.clicks + self.drags + self.keys

    @contextmanager
    def spending(self, what: str) -> Iterator[None]:
        """Count the actions and seconds within as spent on this."""
        actions, seconds = self.actions, self.estimate
        yield
        self.costs[what] += self.actions - actions
        self.spent[what] += self.estimate - seconds

    @property
    def estimate(self) -> float:
        """Seconds by the keystroke-level model."""
        click = _POINT_S + 2 * _BUTTON_S
        drag = 2 * _POINT_S + 2 * _BUTTON_S
        keys = self.keys * _KEY_S + self.points * _POINT_S
        return self.clicks * click + self.drags * drag + keys


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--folder", type=Path, default=DEV_FOLDER)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--models", nargs="+", default=[_DEFAULT_MODEL])
    parser.add_argument("--confidence", type=float)
    parser.add_argument("--only-helped", action="store_true")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        sys.exit(f"{arguments.folder} is absent; name another one with --folder.")
    truth = read_truth(arguments.folder, arguments.images, skip=arguments.skip)
    is_alone = not arguments.only_helped
    alone = walk(arguments.folder, truth, model=None) if is_alone else Tally()
    for model in arguments.models:
        helped = walk(
            arguments.folder, truth, model=model, confidence=arguments.confidence
        )
        print(f"\n{model}\n{as_table(helped, alone)}", flush=True)


def read_truth(folder: Path, count: int, *, skip: int = 0) -> dict[str, list[Truth]]:
    """Return the true boxes of some photographs, by file name; no crowds."""
    coco = json.loads((folder / "instances.json").read_text())
    names = {entry["id"]: entry["name"] for entry in coco["categories"]}
    files = {entry["id"]: entry["file_name"] for entry in coco["images"]}
    chosen = sorted(files.values())[skip : skip + count]
    truth: dict[str, list[Truth]] = {name: [] for name in chosen}
    for entry in coco["annotations"]:
        file_name = files[entry["image_id"]]
        if file_name in truth and not entry["iscrowd"]:
            truth[file_name].append(_as_truth(entry, names))
    return truth


def _as_truth(entry: dict[str, Any], names: dict[int, str]) -> Truth:
    left, top, width, height = entry["bbox"]
    return Truth(
        (left, top, left + width, top + height), names[int(entry["category_id"])]
    )


def walk(
    folder: Path,
    truth: dict[str, list[Truth]],
    *,
    model: str | None,
    confidence: float | None = None,
) -> Tally:
    """Bring all images to their ground truth; return the counts.

    model: how the list of models begins to name it; None draws every box by hand.
    confidence: of the boxes that are saved; None is the default.
    """
    tally = Tally(boxes=sum(map(len, truth.values())))
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        labels = list(
            dict.fromkeys(annotation.label for t in truth.values() for annotation in t)
        )
        with served(home) as (url, _), browsing(url) as page:
            files = [folder / "images" / name for name in truth]
            page.locator("input[type=file]").first.set_input_files(files)
            expect(page.get_by_text(f"{len(files)} images added")).to_be_visible(
                timeout=60_000
            )
            store = open_store(read_settings({"IMAGEBASE_HOME": str(home)}))
            scope = _scope(store)
            store.add_labels(scope, labels)  # a person knows what to look for
            if model is None:
                off = LearningRow(state=LearningState.OFF)
                store.change_learning(scope, lambda _: off)
            else:
                with tally.spending("running the model"):
                    _annotate(page, tally, model, confidence)
            go_to(page, "Edit")
            settled(page)
            started = time.perf_counter()
            for name, boxes in truth.items():
                hand = Hand(page, tally, is_helped=model is not None)
                hand.correct(boxes, file_name=name)
            tally.seconds = time.perf_counter() - started
            settled(page)
            tally.wrong = differences(store, scope, truth)
            store.close()
    return tally


def _scope(store: Store) -> Scope:
    (dataset,) = store.datasets(TEAM_OWNER)
    return Scope(TEAM_OWNER, dataset.dataset_id, "walk")


def go_to(page: Page, name: str) -> None:
    page.get_by_test_id("stTopNavLink").filter(has_text=name).click()


def _annotate(page: Page, tally: Tally, model: str, confidence: float | None) -> None:
    """Let a model look, and keep its boxes: two clicks, and two to choose another.

    A click into the slider sets the confidence.
    """
    go_to(page, "Annotate")
    if model != _DEFAULT_MODEL:
        settled(page)
        page.get_by_label("Model", exact=True).click()
        page.get_by_role("option").filter(has_text=model).first.click()
        settled(page)
        tally.clicks += 2
    page.get_by_role("button", name="Run").click()
    keep = page.get_by_role("button", name=re.compile(r"Save [\d,]+ box"))
    expect(keep).to_be_enabled(timeout=60_000)
    settled(page)
    if confidence is not None:
        _set_confidence(page, confidence)
        tally.clicks += 1
    keep.click()
    expect(page.get_by_text(re.compile(r"box(es)? saved"))).to_be_visible(
        timeout=30_000
    )
    tally.clicks += 2


def _set_confidence(page: Page, confidence: float) -> None:
    """Click into the slider at a confidence, to a hundredth or two."""
    group = page.get_by_role("group", name="Confidence", exact=True)
    field = group.get_by_role("slider")
    low, high = (float(field.get_attribute(end) or 0) for end in ("min", "max"))
    track = group.locator("[data-orientation]").first.bounding_box()
    assert track is not None
    across = (confidence - low) / (high - low) * track["width"]
    page.mouse.click(track["x"] + across, track["y"] + track["height"] / 2)
    settled(page)
    now = float(field.input_value())
    assert abs(now - confidence) < _SLIDER_STEPS, now


class Hand:
    """A person at the editor, on the image that it shows.

    is_helped: takes suggestions; otherwise draws every box, and there are none.
    """

    def __init__(self, page: Page, tally: Tally, *, is_helped: bool = True) -> None:
        self._page = page
        self._tally = tally
        self._is_helped = is_helped
        self._canvas = Canvas(page, page.locator(".editor"))

    def correct(self, truth: Sequence[Truth], *, file_name: str) -> None:
        """Bring the boxes to the truth, approve, and wait for the next image."""
        expect(self._page.get_by_text(file_name).first).to_be_visible(timeout=20_000)
        self._canvas.wait_for_picture()
        image = self._canvas.get("image")
        if self._is_helped:
            self._canvas.wait_for("known", image)
            # Until the person begins, the image shows what was learned last.
            self._page.wait_for_timeout(_LOOK_MS)
        shown = self._canvas.shown()
        meant = matched(shown, truth)
        for annotation_id in shown.keys() - meant.keys():
            with self._tally.spending("deleting"):
                self._delete(annotation_id)
            self._tally.fates["deleted"] += 1
        for annotation_id, number in meant.items():
            self._mend(annotation_id, shown[annotation_id], truth[number])
        for number in sorted(set(range(len(truth))) - set(meant.values())):
            self._add(truth[number])
            self._tally.fates["added"] += 1
        # What the dataset has learned meanwhile may be suggested on an open image.
        shown = self._canvas.shown()
        for annotation_id in shown.keys() - matched(shown, truth).keys():
            with self._tally.spending("deleting"):
                self._delete(annotation_id)
            self._tally.fates["deleted late"] += 1
        with self._tally.spending("approving"):
            self._press("Enter")
        # The last image stays.
        header = self._page.locator(".st-key-edit-header")
        end = header.get_by_text(f"{file_name} · approved")
        for _ in range(400):
            if self._canvas.get("image") != image or end.count():
                return
            self._page.wait_for_timeout(25)
        raise AssertionError(f"{file_name} was not left within 10 s")

    def _mend(self, annotation_id: str, shown: Shown, truth: Truth) -> None:
        """Correct a box: pull its corners, or make it anew where that is less."""
        is_placed = _iou([shown.box], [truth.box])[0, 0] >= STANDS
        if is_placed and shown.label == truth.label:
            self._tally.fates["stood"] += 1
            return
        is_small = _least_side(shown.box) * self._canvas.scale < _SMALL_PX
        is_far = not is_placed and _corners_off(shown.box, truth.box) == 2
        if is_far and self._is_helped:
            with self._tally.spending("snapping"):
                shown = self._snap(annotation_id, truth.box)
            is_placed = _iou([shown.box], [truth.box])[0, 0] >= STANDS
            self._tally.fates["snapped" if is_placed else "snapped in vain"] += 1
        if not is_placed and is_small:
            with self._tally.spending("making anew"):
                self._delete(annotation_id)
            self._add(truth)
            self._tally.fates["made anew"] += 1
            return
        if not is_placed:
            with self._tally.spending("moving"):
                if not self._is_grasped(annotation_id, truth.box):
                    self._select(annotation_id)
                self._pull(shown.box, truth.box)
            self._tally.fates["moved"] += 1
        if shown.label != truth.label:
            with self._tally.spending("labelling"):
                self._select(annotation_id)
                self._label(truth.label)
            self._tally.fates["relabelled"] += 1

    def _snap(self, annotation_id: str, truth: Corners) -> Shown:
        """Press S over an object, with its box selected where another is on top."""
        if self._canvas.get("selected") not in ("", annotation_id):
            self._press("Escape")
        middle = _middle(truth)
        before = self._canvas.shown()
        if _smallest_at(middle, before) != annotation_id:
            self._select(annotation_id)
        self._page.mouse.move(*self._canvas.at(middle))
        self._tally.points += 1
        self._press("s")
        self._page.wait_for_timeout(_GUESS_MS / 3)
        return self._canvas.shown()[annotation_id]

    def _is_grasped(self, annotation_id: str, truth: Corners) -> bool:
        """Say whether a drag would move this box's corner without a click before."""
        shown = self._canvas.shown()
        box = shown[annotation_id].box
        corner = (
            box[:2]
            if _corners_off(box, truth) != 1 or _is_first(box, truth)
            else box[2:]
        )
        return self._gripped(corner) == annotation_id

    def _gripped(self, point: tuple[float, float]) -> str | None:
        """Return which box's edge a drag from here would move."""
        selected = self._canvas.get("selected")
        near = _EDGE_PX / self._canvas.scale
        shown = self._canvas.shown()
        held = [
            (name != selected, _area(box.box), name)
            for name, box in shown.items()
            if _is_in(point, box.box, near) and not _is_in(point, box.box, -near)
        ]
        is_in_selected = selected in shown and _is_in(point, shown[selected].box, near)
        name = min(held)[2] if held else None
        return name if name == selected or not is_in_selected else None

    def _add(self, truth: Truth) -> None:
        """Point at an object, and draw its box where the suggestion does not stand."""
        how = self._point(truth) if self._is_helped else ""
        with self._tally.spending(how or "drawing"):
            if how == "clicking":
                self._canvas.click(_middle(truth.box))
                self._tally.clicks += 1
            elif how == "taking by key":
                self._press("g")
                self._tally.points += 1
            else:
                self._draw(truth)
        self._tally.fates[how or "drawn"] += 1
        self._page.wait_for_timeout(30)
        with self._tally.spending("labelling"):
            if self._made_label() != truth.label:
                self._label(truth.label)

    def _point(self, truth: Truth) -> str:
        """Rest the pointer on an object; return how to take the suggestion that stands.

        Empty where none does.
        """
        middle = _middle(truth.box)
        self._page.mouse.move(*self._canvas.at(middle))
        self._canvas.wait_for("looking", "false")
        self._tally.looks.append(float(self._canvas.get("look-ms") or 0))
        edges = self._canvas.get("suggestion").split()
        if not edges:
            return ""
        left, top, right, bottom = map(float, edges)
        if _iou([(left, top, right, bottom)], [truth.box])[0, 0] < STANDS:
            return ""
        slack = 3 / self._canvas.scale
        others = self._canvas.shown().values()
        is_under = any(_is_in(middle, box.box, slack) for box in others)
        return "taking by key" if is_under or self._gripped(middle) else "clicking"

    def _made_label(self) -> str:
        """Return the label of the box that was just made, its guess included."""
        if self._is_helped:
            with suppress(PlaywrightTimeoutError):
                self._page.locator(".guesses").wait_for(timeout=_GUESS_MS)
        made = self._canvas.shown().get(self._canvas.get("selected"))
        return made.label if made else ""

    def _delete(self, annotation_id: str) -> None:
        """Press Delete over the box, or select it first if another is on top."""
        if self._canvas.get("selected"):
            self._press("Escape")
        shown = self._canvas.shown()
        point = _middle(shown[annotation_id].box)
        if _smallest_at(point, shown) != annotation_id:
            self._select(annotation_id)
        else:
            self._page.mouse.move(*self._canvas.at(point))
            self._tally.points += 1
        self._press("Delete")

    def _pull(self, now: Corners, then: Corners) -> None:
        """Drag the corners whose edges are off: one of them where that is enough."""
        if _corners_off(now, then) == 2 or _is_first(now, then):
            self._drag((now[0], now[1]), (then[0], then[1]))
        if _corners_off(now, then) == 2 or not _is_first(now, then):
            self._drag((now[2], now[3]), (then[2], then[3]))

    def _draw(self, truth: Truth) -> None:
        """Draw a box."""
        if not self._is_helped:
            self._page.evaluate(_NO_GUESSES)
        left, top, right, bottom = truth.box
        corners = ((left, top), (right, top), (left, bottom), (right, bottom))
        # From an edge a drag would move that edge, and in the selected box the box: a
        # person begins at another corner, or holds Shift.
        free = [corner for corner in corners if not self._would_move(corner)]
        start = (free or corners)[0]
        end = (left + right - start[0], top + bottom - start[1])
        with nullcontext() if free else self._shift():
            self._drag(start, end)

    @contextmanager
    def _shift(self) -> Iterator[None]:
        self._page.keyboard.down("Shift")
        self._tally.keys += 1
        yield
        self._page.keyboard.up("Shift")

    def _would_move(self, point: tuple[float, float]) -> bool:
        """Say whether a drag from here would move a box or one of its edges."""
        selected = self._canvas.get("selected")
        near = _EDGE_PX / self._canvas.scale
        return any(
            _is_in(point, annotation.box, near)
            and (name == selected or not _is_in(point, annotation.box, -near))
            for name, annotation in self._canvas.shown().items()
        )

    def _select(self, annotation_id: str) -> None:
        """Click into the box, again while it is another one that lies on top."""
        center = _middle(self._canvas.shown()[annotation_id].box)
        for _ in range(12):
            if self._canvas.get("selected") == annotation_id:
                return
            self._canvas.click(center)
            self._tally.clicks += 1
            self._page.wait_for_timeout(_NO_DOUBLE_CLICK_MS)
        raise AssertionError(f"{annotation_id} cannot be reached at {center}")

    def _label(self, label: str) -> None:
        """Press the label's digit, or type as much of it as is needed.

        The digit is read at the box, or else above the canvas, where names may be cut.
        """
        chip = self._page.locator(f'.guesses:visible [data-label="{label}"] kbd')
        pills = self._page.locator("[data-testid='stButtonGroup'] button")
        names = [text.split(" ", 1) for text in pills.all_inner_texts()]
        digits = {n[1]: n[0] for n in names if len(n) == 2}
        digit = chip.inner_text() if chip.count() else digits.get(label, "")
        if digit.isdigit():
            self._press(digit)
            return
        chip = self._page.locator(f'.guesses:visible [data-label="{label}"]')
        if chip.count():
            chip.click()
            self._tally.clicks += 1
            return
        self._press("l")
        for letter in label:
            self._press(letter)
            first = self._page.locator(".picker li").first
            if first.get_attribute("data-name") == label:
                break
        self._press("Enter")

    def _press(self, key: str) -> None:
        self._page.keyboard.press(" " if key == " " else key)
        self._tally.keys += 1
        self._page.wait_for_timeout(20)

    def _drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self._canvas.drag(start, end)
        self._tally.drags += 1


def _corners_off(now: Corners, then: Corners) -> int:
    """Return how many of two corners have to be dragged."""
    first, last = (*then[:2], *now[2:]), (*now[:2], *then[2:])
    return 1 if _iou([first, last], [then]).max() >= STANDS else 2


def _is_first(now: Corners, then: Corners) -> bool:
    """Say whether dragging the first corner is enough."""
    return bool(_iou([(*then[:2], *now[2:])], [then])[0, 0] >= STANDS)


def _is_in(point: tuple[float, float], box: Corners, slack: float) -> bool:
    across = box[0] - slack <= point[0] <= box[2] + slack
    return across and box[1] - slack <= point[1] <= box[3] + slack


def matched(shown: dict[str, Shown], truth: Sequence[Truth]) -> dict[str, int]:
    """Return which true box each shown one is meant for: the best overlaps first."""
    if not shown or not truth:
        return {}
    ids = list(shown)
    iou = _iou(
        [shown[annotation].box for annotation in ids],
        [annotation.box for annotation in truth],
    )
    same = np.array([[shown[i].label == t.label for t in truth] for i in ids])
    pairs: dict[str, int] = {}
    for flat in np.argsort(-(iou + same), axis=None, kind="stable"):
        row, column = (int(index) for index in np.unravel_index(flat, iou.shape))
        is_free = ids[row] not in pairs and column not in pairs.values()
        if is_free and iou[row, column] >= MEANT:
            pairs[ids[row]] = column
    return pairs


def _iou(a: Sequence[Corners], b: Sequence[Corners]) -> np.ndarray[Any, Any]:
    return pairwise_iou(np.array(a, dtype=np.float32), np.array(b, dtype=np.float32))


def _middle(box: Corners) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _smallest_at(point: tuple[float, float], shown: dict[str, Shown]) -> str | None:
    """Return which box a key without a selection acts on here."""
    x, y = point
    there = [
        (_area(annotation.box), annotation_id)
        for annotation_id, annotation in shown.items()
        if annotation.box[0] <= x <= annotation.box[2]
        and annotation.box[1] <= y <= annotation.box[3]
    ]
    return min(there)[1] if there else None


def _area(box: Corners) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _least_side(box: Corners) -> float:
    return min(box[2] - box[0], box[3] - box[1])


def differences(store: Store, scope: Scope, truth: dict[str, list[Truth]]) -> list[str]:
    """Return in words what the store has otherwise than the ground truth."""
    wrong = []
    for record in store.records(scope):
        boxes = {
            annotation.annotation_id: Shown(
                (*annotation.box,), annotation.label, "", False
            )
            for annotation in record.annotations
        }
        expected = truth[record.file_name]
        pairs = matched(boxes, expected)
        right = sum(
            boxes[pair].label == expected[number].label
            and _iou([boxes[pair].box], [expected[number].box])[0, 0] >= STANDS - 0.02
            for pair, number in pairs.items()
        )
        if right != len(expected) or len(boxes) != len(expected):
            wrong.append(
                f"{record.file_name}: {right} right of {len(expected)}, "
                f"{len(boxes)} boxes, {record.status}"
            )
    return wrong


def _in_words(spent: Mapping[str, float]) -> str:
    most = sorted(spent.items(), key=lambda item: -item[1])
    return ", ".join(f"{what} {seconds:.0f}" for what, seconds in most)


def _looks_in_words(looks: Sequence[float]) -> list[str]:
    if not looks:
        return []
    return [f"closer looks take {np.median(looks):.0f} ms (median), from asking"]


def as_table(helped: Tally, alone: Tally) -> str:
    """Return both runs side by side, and the share that is saved."""
    rows = [
        ("drags", helped.drags, alone.drags),
        ("clicks", helped.clicks, alone.clicks),
        ("keys", helped.keys, alone.keys),
        ("actions in all", helped.actions, alone.actions),
        ("seconds by the keystroke-level model", helped.estimate, alone.estimate),
        ("seconds of the script", helped.seconds, alone.seconds),
    ]
    lines = [
        f"{helped.boxes} true boxes",
        ", ".join(f"{count} {fate}" for fate, count in helped.fates.items()),
        "actions: "
        + ", ".join(f"{what} {count}" for what, count in helped.costs.most_common()),
        "seconds: " + _in_words(helped.spent),
        *(["seconds without: " + _in_words(alone.spent)] if alone.actions else []),
        *_looks_in_words(helped.looks),
        "| | with model boxes | without | saved |",
        "|---|---|---|---|",
    ]
    for name, row, other in rows:
        saved = 1 - row / other if other else 0.0
        lines.append(f"| {name} | {row:.0f} | {other:.0f} | {saved:.0%} |")
    lines += [
        f"not as it should be: {mistake}" for mistake in helped.wrong + alone.wrong
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

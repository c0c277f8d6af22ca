"""How people corrected a model's boxes, and the work that saved them.

A box counts once, by what became of it in the end: one that was moved three times is
one moved box, and undone changes do not count.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from itertools import pairwise
from statistics import fmean, median
from typing import Final

from imagebase.annotation import Annotation, Box, Source
from imagebase.store import Scope, Store
from imagebase.store.statistics import BoxHistory

# A box by hand is a drag and a label; everything else is one click or drag.
DRAWING: Final = 2
# A longer gap between two images is a break, not work.
BREAK_SECONDS: Final = 300.0
# With fewer the median says little.
MIN_PACES: Final = 5


class Fate(StrEnum):
    """What became of a box."""

    KEPT = "kept"
    MOVED = "moved"
    RELABELLED = "relabelled"
    DELETED = "deleted"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person decided about one box, as it stands.

    label: the model's, or that of a box a person drew. new_label: the person's, where
    it was relabelled. iou: of the box before and after, where it was moved.
    confidence, model_id: of the model's box; None of one that was drawn.
    """

    image_id: str
    fate: Fate
    label: str
    decided_at: datetime
    new_label: str = ""
    iou: float | None = None
    confidence: float | None = None
    model_id: str | None = None


def decisions_in(store: Store, scope: Scope) -> list[Decision]:
    """Return what people decided on a model's boxes, and the boxes they drew."""
    decided = map(decide, store.box_histories(scope))
    return [decision for decision in decided if decision is not None]


def decide(history: BoxHistory) -> Decision | None:
    """Return what became of a box; None where nobody has decided on it yet."""
    image_id, first, last, decided_at = history
    origin = first or last
    if origin is None or origin.source is Source.IMPORT:
        return None
    if origin.model_id is None:
        if last is None:
            return None
        return Decision(image_id, Fate.ADDED, last.label, decided_at)
    fate, iou, new_label = _fate(origin, last)
    if fate is None:
        return None
    return Decision(
        image_id,
        fate,
        origin.label,
        decided_at,
        new_label=new_label,
        iou=iou,
        confidence=origin.confidence,
        model_id=origin.model_id,
    )


def _fate(
    origin: Annotation, last: Annotation | None
) -> tuple[Fate | None, float | None, str]:
    """Return what became of a model's box, the overlap if moved, the label if new."""
    if last is None:
        return Fate.DELETED, None, ""
    if last.source is Source.MODEL:
        return (Fate.KEPT if last.accepted else None), None, ""
    if origin is last:
        # Changed by a person, but what it was before is not known any more.
        return Fate.MOVED, None, ""
    moved = None if last.box == origin.box else _iou(origin.box, last.box)
    if last.label != origin.label:
        return Fate.RELABELLED, moved, last.label
    return (Fate.KEPT if moved is None else Fate.MOVED), moved, ""


def _iou(a: Box, b: Box) -> float:
    """Return the overlap of two boxes; one by one, quicker than through arrays."""
    shared = Box(
        max(a.x_min, b.x_min),
        max(a.y_min, b.y_min),
        min(a.x_max, b.x_max),
        min(a.y_max, b.y_max),
    ).area
    return shared / (a.area + b.area - shared)


@dataclass(frozen=True, slots=True)
class Effort:
    """Clicks and drags: those that drawing all final boxes costs, and those done."""

    by_hand: int
    done: int

    @property
    def saved(self) -> int:
        return self.by_hand - self.done

    @property
    def share_saved(self) -> float:
        """Between 0 and 1; below 0 where correcting cost more than drawing."""
        return self.saved / self.by_hand if self.by_hand else 0.0


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often people gave a box of one label another one."""

    label: str
    new_label: str
    count: int


@dataclass(frozen=True, slots=True)
class CorrectionFigures:
    """What became of the boxes, in numbers.

    counts: by fate, every one there. mean_iou: of moved boxes, before and after.
    confusions: the commonest first. by_label: the label with most decisions first.
    by_time: by the beginning of a day, or of an hour where all is within a day.
    """

    counts: Mapping[Fate, int]
    mean_iou: float | None
    confusions: tuple[Confusion, ...]
    by_label: Mapping[str, Mapping[Fate, int]]
    by_time: Mapping[datetime, Mapping[Fate, int]]
    is_hourly: bool
    effort: Effort

    @property
    def of_model(self) -> int:
        """How many of the model's boxes were decided on."""
        return sum(self.counts.values()) - self.counts[Fate.ADDED]

    def share(self, fate: Fate) -> float:
        """Return the share of the model's boxes that came to this."""
        return self.counts[fate] / self.of_model if self.of_model else 0.0


def correction_figures(
    decisions: Sequence[Decision], *, zone: tzinfo = UTC
) -> CorrectionFigures:
    """Return the figures of these decisions; days and hours are those of a zone."""
    ious = [decision.iou for decision in decisions if decision.iou is not None]
    is_hourly = _is_within_a_day(decisions)
    by_label: dict[str, Counter[Fate]] = defaultdict(Counter)
    by_time: dict[datetime, Counter[Fate]] = defaultdict(Counter)
    for decision in decisions:
        by_label[decision.label][decision.fate] += 1
        by_time[moment_of(decision, is_hourly=is_hourly, zone=zone)][decision.fate] += 1
    return CorrectionFigures(
        counts=_every_fate(Counter(decision.fate for decision in decisions)),
        mean_iou=fmean(ious) if ious else None,
        confusions=_confusions(decisions),
        by_label=dict(sorted(by_label.items(), key=_most_decided)),
        by_time=dict(sorted(by_time.items())),
        is_hourly=is_hourly,
        effort=effort(decisions),
    )


def _most_decided(counted: tuple[str, Mapping[Fate, int]]) -> tuple[int, str]:
    label, counts = counted
    return -sum(counts.values()), label


def _every_fate(counted: Mapping[Fate, int]) -> dict[Fate, int]:
    return {fate: counted.get(fate, 0) for fate in Fate}


def _is_within_a_day(decisions: Sequence[Decision]) -> bool:
    moments = [decision.decided_at for decision in decisions]
    return not moments or max(moments) - min(moments) < timedelta(days=1)


def moment_of(decision: Decision, *, is_hourly: bool, zone: tzinfo = UTC) -> datetime:
    """Return the beginning of the hour or of the day that a decision fell in."""
    local = decision.decided_at.astimezone(zone)
    hour = local.replace(minute=0, second=0, microsecond=0)
    return hour if is_hourly else hour.replace(hour=0)


def _confusions(decisions: Iterable[Decision]) -> tuple[Confusion, ...]:
    counted = Counter(
        (decision.label, decision.new_label)
        for decision in decisions
        if decision.new_label
    )
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Confusion(*pair, count) for pair, count in ordered)


def effort(decisions: Iterable[Decision]) -> Effort:
    """Return what the boxes cost, and what they would have cost by hand.

    By hand every final box is a drag and a label. Done: 1 a move, 1 a relabel, 1 a
    deletion, 2 an added box, and 1 on every image whose other boxes were accepted.
    """
    final = done = 0
    accepted_on = set()
    for decision in decisions:
        final += decision.fate is not Fate.DELETED
        done += _actions(decision)
        if decision.fate is Fate.KEPT:
            accepted_on.add(decision.image_id)
    return Effort(by_hand=DRAWING * final, done=done + len(accepted_on))


def _actions(decision: Decision) -> int:
    if decision.fate is Fate.RELABELLED:
        return 1 + (decision.iou is not None)
    return {Fate.KEPT: 0, Fate.ADDED: DRAWING}.get(decision.fate, 1)


def seconds_per_image(finished: Iterable[datetime]) -> float | None:
    """Return a person's pace: the median gap between one image and the next.

    Args:
        finished: when each image was last changed. Gaps over five minutes are breaks.

    Returns:
        Seconds; None with fewer than five gaps.
    """
    ordered = sorted(finished)
    gaps = [(after - before).total_seconds() for before, after in pairwise(ordered)]
    working = [gap for gap in gaps if gap <= BREAK_SECONDS]
    return median(working) if len(working) >= MIN_PACES else None

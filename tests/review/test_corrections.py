"""What became of boxes, and what it saved, against figures worked out by hand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from imagebase.annotation import Annotation, Box, Source
from imagebase.review.corrections import (
    Confusion,
    Decision,
    Fate,
    correction_figures,
    decide,
    effort,
    moment_of,
    seconds_per_image,
)
from imagebase.store.statistics import BoxHistory

NOON = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
FOUND = Annotation(
    Box(0, 0, 10, 10), "dog", source=Source.MODEL, confidence=0.4, model_id="m"
)


def by_person(box: Box = FOUND.box, label: str = "dog") -> Annotation:
    """Return the model's box as a person's: with its model, without confidence."""
    return Annotation(box, label, source=Source.HUMAN, model_id="m")


def made(fate: Fate, *, on: str = "a", label: str = "dog", **more: object) -> Decision:
    return Decision(on, fate, label, NOON, **more)  # type: ignore[arg-type]


def fate_of(first: Annotation | None, last: Annotation | None) -> Fate | None:
    decision = decide(BoxHistory("a", first, last, NOON))
    return None if decision is None else decision.fate


@pytest.mark.parametrize(
    ("first", "last", "fate"),
    [
        pytest.param(FOUND, FOUND, None, id="nobody looked at it"),
        pytest.param(FOUND, replace(FOUND, accepted=True), Fate.KEPT, id="accepted"),
        pytest.param(FOUND, by_person(), Fate.KEPT, id="moved and moved back"),
        pytest.param(FOUND, by_person(Box(0, 0, 10, 5)), Fate.MOVED, id="moved"),
        pytest.param(FOUND, by_person(label="cat"), Fate.RELABELLED, id="relabelled"),
        pytest.param(
            FOUND,
            by_person(Box(0, 0, 10, 5), "cat"),
            Fate.RELABELLED,
            id="moved and relabelled",
        ),
        pytest.param(FOUND, None, Fate.DELETED, id="deleted"),
        pytest.param(None, by_person(), Fate.MOVED, id="its events are gone"),
        pytest.param(None, replace(by_person(), model_id=None), Fate.ADDED, id="drawn"),
        pytest.param(
            replace(by_person(), model_id=None), None, None, id="drawn and deleted"
        ),
        pytest.param(
            Annotation(FOUND.box, "dog", source=Source.IMPORT),
            replace(by_person(), model_id=None),
            None,
            id="imported",
        ),
    ],
)
def test_a_box_counts_by_what_it_came_to(
    first: Annotation | None, last: Annotation | None, fate: Fate | None
) -> None:
    assert fate_of(first, last) is fate


def test_a_moved_box_knows_how_far() -> None:
    decision = decide(BoxHistory("a", FOUND, by_person(Box(0, 0, 10, 5)), NOON))
    assert decision is not None
    assert decision.iou == pytest.approx(0.5)  # half of it is left
    assert (decision.confidence, decision.model_id) == (0.4, "m")


def test_a_relabelled_box_knows_both_labels() -> None:
    decision = decide(BoxHistory("a", FOUND, by_person(label="cat"), NOON))
    assert decision is not None
    assert (decision.label, decision.new_label, decision.iou) == ("dog", "cat", None)


def test_figures_of_ten_boxes() -> None:
    figures = correction_figures(
        [
            *[made(Fate.KEPT)] * 4,
            made(Fate.MOVED, iou=0.6),
            made(Fate.MOVED, iou=0.8),
            made(Fate.RELABELLED, new_label="cat"),
            made(Fate.RELABELLED, new_label="cat", iou=0.7),
            made(Fate.RELABELLED, label="car", new_label="bus"),
            made(Fate.DELETED, label="car"),
            made(Fate.ADDED, label="bus"),
        ]
    )
    assert figures.of_model == 10
    assert figures.share(Fate.KEPT) == pytest.approx(0.4)
    assert figures.share(Fate.DELETED) == pytest.approx(0.1)
    assert figures.counts[Fate.ADDED] == 1
    assert figures.mean_iou == pytest.approx(0.7)
    assert figures.confusions == (
        Confusion("dog", "cat", 2),
        Confusion("car", "bus", 1),
    )
    assert list(figures.by_label) == ["dog", "car", "bus"]
    assert figures.by_label["car"] == {Fate.RELABELLED: 1, Fate.DELETED: 1}


def test_no_decisions_are_all_noughts() -> None:
    figures = correction_figures([])
    assert figures.of_model == 0
    assert figures.share(Fate.KEPT) == 0
    assert figures.mean_iou is None
    assert figures.effort.share_saved == 0


def test_effort_is_counted_as_the_help_says() -> None:
    told = effort(
        [
            made(Fate.KEPT, on="a"),
            made(Fate.KEPT, on="a"),  # one press accepts both
            made(Fate.KEPT, on="b"),
            made(Fate.MOVED, iou=0.9),
            made(Fate.RELABELLED, new_label="cat"),
            made(Fate.RELABELLED, new_label="cat", iou=0.9),  # relabelled and moved
            made(Fate.DELETED),
            made(Fate.ADDED),
        ]
    )
    assert told.by_hand == 2 * 7  # the deleted one is not among the final ones
    assert told.done == 2 + 1 + 1 + 2 + 1 + 2
    assert told.saved == 5
    assert told.share_saved == pytest.approx(5 / 14)


def test_time_is_by_the_hour_within_a_day_and_else_by_the_day() -> None:
    hours = [made(Fate.KEPT), made(Fate.DELETED)]
    figures = correction_figures(hours)
    assert figures.is_hourly
    assert figures.by_time == {NOON.replace(minute=0): {Fate.KEPT: 1, Fate.DELETED: 1}}
    later = Decision("a", Fate.KEPT, "dog", NOON + timedelta(days=2))
    figures = correction_figures([*hours, later])
    assert not figures.is_hourly
    assert [at.day for at in figures.by_time] == [24, 26]


def test_a_day_is_the_persons_own() -> None:
    late = Decision("a", Fate.KEPT, "dog", datetime(2026, 11, 24, 23, tzinfo=UTC))
    berlin = ZoneInfo("Europe/Berlin")
    assert moment_of(late, is_hourly=False).day == 24
    assert moment_of(late, is_hourly=False, zone=berlin).day == 25


def after(*seconds: float) -> list[datetime]:
    """Return moments with these gaps between them."""
    moments = [NOON]
    for gap in seconds:
        moments.append(moments[-1] + timedelta(seconds=gap))
    return moments


def test_pace_is_the_median_gap_without_breaks() -> None:
    finished = after(10, 12, 14, 301, 16, 90)
    assert seconds_per_image(reversed(finished)) == 14


def test_pace_of_a_few_images_is_not_known() -> None:
    assert seconds_per_image(after(10, 10, 10, 10)) is None
    assert seconds_per_image([]) is None

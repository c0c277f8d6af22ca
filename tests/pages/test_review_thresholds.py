"""Learned thresholds on the Review page: shown, previewed, applied."""

import pytest

from imagebase.annotation import Annotation, Box, Source
from imagebase.detection.factory import ModelConfig, configured_detector
from imagebase.editing.records import approve, delete_annotations
from imagebase.store import JobInfo, JobState
from imagebase.ui import services
from tests.app_fixtures import (
    Tab,
    add_photographs,
    ended,
    put,
    records,
    store,
    the_scope,
)
from tests.pages.test_review_figures import show

AT_ITS_OWN_SIZE = ModelConfig(("yolov4-tiny",))
SMALL = ModelConfig(("yolov4-tiny",), input_size=320)
OPEN = ["new", "suggested", "edited", "rejected"]
LEAST = 0.6


def model_id() -> str:
    return configured_detector(SMALL).model_id


def run_job(kind: str, setup: ModelConfig, **rule: float) -> JobInfo:
    """Let a job with this setup come to its end."""
    parameters = {**setup.parameters(), "statuses": OPEN, **rule}
    services.runner().submit(the_scope(), kind, parameters)
    job = ended(the_scope(), kind)
    assert job.state is JobState.DONE, job.error
    return job


def decide() -> None:
    """Say of 40 boxes on the first image that those the model doubted are false."""
    boxes = [
        Annotation(
            Box(9 * n, 9 * n, 9 * n + 8, 9 * n + 8),
            "bear",
            source=Source.MODEL,
            confidence=0.3 + 0.015 * n,
            model_id=model_id(),
            changed_by=model_id(),
        )
        for n in range(40)
    ]
    put(records()[0], *boxes)
    first = records()[0]
    false = {o.annotation_id for o in first.annotations if (o.confidence or 0) < LEAST}
    store().save(the_scope(), approve(delete_annotations(first, false), who="ann"))


@pytest.fixture
def learned(filled: Tab) -> Tab:
    """A tab whose model ran at its own size, then at a smaller one, and learned.

    The boxes of the smaller one were kept last.
    """
    for setup, confidence in ((AT_ITS_OWN_SIZE, 0.4), (SMALL, 0.25)):
        run_job("annotate", setup)
        run_job("keep", setup, confidence_threshold=confidence)
    decide()
    return filled


def thresholds(tab: Tab) -> dict[str, float]:
    """Return the threshold that the bear has now, and the learned one."""
    key = "figures.thresholds."
    table = next(table for table in tab.app.dataframe if str(table.key).startswith(key))
    (row,) = table.value.to_dict("records")
    return {name: row[name] / 100 for name in ("current", "learned")}


def tick(tab: Tab, *, is_used: bool) -> None:
    """Select the bear or not; the next rerun knows."""
    key = "figures.thresholds."
    table = next(table for table in tab.app.dataframe if str(table.key).startswith(key))
    edits = {"edited_rows": {0: {"use": is_used}}, "added_rows": [], "deleted_rows": []}
    tab.app.session_state[str(table.key)] = edits


def test_deselected_label_is_not_applied_with_the_same_click(
    learned: Tab,
) -> None:
    show(learned, "Statistics", "Thresholds")
    learned.app.toggle(key="figures.show_change").set_value(True).run()
    tick(learned, is_used=False)
    learned.press("figures.apply")
    assert not store().label_thresholds(the_scope(), model_id())
    assert "Select a label first" in learned.toasts()[0]
    assert len([job for job in store().jobs(the_scope()) if job.kind == "keep"]) == 2


def test_thresholds_apply_to_the_setup_of_the_last_save(learned: Tab) -> None:
    show(learned, "Statistics", "Thresholds")
    assert thresholds(learned) == {
        "current": 0.25,
        "learned": pytest.approx(LEAST, abs=0.02),
    }
    learned.app.toggle(key="figures.show_change").set_value(True).run()
    learned.press("figures.apply")
    job = ended(the_scope(), "keep")
    assert job.state is JobState.DONE
    assert ModelConfig.of(job.parameters) == SMALL
    assert job.parameters["confidence_threshold"] == 0.25


def shown_change(tab: Tab) -> str:
    """Return what the page says that the thresholds would change."""
    words = (text.value for text in tab.app.markdown)
    return next(word for word in words if "removed" in word or "would change" in word)


def test_change_that_is_shown_follows_what_the_model_ran_on_since(
    learned: Tab,
) -> None:
    add_photographs(the_scope(), "skier.jpg")
    show(learned, "Statistics", "Thresholds")
    learned.app.toggle(key="figures.show_change").set_value(True).run()
    before = shown_change(learned)  # the bear's boxes are sure
    run_job("annotate", SMALL)
    learned.app.run()
    assert before == "**No boxes would change**"
    assert "on 1 image** of 2" in shown_change(learned)


def test_label_that_has_another_name_since_keeps_its_threshold(learned: Tab) -> None:
    bear = store().labels(the_scope()).class_id("bear")
    store().rename_label(the_scope(), bear, "grizzly")
    show(learned, "Statistics", "Thresholds")
    assert thresholds(learned)["current"] == 0.25
    learned.app.toggle(key="figures.show_change").set_value(True).run()
    learned.press("figures.apply")
    assert ended(the_scope(), "keep").state is JobState.DONE
    kept = store().label_thresholds(the_scope(), model_id())
    assert kept == {"bear": pytest.approx(LEAST, abs=0.02)}

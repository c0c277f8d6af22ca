"""The Review page: queue and statistics, and clicks on them."""

from dataclasses import replace

import pytest

from imagebase.annotation import Annotation, Box, ReviewStatus
from imagebase.editing.records import approve, delete_annotations, move, relabel
from imagebase.store.uncertainty import DoubtKind
from tests.app_fixtures import (
    NewTab,
    Tab,
    model_box,
    put,
    records,
    started,
    store,
    the_scope,
)


def show(tab: Tab, view: str, figures: str = "") -> Tab:
    tab.open("review")
    tab.app.main.button_group[0].set_value(view).run()
    if figures:
        tab.app.main.button_group[1].set_value(figures).run()
    assert not tab.app.exception
    return tab


def metrics(tab: Tab) -> dict[str, str]:
    return {metric.label: metric.value for metric in tab.app.metric}


def test_health_counts_images_boxes_and_labels(labelled: Tab) -> None:
    show(labelled, "Statistics", "Health")
    assert metrics(labelled) == {
        "Images": "2",
        "Approved": "0 %",
        "Boxes": "3",
        "Labels in use": "3",
        "Boxes per image": "2",
        "Possible issues": "0",
    }
    assert "**0 of 2 images approved**" in labelled.words()
    assert "**33 % of boxes are bear**" in labelled.words()


def test_health_of_one_label_shows_its_boxes_alone(labelled: Tab) -> None:
    show(labelled, "Statistics", "Health")
    labelled.app.selectbox(key="figures.label").select("cup").run()
    assert "**1 image without boxes of cup**" in labelled.words()
    assert "**0 % of boxes are taller than wide**" in labelled.words()


def test_health_without_boxes_says_the_next_step(filled: Tab) -> None:
    show(filled, "Statistics", "Health")
    assert "No boxes yet" in filled.words()


def test_corrections_without_decisions_say_the_next_step(filled: Tab) -> None:
    show(filled, "Statistics", "Corrections")
    assert "No corrections yet" in filled.words()
    filled.app.main.button_group[1].set_value("Thresholds").run()
    assert "No decisions on model boxes yet" in filled.words()


@pytest.fixture
def corrected(labelled: Tab) -> Tab:
    """Four boxes of a model kept, moved, relabelled and deleted, and one drawn."""
    kitchen, bear = records()
    put(kitchen, *(model_box(name, 0.5, at=90 * n) for n, name in enumerate("abcd")))
    put(bear, model_box("e", 0.5))
    seen = records()[0]
    kept, moved, other, gone = (
        annotation.annotation_id for annotation in seen.annotations
    )
    after = move(seen, moved, Box(90, 90, 170, 140), who="ann")
    after = relabel(after, {other}, "z", who="ann")
    after = delete_annotations(after, {gone})
    drawn = Annotation(Box(1, 1, 9, 9), "new", changed_by="ann")
    after = replace(after, annotations=(*after.annotations, drawn))
    store().save(the_scope(), approve(after, who="ann"))
    assert kept in {annotation.annotation_id for annotation in records()[0].annotations}
    return labelled


def test_corrections_are_counted(corrected: Tab) -> None:
    show(corrected, "Statistics", "Corrections")
    shown = metrics(corrected)
    assert shown["Kept"] == "25 %"
    assert shown["Moved"] == "25 %"
    assert shown["Relabelled"] == "25 %"
    assert shown["Deleted"] == "25 %"
    assert shown["Added"] == "1"
    assert "before and after: 0.83" in corrected.words()
    assert r"**c → z: 1 time**" in corrected.words()


def test_thresholds_wait_for_enough_decisions(corrected: Tab) -> None:
    show(corrected, "Statistics", "Thresholds")
    # Model "m" is none that is here: its thresholds could not be applied.
    assert "was deleted" in corrected.words()


def test_queue_shows_the_reasons(labelled: Tab) -> None:
    kitchen, _ = records()
    put(kitchen, model_box("cup", 0.9), model_box("bowl", 0.8, at=21))
    show(labelled, "Queue")
    assert "**1 image** to review" in labelled.words()
    assert "overlap by" in labelled.words()


def test_queue_approves_and_goes_on(labelled: Tab) -> None:
    kitchen, _ = records()
    put(kitchen, model_box("cup", 0.9), model_box("bowl", 0.8, at=21))
    show(labelled, "Queue")
    labelled.press(f"queue.approve.{kitchen.image_id}")
    assert records()[0].status is ReviewStatus.APPROVED
    assert "No uncertain images" in labelled.words()


def test_image_that_moved_away_is_opened_all_the_same(labelled: Tab) -> None:
    kitchen, _ = records()
    put(kitchen, model_box("cup", 0.9), model_box("bowl", 0.8, at=21))
    show(labelled, "Queue")
    reasons = labelled.app.main.button_group[1]
    reasons.set_value(DoubtKind.MISSED)  # and then the image is not among them
    labelled.press(f"queue.open.{kitchen.image_id}")
    assert labelled.app.button(key="edit.approve")
    assert "**1** / 2" in labelled.words()


def test_queue_of_untouched_images_sends_to_annotate(filled: Tab) -> None:
    show(filled, "Queue")
    assert "No model has run on these images yet" in filled.words()


def test_page_begins_with_the_queue_once_there_is_doubt(
    labelled: Tab, new_tab: NewTab
) -> None:
    kitchen, _ = records()
    put(kitchen, model_box("cup", 0.9), model_box("bowl", 0.8, at=21))
    show(labelled, "Queue")  # which judges what changed
    another = started(new_tab)
    another.open("review")
    assert "to review, most uncertain first" in another.words()


def test_view_that_is_chosen_is_not_searched_again(
    labelled: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(labelled, "Statistics", "Health")
    kitchen, _ = records()
    put(kitchen, model_box("cup", 0.9), model_box("bowl", 0.8, at=21))
    monkeypatch.setattr("imagebase.ui.review.queue.first_view", forbidden)
    labelled.app.run()
    assert not labelled.app.exception
    assert "Images" in metrics(labelled)


def forbidden() -> str:
    raise AssertionError("nobody needs to know")

"""The Annotate page: the real net on real photographs, in the background."""

from collections.abc import Hashable
from typing import Any

from imagebase.annotation import Box, ReviewStatus, Source
from imagebase.annotation.areas import rectangle
from imagebase.detection.factory import ModelConfig, configured_detector
from imagebase.store import JobState
from tests.app_fixtures import Tab, add_photographs, records, store, the_scope


def boxes() -> list[str]:
    return [box.label for record in records() for box in record.annotations]


def found(tab: Tab) -> int:
    """Return how many boxes the page says there are."""
    line = next(text.value for text in tab.app.markdown if " of " in text.value)
    return int(line.split()[0].strip("*").replace(",", ""))


def run(tab: Tab) -> None:
    """Press Run on the Annotate page and wait for what comes of it."""
    tab.open("annotate")
    tab.press("annotate.run")
    assert tab.wait("annotate").state is JobState.DONE


def keep(tab: Tab) -> None:
    tab.press("annotate.keep")
    assert tab.wait("keep").state is JobState.DONE


def test_page_says_what_run_will_do(filled: Tab) -> None:
    filled.open("annotate")
    assert filled.app.selectbox(key="annotate.model").value == "yolov4-tiny"
    assert "Click **Run**" in filled.words()


def test_run_shows_boxes_and_changes_nothing_yet(filled: Tab) -> None:
    run(filled)
    assert found(filled) > 5
    assert len(filled.app.get("image")) == 2
    assert not boxes()
    assert {record.status for record in records()} == {ReviewStatus.NEW}


def test_kept_boxes_are_a_models_and_wait_for_review(filled: Tab) -> None:
    run(filled)
    count = found(filled)
    keep(filled)
    assert len(boxes()) == count
    assert {record.status for record in records()} == {ReviewStatus.SUGGESTED}
    assert {b.source for record in records() for b in record.annotations} == {
        Source.MODEL
    }
    assert f"**{count} boxes saved.**" in filled.words()
    assert filled.app.button(key="annotate.keep").disabled


def test_sliders_change_the_boxes_without_a_run(filled: Tab) -> None:
    run(filled)
    at_first = found(filled)
    filled.app.slider(key="annotate.confidence").set_value(0.8).run()
    sure = found(filled)
    filled.app.slider(key="annotate.confidence").set_value(0.1).run()
    assert sure < at_first < found(filled)
    filled.app.slider(key="annotate.nms").set_value(0.9).run()
    assert found(filled) > at_first
    assert len(store().jobs(the_scope())) == 1


def test_label_filter_leaves_one_label(filled: Tab) -> None:
    run(filled)
    filled.app.multiselect(key="annotate.labels").select("bear").run()
    assert found(filled) == 1
    keep(filled)
    assert boxes() == ["bear"]


def edit_labels(tab: Tab, **edits: object) -> None:
    """Type into the row of the bear in the table of labels, and use it."""
    table = next(
        table for table in tab.app.dataframe if "annotate.label" in str(table.key)
    )
    row = table.value["model"].tolist().index("bear")
    tab.app.session_state[str(table.key)] = {
        "edited_rows": {row: edits},
        "added_rows": [],
        "deleted_rows": [],
    }
    tab.press("annotate.use_labels")


def test_label_is_renamed_on_its_way_into_the_dataset(filled: Tab) -> None:
    run(filled)
    edit_labels(filled, name="grizzly")
    keep(filled)
    assert "grizzly" in boxes()
    assert "bear" not in boxes()


def test_label_without_a_name_is_left_out(filled: Tab) -> None:
    run(filled)
    before = found(filled)
    edit_labels(filled, name="")
    assert found(filled) == before - 1


def test_label_has_a_threshold_of_its_own(filled: Tab) -> None:
    run(filled)
    before = found(filled)
    edit_labels(filled, confidence=1.0)
    assert found(filled) == before - 1


def label_rows(tab: Tab) -> list[dict[Hashable, Any]]:
    """Return what the table of the model's labels says."""
    return tab.app.dataframe[0].value.to_dict("records")


def model_id() -> str:
    return configured_detector(ModelConfig(("yolov4-tiny",))).model_id


def test_learned_thresholds_are_what_the_page_begins_with(filled: Tab) -> None:
    run(filled)
    before = found(filled)
    store().save_label_thresholds(the_scope(), model_id(), {"bear": 1.0, "zebra": 0.3})
    filled.app.run()
    assert found(filled) == before - 1
    row = {"model": "bear", "name": "bear", "confidence": 1.0}
    assert row in label_rows(filled)


def test_cleared_threshold_is_deleted_and_the_others_stay(filled: Tab) -> None:
    run(filled)
    before = found(filled)
    edit_labels(filled, confidence=1.0)
    kept = store().label_thresholds(the_scope(), model_id())
    assert kept == {"bear": 1.0}
    store().save_label_thresholds(the_scope(), model_id(), kept | {"zebra": 0.3})
    filled.app.run()
    edit_labels(filled, confidence=None)
    assert store().label_thresholds(the_scope(), model_id()) == {"zebra": 0.3}
    assert found(filled) == before


def test_threshold_of_one_dataset_is_none_of_another(filled: Tab) -> None:
    run(filled)
    edit_labels(filled, confidence=1.0)
    filled.submit("sidebar.new_dataset", "Second")
    add_photographs(the_scope(), "bear.jpg")
    run(filled)
    keep(filled)
    assert "bear" in boxes()


def test_renamed_label_is_still_in_the_table_after_another_page(filled: Tab) -> None:
    run(filled)
    edit_labels(filled, name="grizzly", confidence=0.3)
    filled.open("review")
    filled.open("annotate")
    row = {"model": "bear", "name": "grizzly", "confidence": 0.3}
    assert row in label_rows(filled)


def test_keeping_twice_changes_nothing(filled: Tab) -> None:
    run(filled)
    keep(filled)
    first = records()
    filled.app.slider(key="annotate.confidence").set_value(0.26).run()
    filled.app.slider(key="annotate.confidence").set_value(0.25).run()
    assert filled.app.button(key="annotate.keep").disabled
    assert records() == first


def test_boxes_are_kept_again_after_undo(filled: Tab) -> None:
    run(filled)
    keep(filled)
    filled.press("sidebar.undo")
    assert not boxes()
    keep(filled)
    assert boxes()


def test_boxes_of_images_that_came_later_can_be_kept(filled: Tab) -> None:
    run(filled)
    keep(filled)
    add_photographs(the_scope(), "skier.jpg")
    run(filled)
    keep(filled)
    assert len(records()) == 3
    assert all(record.annotations for record in records())


def test_approved_images_are_not_offered(filled: Tab) -> None:
    for _ in records():
        filled.open("edit")
        filled.press("edit.approve")
    filled.open("annotate")
    assert "All images are approved" in filled.words()
    assert filled.app.button(key="annotate.run").disabled


def test_chosen_labels_are_forgotten_where_a_dataset_has_none_of_them(
    filled: Tab,
) -> None:
    run(filled)
    filled.app.multiselect(key="annotate.labels").select("bear").run()
    filled.submit("sidebar.new_dataset", "Second")
    add_photographs(the_scope(), "skier.jpg")
    run(filled)
    assert not filled.app.exception
    assert found(filled) > 0


def test_cancelled_run_keeps_what_was_done_and_can_be_run_again(filled: Tab) -> None:
    filled.open("annotate")
    job_id = store().submit_job(the_scope(), "annotate", {"model": "yolov4-tiny"})
    filled.app.run()
    filled.press(f"jobs.cancel.{job_id}")
    assert "Cancelled. Completed work is kept." in filled.words()
    assert not filled.app.button(key="annotate.run").disabled


def test_page_shows_results_as_they_arrive(filled: Tab) -> None:
    store().submit_job(the_scope(), "annotate", {"model": "x", "statuses": []})
    store().claim_job("elsewhere:1:x", ["annotate"])  # and it takes its time
    filled.open("annotate")
    assert "Waiting for the first images" in filled.words()
    assert filled.app.button(key="annotate.run").disabled


def test_boxes_in_an_ignore_area_are_no_suggestions(filled: Tab) -> None:
    run(filled)
    at_first = found(filled)
    first, *_ = records()
    whole = rectangle(Box(0, 0, *first.size))
    store().add_ignore_areas(the_scope(), first.image_id, [whole], all_of_size=False)
    filled.app.run()
    left = found(filled)
    assert left < at_first
    keep(filled)
    assert [len(record.annotations) for record in records()] == [0, left]
    assert filled.app.button(key="annotate.keep").disabled
    # Without the area there is more to keep.
    store().undo(the_scope())
    store().delete_ignore_areas(
        the_scope(), [area.area_id for area in store().ignore_areas(the_scope())]
    )
    filled.app.run()
    assert found(filled) == at_first
    assert not filled.app.button(key="annotate.keep").disabled

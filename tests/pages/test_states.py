"""An image's state is the same word and the same number on every page."""

from dataclasses import replace

import pytest
from streamlit.testing.v1.element_tree import ButtonGroup, Selectbox

from imagebase.annotation import TO_REVIEW, Annotation, Box, ReviewStatus
from imagebase.ui.edit.navigation import ImageQueue
from imagebase.ui.identity import TEAM_OWNER
from tests.app_fixtures import (
    NewTab,
    Tab,
    add_photographs,
    records,
    store,
    the_scope,
    undrawn,
)

PHOTOGRAPHS = (
    "kitchen.jpg",
    "bear.jpg",
    "fruit.jpg",
    "skier.jpg",
    "street.jpg",
    "riverside.jpg",
    "hotel-room.jpg",
)
# How many images stand in each state.
STATES = [*ReviewStatus, ReviewStatus.IMPORTED]


@pytest.fixture
def every_state(new_tab: NewTab) -> Tab:
    """A tab on a dataset with an image in each state, and two imported ones."""
    store().create_dataset(TEAM_OWNER, "All", who="ann")
    add_photographs(the_scope(), *PHOTOGRAPHS)
    store().add_labels(the_scope(), ["cat"])
    for record, status in zip(records(), STATES, strict=True):
        boxes = (Annotation(Box(10, 10, 90, 90), "cat"),)
        if status is not ReviewStatus.NEW:
            store().save(the_scope(), replace(record, annotations=boxes, status=status))
    return undrawn(new_tab)


def group(tab: Tab, label: str) -> ButtonGroup[object]:
    (found,) = (group for group in tab.app.main.button_group if group.label == label)
    return found


def options(tab: Tab, label: str) -> list[str]:
    return list(group(tab, label).options)


def select_box(tab: Tab, label: str) -> Selectbox[object]:
    (found,) = (select for select in tab.app.main.selectbox if select.label == label)
    return found


def test_sidebar_counts_the_states(every_state: Tab) -> None:
    assert "**1** of 7 images approved" in every_state.progress()
    said = "4 to review · 1 rejected · 1 new"
    (caption,) = (text for text in every_state.app.caption if text.value == said)
    assert caption.help == "To review: 1 suggested, 2 imported, 1 edited."


def test_review_filters_by_the_groups_that_the_sidebar_counts(
    every_state: Tab,
) -> None:
    app = every_state.open("review")
    every_state.app.session_state["review.view"] = "Images"
    app.run()
    assert options(every_state, "Status") == [
        "new 1",
        "to review 4",
        "suggested 1",
        "imported 2",
        "edited 1",
        "approved 1",
        "rejected 1",
    ]
    group(every_state, "Status").set_value(["to review"]).run()
    assert set(app.dataframe[0].value["status"]) == set(TO_REVIEW)
    assert len(app.dataframe[0].value) == 4


def test_labels_are_filtered_by_what_waits_for_review(every_state: Tab) -> None:
    app = every_state.open("review")
    app.session_state["review.view"] = "Boxes"
    app.run()
    app.multiselect(key="review.statuses").select("to review").run()
    assert list(app.dataframe[0].value["status"]) == [
        "suggested",
        "imported",
        "edited",
        "imported",
    ]


def test_edit_goes_through_the_same_groups(every_state: Tab) -> None:
    every_state.open("edit")
    among = select_box(every_state, "Image queue")
    assert {"New 1", "To review 4", "Rejected 1"} <= set(among.options)
    among.set_value(ImageQueue.WAITING).run()
    assert "**1** / 4" in every_state.words()


def test_export_and_evaluation_count_the_same_scopes(every_state: Tab) -> None:
    every_state.open("export")
    assert options(every_state, "Images") == [
        "approved 1",
        "edited and approved 2",
        "imported, edited and approved 4",
        "all 7",
    ]
    every_state.open("evaluate")
    assert list(select_box(every_state, "Evaluated on").options) == [
        "1 approved",
        "2 edited and approved",
        "4 imported, edited and approved",
    ]


def test_annotate_counts_new_and_not_approved(every_state: Tab) -> None:
    every_state.open("annotate")
    assert list(select_box(every_state, "Images").options) == [
        "1 new",
        "6 not approved",
    ]


def test_models_are_judged_by_imported_labels_where_nothing_is_approved(
    every_state: Tab,
) -> None:
    for record in records():
        store().save(the_scope(), replace(record, status=ReviewStatus.IMPORTED))
    every_state.open("evaluate")
    assert select_box(every_state, "Evaluated on").value == "labelled"
    assert "7 images (imported, edited and approved)" in every_state.words()

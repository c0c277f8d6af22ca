"""Review filters: the view a click leads to, the chips, filters in words."""

import math
from datetime import UTC, datetime

import pytest
from streamlit.testing.v1 import AppTest

from imagebase.annotation import ReviewStatus, Source
from imagebase.store import ORDERS, AnnotationFilter
from imagebase.ui import services
from imagebase.ui.identity import TEAM_OWNER
from imagebase.ui.review.filters import ORDER_WORDS, describe
from tests.app_fixtures import Configure


def views() -> None:
    import streamlit as st

    from imagebase.store import AnnotationFilter
    from imagebase.ui.review import filters

    view = filters.choose_view(
        [filters.BOXES, filters.IMAGES, filters.STATISTICS],
        first=lambda: filters.STATISTICS,
    )
    st.text(view)
    st.button("a label", on_click=filters.show_labels, kwargs={"labels": ["cat"]})
    st.button(
        "images",
        on_click=filters.show_images,
        args=(["i", "j"],),
        kwargs={"why": "images with *2* boxes"},
    )
    st.button("none", on_click=filters.show_images, args=([],), kwargs={"why": "none"})
    if view == filters.BOXES:
        filters.set_defaults(filters.LABEL_FILTERS)
        text = st.text_input("Search", key="review.text")
        names = st.multiselect("Label", ["cat"], key=filters.LABELS_KEY)
        st.text(f"{names} {text!r}")
        filters.draw_labels_chip(AnnotationFilter(labels=names))
    if view == filters.IMAGES:
        chosen = filters.chosen_images()
        st.text(chosen.image_ids if chosen else "all")
        filters.draw_images_chip()


@pytest.fixture
def app(configure: Configure) -> AppTest:
    return AppTest.from_function(views, default_timeout=20).run()


def press(app: AppTest, words: str) -> list[str]:
    """Click the button with these words; return the text on the page."""
    next(button for button in app.button if words in button.label).click().run()
    assert not app.exception
    return [text.value for text in app.text]


def test_a_label_is_all_that_is_left(app: AppTest) -> None:
    press(app, "a label")
    app.text_input(key="review.text").input("dog").run()
    assert press(app, "a label") == ["Boxes", "['cat'] ''"]


def test_images_stay_chosen_until_they_are_cleared(app: AppTest) -> None:
    assert press(app, "images") == ["Images", "('i', 'j')"]
    assert [button.label for button in app.button][
        -1
    ] == r"Filter: images with \*2\* boxes"
    assert press(app, "Filter") == ["Images", "all"]


def test_the_chip_clears_labels(app: AppTest) -> None:
    press(app, "a label")
    assert press(app, "Filter: cat") == ["Boxes", "[] ''"]


def test_a_click_on_nothing_leads_nowhere(app: AppTest) -> None:
    assert press(app, "none") == ["Statistics"]


def test_images_of_another_dataset_are_no_choice(app: AppTest) -> None:
    press(app, "images")
    second = services.store().create_dataset(TEAM_OWNER, "Second", who="ann")
    app.session_state["imagebase.dataset"] = second.dataset_id
    app.run()
    assert [text.value for text in app.text] == ["Images", "all"]


def test_every_order_of_the_store_has_words_of_its_own() -> None:
    assert set(ORDER_WORDS) == set(ORDERS)
    assert len(set(ORDER_WORDS.values())) == len(ORDERS)


def test_an_empty_filter_has_no_description() -> None:
    assert describe(AnnotationFilter()) == ""


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"text": "cat"}, "“cat”"),
        ({"labels": ["cat", "dog"]}, "cat · dog"),
        ({"labels": ["a", "b", "c", "d"]}, "4 labels"),
        ({"statuses": [ReviewStatus.SUGGESTED]}, "suggested"),
        ({"confidence": (0.25, 0.5)}, "confidence 25 % to 50 %"),
        ({"sources": [Source.MODEL]}, "source: model"),
        ({"who": ["ann"]}, "changed by ann"),
        ({"image": "IMG"}, "image “IMG”"),
        ({"attribute": ("occluded", None)}, "occluded"),
        ({"attribute": ("color", "red")}, "color = red"),
        ({"since": datetime(2026, 11, 1, tzinfo=UTC)}, "changed in a date range"),
        ({"sides": (0, 8)}, "side from 0 px to below 8 px"),
        ({"sides": (20, math.inf)}, "side from 20 px"),
        ({"share": (0.0, 0.1)}, "0 to 10 % of the image"),
    ],
    ids=lambda case: next(iter(case)) if isinstance(case, dict) else None,
)
def test_each_filter_is_described(wanted: dict[str, object], words: str) -> None:
    assert describe(AnnotationFilter(**wanted)) == words  # type: ignore[arg-type]

"""What a click elsewhere leads to: the view, its filters, and a way out."""

import pytest
from streamlit.testing.v1 import AppTest

from imagebase.ui import services
from imagebase.ui.identity import TEAM_OWNER
from tests.app_fixtures import Configure


def views() -> None:
    import streamlit as st

    from imagebase.store import AnnotationFilter
    from imagebase.ui.review import filters, label_filters

    view = filters.choose_view(
        [filters.LABELS, filters.IMAGES, filters.FIGURES],
        first=lambda: filters.FIGURES,
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
    if view == filters.LABELS:
        filters.begin(filters.LABEL_FILTERS)
        text = st.text_input("Search", key="review.text")
        names = st.multiselect("Label", ["cat"], key=filters.LABELS_KEY)
        st.text(f"{names} {text!r}")
        label_filters.draw_chip(AnnotationFilter(labels=names))
    if view == filters.IMAGES:
        chosen = filters.chosen_images()
        st.text(chosen.image_ids if chosen else "all")
        filters.draw_images_chip()


@pytest.fixture
def app(configure: Configure) -> AppTest:
    return AppTest.from_function(views, default_timeout=20).run()


def press(app: AppTest, words: str) -> list[str]:
    """Press what says so; return what is shown then."""
    next(one for one in app.button if words in one.label).click().run()
    assert not app.exception
    return [one.value for one in app.text]


def test_a_label_is_all_that_is_left(app: AppTest) -> None:
    press(app, "a label")
    app.text_input(key="review.text").input("dog").run()
    assert press(app, "a label") == ["Labels", "['cat'] ''"]


def test_images_stay_chosen_until_they_are_cleared(app: AppTest) -> None:
    assert press(app, "images") == ["Images", "('i', 'j')"]
    assert [one.label for one in app.button][-1] == r"showing: images with \*2\* boxes"
    assert press(app, "showing") == ["Images", "all"]


def test_labels_are_cleared_where_they_are_told(app: AppTest) -> None:
    press(app, "a label")
    assert press(app, "showing: cat") == ["Labels", "[] ''"]


def test_a_click_on_nothing_leads_nowhere(app: AppTest) -> None:
    assert press(app, "none") == ["Figures"]


def test_images_of_another_dataset_are_no_choice(app: AppTest) -> None:
    press(app, "images")
    second = services.store().create_dataset(TEAM_OWNER, "Second", who="ann")
    app.session_state["imagebase.dataset"] = second.dataset_id
    app.run()
    assert [one.value for one in app.text] == ["Images", "all"]

"""A session that names another owner's dataset reads nothing of it and changes nothing.

The dataset is not looked up before each query: the store has to refuse it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
import streamlit as st

from imagebase.annotation import Annotation, Box
from imagebase.errors import NotFoundError
from imagebase.learning.scenes import scene_of
from imagebase.learning.taught_models import taught_model
from imagebase.store import Scope
from imagebase.ui import (
    cache,
    find_more,
    job_progress,
    likeness,
    services,
    state,
)
from imagebase.ui.edit import changes, navigation
from tests.app_fixtures import (
    Configure,
    NewTab,
    Tab,
    add_photographs,
    started,
    store,
)
from tests.pages.test_all_pages import PAGES

CHOSEN: Final = "imagebase.dataset"
QUERIES: Final[dict[str, Callable[[str], Any]]] = {
    "image_id": lambda image_id: state.image_id(),
    "has_images": lambda image_id: state.has_images(),
    "rename_dataset": lambda image_id: state.rename_dataset("Mine"),
    "delete_dataset": lambda image_id: state.delete_dataset(),
    "add_samples": lambda image_id: state.add_samples(state.scope()),
    "latest": lambda image_id: job_progress.latest("annotate"),
    "record": lambda image_id: changes.record(),
    "load": lambda image_id: changes.access().load(image_id),
    "images": lambda image_id: navigation.images(),
    "thumbnail": lambda image_id: cache.thumbnail(state.scope(), image_id),
    "plain_tile": lambda image_id: cache.plain_tile(state.scope(), image_id, "a.png"),
    "display_picture": lambda image_id: cache.display_picture(*_mine(), image_id),
    "detail_picture": lambda image_id: cache.detail_picture(
        *_mine(), image_id, Box(0, 0, 9, 9)
    ),
    "views_of_box": lambda image_id: cache.views_of_box(
        *_mine(), image_id, Box(0, 0, 9, 9)
    ),
    "picture_for_views": lambda image_id: cache.picture_for_views(*_mine(), image_id),
    "point_candidates": lambda image_id: cache.point_candidates(*_mine(), image_id),
    "vectors": lambda image_id: likeness.vectors(),
    "next_order": lambda image_id: likeness.next_order(),
    "compare": lambda image_id: likeness.compare(),
    "teach": lambda image_id: find_more.ask("secret", [image_id]),
    "taught_model": lambda image_id: taught_model(services.store(), state.scope()),
    "scene_of": lambda image_id: scene_of(
        services.store(), state.scope(), image_id, max_pixels=10**8
    ),
    "health_tables": lambda image_id: cache.health_tables(*_mine(), "1"),
}


def _mine() -> tuple[str, str]:
    scope = state.scope()
    return scope.owner_id, scope.dataset_id


@pytest.fixture
def theirs(configure: Configure, two_samples: None) -> Scope:
    """Another owner's dataset of two images, one with a box, which they have seen."""
    configure(MODE="demo")
    created = store().create_dataset("theirs", "Secret", who="ann")
    scope = Scope("theirs", created.dataset_id, "ann")
    add_photographs(scope)
    first = store().records(scope)[0]
    boxes = (Annotation(Box(1, 2, 30, 40), "secret", changed_by="ann"),)
    store().save(scope, replace(first, annotations=boxes))
    cache.plain_tile(scope, first.image_id, first.file_name)
    cache.display_picture("theirs", created.dataset_id, first.image_id)
    cache.point_candidates("theirs", created.dataset_id, first.image_id)
    scene_of(store(), scope, first.image_id, max_pixels=10**8)
    return scope


def _all_of(scope: Scope) -> tuple[object, ...]:
    kept = services.store()
    return kept.datasets("theirs"), kept.records(scope), kept.jobs(scope)


@pytest.mark.parametrize("name", QUERIES)
def test_no_query_of_a_session_finds_anothers_dataset(theirs: Scope, name: str) -> None:
    before = _all_of(theirs)
    st.session_state.clear()
    st.session_state[CHOSEN] = theirs.dataset_id
    assert state.scope().owner_id != "theirs"
    with pytest.raises(NotFoundError):
        QUERIES[name](before[1][0].image_id)  # type: ignore[index]
    assert _all_of(theirs) == before


@pytest.fixture
def intruder(theirs: Scope, new_tab: NewTab) -> Tab:
    """A visitor's tab that has been made to name the other owner's dataset."""
    tab = started(new_tab)
    tab.app.session_state[CHOSEN] = theirs.dataset_id
    return tab


@pytest.mark.parametrize("page", PAGES)
def test_no_page_shows_anothers_dataset(
    intruder: Tab, theirs: Scope, page: str
) -> None:
    app = intruder.open(page)
    assert not app.exception
    assert "secret" not in intruder.words().lower()
    assert app.sidebar.selectbox[0].options == ["Sample images"]
    assert app.session_state[CHOSEN] != theirs.dataset_id


@pytest.mark.parametrize(
    ("page", "key"),
    [
        ("upload", "upload.samples"),
        ("edit", "edit.approve"),
        ("edit", "edit.empty"),
        ("edit", "edit.copy"),
        ("edit", "edit.next"),
        ("annotate", "annotate.run"),
        ("upload", "backup.start"),
    ],
)
def test_no_click_changes_another_owners_dataset(
    theirs: Scope, new_tab: NewTab, page: str, key: str
) -> None:
    before = _all_of(theirs)
    tab = started(new_tab)
    tab.app.session_state["upload.tool"] = state.BACK_UP
    tab.open(page)
    tab.app.session_state[CHOSEN] = theirs.dataset_id
    tab.press(key)
    assert not tab.app.exception
    assert _all_of(theirs) == before

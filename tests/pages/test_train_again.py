"""Review and Edit offer another training run when it is worth it."""

import sys

import pytest

from imagebase.annotation import ReviewStatus
from imagebase.jobs.training import work_folder
from imagebase.settings import TEAM_OWNER
from imagebase.store.learning import LearningRow, LearningState
from imagebase.training.sources import AGAIN_AFTER
from tests.app_fixtures import NewTab, Tab, records, store, the_scope, undrawn
from tests.pages.test_train import add_shapes
from tests.pages.trained import add_round

SENTENCE = "images approved since the last training"


@pytest.fixture
def grown(new_tab: NewTab) -> Tab:
    """A tab whose dataset has as many approved images as another training needs."""
    store().create_dataset(TEAM_OWNER, "Shapes", who="ann")
    add_shapes(0, AGAIN_AFTER, ReviewStatus.APPROVED)
    off = LearningRow(state=LearningState.OFF)  # it would start a training run
    store().change_learning(the_scope(), lambda _: off)
    return undrawn(new_tab)


@pytest.mark.parametrize("page", ["review", "edit"])
def test_the_line_is_there_once_enough_was_approved(grown: Tab, page: str) -> None:
    add_round("Own")
    grown.open(page)
    assert f"50 {SENTENCE}" in grown.words()
    add_round("Own 2", known=[record.image_id for record in records()])
    grown.open(page)
    assert SENTENCE not in grown.words()


def test_forty_nine_are_not_enough(grown: Tab) -> None:
    first, *_ = (record.image_id for record in records())
    add_round("Own", known=[first])
    grown.open("review")
    assert SENTENCE not in grown.words()


def test_without_a_finished_run_nothing_is_shown(grown: Tab) -> None:
    work_folder(the_scope(), "stopped").mkdir(parents=True)
    grown.open("review")
    assert SENTENCE not in grown.words()


def test_without_pytorch_nothing_is_shown(
    grown: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_round("Own")
    monkeypatch.setitem(sys.modules, "torch", None)
    grown.open("review")
    assert SENTENCE not in grown.words()

"""What a session has on screen of what was learned."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import streamlit as st

from imagebase.annotation import ImageRecord, LabelSet, Size
from imagebase.jobs.learning import TAUGHT_ID, Learned
from imagebase.learning.choice import Found, ModelChoice
from imagebase.store import Scope
from imagebase.store.learning import LearningRow
from imagebase.ui import learned_boxes, services, state

RECORD = ImageRecord("image", "a.jpg", Size(100, 100))
FOUND = Found(
    np.array([[5, 5, 40, 40], [50, 50, 90, 90]], np.float32),
    np.array([0.9, 0.8], np.float32),
    np.array(["disc", "square"]),
)


@pytest.fixture(autouse=True)
def learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset that has learned two labels, and another one with the same image."""
    known = Learned(1, FOUND, FOUND, {"disc": TAUGHT_ID}, ModelChoice())
    learner = SimpleNamespace(
        learned=lambda scope, _: known if scope.dataset_id == "one" else None
    )
    monkeypatch.setattr(st, "session_state", {})
    monkeypatch.setattr(services, "learner", lambda: learner)
    be_in("one", monkeypatch)
    have_labels(monkeypatch, "disc", "square")


def be_in(dataset_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "scope", lambda: Scope("owner", dataset_id, "ann"))


def have_labels(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    labels = LabelSet().with_labels(names)
    store = SimpleNamespace(labels=lambda _: labels)
    monkeypatch.setattr(services, "store", lambda: store)


def suggested() -> list[str]:
    return [box.label for box in learned_boxes.suggestions(RECORD, ())]


def test_an_image_shows_what_its_own_dataset_has_learned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learned_boxes.show([RECORD.image_id])
    assert suggested() == ["disc", "square"]
    be_in("other", monkeypatch)
    assert suggested() == []


def test_a_label_that_was_renamed_or_deleted_since_is_not_suggested(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learned_boxes.show([RECORD.image_id])
    have_labels(monkeypatch, "circle", "square")
    assert suggested() == ["square"]


def test_suggestions_stay_from_the_first_edit_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version = 1

    def learned(_scope: Scope, _image_id: str) -> Learned:
        return Learned(version, FOUND, FOUND, {"disc": TAUGHT_ID}, ModelChoice())

    learner = SimpleNamespace(
        learned=learned, status=lambda _: SimpleNamespace(images=1), follow=lambda *_: 0
    )
    store = SimpleNamespace(learning=lambda _: LearningRow())
    monkeypatch.setattr(services, "learner", lambda: learner)
    monkeypatch.setattr(services, "store", lambda: store)
    learned_boxes.follow(RECORD, [])
    version = 2
    assert learned_boxes.is_news(RECORD)
    edited = replace(RECORD, revision=RECORD.revision + 1)
    learned_boxes.follow(edited, [])  # the page draws the edit
    assert not learned_boxes.is_news(edited)


def test_what_a_person_has_begun_with_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    confidence = 0.9

    def learned(_scope: Scope, _image_id: str) -> Learned:
        found = FOUND._replace(confidence=np.array([confidence, 0.8], np.float32))
        return Learned(1, found, found, {"disc": TAUGHT_ID}, ModelChoice())

    monkeypatch.setattr(services, "learner", lambda: SimpleNamespace(learned=learned))
    learned_boxes.show([RECORD.image_id])
    before = learned_boxes.name_of(RECORD.image_id)
    confidence = 0.7
    for _ in range(9):  # each run of the page asks again for the images to come
        learned_boxes.show([RECORD.image_id])
    assert learned_boxes.name_of(RECORD.image_id) != before
    learned_boxes.stay(RECORD.image_id, before)
    assert learned_boxes.name_of(RECORD.image_id) == before
    (disc, _) = learned_boxes.suggestions(RECORD, ())
    assert disc.confidence == pytest.approx(0.9)


def test_what_is_not_known_any_more_does_not_come_back() -> None:
    learned_boxes.show([RECORD.image_id])
    now = learned_boxes.name_of(RECORD.image_id)
    learned_boxes.stay(RECORD.image_id, "other")
    assert learned_boxes.name_of(RECORD.image_id) == now

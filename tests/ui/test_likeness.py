"""What is alike, while images are still being compared."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
import streamlit as st

from imagebase.annotation import ReviewStatus
from imagebase.learning import image_vectors
from imagebase.store import Scope, Store
from imagebase.ui import cache, likeness, services, state
from tests.app_fixtures import Configure, add_photographs


def put_vectors(store: Store, scope: Scope, count: int) -> None:
    """Keep a vector of each of the first images."""
    random = np.random.default_rng(0)
    made = {
        image_id: image_vectors.pack(random.normal(size=1728).astype(np.float32))
        for image_id in store.image_ids(scope)[:count]
    }
    store.put_many(scope, image_vectors._key(), made)


def test_what_comes_meanwhile_does_not_mix_with_what_was_there(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure()
    monkeypatch.setattr(st, "session_state", {})  # of no test before
    scope, store = state.scope(), services.store()
    add_photographs(scope, "bear.jpg", "fruit.jpg", "kitchen.jpg", "hotel-room.jpg")
    put_vectors(store, scope, 2)
    version = image_vectors.vectors_version

    def version_then_more(store: Store, scope: Scope) -> str:
        before = version(store, scope)
        put_vectors(store, scope, 4)
        return before

    now = likeness.compared()
    monkeypatch.setattr(likeness, "vectors_version", version_then_more)
    assert sorted(likeness.next_order()) == sorted(store.image_ids(scope))
    assert (len(now.vectors), len(now.points)) == (2, 2)
    now = likeness.compared()
    assert (len(now.vectors), len(now.points)) == (4, 4)


def test_ids_of_images_are_read_once_until_the_dataset_changes(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure()
    monkeypatch.setattr(st, "session_state", {})  # of no test before
    scope, store = state.scope(), services.store()
    add_photographs(scope, "bear.jpg", "fruit.jpg")
    asked = []
    read = type(store).image_ids

    def counting(
        self: Store, scope: Scope, *, statuses: Iterable[ReviewStatus] | None = None
    ) -> list[str]:
        asked.append(statuses)
        return read(self, scope, statuses=statuses)

    monkeypatch.setattr(type(store), "image_ids", counting)
    first, second = cache.image_ids(scope)
    assert cache.image_ids(scope) == (first, second)
    assert len(asked) == 1
    approved = [ReviewStatus.APPROVED]
    assert cache.image_ids(scope, statuses=approved) == ()
    record = store.record(scope, first)
    store.save(scope, replace(record, status=ReviewStatus.APPROVED))
    assert cache.image_ids(scope, statuses=approved) == (first,)
    assert len(asked) == 3

"""Imported modules are frozen once; garbage is still collected."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from imagebase.ui import services
from imagebase.ui.services import freeze_modules


@pytest.fixture(autouse=True)
def as_at_the_start(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(services, "_frozen_modules", 0)
    gc.unfreeze()
    yield
    gc.unfreeze()


class Knot:
    """An object that refers to itself: only the collector frees it."""

    def __init__(self) -> None:
        self.itself = self


def test_modules_are_passed_over_once() -> None:
    freeze_modules()
    assert gc.get_freeze_count() > 10_000
    gc.unfreeze()
    freeze_modules()
    assert gc.get_freeze_count() < 10_000


def test_garbage_from_before_and_after_is_collected() -> None:
    before = weakref.ref(Knot())
    freeze_modules()
    assert before() is None
    after = weakref.ref(Knot())
    gc.collect()
    assert after() is None

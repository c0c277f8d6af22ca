"""Uploads share the folder of exports, are limited, and expire with them."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from imagebase.errors import LimitError
from imagebase.jobs.temporary_files import (
    KEPT_SECONDS,
    delete_exports,
    dropped,
    forget_dropped,
    make_room,
)
from imagebase.settings import Limits
from imagebase.store import Scope

LIMITS = replace(Limits(), max_archive_bytes=5, max_dataset_bytes=5)
ANNS = Scope("team", "d1", "ann")


def drop(scope: Scope, upload_id: str, byte_count: int, *, in_folder: bool) -> Path:
    path = dropped(scope, upload_id)
    file = path / "0" if in_folder else path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * byte_count)
    return path


@pytest.mark.parametrize("in_folder", [False, True])
def test_what_was_dropped_can_be_forgotten_twice(home: Path, in_folder: bool) -> None:
    path = drop(ANNS, "u1", 9, in_folder=in_folder)
    assert path.is_relative_to(home)
    forget_dropped(ANNS, "u1")
    forget_dropped(ANNS, "u1")
    assert not path.exists()


@pytest.mark.parametrize("in_folder", [False, True])
def test_only_so_much_may_lie_there(home: Path, in_folder: bool) -> None:
    make_room(ANNS, LIMITS)
    drop(ANNS, "u1", 5000, in_folder=in_folder)
    make_room(ANNS, replace(LIMITS, max_dataset_bytes=10_000))
    with pytest.raises(LimitError, match="within an hour"):
        make_room(ANNS, LIMITS)
    make_room(replace(ANNS, dataset_id="d2"), LIMITS)


def test_it_goes_after_an_hour_and_with_its_dataset(home: Path) -> None:
    old, new = (drop(ANNS, owner, 9, in_folder=True) for owner in ("u1", "u2"))
    then = time.time() - KEPT_SECONDS - 1
    os.utime(old, (then, then))
    make_room(ANNS, Limits())
    assert (old.exists(), new.exists()) == (False, True)
    delete_exports("team", "d1")
    assert not new.exists()

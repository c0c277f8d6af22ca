"""What was acknowledged is there after SIGKILL; processes that write at once agree."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from imagebase.settings import Settings
from imagebase.store import Scope, Store, open_store
from tests.store.fixtures import add_image, scope_of, sqlite_settings

pytestmark = pytest.mark.dialect

KILLS: Final = int(os.environ.get("IMAGEBASE_TEST_KILLS", "20"))

# Edits one image after the other and prints each label once `save` has returned.
_EDITOR: Final = """
import itertools, sys
from pathlib import Path
from imagebase.annotation import Annotation, Box
from imagebase.errors import RevisionConflictError
from imagebase.settings import Settings
from imagebase.store import Scope, open_store

database_url, storage_url, owner_id, dataset_id, name, count = sys.argv[1:]
store = open_store(Settings(Path(storage_url), database_url, storage_url))
scope = Scope(owner_id, dataset_id, name)
image_ids = store.image_ids(scope)
numbers = range(int(count)) if int(count) else itertools.count()
for number in numbers:
    label = f"{name}-{number}"
    while True:
        record = store.record(scope, image_ids[number % len(image_ids)])
        # Many boxes, so that a kill can fall between the parts of one save.
        kept = [one for one in record.annotations if one.label != "filler"]
        fillers = [Annotation(Box(n, 0, n + 1, 1), "filler") for n in range(30)]
        new = Annotation(Box(1, 2, 3, 4), label)
        try:
            store.save(scope, record.with_annotations([*kept, new, *fillers]))
        except RevisionConflictError:
            continue
        break
    print(label, flush=True)
"""


def _start(
    settings: Settings, scope: Scope, name: str, count: int
) -> subprocess.Popen[str]:
    arguments = [
        settings.database_url,
        settings.storage_url,
        scope.owner_id,
        scope.dataset_id,
        name,
        str(count),
    ]
    return subprocess.Popen(
        [sys.executable, "-c", _EDITOR, *arguments], stdout=subprocess.PIPE, text=True
    )


def _kill_after(process: subprocess.Popen[str], seconds: float) -> list[str]:
    """Kill a process a while after its first edit; return what it acknowledged."""
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    lines = (first + process.communicate()[0]).splitlines(keepends=True)
    return [line.strip() for line in lines if line.endswith("\n")]


def _labels(store: Store, scope: Scope) -> set[str]:
    return {label for record in store.records(scope) for label in record.labels}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
@pytest.mark.long
def test_no_acknowledged_edit_is_lost_to_a_kill(tmp_path: Path) -> None:
    settings = sqlite_settings(tmp_path)
    store = open_store(settings)
    scope = scope_of(store, "team", who="ann")
    for number in range(3):
        add_image(store, scope, f"{number}.jpg")
    moments = random.Random(20)
    acknowledged: list[str] = []
    for kill in range(KILLS):
        process = _start(settings, scope, f"run{kill}", 0)
        acknowledged += _kill_after(process, moments.uniform(0, 0.15))
    assert len(acknowledged) >= KILLS
    assert set(acknowledged) <= _labels(store, scope)
    assert all(len(record.annotations) >= 30 for record in store.records(scope)[:1])
    store.close()
    with sqlite3.connect(tmp_path / "imagebase.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def test_processes_that_write_at_once_lose_nothing(
    store: Store, scope: Scope, store_settings: Settings
) -> None:
    add_image(store, scope)
    writers = [_start(store_settings, scope, name, 8) for name in ("one", "two")]
    printed = [process.communicate(timeout=60)[0].split() for process in writers]
    wanted = {f"{name}-{number}" for name in ("one", "two") for number in range(8)}
    assert {label for lines in printed for label in lines} == wanted
    assert _labels(store, scope) == wanted | {"filler"}

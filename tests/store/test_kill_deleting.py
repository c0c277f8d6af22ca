"""Deleting images and backing up, killed at any moment."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from imagebase.annotation import Size
from imagebase.backup.restore import Backup
from imagebase.settings import TEAM_OWNER, Limits
from imagebase.store import Scope, Store, open_store
from tests.backup.conftest import png
from tests.store.fixtures import scope_of, sqlite_settings

pytestmark = pytest.mark.long

KILLS: Final = int(os.environ.get("IMAGEBASE_TEST_KILLS", "20")) // 2
_IMAGES: Final = 200

_DELETE: Final = """
import sys
from pathlib import Path
from imagebase.settings import Settings
from imagebase.store import Scope, open_store
folder, dataset_id = sys.argv[1:]
home = Path(folder)
store = open_store(Settings(home, f"sqlite:///{home}/imagebase.db", f"{home}/images"))
scope = Scope("team", dataset_id, "ann")
ids = store.image_ids(scope)
print("begun", flush=True)
while ids:
    chunk, ids = ids[:20], ids[20:]
    store.remove_images(scope, chunk)
    print(*chunk, flush=True)
"""
_BACK_UP: Final = """
import sys
from imagebase.cli import app
print("begun", flush=True)
app(["backup", "Street", "--output", sys.argv[1]])
"""


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Store, Scope]:
    store = open_store(sqlite_settings(tmp_path))
    scope = scope_of(store, TEAM_OWNER, who="ann")
    for number in range(_IMAGES):
        data = png(number)
        store.add_image(
            scope, data, file_name=f"{number}.png", size=Size(64, 48), quality=None
        )
    return store, scope


def killed(script: str, seconds: float, *arguments: object, home: Path) -> list[str]:
    """Kill a script so long after it began; return what it acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"IMAGEBASE_HOME": str(home)},
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    printed = process.communicate()[0]
    return [line for line in printed.splitlines(keepends=True) if line.endswith("\n")]


def test_deleting_leaves_no_image_without_its_file(
    filled: tuple[Store, Scope], tmp_path: Path
) -> None:
    store, scope = filled
    chance = random.Random(5)
    for _ in range(KILLS):
        before = set(store.image_ids(scope))
        lines = killed(
            _DELETE,
            chance.uniform(0, 0.15),
            *(tmp_path, scope.dataset_id),
            home=tmp_path,
        )
        acknowledged = set(" ".join(lines).split())
        after = set(store.image_ids(scope))
        assert not acknowledged & after
        assert after <= before
        for image_id in after:
            store.image_bytes(scope, image_id)  # raises where the file is missing
        for number in range(20):  # so that every round has something to delete
            data = f"{number} {len(after)} {lines}".encode()
            store.add_image(
                scope, data, file_name="new.png", size=Size(64, 48), quality=None
            )
    store.close()


def test_backup_that_is_killed_leaves_no_half_zip(
    filled: tuple[Store, Scope], tmp_path: Path
) -> None:
    store, _ = filled
    store.close()
    chance, path, done = random.Random(7), tmp_path / "out" / "street.zip", 0
    path.parent.mkdir()
    for _ in range(KILLS):
        killed(_BACK_UP, chance.uniform(0.2, 2), path, home=tmp_path)
        if path.exists():
            done += 1
            with Backup(path, Limits(), file_name=path.name) as backup:
                backup.check()
                assert backup.manifest.images == _IMAGES
            path.unlink()
    again = subprocess.run(
        [sys.executable, "-c", _BACK_UP, str(path)],
        env=os.environ | {"IMAGEBASE_HOME": str(tmp_path)},
        check=False,
    )
    assert again.returncode == 0
    assert path.exists()

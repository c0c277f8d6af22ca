"""A disk that is full, or too small: said in a sentence, and before the work."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from imagebase.annotation import Size
from imagebase.errors import TrainingError
from imagebase.training import run_folder
from imagebase.training.run_folder import FULL, check_room, named_when_full
from imagebase.training.run_settings import TrainingSettings
from imagebase.training.session import prepare_run
from imagebase.training.sources import TrainingSources
from tests.training.conftest import BASE
from tests.training.shapes import LABELS, sources

SIZE = Size(96, 96)


def test_too_many_images_for_the_disk_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"takes [\d,.]+ GB .* make room"):
        check_room(tmp_path, 100_000_000, Size(608, 608))
    check_room(tmp_path, 1, SIZE)


def test_disk_space_is_checked_first(tmp_path: Path) -> None:
    (source,) = sources(1)
    with pytest.raises(TrainingError, match="make room"):
        prepare_run(
            tmp_path / "work",
            TrainingSources((source,) * 5_000_000, LABELS),
            TrainingSettings(base=str(BASE), steps=1),
            input_size=Size(2048, 2048),
        )


def test_only_a_full_disk_is_reported_as_full() -> None:
    with pytest.raises(TrainingError, match="disk is full"), named_when_full():
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(PermissionError), named_when_full():
        raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.long
def test_disk_too_full_for_the_error_file_has_an_exit_code(
    tmp_path: Path,
) -> None:
    work = tmp_path / "work"
    settings = TrainingSettings(base=str(BASE), steps=1, precision="f32")
    gathered = TrainingSources(tuple(sources(6)), LABELS)
    assert prepare_run(work, gathered, settings, input_size=SIZE) is not None
    for name in (".checkpoint.pt.new", run_folder.ERROR):
        (work / name).symlink_to("/dev/full")
    command = [
        *(sys.executable, "-m", "imagebase.training"),
        *(str(work), str(tmp_path / "model")),
    ]
    finished = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=240
    )
    assert finished.returncode == run_folder.FULL_CODE, finished.stderr
    assert not (tmp_path / "model").exists()
    (work / run_folder.ERROR).unlink()
    assert subprocess.run(command, check=False, timeout=240).returncode == 1
    assert FULL in (work / run_folder.ERROR).read_text()

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from imagebase.annotation import Size
from imagebase.batch.resume import (
    FILE_NAME,
    Journal,
    JournalKey,
    Seen,
    fingerprint,
    open_journal,
)
from imagebase.batch.run import annotate
from imagebase.detection.candidates import Candidates
from imagebase.detection.detector import load_single
from imagebase.detection.library import find_model
from imagebase.errors import ExportError
from imagebase.images.decode import load_image
from imagebase.settings import DEFAULT_MODEL, PROJECT_ROOT, SAMPLES_FOLDER

KEY = JournalKey("5e" * 32, 416, "openvino", "f32", 0.01)
SEEN = Seen(
    Size(640, 480),
    Candidates(
        np.array([[1.25, 2, 30, 40]], np.float32),
        np.array([0.5], np.float32),
        np.array([7], np.int32),
    ),
)
CAT = fingerprint(b"a cat")


def written(folder: Path, *names: str) -> Path:
    """Return the path of a journal that an interrupted run left."""
    with open_journal(folder, KEY, resume=True) as journal:
        for name in names:
            journal.add(name, CAT, SEEN)
    return folder / FILE_NAME


def left(folder: Path, key: JournalKey = KEY, *, resume: bool = True) -> list[str]:
    """Return the names that a new run finds, of `a`, `b` and `c`."""
    with open_journal(folder, key, resume=resume) as journal:
        return [name for name in "abc" if journal.find(name, CAT)]


def test_what_was_seen_comes_back_to_the_bit(tmp_path: Path) -> None:
    written(tmp_path, "a")
    with open_journal(tmp_path, KEY, resume=True) as journal:
        found = journal.find("a", CAT)
    assert found is not None
    assert found.size == SEEN.size
    np.testing.assert_array_equal(found.candidates.xyxy, SEEN.candidates.xyxy)
    np.testing.assert_array_equal(found.candidates.class_id, [7])


def test_each_run_adds_to_what_the_last_one_left(tmp_path: Path) -> None:
    written(tmp_path, "a")
    written(tmp_path, "b")
    assert left(tmp_path) == ["a", "b"]


def test_lines_can_be_read_and_added_by_turns(tmp_path: Path) -> None:
    written(tmp_path, "a")
    with open_journal(tmp_path, KEY, resume=True) as journal:
        assert journal.find("a", CAT)
        journal.add("b", CAT, SEEN)
        assert journal.find("a", CAT)
    assert left(tmp_path) == ["a", "b"]


def test_changed_file_is_not_known(tmp_path: Path) -> None:
    written(tmp_path, "a")
    with open_journal(tmp_path, KEY, resume=True) as journal:
        assert "a" in journal
        assert journal.find("a", fingerprint(b"a dog")) is None


@pytest.mark.parametrize(
    "key",
    [
        dataclasses.replace(KEY, model_sha256="0" * 64),
        dataclasses.replace(KEY, input_size=320),
        dataclasses.replace(KEY, runtime="opencv"),
        dataclasses.replace(KEY, precision="bf16"),
        dataclasses.replace(KEY, floor=0.001),
    ],
    ids=["model", "net size", "runtime", "precision", "floor"],
)
def test_journal_with_other_settings_starts_over(
    tmp_path: Path, key: JournalKey
) -> None:
    written(tmp_path, "a")
    assert left(tmp_path, key) == []
    assert left(tmp_path) == []


def test_same_net_comes_to_the_candidates_of_the_journals_version() -> None:
    """What does not hold any more is a reason to raise the journal's version."""
    file_name = "kitchen.jpg"
    data = (SAMPLES_FOLDER / file_name).read_bytes()
    image = load_image(data, file_name=file_name, max_pixels=len(data) * 100)
    detector = load_single(find_model(DEFAULT_MODEL), precision="f32")
    found = detector.candidates(image.rgb, size=image.size)
    first = np.argmax(found.confidence)
    assert len(found) == pytest.approx(152, abs=3)
    assert found.confidence[first] == pytest.approx(0.974, abs=0.002)
    np.testing.assert_allclose(found.xyxy[first], [3.8, 163.2, 100.3, 379.9], atol=0.3)


def test_journal_starts_over_where_that_is_asked_for(tmp_path: Path) -> None:
    written(tmp_path, "a")
    assert left(tmp_path, resume=False) == []


def test_half_written_last_line_costs_that_image_only(tmp_path: Path) -> None:
    path = written(tmp_path, "a", "b")
    whole = path.read_bytes()
    for cut in range(1, len(whole.splitlines()[-1]) + 1, 7):
        path.write_bytes(whole[:-cut])
        assert left(tmp_path) == ["a"]
        written(tmp_path, "c")
        assert left(tmp_path) == ["a", "c"]


@pytest.mark.parametrize(
    "damage",
    [b"\0" * 40, b"[]", b'{"file": "b"}', b'{"file": "b", "content": [[], 1]}'],
)
def test_damaged_line_costs_nothing_else(tmp_path: Path, damage: bytes) -> None:
    path = written(tmp_path, "a", "b", "c")
    head, a, _, c = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([head, a, damage, c]) + b"\n")
    assert left(tmp_path) == ["a", "c"]


def test_candidates_that_do_not_unpack_are_not_known(tmp_path: Path) -> None:
    path = written(tmp_path, "a")
    head, line = path.read_bytes().splitlines()
    path.write_bytes(head + b"\n" + line.replace(b'"SUJDR', b'"AAAAA') + b"\n")
    assert line != path.read_bytes().splitlines()[1]
    assert left(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"\n", b"not a journal\n", b"\xff" * 9000])
def test_file_that_is_no_journal_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    assert left(tmp_path) == []
    written(tmp_path, "a")
    assert left(tmp_path) == ["a"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such lock")
def test_second_run_into_the_same_folder_is_refused(tmp_path: Path) -> None:
    with open_journal(tmp_path, KEY, resume=True) as journal:
        journal.add("a", CAT, SEEN)
        for resume in (True, False):
            with pytest.raises(ExportError, match="Another run is writing to"):
                open_journal(tmp_path, KEY, resume=resume)
    assert left(tmp_path) == ["a"]


def test_finished_run_leaves_nothing(tmp_path: Path) -> None:
    with open_journal(tmp_path / "new", KEY, resume=True) as journal:
        journal.add("a", CAT, SEEN)
        journal.finish()
    assert list((tmp_path / "new").iterdir()) == []


def test_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(ExportError, match=r"out cannot be written \(File exists\)"):
        open_journal(tmp_path / "out", KEY, resume=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full of Linux")
def test_full_disk_is_an_error_with_a_sentence() -> None:
    full = Path("/dev/full")
    with (
        Journal(full.open("r+b", buffering=0), full) as journal,
        pytest.raises(ExportError, match="No space left"),
    ):
        journal.add("a", CAT, SEEN)


def test_journal_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(ExportError, match="Is a directory"):
        open_journal(tmp_path, KEY, resume=True)


def annotate_command(source: Path, output: Path) -> list[str]:
    formats = ("--format", "coco", "--format", "csv")
    options = ("--output", str(output), *formats)
    return [sys.executable, "-m", "imagebase", "annotate", str(source), *options]


def linked_samples(folder: Path, *, times: int) -> Path:
    """Return a folder with the sample photographs, many times over."""
    folder.mkdir()
    for path in SAMPLES_FOLDER.glob("*.jpg"):
        for number in range(times):
            os.link(path, folder / f"{path.stem}-{number}.jpg")
    return folder


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_killed_run_goes_on_and_gives_what_an_uninterrupted_one_gives(
    tmp_path: Path,
) -> None:
    source = linked_samples(tmp_path / "photographs", times=3)
    command = annotate_command(source, tmp_path / "killed")
    process = subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE)
    journal = tmp_path / "killed" / FILE_NAME
    while lines_in(journal) < 15 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    seen = lines_in(journal) - 1
    assert 14 <= seen < 48

    resumed = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert resumed.stdout.startswith(f"48 images, {seen} of them seen before, ")
    assert not journal.exists()
    annotate(
        str(source),
        tmp_path / "whole",
        model=DEFAULT_MODEL,
        formats=["coco", "csv"],
    )
    for name in ("coco/annotations.json", "csv/annotations.csv"):
        killed, other = (tmp_path / run / name for run in ("killed", "whole"))
        assert killed.read_bytes() == other.read_bytes()

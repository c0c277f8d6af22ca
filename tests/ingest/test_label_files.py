"""Dropped files, kept on disk and seen through their zips."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from imagebase.errors import AnnotationFileError, ArchiveError, LimitError
from imagebase.ingest.label_files import DroppedFiles, keep_files
from imagebase.settings import Limits

LIMITS = Limits()


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/"), data)
    return file.getvalue()


def kept(
    folder: Path, *files: tuple[str, bytes], limits: Limits = LIMITS
) -> DroppedFiles:
    keep_files(((name, io.BytesIO(data)) for name, data in files), folder, limits)
    return DroppedFiles(folder, limits)


def test_files_are_there_under_safe_names(tmp_path: Path) -> None:
    tree = kept(
        tmp_path / "x", ("../day/a.txt", b"1"), ("a.txt", b"2"), ("a.txt", b"3")
    )
    assert tree.names() == ("day/a.txt", "a.txt", "2/a.txt")
    assert [tree.read(name) for name in tree.names()] == [b"1", b"2", b"3"]
    assert tree.open("a.txt").read() == b"2"
    assert {path.name for path in (tmp_path / "x").iterdir()} == {
        *("0", "1", "2"),
        "names.json",
    }


def test_zip_is_seen_through_and_named_where_it_is_not_alone(tmp_path: Path) -> None:
    data = zipped(labels__a=b"1", b=b"2")
    assert kept(tmp_path / "x", ("set.zip", data)).names() == ("labels/a", "b")
    tree = kept(tmp_path / "y", ("set.ZIP", data), ("c.csv", b"3"))
    assert tree.names() == ("set/labels/a", "set/b", "c.csv")
    assert tree.read("set/b") == b"2"


def test_broken_zip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"set\.zip is not a zip file"):
        kept(tmp_path / "x", ("set.zip", b"nope"))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (replace(LIMITS, max_file_bytes=3), "a is larger than the"),
        (replace(LIMITS, max_archive_bytes=5), "These files are larger than the"),
    ],
)
def test_too_much_is_refused_and_nothing_is_left(
    tmp_path: Path, limits: Limits, message: str
) -> None:
    files = (("b", b"12"), ("a", b"1234"))
    with pytest.raises(LimitError, match=message):
        kept(tmp_path / "x", *files, limits=limits)
    assert not list(tmp_path.iterdir())


def test_files_that_were_deleted_are_asked_for_again(tmp_path: Path) -> None:
    with pytest.raises(AnnotationFileError, match="upload them again"):
        DroppedFiles(tmp_path / "gone", LIMITS)

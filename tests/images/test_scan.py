import io
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import fsspec
import pytest

from imagebase.errors import ArchiveError, ImageBaseError, ImageReadError, LimitError
from imagebase.images import scan
from imagebase.images.scan import (
    Incoming,
    PreparedImage,
    Refused,
    prepare,
    prepared_samples,
    sample_photographs,
    scan_source,
    unpack_uploads,
)
from imagebase.images.skipped_files import SkippedFiles
from imagebase.settings import SAMPLES_FOLDER, Limits
from tests.shut_folders import make_shut_folder

LIMITS = Limits()
PHOTOGRAPH = (SAMPLES_FOLDER / "fruit.jpg").read_bytes()


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def unpacked(
    name: str, data: bytes, limits: Limits = LIMITS
) -> tuple[list[str], list[Refused], list[str]]:
    """Return names taken, what was refused, and names ignored."""
    over = SkippedFiles()
    found = list(unpack_uploads([(name, data)], limits, passed_over=over))
    taken = [item.file_name for item in found if isinstance(item, Incoming)]
    return taken, [item for item in found if isinstance(item, Refused)], over.files


def test_plain_image_comes_as_it_is() -> None:
    files: list[tuple[str, bytes | BinaryIO]] = [
        ("sub/a.jpg", PHOTOGRAPH),
        ("b.jpg", io.BytesIO(PHOTOGRAPH)),
    ]
    assert list(unpack_uploads(files, LIMITS)) == [
        Incoming("sub/a.jpg", PHOTOGRAPH),
        Incoming("b.jpg", PHOTOGRAPH),
    ]


def test_zip_gives_its_images_and_leaves_the_rest() -> None:
    data = zipped(
        {"a.JPG": b"1", "x/b.png": b"2", "x/notes.txt": b"", ".DS_Store": b""}
    )
    assert unpacked("set.zip", data) == (["a.JPG", "x/b.png"], [], ["x/notes.txt"])


def test_zip_is_read_one_file_at_a_time() -> None:
    archive = io.BytesIO(zipped({"a.jpg": b"1", "b.jpg": b"2"}))
    found = unpack_uploads([("set.zip", archive)], LIMITS)
    assert isinstance(found, Iterator)
    assert next(found) == Incoming("a.jpg", b"1")
    archive.truncate(0)  # what follows is not in memory yet, so now it is gone
    assert isinstance(next(found), Refused)


def test_zip_inside_a_zip_is_refused_and_stops_nothing() -> None:
    taken, refused, _ = unpacked("s.zip", zipped({"in.zip": zipped({}), "a.jpg": b""}))
    assert taken == ["a.jpg"]
    assert [refusal.file_name for refusal in refused] == ["in.zip"]


def test_member_that_leads_outside_is_refused_and_stops_nothing() -> None:
    taken, refused, _ = unpacked("s.zip", zipped({"../a.jpg": b"", "b.jpg": b""}))
    assert taken == ["b.jpg"]
    assert "leads out" in refused[0].reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"nope", "not a zip file"), (zipped({"a.txt": b""}), "holds no images")],
)
def test_zip_without_images_is_refused_by_name(data: bytes, reason: str) -> None:
    taken, refused, _ = unpacked("set.zip", data)
    assert taken == []
    assert refused[0].file_name == "set.zip"
    assert reason in refused[0].reason


def test_other_files_of_a_dropped_folder_are_ignored() -> None:
    assert unpacked("folder/labels.json", b"{}") == ([], [], ["folder/labels.json"])
    assert unpacked("folder/.DS_Store", b"") == ([], [], [])


def test_file_dropped_by_itself_is_for_prepare_to_judge() -> None:
    (incoming,) = unpack_uploads([("notes.txt", b"hello")], LIMITS)
    assert isinstance(incoming, Incoming)
    with pytest.raises(ImageReadError, match=r"notes\.txt is not an image"):
        prepare(incoming, LIMITS)


def test_upload_above_the_limit_is_refused_without_reading_it_all() -> None:
    class Endless(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert 0 < size < 100
            return bytes(size)

    limits = replace(LIMITS, max_file_bytes=50)
    (refusal,) = unpack_uploads([("a.jpg", Endless())], limits)
    assert isinstance(refusal, Refused)
    assert "larger" in refusal.reason


def test_prepare_measures_and_keeps_the_bytes() -> None:
    prepared = prepare(Incoming("fruit.jpg", PHOTOGRAPH), LIMITS)
    assert prepared.data == PHOTOGRAPH
    assert prepared.size == (640, 531)
    assert prepared.quality.warnings == ()


@pytest.mark.parametrize(
    ("data", "limits", "error"),
    [
        (PHOTOGRAPH[:-5000], LIMITS, ImageReadError),
        (PHOTOGRAPH, replace(LIMITS, max_file_bytes=1000), LimitError),
        (PHOTOGRAPH, replace(LIMITS, max_image_pixels=1000), LimitError),
    ],
    ids=["cut off", "too many bytes", "too many pixels"],
)
def test_prepare_refuses_by_name(
    data: bytes, limits: Limits, error: type[ImageBaseError]
) -> None:
    with pytest.raises(error, match=r"fruit\.jpg"):
        prepare(Incoming("fruit.jpg", data), limits)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with images in sub-folders and much that is none."""
    for name in ("b.jpg", "a/z.PNG", "a/b/c.tif", "notes.txt", ".hidden/d.jpg"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "set" / "more.zip").write_bytes(zipped({"e.jpg": b""}))
    return tmp_path / "set"


FOUND = ["a/b/c.tif", "a/z.PNG", "b.jpg"]


def scanned(source: str | Path) -> tuple[list[str], list[str]]:
    over = SkippedFiles()
    files = list(scan_source(source, LIMITS, passed_over=over))
    for file in files:
        if not file.name.endswith(".zip"):
            assert file.read().decode() == file.name
    return [file.name for file in files], over.files


def test_folder_is_searched_through_in_order(folder: Path) -> None:
    assert scanned(folder) == ([*FOUND, "more.zip"], ["notes.txt"])


def test_zip_in_a_folder_is_refused_when_read(folder: Path) -> None:
    *_, nested = scan_source(folder, LIMITS)
    with pytest.raises(ArchiveError, match=r"more\.zip"):
        nested.read()


def test_zip_is_searched_through_in_order(tmp_path: Path) -> None:
    data = zipped({name: name.encode() for name in [*reversed(FOUND), "notes.txt"]})
    (tmp_path / "set.zip").write_bytes(data)
    assert scanned(tmp_path / "set.zip") == (FOUND, ["notes.txt"])


def test_one_image_is_taken_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "photograph").write_bytes(b"photograph")
    assert scanned(tmp_path / "photograph") == (["photograph"], [])


def as_memory(folder: Path) -> str:
    files = fsspec.filesystem("memory")
    files.store.clear()
    for path in folder.rglob("*"):
        if path.is_file() and path.parent.name != ".hidden":
            files.pipe(f"/set/{path.relative_to(folder)}", path.read_bytes())
    return "memory://set"


@pytest.mark.parametrize("as_url", [as_memory, lambda folder: folder.as_uri()])
def test_url_is_searched_through_in_order(
    folder: Path, as_url: Callable[[Path], str]
) -> None:
    names, ignored = scanned(as_url(folder))
    assert names == [*FOUND, "more.zip"]
    assert ignored == ["notes.txt"]


def test_url_of_a_zip_and_of_an_image_are_opened(folder: Path) -> None:
    url = as_memory(folder)
    (member,) = scan_source(f"{url}/more.zip", LIMITS)
    assert member.name == "e.jpg"
    assert scanned(f"{url}/b.jpg") == (["b.jpg"], [])


@pytest.mark.parametrize(
    "source", ["/no/such/folder", "memory://no/such/folder", "nosuch://a/b"]
)
def test_source_that_is_not_there_is_named(source: str) -> None:
    with pytest.raises(ImageReadError, match="such"):
        list(scan_source(source, LIMITS))


def test_broken_zip_is_named(tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(b"nope")
    with pytest.raises(ArchiveError, match=r"set\.zip"):
        list(scan_source(tmp_path / "set.zip", LIMITS))


def test_folder_in_a_folder_that_cannot_be_opened_is_named(folder: Path) -> None:
    first_part = make_shut_folder(folder)
    *files, shut = sorted(scan_source(folder, LIMITS), key=lambda file: file.is_folder)
    assert [file.name for file in files] == [*FOUND, "more.zip"]
    assert shut.name.startswith(first_part)
    with pytest.raises(ImageReadError, match=r"aaa cannot be opened \(File name too"):
        shut.read()


@pytest.mark.skipif(os.geteuid() == 0, reason="root opens every folder")
@pytest.mark.parametrize("name", ["", "b.zip"], ids=["folder", "zip"])
def test_source_that_cannot_be_opened_is_named(tmp_path: Path, name: str) -> None:
    source = tmp_path / "shut"
    source.mkdir()
    (source / "b.zip").write_bytes(zipped({"e.jpg": b""}))
    (source / name).chmod(0)
    with pytest.raises(ImageReadError, match="cannot be opened"):
        list(scan_source(source / name, LIMITS))


def test_source_that_no_path_can_lead_to_is_one_error() -> None:
    with pytest.raises(ImageReadError, match=r"cannot be opened \(File name too long"):
        list(scan_source("a" * 300, LIMITS))


def test_file_that_is_gone_is_named_when_read(folder: Path) -> None:
    first, *_ = scan_source(folder, LIMITS)
    (folder / first.name).unlink()
    with pytest.raises(ImageReadError, match=r"c\.tif"):
        first.read()


def test_sixteen_samples_are_good_images_with_credits() -> None:
    credits = (SAMPLES_FOLDER / "CREDITS.md").read_text(encoding="utf-8")
    assert len(sample_photographs()) == 16
    for sample in prepared_samples(LIMITS):
        assert isinstance(sample, PreparedImage)
        assert sample.file_name in credits
        assert sample.quality.warnings == ()


def test_samples_are_decoded_once_in_a_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = list(prepared_samples(LIMITS))
    monkeypatch.setattr(scan, "prepare", None)
    assert list(prepared_samples(LIMITS)) == first


def test_samples_above_the_limits_are_refused() -> None:
    tiny = Limits(max_image_pixels=1_000)
    samples = list(prepared_samples(tiny))
    assert len(samples) == 16
    assert all(isinstance(sample, Refused) for sample in samples)

"""Image files: whole or not there, each owner's apart."""

import hashlib
import os
from pathlib import Path

import pytest

from imagebase.errors import ImageFileError, StoreError
from imagebase.store.image_files import SCENES, THUMBNAILS, ImageFiles

ID = hashlib.sha256(b"pixels").hexdigest()


@pytest.fixture(params=["local", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> ImageFiles:
    local = request.param == "local"
    return ImageFiles(str(tmp_path) if local else f"memory://{tmp_path.name}")


def test_image_comes_back_as_it_came(files: ImageFiles) -> None:
    files.write("ann", ID, b"pixels")
    assert files.read("ann", ID, file_name="a.png") == b"pixels"


def test_image_lies_under_owner_and_hash(tmp_path: Path) -> None:
    ImageFiles(str(tmp_path)).write("ann", ID, b"pixels")
    assert (tmp_path / "ann" / ID[:2] / ID).read_bytes() == b"pixels"


def test_no_temporary_file_stays(tmp_path: Path) -> None:
    ImageFiles(str(tmp_path)).write("ann", ID, b"pixels")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [ID]


def test_owners_share_no_file(files: ImageFiles) -> None:
    files.write("ann", ID, b"pixels")
    assert not files.has("bob", ID, byte_count=6)


def test_half_a_file_is_not_there(files: ImageFiles) -> None:
    files.write("ann", ID, b"pix")
    assert not files.has("ann", ID, byte_count=6)


def test_missing_file_is_explained(files: ImageFiles) -> None:
    with pytest.raises(ImageFileError, match=r"file of cat\.png is missing; add"):
        files.read("ann", ID, file_name="cat.png")


@pytest.mark.parametrize("data", [b"pix", b"pixelZ", b""])
def test_damaged_file_is_explained(files: ImageFiles, data: bytes) -> None:
    files.write("ann", ID, data)
    assert not files.has("ann", ID, byte_count=6)
    with pytest.raises(ImageFileError, match=r"file of cat\.png is damaged; add"):
        files.read("ann", ID, file_name="cat.png")


@pytest.mark.parametrize("folder", [THUMBNAILS, SCENES])
def test_what_is_made_of_an_image_goes_with_it(files: ImageFiles, folder: str) -> None:
    files.write("ann", ID, b"pixels")
    files.write_made("ann", ID, folder, b"small")
    assert files.made("ann", ID, folder) == b"small"
    assert files.made("ann", ID, folder, first=2) == b"sm"
    files.delete("ann", ID)
    assert files.made("ann", ID, folder) is None


def test_owner_is_deleted_whole_and_alone(files: ImageFiles) -> None:
    for owner_id in ("ann", "bob"):
        files.write(owner_id, ID, b"pixels")
    files.delete_owner("ann")
    files.delete_owner("ann")
    assert not files.has("ann", ID, byte_count=6)
    assert files.has("bob", ID, byte_count=6)


@pytest.mark.parametrize(
    ("owner_id", "image_id"),
    [
        ("..", ID),
        ("ann/..", ID),
        ("", ID),
        ("ann", "../../etc/passwd"),
        ("ann", ID.upper()),
        ("ann", ID[:-1]),
        ("ann\n", ID),
    ],
)
def test_id_that_could_leave_the_folder_is_refused(
    files: ImageFiles, owner_id: str, image_id: str
) -> None:
    with pytest.raises(ValueError, match=r"cannot be|is not"):
        files.write(owner_id, image_id, b"pixels")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no RLIMIT_FSIZE")
def test_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    import resource
    import signal

    files = ImageFiles(str(tmp_path))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(StoreError, match="file too large"):
            files.write("ann", ID, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_unknown_kind_of_storage_is_explained() -> None:
    with pytest.raises(StoreError, match="IMAGEBASE_STORAGE_URL"):
        ImageFiles("nosuchprotocol://bucket")

import io
import stat
import struct
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from imagebase.errors import ArchiveError, ImageBaseError, LimitError
from imagebase.images.archives import Member, archive_members, is_clutter, safe_name
from imagebase.settings import Limits

LIMITS = Limits()


def zipped(
    files: dict[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=compression)
    return file.getvalue()


def members(data: bytes, limits: Limits = LIMITS) -> list[Member]:
    return archive_members(data, file_name="set.zip", limits=limits)


def test_members_keep_their_folders_and_order() -> None:
    found = members(zipped({"b/x.txt": b"1", "a.txt": b"2", "b/c/": b""}))
    assert [(member.name, member.read()) for member in found] == [
        ("b/x.txt", b"1"),
        ("a.txt", b"2"),
    ]


def test_clutter_is_left_out() -> None:
    names = ["__MACOSX/._a.jpg", "a/.DS_Store", "Thumbs.db", "._b.jpg", "b.jpg"]
    found = members(zipped(dict.fromkeys(names, b"")))
    assert [member.name for member in found] == ["b.jpg"]
    assert is_clutter("folder\\Desktop.ini")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a.jpg", "a.jpg"),
        ("sub/a b.jpg", "sub/a b.jpg"),
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("C:\\photos\\a.jpg", "photos/a.jpg"),
        ("a/./b//c.jpg", "a/b/c.jpg"),
        ("a\0b\n.jpg", "ab.jpg"),
        ("кот 猫 🐈.jpg", "кот 猫 🐈.jpg"),
        ("\ud800a.jpg", "a.jpg"),
        ("..", "unnamed"),
        ("", "unnamed"),
    ],
)
def test_safe_name_stays_inside_a_folder(given: str, kept: str) -> None:
    assert safe_name(given) == kept


def test_safe_name_of_great_length_keeps_its_suffix() -> None:
    name = safe_name("x" * 5000 + ".jpg")
    assert len(name) == 400
    assert name.endswith(".jpg")


@pytest.mark.parametrize(
    "path", ["../a.jpg", "/a.jpg", "a/../../b.jpg", "..\\a.jpg", "C:\\a.jpg"]
)
def test_path_that_leads_outside_is_refused(path: str) -> None:
    (found,) = members(zipped({path: b"1"}))
    assert ".." not in found.name
    with pytest.raises(ArchiveError, match="leads out"):
        found.read()


def test_link_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        link = zipfile.ZipInfo("photo.jpg")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    (found,) = members(file.getvalue())
    with pytest.raises(ArchiveError, match="link"):
        found.read()


def test_encrypted_member_is_refused() -> None:
    data = bytearray(zipped({"a.jpg": b"1"}))
    data[6] |= 1  # the flag in the local header, and in the table of contents
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ArchiveError, match="password"):
        members(bytes(data))[0].read()


def test_bomb_is_refused_before_it_is_unpacked() -> None:
    (found,) = members(zipped({"a.bmp": bytes(5_000_000)}))
    with pytest.raises(ArchiveError, match="200 times"):
        found.read()


def test_small_text_that_shrinks_well_is_no_bomb() -> None:
    (found,) = members(zipped({"a.txt": b"\n" * 500_000}))
    assert len(found.read()) == 500_000


def test_unusual_compression_is_refused() -> None:
    (found,) = members(zipped({"a.jpg": b"1"}, compression=zipfile.ZIP_LZMA))
    with pytest.raises(ArchiveError, match="ordinary zip"):
        found.read()


def test_member_above_the_limit_is_refused() -> None:
    (found,) = members(zipped({"a.jpg": b"12345"}), replace(LIMITS, max_file_bytes=4))
    with pytest.raises(LimitError, match="larger"):
        found.read()


def test_too_many_files_refuse_the_whole_zip() -> None:
    data = zipped({f"{n}.jpg": b"" for n in range(6)})
    with pytest.raises(LimitError, match="more than 5 files"):
        members(data, replace(LIMITS, max_archive_files=5))


def test_huge_table_of_contents_is_refused_unread() -> None:
    data = zipped({f"{n:0200}": b"" for n in range(50)})
    with pytest.raises(LimitError, match="files"):
        members(data, replace(LIMITS, max_archive_files=5))


# Reading it would end in an ArchiveError.
UNREADABLE_TABLE = bytes(50_000)


def test_second_end_record_does_not_hide_a_huge_table() -> None:
    # The number of the disk reads as the beginning of another record.
    numbers = (0x4B50, 0x0605, 0, 0, len(UNREADABLE_TABLE), 0, 0)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", *numbers)
    with pytest.raises(LimitError, match="files"):
        members(UNREADABLE_TABLE + end, replace(LIMITS, max_archive_files=5))


def test_big_end_record_counts_beside_a_small_one() -> None:
    size = len(UNREADABLE_TABLE)
    numbers = (44, 45, 45, 0, 0, 1000, 1000, size, 0)
    big_end = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", *numbers)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, size, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, 100, 0, 0)
    data = UNREADABLE_TABLE + big_end + locator + end
    with pytest.raises(LimitError, match="files"):
        members(data, replace(LIMITS, max_archive_files=5))


def test_too_many_bytes_refuse_the_whole_zip() -> None:
    data = zipped({"a": b"123", "b": b"456"})
    with pytest.raises(LimitError, match="once unpacked"):
        members(data, replace(LIMITS, max_archive_bytes=5))


@pytest.mark.parametrize(
    "data",
    [b"", b"nope", zipped({"a.jpg": b"1" * 100})[:60], b"PK\x05\x06" + b"\xff" * 18],
)
def test_what_is_no_zip_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(ImageBaseError, match=r"set\.zip"):
        members(data)


def test_damaged_member_stops_no_other() -> None:
    data = zipped({"a.txt": b"first", "b.txt": b"second"}, compression=0)
    first, second = members(data.replace(b"first", b"worst"))
    with pytest.raises(ArchiveError, match=r"a\.txt is broken"):
        first.read()
    assert second.read() == b"second"


def test_members_are_read_from_several_threads() -> None:
    files = {f"{n}.txt": bytes([n]) * 20_000 for n in range(50)}
    found = members(zipped(files))
    with ThreadPoolExecutor(4) as pool:
        contents = list(pool.map(lambda member: member.read(), found))
    assert contents == list(files.values())

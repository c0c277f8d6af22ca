"""Files in folders and zips, and which of them a name means."""

import zipfile
from pathlib import Path

import pytest

from imagebase.errors import AnnotationFileError
from imagebase.formats import trees
from imagebase.formats.image_index import NameIndex
from imagebase.formats.trees import (
    FolderTree,
    JoinedTree,
    MemoryTree,
    TreeWithout,
    ZipTree,
)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.json", b"[1, 2, 3]" * 100)
    return path


def test_a_name_that_is_there_as_it_is_comes_first() -> None:
    index = NameIndex(["a.jpg", "A.JPG", "sub/b.png", "sub/b.jpg"])
    assert index.find("A.JPG") == "A.JPG"
    assert index.find("a.jpg") == "a.jpg"
    assert index.find("A.jpg") is None
    assert index.find("b") is None
    assert index.find("B.PNG") == "sub/b.png"


def test_dots_of_a_name_without_a_suffix_are_no_suffix() -> None:
    index = NameIndex(["a.rf.01.jpg", "a.rf.jpg"])
    assert index.find("a.rf.01") == "a.rf.01.jpg"
    assert index.find("a.rf") == "a.rf.jpg"


def test_a_large_file_of_a_zip_is_read_in_parts(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "_AT_ONCE_BYTES", 10)
    with ZipTree(archive) as tree, tree.open("a.json") as file:
        assert file.read(9) == b"[1, 2, 3]"
        file.seek(0)
        assert file.read() == tree.read("a.json")


@pytest.mark.parametrize("at_once", [10, 10_000])
def test_a_broken_file_of_a_zip_is_refused(
    archive: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    data = bytearray(archive.read_bytes())
    data[40:44] = b"\xff\xff\xff\xff"
    archive.write_bytes(data)
    monkeypatch.setattr(trees, "_AT_ONCE_BYTES", at_once)
    with (
        ZipTree(archive) as tree,
        pytest.raises(AnnotationFileError, match=r"a\.json cannot be read out of"),
    ):
        tree.open("a.json")


def test_a_folder_is_gone_through_by_name(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.txt", "a.txt", "a/._z.txt", "__MACOSX/a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    assert FolderTree(tmp_path).names() == ("a/z.txt", "a.txt", "b.txt")


def test_a_tree_can_do_without_a_folder() -> None:
    tree = MemoryTree({"a/b.txt": b"1", "ab.txt": b"2"})
    without = TreeWithout(tree, ("a/",))
    assert without.names() == ("ab.txt",)
    assert without.read("ab.txt") == without.open("ab.txt").read() == b"2"


def test_of_two_trees_the_first_has_the_last_word() -> None:
    tree = MemoryTree({"a.txt": b"1", "b.jpg": b"2"})
    others = MemoryTree({"b.jpg": b"3", "c.jpg": b"4", "d.txt": b"5"})
    joined = JoinedTree(tree, others, ["b.jpg", "c.jpg"])
    assert joined.names() == ("a.txt", "b.jpg", "c.jpg")
    assert [joined.read(name) for name in joined.names()] == [b"1", b"2", b"4"]
    assert joined.open("c.jpg").read() == b"4"

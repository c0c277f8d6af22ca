"""A taught model's file: what is written is read, and nothing else."""

import io
import json
import zipfile

import numpy as np
import pytest

from imagebase.detection.taught import model as taught
from imagebase.detection.taught.model import TaughtModel
from imagebase.errors import ModelLoadError


def some_model(labels: tuple[str, ...] = ("cat", "dog")) -> TaughtModel:
    random = np.random.default_rng(0)
    count = len(labels)
    shapes = {
        "sizes": (3, 2),
        "first": (taught.FIRST_LENGTH, count),
        "second": (taught.SECOND_LENGTH, count),
        "edges": (taught.EDGES_LENGTH, taught.EDGES_COLUMNS),
        "calibration": (2, count),
    }
    arrays = {
        name: random.normal(size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    arrays["sizes"] = random.uniform(0.05, 0.6, (3, 2)).astype(np.float32)
    return TaughtModel(labels, 5, **arrays)


def test_a_file_gives_back_the_model() -> None:
    model = some_model()
    content = model.to_bytes()
    again = TaughtModel.from_bytes(content, name="a.npz")
    assert again.labels == ("cat", "dog")
    assert again.examples == 5
    assert np.array_equal(again.second, model.second)
    assert again.to_bytes() == content == model.to_bytes()
    assert np.array_equal(np.load(io.BytesIO(content))["edges"], model.edges)


def changed(**members: bytes | None) -> bytes:
    """Return a file with some of its members replaced, or without them."""
    source = zipfile.ZipFile(io.BytesIO(some_model().to_bytes()))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in source.namelist():
            content = members.get(name.partition(".")[0], source.read(name))
            if content is not None:
                archive.writestr(name, content)
    return stream.getvalue()


def packed(way: int) -> bytes:
    """Return a file whose members are packed in another way."""
    source = zipfile.ZipFile(io.BytesIO(some_model().to_bytes()))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", way) as archive:
        for name in source.namelist():
            archive.writestr(name, source.read(name))
    return stream.getvalue()


def encrypted() -> bytes:
    """Return a file that says that a password is needed."""
    content = bytearray(some_model().to_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def damaged() -> bytes:
    """Return a deflated file with some wrong bytes in each member."""
    content = bytearray(packed(zipfile.ZIP_DEFLATED))
    for name in (b"about.json", b"sizes.npy", b"first.npy"):
        start = content.index(name) + len(name)
        content[start : start + 8] = b"\xff" * 8
    return bytes(content)


def headed(header: bytes) -> bytes:
    """Return an array's file with this for its header."""
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def test_the_largest_model_is_read() -> None:
    names = tuple(f"{'💩' * 190}{number}" for number in range(200))
    content = some_model(names).to_bytes()
    assert TaughtModel.from_bytes(content, name="a.npz").labels == names


def test_a_deflated_file_is_read() -> None:
    content = packed(zipfile.ZIP_DEFLATED)
    assert TaughtModel.from_bytes(content, name="a.npz").labels == ("cat", "dog")


def about(**values: object) -> bytes:
    known = {"taught": 1, "labels": ["cat", "dog"], "examples": 5, "sizes": 3}
    return json.dumps({**known, **values}).encode()


def array(values: object, dtype: str = "<f4") -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(values, dtype), allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 and no zip",
        changed(about=None),
        changed(first=None),
        changed(about=b"no json"),
        changed(about=b"[]"),
        changed(about=about(taught=2)),
        changed(about=about(labels=[])),
        changed(about=about(labels=["cat"] * 2)),
        changed(about=about(labels=["cat", " "])),
        changed(about=about(labels=["cat", 1])),
        changed(about=about(labels=[str(n) for n in range(201)])),
        changed(about=about(examples=-1)),
        changed(about=about(sizes=10**9)),
        changed(about=about(sizes=True)),
        changed(about=b" " * 300_000),
        changed(sizes=array(np.zeros((2, 2)))),
        changed(sizes=array(np.zeros((3, 2)), "<f8")),
        changed(sizes=array(np.full((3, 2), np.nan))),
        changed(sizes=array(np.full((3, 2), 1e-9))),
        changed(sizes=array(np.full((3, 2), -0.5))),
        changed(sizes=array(np.full((3, 2), 9))),
        changed(sizes=array([[{}] * 2] * 3, "O")),
        changed(sizes=array(np.zeros((300, 2000)))),
        changed(sizes=b"\x93NUMPY\x01\x00"),
        changed(sizes=headed(b"(((")),
        changed(sizes=headed(b"{[]: 1}")),
        changed(sizes=headed(b"\t x\n  y\n z")),
        changed(calibration=array(np.full((2, 2), 3e38))),
        changed(about=b"[" * 190_000),
        damaged(),
        encrypted(),
        bytes(4_000_000) + packed(zipfile.ZIP_DEFLATED),
        packed(zipfile.ZIP_BZIP2),
        packed(zipfile.ZIP_LZMA),
    ],
)
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(
        ModelLoadError, match=r"a\.npz is no taught model, or a damaged"
    ):
        TaughtModel.from_bytes(content, name="a.npz")

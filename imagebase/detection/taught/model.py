"""What was learned from examples, and its file: an .npz without pickled objects."""

import io
import json
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy

from imagebase.annotation import clean_label
from imagebase.errors import ModelLoadError
from imagebase.geometry import FloatArray

SUFFIX: Final = ".npz"
MAX_LABELS: Final = 200
MAX_SIZES: Final = 64
# The features of a box: means of the channels of three levels over the box and over its
# middle; samples of the two finer levels at so many points across and down; its look.
CHANNELS: Final = 64
POINTS: Final = 5
FINE_LEVELS: Final = 2
MEANS_LENGTH: Final = 3 * 2 * CHANNELS
SAMPLES_LENGTH: Final = FINE_LEVELS * POINTS**2 * CHANNELS
LOOK_LENGTH: Final = 448
# Besides the features: root of the confidence, width and height, and their squares.
EXTRAS_LENGTH: Final = 5
# One more for what a linear score adds.
FIRST_LENGTH: Final = MEANS_LENGTH + EXTRAS_LENGTH + 1
SECOND_LENGTH: Final = FIRST_LENGTH + LOOK_LENGTH
EDGES_LENGTH: Final = SAMPLES_LENGTH + LOOK_LENGTH + 1
# How far each edge is off, in shares of the box; and the IoU with the true one.
EDGES_COLUMNS: Final = 5

_VERSION: Final = 1
_ABOUT: Final = "about.json"
# Of 200 labels, 1.1 MB: a list of millions of members takes gigabytes.
_MAX_BYTES: Final = 4_000_000
_MAX_ABOUT_BYTES: Final = 200_000
_MAX_HEADER_BYTES: Final = 1_000
_MAX_EXAMPLES: Final = 1_000_000
# What zipfile, zlib, json and NumPy raise for what they cannot read.
_DAMAGED: Final = (
    *(zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, tokenize.TokenError),
)
# The other ways to pack unpack a few kB to gigabytes before they can be stopped.
_PACKED: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Products of larger ones could be no number any more.
_MOST_WEIGHT: Final = 1e9
# Of windows, as shares of an image's longer side; sizes are rounded to steps.
_LEAST_SIZE, _MOST_SIZE = 1e-5, 1.5


@dataclass(frozen=True, slots=True, eq=False)
class TaughtModel:
    """Weights of linear scores over the features of boxes; all arrays are float32.

    labels: L of them. examples: how many images it was taught with.
    sizes: (S, 2), width and height of the windows that are looked at beside the
        candidates, as shares of the image's longer side.
    first: (390, L), of the means alone; the best boxes go on.
    second: (838, L), of means and look together.
    edges: (3649, 5), where the edges of the object are, and how well the box fits.
    calibration: (2, L), slope and offset of the logistic that makes scores confidence.
    """

    labels: tuple[str, ...]
    examples: int
    sizes: FloatArray
    first: FloatArray
    second: FloatArray
    edges: FloatArray
    calibration: FloatArray

    def to_bytes(self) -> bytes:
        """Return the file; the same model gives the same bytes."""
        about = {
            "taught": _VERSION,
            "labels": self.labels,
            "examples": self.examples,
            "sizes": len(self.sizes),
        }
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            _add(archive, _ABOUT, json.dumps(about, ensure_ascii=False).encode())
            for name in _shapes(len(self.labels), len(self.sizes)):
                content = io.BytesIO()
                array = np.ascontiguousarray(getattr(self, name), dtype="<f4")
                npy.write_array(content, array, version=(1, 0), allow_pickle=False)
                _add(archive, f"{name}.npy", content.getvalue())
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, *, name: str) -> "TaughtModel":
        """Return the model in a file; nothing in it is run.

        Args:
            content: of the file. name: to call it in an error.

        Raises:
            ModelLoadError: it is no taught model, damaged, or of a newer version.
        """
        try:
            if len(content) > _MAX_BYTES:
                raise ValueError("it is too large")
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                about = _about(archive)
                labels = _labels(about)
                shapes = _shapes(len(labels), _count(about, "sizes", MAX_SIZES))
                arrays = {key: _array(archive, key, shapes[key]) for key in shapes}
                examples = _count(about, "examples", _MAX_EXAMPLES)
                _check_sizes(arrays["sizes"])
        except _DAMAGED as error:
            raise ModelLoadError(
                f"{name} is no taught model, or a damaged one ({error}); save it again."
            ) from error
        return cls(labels, examples, **arrays)


def labels_in(content: bytes, *, name: str) -> tuple[str, ...]:
    """Return the labels of a taught model's file; arguments are those of `from_bytes`.

    Raises:
        ModelLoadError: it is no taught model, damaged, or of a newer version.
    """
    return TaughtModel.from_bytes(content, name=name).labels


def _shapes(labels: int, sizes: int) -> dict[str, tuple[int, int]]:
    return {
        "sizes": (sizes, 2),
        "first": (FIRST_LENGTH, labels),
        "second": (SECOND_LENGTH, labels),
        "edges": (EDGES_LENGTH, EDGES_COLUMNS),
        "calibration": (2, labels),
    }


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    # Its own entry: the time of day would make every file another one.
    archive.writestr(zipfile.ZipInfo(name), content)


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """Return a member's content, never more than the most that it can have."""
    if archive.getinfo(name).compress_type not in _PACKED:
        raise ValueError(f"{name} is packed in a way that no taught model is")
    with archive.open(name) as member:
        content = member.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{name} is too large")
    return content


def _about(archive: zipfile.ZipFile) -> Mapping[str, Any]:
    about = json.loads(_member(archive, _ABOUT, _MAX_ABOUT_BYTES))
    if not isinstance(about, dict) or about.get("taught") != _VERSION:
        raise ValueError(f"it is not of version {_VERSION}")
    return about


def _labels(about: Mapping[str, Any]) -> tuple[str, ...]:
    names = about.get("labels")
    if not isinstance(names, list) or not 0 < len(names) <= MAX_LABELS:
        raise ValueError("it names no labels, or too many")
    if not all(isinstance(name, str) and clean_label(name) == name for name in names):
        raise ValueError("a label cannot be one")
    if len(set(names)) < len(names):
        raise ValueError("a label is there twice")
    return tuple(names)


def _count(about: Mapping[str, Any], key: str, most: int) -> int:
    count = about.get(key)
    if type(count) is not int or not 0 <= count <= most:
        raise ValueError(f"{key} is no number up to {most}")
    return count


def _check_sizes(sizes: FloatArray) -> None:
    """Refuse windows that no image has: they would take all memory."""
    if ((sizes < _LEAST_SIZE) | (sizes > _MOST_SIZE)).any():
        raise ValueError("sizes holds one that no box has")


def _array(archive: zipfile.ZipFile, name: str, shape: tuple[int, int]) -> FloatArray:
    """Return an array of the shape that it has to have; pickle is never called."""
    size = 4 * shape[0] * shape[1]
    stream = io.BytesIO(_member(archive, f"{name}.npy", size + _MAX_HEADER_BYTES))
    npy.read_magic(stream)
    header = npy.read_array_header_1_0(stream)
    content = stream.read()
    if header != (shape, False, np.dtype("<f4")) or len(content) != size:
        raise ValueError(f"{name} has another shape")
    array = np.frombuffer(content, "<f4").reshape(shape).astype(np.float32)
    if not (np.abs(array) <= _MOST_WEIGHT).all():
        raise ValueError(f"{name} holds what is no number, or too large a one")
    return array

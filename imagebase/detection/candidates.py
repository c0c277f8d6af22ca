"""Candidate boxes of one image: stored compactly, selected by thresholds and NMS."""

import struct
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from imagebase.detection.nms import nms_per_class
from imagebase.errors import StoreError

# magic, version, number of candidates; then zlib over xyxy, confidence, class_id and,
# in version 2, seen_by.
_HEADER: Final = struct.Struct("<4sBI")
_MAGIC: Final = b"IBCD"
_VERSION: Final = 1
_VERSION_WITH_VOTERS: Final = 2
_BYTES_EACH: Final = 4 * 4 + 4 + 4
_BYTES_OF_VOTERS: Final = 4
_MAX_PACKED: Final = 1_000_000
MAX_CANDIDATES: Final = 50_000
"""Of one model on one image; those of detectors that work are some thousands."""


@dataclass(frozen=True, slots=True, eq=False)
class _BoxArrays:
    """Parallel arrays: boxes in float pixels, their confidence, their class.

    xyxy: shape (N, 4), float32. confidence: (N,), float32. class_id: (N,), int32.
    seen_by: (N,), int32, bit i is set where voter i saw the box; None for one model.
    """

    xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int32]
    seen_by: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        count = len(self.confidence)
        expected = {"xyxy": (count, 4), "confidence": (count,), "class_id": (count,)}
        if self.seen_by is not None:
            expected["seen_by"] = (count,)
        for name, shape in expected.items():
            actual = getattr(self, name).shape
            if actual != shape:
                raise ValueError(f"{name} has the shape {actual}, expected {shape}")

    @classmethod
    def empty(cls) -> Self:
        """Return nothing found, in arrays of the right shapes."""
        return cls(
            np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32)
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of one part after another; of no part, nothing found."""
        parts = parts or [cls.empty()]
        voters = [part.seen_by for part in parts if part.seen_by is not None]
        return cls(
            np.concatenate([part.xyxy for part in parts]),
            np.concatenate([part.confidence for part in parts]),
            np.concatenate([part.class_id for part in parts]),
            np.concatenate(voters) if len(voters) == len(parts) else None,
        )

    def __len__(self) -> int:
        return len(self.confidence)

    def rows(self, indices: NDArray[np.intp] | NDArray[np.bool_]) -> Self:
        """Return these rows, in this order."""
        return replace(
            self,
            xyxy=self.xyxy[indices],
            confidence=self.confidence[indices],
            class_id=self.class_id[indices],
            seen_by=None if self.seen_by is None else self.seen_by[indices],
        )

    def most_confident(self, most: int = MAX_CANDIDATES) -> Self:
        """Return at most so many rows, of the highest confidence, in their order."""
        if len(self) <= most:
            return self
        best = np.argpartition(-self.confidence, most)[:most]
        return self.rows(np.sort(best))


@dataclass(frozen=True, slots=True, eq=False)
class Candidates(_BoxArrays):
    """Every box, class and confidence above the floor, before suppression."""


@dataclass(frozen=True, slots=True, eq=False)
class Detections(_BoxArrays):
    """The boxes on one image, the most confident first: parallel arrays of one length.

    xyxy: corners x_min, y_min, x_max, y_max in pixels of the full upright image, far
        edges exclusive; shape (N, 4), float32.
    confidence: 0 to 1; shape (N,), float32.
    class_id: positions in the model's label list; shape (N,), int32.
    class_names: that label list.

    >>> import imagebase
    >>> detections = imagebase.load_model()("photos/skier.jpg", confidence=0.6)
    >>> len(detections), detections.xyxy.shape, detections.labels
    (2, (2, 4), ('person', 'skis'))
    """

    class_names: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The label of each box; N names."""
        return tuple(self.class_names[class_id] for class_id in self.class_id)


def mirrored_left_right(candidates: Candidates, *, width: float) -> Candidates:
    """Return candidates of a mirrored image of this width in the upright one."""
    x_min, y_min, x_max, y_max = candidates.xyxy.T
    xyxy = np.stack([width - x_max, y_min, width - x_min, y_max], axis=1)
    return replace(candidates, xyxy=xyxy.astype(np.float32))


def pack(candidates: Candidates) -> bytes:
    """Return the candidates in about 20 bytes each; `unpack` gives them back."""
    columns = [
        np.ascontiguousarray(candidates.xyxy.T, dtype="<f4"),
        np.ascontiguousarray(candidates.confidence, dtype="<f4"),
        np.ascontiguousarray(candidates.class_id, dtype="<i4"),
    ]
    version = _VERSION
    if candidates.seen_by is not None:
        version = _VERSION_WITH_VOTERS
        columns.append(np.ascontiguousarray(candidates.seen_by, dtype="<i4"))
    body = zlib.compress(b"".join(column.tobytes() for column in columns))
    return _HEADER.pack(_MAGIC, version, len(candidates)) + body


def unpack(packed: bytes) -> Candidates:
    """Return what `pack` was given.

    Raises:
        StoreError: the bytes are not packed candidates, damaged, or of a newer version.
    """
    version, count = _packed_count(packed)
    has_voters = version == _VERSION_WITH_VOTERS
    size = count * (_BYTES_EACH + _BYTES_OF_VOTERS * has_voters)
    inflate = zlib.decompressobj()
    try:
        body = inflate.decompress(packed[_HEADER.size :], size + 1)
    except zlib.error as error:
        raise _damaged(str(error)) from error
    if len(body) != size or not inflate.eof:
        raise _damaged(f"{count} candidates do not take {len(body)} bytes")
    values = np.frombuffer(body, "<f4", count * 5).astype(np.float32, copy=False)
    return Candidates(
        np.ascontiguousarray(values[: count * 4].reshape(4, count).T),
        values[count * 4 :],
        np.frombuffer(body, "<i4", count, count * 20).astype(np.int32, copy=False),
        np.frombuffer(body, "<i4", count, count * 24).astype(np.int32, copy=False)
        if has_voters
        else None,
    )


def _packed_count(packed: bytes) -> tuple[int, int]:
    """Return the version and the number of candidates that a header names."""
    if len(packed) < _HEADER.size or packed[:4] != _MAGIC:
        raise _damaged("not candidates of ImageBase")
    _, version, count = _HEADER.unpack_from(packed)
    if version not in {_VERSION, _VERSION_WITH_VOTERS}:
        newest = _VERSION_WITH_VOTERS
        raise _damaged(f"written in version {version}, this is version {newest}")
    if count > _MAX_PACKED:
        raise _damaged(f"{count} candidates for one image")
    return int(version), int(count)


def _damaged(reason: str) -> StoreError:
    return StoreError(
        f"The kept candidates of this image cannot be read ({reason}); "
        "run the model on it again."
    )


def select(
    candidates: Candidates,
    *,
    confidence_threshold: float,
    nms_threshold: float,
    class_ids: Collection[int] | None = None,
    per_class_confidence: Mapping[int, float] | None = None,
    max_detections: int | None = None,
) -> Detections:
    """Return what these settings leave of the candidates, best first; no net is run.

    Args:
        candidates: of one image.
        confidence_threshold: the least confidence that stays.
        nms_threshold: IoU above which the less confident box of a class goes.
        class_ids: the only classes that stay; None keeps all.
        per_class_confidence: thresholds that replace the common one for some classes.
        max_detections: the most that stay, the best; None sets no limit.
    """
    least: float | NDArray[np.float32] = confidence_threshold
    if per_class_confidence:
        least = _least_of_each(candidates, confidence_threshold, per_class_confidence)
    keep = candidates.confidence >= least
    if class_ids is not None:
        keep &= np.isin(candidates.class_id, list(class_ids))
    passing = np.flatnonzero(keep)
    chosen = nms_per_class(
        candidates.xyxy[passing],
        candidates.confidence[passing],
        candidates.class_id[passing],
        nms_threshold=nms_threshold,
    )
    indices = passing[chosen[:max_detections]]
    return Detections(
        candidates.xyxy[indices],
        candidates.confidence[indices],
        candidates.class_id[indices],
        None if candidates.seen_by is None else candidates.seen_by[indices],
    )


def _least_of_each(
    candidates: Candidates, common: float, per_class: Mapping[int, float]
) -> NDArray[np.float32]:
    least = np.full(len(candidates), common, dtype=np.float32)
    for class_id, threshold in per_class.items():
        least[candidates.class_id == class_id] = threshold
    return least

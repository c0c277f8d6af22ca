"""The candidates of many images in one set of arrays, for thresholds that move."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation.areas import ImageShapes
from imagebase.annotation.coverage import is_inside
from imagebase.detection.candidates import Candidates, Detections
from imagebase.detection.nms import nms_in_groups
from imagebase.geometry import FloatArray

# Suppression starts from the first of these that is low enough, for all thresholds
# above it; a lower one takes several times as long.
_FLOORS: Final = (0.1, 0.05, 0.0)
_MOST_SUPPRESSIONS: Final = 2


class _Suppression(NamedTuple):
    """What suppresses what: the IoU, and the class that each class counts as."""

    nms_threshold: float
    kinds: bytes


@dataclass(frozen=True)
class CandidatePool:
    """N candidates of M images, image after image.

    image_ids: M of them. image: (N,), the position in `image_ids`.
    xyxy: (N, 4) float pixels. confidence: (N,). class_id: (N,).
    seen_by: (N,) which of several models found each, as bits; None for one model.
    """

    image_ids: tuple[str, ...]
    image: NDArray[np.intp]
    xyxy: FloatArray
    confidence: FloatArray
    class_id: NDArray[np.int32]
    seen_by: NDArray[np.int32] | None = None
    _survivors: dict[_Suppression, tuple[float, NDArray[np.intp]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The position of each image in `image_ids`."""
        return {image_id: place for place, image_id in enumerate(self.image_ids)}

    @classmethod
    def joined(cls, parts: Iterable["CandidatePool"]) -> "CandidatePool":
        """Return the images of one pool after those of another; none is in two."""
        pools = list(parts) or [cls.of({})]
        sizes = np.cumsum([0, *(len(pool.image_ids) for pool in pools)])
        pairs = zip(pools, sizes, strict=False)
        voters = [pool.seen_by for pool in pools if pool.seen_by is not None]
        return cls(
            tuple(image_id for pool in pools for image_id in pool.image_ids),
            np.concatenate([pool.image + first for pool, first in pairs]),
            np.concatenate([pool.xyxy for pool in pools]),
            np.concatenate([pool.confidence for pool in pools]),
            np.concatenate([pool.class_id for pool in pools]),
            np.concatenate(voters) if len(voters) == len(pools) else None,
        )

    @classmethod
    def of(cls, candidates: Mapping[str, Candidates]) -> "CandidatePool":
        """Return the pool of these images, in their order."""
        image = np.repeat(np.arange(len(candidates)), [*map(len, candidates.values())])
        joined = Candidates.joined(list(candidates.values()))
        return cls(
            tuple(candidates),
            image,
            joined.xyxy,
            joined.confidence,
            joined.class_id,
            joined.seen_by,
        )

    def only(self, image_ids: Collection[str]) -> "CandidatePool":
        """Return the pool of those of its images that are named, in its own order."""
        wanted = set(image_ids)
        is_kept = np.array(
            [image_id in wanted for image_id in self.image_ids], dtype=bool
        )
        if is_kept.all():
            return self
        rows = is_kept[self.image]
        return CandidatePool(
            tuple(image_id for image_id in self.image_ids if image_id in wanted),
            (np.cumsum(is_kept) - 1)[self.image[rows]],
            self.xyxy[rows],
            self.confidence[rows],
            self.class_id[rows],
            None if self.seen_by is None else self.seen_by[rows],
        )

    def outside(self, ignored: Mapping[str, ImageShapes]) -> "CandidatePool":
        """Return the pool without candidates in ignore areas.

        Args:
            ignored: ignore areas by image id; other images have none.
        """
        is_kept = np.ones(len(self.image), dtype=bool)
        for place, image_id in enumerate(self.image_ids):
            if image_id in ignored:
                first, end = np.searchsorted(self.image, [place, place + 1])
                size, shapes = ignored[image_id]
                is_kept[first:end] = ~is_inside(self.xyxy[first:end], shapes, size)
        if is_kept.all():
            return self
        return replace(
            self,
            image=self.image[is_kept],
            xyxy=self.xyxy[is_kept],
            confidence=self.confidence[is_kept],
            class_id=self.class_id[is_kept],
            seen_by=None if self.seen_by is None else self.seen_by[is_kept],
        )

    def select(
        self,
        *,
        confidence_threshold: float,
        nms_threshold: float,
        class_ids: Collection[int] | None = None,
        per_class_confidence: Mapping[int, float] | None = None,
        counts_as: Mapping[int, int] | None = None,
    ) -> "SelectedBoxes":
        """Return what `candidates.select` leaves of each image, all at once.

        Args:
            counts_as: classes that are suppressed together with another class, as when
                a person gives both the same name; each keeps its own class id.
        """
        least = np.full(self._classes(), confidence_threshold, dtype=np.float32)
        for class_id, threshold in (per_class_confidence or {}).items():
            least[class_id : class_id + 1] = threshold
        if class_ids is not None:
            is_wanted = np.isin(np.arange(len(least)), list(class_ids))
            least[~is_wanted] = np.inf
        kind = np.arange(len(least))
        for class_id, other in (counts_as or {}).items():
            kind[class_id : class_id + 1] = other
        if (least != least[kind]).any():
            return SelectedBoxes(self, self._suppressed(least, kind, nms_threshold))
        rows = self._surviving(float(least.min()), kind, nms_threshold)
        return SelectedBoxes(
            self, rows[self.confidence[rows] >= least[self.class_id[rows]]]
        )

    def _surviving(
        self, lowest: float, kind: NDArray[np.intp], nms_threshold: float
    ) -> NDArray[np.intp]:
        """Return what suppression leaves from this confidence on, and maybe below.

        A box goes by a more confident one of its kind. So what goes at one threshold
        goes at each, and a threshold that moves suppresses nothing anew.
        """
        how = _Suppression(nms_threshold, kind.tobytes())
        known = self._survivors.get(how)
        if known is None or lowest < known[0]:
            floor = next(least for least in _FLOORS if lowest >= least)
            least = np.full(len(kind), floor, np.float32)
            known = float(least[0]), self._suppressed(least, kind, nms_threshold)
            if len(self._survivors) >= _MOST_SUPPRESSIONS:
                self._survivors.clear()
            self._survivors[how] = known
        return known[1]

    def _suppressed(
        self,
        least: NDArray[np.float32],
        kind: NDArray[np.intp],
        nms_threshold: float,
    ) -> NDArray[np.intp]:
        """Return the rows that thresholds by class and suppression leave, by image."""
        rows = np.flatnonzero(self.confidence >= least[self.class_id])
        stays = nms_in_groups(
            self.xyxy[rows],
            self.confidence[rows],
            self.image[rows] * len(least) + kind[self.class_id[rows]],
            nms_threshold=nms_threshold,
        )
        selected = rows[stays]
        order = np.lexsort((-self.confidence[selected], self.image[selected]))
        return selected[order]

    def class_counts(self, *, confidence_threshold: float) -> Sequence[int]:
        """Return how many candidates of each class have at least this confidence."""
        sure = self.class_id[self.confidence >= confidence_threshold]
        return [int(count) for count in np.bincount(sure, minlength=self._classes())]

    def _classes(self) -> int:
        return int(self.class_id.max()) + 1 if len(self.class_id) else 1


@dataclass(frozen=True)
class SelectedBoxes:
    """Rows of a pool that some thresholds leave: by image, the best first."""

    pool: CandidatePool
    rows: NDArray[np.intp]

    @property
    def boxes(self) -> int:
        return len(self.rows)

    @cached_property
    def images(self) -> NDArray[np.intp]:
        """The position of each box's image in the pool, shape (N,)."""
        return self.pool.image[self.rows]

    @property
    def counts(self) -> NDArray[np.intp]:
        """Boxes of each image of the pool, shape (M,)."""
        return np.bincount(self.images, minlength=len(self.pool.image_ids))

    @property
    def least_confidence(self) -> FloatArray:
        """The least confidence on each image, shape (M,); 1 without boxes."""
        least = np.ones(len(self.pool.image_ids), dtype=np.float32)
        np.minimum.at(least, self.images, self.pool.confidence[self.rows])
        return least

    def of(self, image_id: str) -> Detections:
        """Return the detections of one image; KeyError where the pool lacks it."""
        place = self.pool.places[image_id]
        first, end = np.searchsorted(self.images, [place, place + 1])
        rows = self.rows[first:end]
        return Detections(
            self.pool.xyxy[rows].astype(np.float32),
            self.pool.confidence[rows].astype(np.float32),
            self.pool.class_id[rows],
            None if self.pool.seen_by is None else self.pool.seen_by[rows],
        )

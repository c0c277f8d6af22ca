"""The candidates of many images in one set of arrays, for thresholds that move."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation.areas import ImageShapes
from imagebase.annotation.coverage import is_inside
from imagebase.detection.candidates import Candidates, Detections
from imagebase.detection.nms import nms_in_groups
from imagebase.geometry import FloatArray


@dataclass(frozen=True, slots=True)
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
        rows = np.flatnonzero(self.confidence >= least[self.class_id])
        kind = np.arange(len(least))
        for class_id, other in (counts_as or {}).items():
            kind[class_id : class_id + 1] = other
        stays = nms_in_groups(
            self.xyxy[rows],
            self.confidence[rows],
            self.image[rows] * len(least) + kind[self.class_id[rows]],
            nms_threshold=nms_threshold,
        )
        selected = rows[stays]
        order = np.lexsort((-self.confidence[selected], self.image[selected]))
        return SelectedBoxes(self, selected[order])

    def class_counts(self, *, confidence_threshold: float) -> Sequence[int]:
        """Return how many candidates of each class have at least this confidence."""
        sure = self.class_id[self.confidence >= confidence_threshold]
        return [int(count) for count in np.bincount(sure, minlength=self._classes())]

    def _classes(self) -> int:
        return int(self.class_id.max()) + 1 if len(self.class_id) else 1


@dataclass(frozen=True, slots=True)
class SelectedBoxes:
    """Rows of a pool that some thresholds leave: by image, the best first."""

    pool: CandidatePool
    rows: NDArray[np.intp]

    @property
    def boxes(self) -> int:
        return len(self.rows)

    @property
    def counts(self) -> NDArray[np.intp]:
        """Boxes of each image of the pool, shape (M,)."""
        images = self.pool.image[self.rows]
        return np.bincount(images, minlength=len(self.pool.image_ids))

    @property
    def least_confidence(self) -> FloatArray:
        """The least confidence on each image, shape (M,); 1 without boxes."""
        least = np.ones(len(self.pool.image_ids), dtype=np.float32)
        np.minimum.at(
            least, self.pool.image[self.rows], self.pool.confidence[self.rows]
        )
        return least

    def of(self, image_id: str) -> Detections:
        """Return the detections of one image; KeyError where the pool lacks it."""
        try:
            place = self.pool.image_ids.index(image_id)
        except ValueError:
            raise KeyError(image_id) from None
        images = self.pool.image[self.rows]
        first, end = np.searchsorted(images, [place, place + 1])
        rows = self.rows[first:end]
        return Detections(
            self.pool.xyxy[rows].astype(np.float32),
            self.pool.confidence[rows].astype(np.float32),
            self.pool.class_id[rows],
            None if self.pool.seen_by is None else self.pool.seen_by[rows],
        )

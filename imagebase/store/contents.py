"""What is on each image, counted: enough to choose and to deal images out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import func, select

from imagebase.annotation import Quality, ReviewStatus
from imagebase.store.part import StorePart
from imagebase.store.rows import as_quality
from imagebase.store.scope import Scope
from imagebase.store.tables import annotations, images


@dataclass(frozen=True, slots=True)
class ImageContents:
    """An image without its boxes. boxes: how many of each label it has.

    difference_hash: None where it was never measured.
    """

    image_id: str
    file_name: str
    status: ReviewStatus
    tags: tuple[str, ...] = ()
    difference_hash: str | None = None
    boxes: Mapping[str, int] = field(default_factory=dict)


class Contents(StorePart):
    """Whole datasets, read without their boxes."""

    def image_contents(
        self, scope: Scope, *, statuses: Iterable[ReviewStatus] | None = None
    ) -> list[ImageContents]:
        """Return what is on the images that stand there, in upload order."""
        stands = images.c.dataset_id == scope.dataset_id
        if statuses is not None:
            stands &= images.c.status.in_([one.value for one in statuses])
        which = (
            select(
                images.c.image_key,
                images.c.image_id,
                images.c.file_name,
                images.c.status,
                images.c.tags,
                images.c.quality,
            )
            .where(stands)
            .order_by(images.c.image_key)
        )
        counts = (
            select(annotations.c.image_key, annotations.c.label, func.count())
            .where(
                annotations.c.dataset_id == scope.dataset_id,
                annotations.c.is_deleted.is_(False),
            )
            .group_by(annotations.c.image_key, annotations.c.label)
            .order_by(annotations.c.image_key, func.min(annotations.c.position))
        )
        with self._reading(scope) as connection:
            rows = connection.execute(which).all()
            boxes: dict[int, dict[str, int]] = {}
            for key, label, count in connection.execute(counts):
                boxes.setdefault(key, {})[label] = count
        return [
            ImageContents(
                row.image_id,
                row.file_name,
                ReviewStatus(row.status),
                tuple(row.tags),
                _hash_of(as_quality(row.quality)),
                boxes.get(row.image_key, {}),
            )
            for row in rows
        ]


def _hash_of(quality: Quality | None) -> str | None:
    return None if quality is None else quality.difference_hash

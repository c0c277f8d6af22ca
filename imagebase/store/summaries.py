"""A dataset at a glance: its images without their boxes, and whether it changed."""

from collections import Counter
from dataclasses import asdict, dataclass

from sqlalchemy import Text, cast, func, select

from imagebase.annotation import Quality, ReviewStatus, Size
from imagebase.store.candidates import CandidatesKey
from imagebase.store.part import StorePart
from imagebase.store.rows import as_quality
from imagebase.store.scope import Scope
from imagebase.store.tables import candidates, datasets, images


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """What a grid of thumbnails shows of an image."""

    image_id: str
    file_name: str
    size: Size
    status: ReviewStatus
    quality: Quality | None


class Summaries(StorePart):
    """Quick answers about a whole dataset."""

    def image_summaries(self, scope: Scope) -> list[ImageSummary]:
        """Return every image without its boxes, in upload order."""
        query = (
            select(
                images.c.image_id,
                images.c.file_name,
                images.c.width,
                images.c.height,
                images.c.status,
                images.c.quality,
            )
            .where(images.c.dataset_id == scope.dataset_id)
            .order_by(images.c.image_key)
        )
        with self._reading(scope) as connection:
            return [
                ImageSummary(
                    row.image_id,
                    row.file_name,
                    Size(row.width, row.height),
                    ReviewStatus(row.status),
                    as_quality(row.quality),
                )
                for row in connection.execute(query)
            ]

    def tag_counts(self, scope: Scope) -> dict[str, int]:
        """Return on how many images each tag is, the most frequent first."""
        query = select(images.c.tags).where(
            images.c.dataset_id == scope.dataset_id,
            cast(images.c.tags, Text) != "[]",
        )
        with self._reading(scope) as connection:
            counts = Counter(tag for tags in connection.scalars(query) for tag in tags)
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

    def version(self, scope: Scope) -> str:
        """Return a text that differs once images, boxes, reviews or labels do."""
        query = select(datasets.c.version).where(
            datasets.c.dataset_id == scope.dataset_id
        )
        with self._reading(scope) as connection:
            return str(connection.scalar(query))

    def candidates_version(self, scope: Scope, key: CandidatesKey) -> str:
        """Return a text that is another one after a model's answers were added."""
        query = (
            select(func.count(), func.max(candidates.c.created_at))
            .join(images, images.c.image_key == candidates.c.image_key)
            .where(
                images.c.dataset_id == scope.dataset_id,
                *(candidates.c[name] == value for name, value in asdict(key).items()),
            )
        )
        with self._reading(scope) as connection:
            count, newest = connection.execute(query).one()
        return f"{count}-{newest}"

"""Areas of images that nobody labels: a time stamp, a bonnet, a mirror.

An area belongs to one image, or to all images of a size. What happens to it is an event
of no image, as for labels, so that undo and redo know of it.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
)

from imagebase.annotation import Size, clean_text, new_id, utc_now
from imagebase.annotation.areas import (
    ImageShapes,
    Shape,
    checked_shape,
    shape_json,
    shape_of_json,
)
from imagebase.errors import EditError, NotFoundError
from imagebase.store.column_types import AnyRow, AnySelect, JsonObject
from imagebase.store.diff import AREA
from imagebase.store.edits import edit_key
from imagebase.store.labels import dataset_event
from imagebase.store.record_reader import GONE, shapes_by_key
from imagebase.store.repository import (
    StorePart,
    grow_version,
    image_keys,
    these_images,
)
from imagebase.store.scope import Scope, chunks
from imagebase.store.tables import doubts, events, ignore_areas, images

MAX_AREAS: Final = 2_000


@dataclass(frozen=True, slots=True)
class IgnoreArea:
    """An area that nobody labels; image_id: None for all images of this size."""

    area_id: str
    image_id: str | None
    size: Size
    shape: Shape
    who: str
    created_at: datetime


class IgnoreAreas(StorePart):
    """Areas that models, trainings, evaluations and exports leave aside."""

    def add_ignore_areas(
        self,
        scope: Scope,
        image_id: str,
        shapes: Sequence[Shape],
        *,
        all_of_size: bool,
        instead_of: Iterable[str] = (),
        change_id: str | None = None,
    ) -> list[IgnoreArea]:
        """Leave shapes on an image out of everything, as one change.

        Args:
            scope: the dataset, and whose change it is.
            image_id: the image that they were drawn on.
            shapes: in pixels of that image.
            all_of_size: they hold for all images of its width and height.
            instead_of: ids of areas that are deleted with the same change.
            change_id: joins it with saves that are undone together.

        Raises:
            EditError: a shape cannot be kept, or the dataset has too many areas.
            NotFoundError: the dataset has no such image.
        """
        with self._writing(scope) as connection:
            size = _size_of(connection, scope, image_id)
            mine = None if all_of_size else image_id
            now = utc_now()
            added = [
                IgnoreArea(
                    new_id(), mine, size, checked_shape(shape, size), scope.who, now
                )
                for shape in shapes
            ]
            stored = stored_areas(connection, scope)
            if len(stored) + len(added) > MAX_AREAS:
                raise EditError(
                    f"A dataset has at most {MAX_AREAS:,} ignore areas; delete some."
                )
            wanted = set(instead_of)
            removed = [(area, None) for area in stored if area.area_id in wanted]
            steps = [*removed, *((None, area) for area in added)]
            _change(connection, scope, steps, change_id)
        return added

    def delete_ignore_areas(self, scope: Scope, area_ids: Iterable[str]) -> int:
        """Delete areas as one change; return how many were there."""
        wanted = set(area_ids)
        with self._writing(scope) as connection:
            stored = stored_areas(connection, scope)
            removed = [area for area in stored if area.area_id in wanted]
            _change(connection, scope, [(area, None) for area in removed])
        return len(removed)

    def ignore_areas(
        self, scope: Scope, image_id: str | None = None
    ) -> list[IgnoreArea]:
        """Return the dataset's areas, the oldest first.

        Args:
            scope: the dataset.
            image_id: only those that hold for this image.
        """
        with self._reading(scope) as connection:
            stored = stored_areas(connection, scope)
            if image_id is None or not stored:
                return stored
            size = _size_of(connection, scope, image_id)
        return [
            area
            for area in stored
            if area.image_id == image_id
            or (area.image_id is None and area.size == size)
        ]

    def count_of_size(self, scope: Scope, size: Size) -> int:
        """Return how many images have this width and height."""
        query = select(func.count()).where(
            images.c.dataset_id == scope.dataset_id,
            images.c.width == size.width,
            images.c.height == size.height,
        )
        with self._reading(scope) as connection:
            return connection.scalar(query) or 0

    def ignore_areas_mark(self, scope: Scope) -> str:
        """Return a text that changes with the areas."""
        ids = sorted(area.area_id for area in self.ignore_areas(scope))
        return hashlib.sha256(",".join(ids).encode()).hexdigest()[:16] if ids else ""

    def ignored_shapes(
        self, scope: Scope, image_ids: Iterable[str]
    ) -> dict[str, ImageShapes]:
        """Return the ignore areas of those of these images that have any."""
        with self._reading(scope) as connection:
            if not stored_areas(connection, scope):
                return {}
            shapes_of: dict[str, ImageShapes] = {}
            for chunk in chunks(dict.fromkeys(image_ids)):
                query = select(
                    images.c.image_key,
                    images.c.image_id,
                    images.c.width,
                    images.c.height,
                )
                mine = query.where(these_images(scope, chunk))
                rows = connection.execute(mine).all()
                shapes = shapes_by_key(connection, scope.dataset_id, rows)
                for row in rows:
                    if row.image_key in shapes:
                        size = Size(row.width, row.height)
                        shapes_of[row.image_id] = ImageShapes(
                            size, shapes[row.image_key]
                        )
        return shapes_of


def stored_areas(connection: Connection, scope: Scope) -> list[IgnoreArea]:
    """Return the areas of a dataset, the oldest first."""
    query = (
        select(ignore_areas, images.c.image_id)
        .outerjoin(images, images.c.image_key == ignore_areas.c.image_key)
        .where(ignore_areas.c.dataset_id == scope.dataset_id)
    )
    rows = connection.execute(_in_order(query))
    return [
        IgnoreArea(
            row.area_id,
            row.image_id,
            Size(row.width, row.height),
            shape_of_json(row.shape),
            row.who,
            row.created_at,
        )
        for row in rows
    ]


def _in_order(query: AnySelect) -> AnySelect:
    return query.order_by(ignore_areas.c.created_at, ignore_areas.c.area_id)


def _size_of(connection: Connection, scope: Scope, image_id: str) -> Size:
    query = select(images.c.width, images.c.height)
    mine = query.where(these_images(scope, [image_id]))
    row = connection.execute(mine).one_or_none()
    if row is None:
        raise NotFoundError(GONE)
    return Size(row.width, row.height)


Step = tuple[IgnoreArea | None, IgnoreArea | None]


def _change(
    connection: Connection,
    scope: Scope,
    steps: Sequence[Step],
    change_id: str | None = None,
) -> None:
    if steps:
        change_key = edit_key(connection, scope, change_id or new_id())
        _write(connection, scope, change_key, steps)


def step_areas(
    connection: Connection,
    scope: Scope,
    change_key: int,
    area_events: Iterable[AnyRow],
    *,
    is_undo: bool,
) -> list[Step]:
    """Undo or redo a change's area events; return the changed areas.

    Deleted areas, and areas of deleted images, are skipped.
    """
    stored = {area.area_id: area for area in stored_areas(connection, scope)}
    steps: list[Step] = []
    for row in area_events:
        wanted = row.before if is_undo else row.after
        now = stored.get(row.annotation_id)
        if wanted is None and now is not None:
            steps.append((now, None))
        elif wanted is not None and now is None:
            area = area_of_json(row.annotation_id, wanted)
            image_id = area.image_id
            if image_id is None or image_keys(connection, scope, [image_id]):
                steps.append((None, area))
    if steps:
        _write(connection, scope, change_key, steps)
    return steps


def words_of_areas(steps: Sequence[Step]) -> list[str]:
    """Return what happened to areas, a clause for each kind of it."""
    back = sum(after is not None for _, after in steps)
    counted = ((back, "put back"), (len(steps) - back, "deleted"))
    return [
        f"{count} ignore {'area' if count == 1 else 'areas'} {verb}"
        for count, verb in counted
        if count
    ]


def _write(
    connection: Connection, scope: Scope, change_key: int, steps: Sequence[Step]
) -> None:
    removed = [before.area_id for before, _ in steps if before is not None]
    for chunk in chunks(removed):
        connection.execute(
            delete(ignore_areas).where(
                ignore_areas.c.dataset_id == scope.dataset_id,
                ignore_areas.c.area_id.in_(chunk),
            )
        )
    added = [after for _, after in steps if after is not None]
    if added:
        on_images = [area.image_id for area in added if area.image_id is not None]
        keys = image_keys(connection, scope, on_images)
        rows = [_row(scope, area, keys) for area in added]
        connection.execute(insert(ignore_areas), rows)
    connection.execute(
        insert(events), [_event(scope, change_key, *step) for step in steps]
    )
    _judge_again(
        connection, scope, [area for s in steps for area in s if area is not None]
    )
    grow_version(connection, scope.dataset_id)


def _row(scope: Scope, area: IgnoreArea, keys: Mapping[str, int]) -> dict[str, Any]:
    return {
        "area_id": area.area_id,
        "dataset_id": scope.dataset_id,
        "image_key": None if area.image_id is None else keys[area.image_id],
        "width": area.size.width,
        "height": area.size.height,
        "shape": shape_json(area.shape),
        "who": area.who,
        "created_at": area.created_at,
    }


def _judge_again(
    connection: Connection, scope: Scope, areas: Iterable[IgnoreArea]
) -> None:
    """Forget what doubts there are of the images that areas hold for."""
    of_them: list[ColumnElement[bool]] = []
    for area in areas:
        if area.image_id is not None:
            of_them.append(images.c.image_id == area.image_id)
        else:
            width, height = area.size
            of_them.append(and_(images.c.width == width, images.c.height == height))
    for chunk in chunks(of_them):
        keys = select(images.c.image_key).where(
            images.c.dataset_id == scope.dataset_id, or_(*chunk)
        )
        connection.execute(delete(doubts).where(doubts.c.image_key.in_(keys)))


def _event(
    scope: Scope, change_key: int, before: IgnoreArea | None, after: IgnoreArea | None
) -> dict[str, object]:
    area = before or after
    area_id = area.area_id if area else None
    old, new = (
        None if state is None else area_json(state) for state in (before, after)
    )
    return dataset_event(scope, change_key, AREA, area_id, old, new)


def area_json(area: IgnoreArea) -> JsonObject:
    """Return an area as an event keeps it."""
    return {
        "image_id": area.image_id,
        "size": [*area.size],
        "shape": shape_json(area.shape),
        "who": clean_text(area.who),
        "created_at": area.created_at.isoformat(),
    }


def area_of_json(area_id: str, state: Mapping[str, Any]) -> IgnoreArea:
    """Return the area that an event kept.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    return IgnoreArea(
        area_id,
        state["image_id"],
        Size(*map(int, state["size"])),
        shape_of_json(state["shape"]),
        state["who"],
        datetime.fromisoformat(state["created_at"]),
    )

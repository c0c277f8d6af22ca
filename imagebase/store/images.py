"""Images in and out of a dataset: their rows and their files together."""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from imagebase.annotation import ImageRecord, Quality, ReviewStatus, Size, utc_now
from imagebase.errors import NotFoundError, StoreError
from imagebase.store.image_files import SCENES, THUMBNAILS
from imagebase.store.mapping import QUALITY
from imagebase.store.record_reader import GONE, stored_images
from imagebase.store.repository import (
    StorePart,
    files_lock,
    grow_version,
    these_images,
)
from imagebase.store.scope import Scope, chunks
from imagebase.store.tables import changes, events, images


@dataclass(frozen=True, slots=True)
class AddedImage:
    """is_new: False where the dataset had this content already."""

    record: ImageRecord
    is_new: bool


class Images(StorePart):
    """Image files, added, read and deleted."""

    def add_image(
        self,
        scope: Scope,
        data: bytes,
        *,
        file_name: str,
        size: Size,
        quality: Quality | None,
    ) -> AddedImage:
        """Add an image as it came, unless the dataset has the same content already.

        The file is on disk for good before its row is. One that is missing or damaged
        for an image of the dataset comes back.

        Args:
            scope: the dataset, and who adds to it.
            data: the file's content.
            file_name: as it came, with its sub-path.
            size: of the upright image.
            quality: its measurements.

        Raises:
            StoreError: the file or the row could not be written; neither was kept.
        """
        image_id = hashlib.sha256(data).hexdigest()
        with self._reading(scope) as connection:
            present = stored_images(connection, scope.dataset_id, [image_id])
        if present:
            self._mend(scope, image_id, data)
            return AddedImage(present[image_id].record, is_new=False)
        try:
            self._write_file(scope, image_id, data)
            with self._writing(scope, files_lock(scope.owner_id)) as connection:
                present = stored_images(connection, scope.dataset_id, [image_id])
                if present:
                    return AddedImage(present[image_id].record, is_new=False)
                # Someone may have deleted the last other image with this content.
                self._write_lost_file(scope, image_id, data)
                _insert(connection, scope, image_id, data, file_name, size, quality)
                grow_version(connection, scope.dataset_id)
                added = stored_images(connection, scope.dataset_id, [image_id])
        except Exception:
            self._forget(scope.owner_id, image_id)
            raise
        return AddedImage(added[image_id].record, is_new=True)

    def image_bytes(self, scope: Scope, image_id: str) -> bytes:
        """Return an image's file as it came.

        Raises:
            NotFoundError: the dataset has no such image.
            ImageFileError: its file is missing, damaged or cannot be read.
        """
        name = self.require_image(scope, image_id)
        return self._files.read(scope.owner_id, image_id, file_name=name)

    def thumbnail(
        self, scope: Scope, image_id: str, make: Callable[[bytes], bytes]
    ) -> bytes:
        """Return the kept thumbnail, or make it out of the image's bytes and keep it.

        Raises:
            NotFoundError: the dataset has no such image.
            ImageFileError: there is none, and the image's file cannot be read.
        """
        name = self.require_image(scope, image_id)
        stored = self._files.made(scope.owner_id, image_id, THUMBNAILS)
        if stored is not None:
            return stored
        thumbnail = make(self._files.read(scope.owner_id, image_id, file_name=name))
        self._keep_made(scope, image_id, THUMBNAILS, thumbnail)
        return thumbnail

    def stored_scene(
        self, scope: Scope, image_id: str, *, first: int | None = None
    ) -> bytes | None:
        """Return what `keep_scene` was given last, or its first bytes.

        Args:
            first: how many bytes; None returns all.

        Raises:
            NotFoundError: the dataset has no such image.
        """
        self.require_image(scope, image_id)
        return self._files.made(scope.owner_id, image_id, SCENES, first=first)

    def keep_scene(self, scope: Scope, image_id: str, content: bytes) -> None:
        """Keep what the assistant's models see in an image as long as the image.

        A full disk is no error: it can be made again.

        Raises:
            NotFoundError: the dataset has no such image any more.
        """
        self.require_image(scope, image_id)
        self._keep_made(scope, image_id, SCENES, content)

    def require_image(self, scope: Scope, image_id: str) -> str:
        """Return an image's file name.

        Raises:
            NotFoundError: the dataset has no such image.
        """
        query = select(images.c.file_name).where(these_images(scope, [image_id]))
        with self._reading(scope) as connection:
            name: str | None = connection.scalar(query)
        if name is None:
            raise NotFoundError(GONE)
        return name

    def remove_images(
        self,
        scope: Scope,
        image_ids: Iterable[str],
        *,
        seen: Mapping[str, int] | None = None,
    ) -> int:
        """Remove images with all that is on them; return how many there were.

        This cannot be undone, nor can the changes that touched one of them.

        Args:
            scope: the dataset.
            image_ids: the images; others than its own are passed over.
            seen: the revisions that the person saw: an image saved since
                stays. None deletes any revision.
        """
        wanted = list(dict.fromkeys(image_ids))
        removed = 0
        with self._writing(scope) as connection:
            for listed in chunks(wanted):
                chunk = _unchanged(connection, scope, listed, seen)
                _drop_changes(connection, scope, chunk)
                statement = delete(images).where(these_images(scope, chunk))
                removed += connection.execute(statement).rowcount
            grow_version(connection, scope.dataset_id)
        self._delete_unused_files(scope.owner_id, wanted)
        return removed

    def _forget(self, owner_id: str, image_id: str) -> None:
        """Delete an image's new file, unless a row counts it."""
        with contextlib.suppress(StoreError):
            self._delete_unused_files(owner_id, [image_id])

    def _mend(self, scope: Scope, image_id: str, data: bytes) -> None:
        """Write an image's file where it is missing or damaged.

        Exports without it are old then.
        """
        if self._files.has(scope.owner_id, image_id, byte_count=len(data)):
            return
        self._files.write(scope.owner_id, image_id, data)
        # Someone may have deleted the image meanwhile.
        self._forget(scope.owner_id, image_id)
        with self._writing(scope) as connection:
            grow_version(connection, scope.dataset_id)

    def _keep_made(self, scope: Scope, image_id: str, folder: str, data: bytes) -> None:
        self._files.write_made(scope.owner_id, image_id, folder, data)
        # Someone may have deleted the image meanwhile.
        try:
            self.require_image(scope, image_id)
        except NotFoundError:
            self._forget(scope.owner_id, image_id)
            raise


def _insert(
    connection: Connection,
    scope: Scope,
    image_id: str,
    data: bytes,
    file_name: str,
    size: Size,
    quality: Quality | None,
) -> None:
    connection.execute(
        insert(images).values(
            dataset_id=scope.dataset_id,
            image_id=image_id,
            file_name=file_name,
            width=size.width,
            height=size.height,
            byte_count=len(data),
            status=ReviewStatus.NEW.value,
            comment="",
            tags=[],
            quality=QUALITY.dump_python(quality, mode="json"),
            revision=0,
            head="",
            added_at=utc_now(),
            added_by=scope.who,
        )
    )


def _unchanged(
    connection: Connection,
    scope: Scope,
    image_ids: Sequence[str],
    seen: Mapping[str, int] | None,
) -> Sequence[str]:
    if seen is None:
        return image_ids
    query = select(images.c.image_id, images.c.revision)
    rows = connection.execute(query.where(these_images(scope, image_ids)))
    return [row.image_id for row in rows if row.revision == seen.get(row.image_id)]


def _drop_changes(
    connection: Connection, scope: Scope, image_ids: Iterable[str]
) -> None:
    touched = select(events.c.change_key).where(
        events.c.dataset_id == scope.dataset_id, events.c.image_id.in_(image_ids)
    )
    connection.execute(
        update(changes)
        .where(changes.c.change_key.in_(touched), changes.c.kind == "edit")
        .values(state="dropped")
    )

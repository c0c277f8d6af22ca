"""Add images to a dataset; report those added, present and refused."""

import logging
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from imagebase.disk_space import check_room
from imagebase.errors import ImageBaseError, LimitError, WorkerCancelledError
from imagebase.images.decode_apart import prepare_each
from imagebase.images.scan import Incoming, PreparedImage, Refused
from imagebase.settings import Limits
from imagebase.store import Scope, Store
from imagebase.store.images import AddedImage

_log: Final = logging.getLogger(__name__)

# Other tabs fill the dataset too; to count it for each image would take too long.
_COUNT_EVERY: Final = 20

_File = TypeVar("_File", bound=Incoming | PreparedImage | Refused)


@dataclass(frozen=True, slots=True)
class AdmissionReport:
    """added: image ids. present: names of files whose content was here already.

    passed_over: what of the files was not taken for an image, in sentences.
    names_passed_over: of these files.
    """

    added: tuple[str, ...] = ()
    present: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()
    passed_over: tuple[str, ...] = ()
    names_passed_over: tuple[str, ...] = ()


def admit(
    store: Store,
    scope: Scope,
    incoming: Iterable[Incoming | PreparedImage | Refused],
    *,
    limits: Limits,
    on_item: Callable[[str], None] = lambda name: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> AdmissionReport:
    """Take images into a dataset one by one; one that is refused stops no other.

    Args:
        store: where the dataset is.
        scope: the dataset and who adds to it.
        incoming: files as `scan.unpack_uploads` gives them, or prepared images.
        limits: how large an image and a dataset may be.
        on_item: called with each file's name once it is dealt with.
        should_stop: asked ten times a second, also while an image is decoded.
    """
    added, present, refused = [], [], []
    room = _Room(store, scope, limits)
    with_room = (room.checked(file) for file in incoming)
    prepared = prepare_each(with_room, limits, should_stop=should_stop)
    with suppress(WorkerCancelledError), closing(prepared):
        for image in prepared:
            taken = _stored(store, scope, room.checked(image))
            if isinstance(taken, Refused):
                refused.append(taken)
            elif taken.is_new:
                added.append(taken.record.image_id)
                room.take(taken.record.byte_count)
            else:
                present.append(image.file_name)
            on_item(image.file_name)
    for image in refused:
        _log.info("File refused: %s: %s", image.file_name, image.reason)
    _log.info(
        "Upload: %d images added, %d present already, %d refused",
        *(len(added), len(present), len(refused)),
    )
    return AdmissionReport(tuple(added), tuple(present), tuple(refused))


def _stored(
    store: Store, scope: Scope, image: PreparedImage | Refused
) -> AddedImage | Refused:
    if isinstance(image, Refused):
        return image
    try:
        return store.add_image(
            scope,
            image.data,
            file_name=image.file_name,
            size=image.size,
            quality=image.quality,
        )
    except ImageBaseError as error:
        return Refused(image.file_name, str(error))


class _Room:
    """What a dataset still has room for; counted again now and then."""

    def __init__(self, store: Store, scope: Scope, limits: Limits) -> None:
        self._store, self._scope, self._limits = store, scope, limits
        self._checks = self._images = self._held_bytes = 0

    def checked(self, file: _File) -> _File | Refused:
        """Return a file that has room, or why it has none."""
        if isinstance(file, Refused):
            return file
        if self._checks % _COUNT_EVERY == 0:
            usage = self._store.usage(self._scope)
            self._images, self._held_bytes = usage.images, usage.byte_count
        self._checks += 1
        try:
            self._check_dataset(file.file_name, len(file.data))
            check_room(self._limits, wanted=len(file.data))
        except ImageBaseError as error:
            return Refused(file.file_name, str(error))
        return file

    def take(self, byte_count: int) -> None:
        """Count an image that was added."""
        self._images += 1
        self._held_bytes += byte_count

    def _check_dataset(self, name: str, byte_count: int) -> None:
        limits = self._limits
        if self._images >= limits.max_dataset_images:
            raise LimitError(
                f"{name}: this dataset is full at {self._images:,} images; "
                "export it or begin another one."
            )
        if self._held_bytes + byte_count > limits.max_dataset_bytes:
            raise LimitError(
                f"{name}: this dataset may hold "
                f"{limits.max_dataset_bytes // 1_000_000:,} MB; "
                "export it or begin another one."
            )

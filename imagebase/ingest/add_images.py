"""Add images to a dataset; report those added, present and refused."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from imagebase.disk_space import check_room
from imagebase.errors import ImageBaseError, LimitError
from imagebase.images.scan import Incoming, Refused, prepare
from imagebase.settings import Limits
from imagebase.store import Scope, Store

_log: Final = logging.getLogger(__name__)

# Other tabs fill the dataset too; to count it for each image would take too long.
_COUNT_EVERY: Final = 10


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
    incoming: Iterable[Incoming | Refused],
    *,
    limits: Limits,
    on_item: Callable[[str], None] = lambda name: None,
) -> AdmissionReport:
    """Take images into a dataset one by one; one that is refused stops no other.

    Args:
        store: where the dataset is.
        scope: the dataset and who adds to it.
        incoming: files as `intake.unpack_uploads` gives them.
        limits: how large an image and a dataset may be.
        on_item: called with each file's name once it is dealt with.
    """
    added, present, refused = [], [], []
    images = held_bytes = 0
    for number, image in enumerate(incoming):
        if number % _COUNT_EVERY == 0:
            usage = store.usage(scope)
            images, held_bytes = usage.images, usage.byte_count
        if isinstance(image, Refused):
            refused.append(image)
            on_item(image.file_name)
            continue
        try:
            _check_dataset(image, images, held_bytes, limits)
            check_room(limits, wanted=len(image.data))
            prepared = prepare(image, limits)
            taken = store.add_image(
                scope,
                prepared.data,
                file_name=prepared.file_name,
                size=prepared.size,
                quality=prepared.quality,
            )
        except ImageBaseError as error:
            refused.append(Refused(image.file_name, str(error)))
        else:
            if taken.is_new:
                added.append(taken.record.image_id)
                images += 1
                held_bytes += len(prepared.data)
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


def _check_dataset(
    incoming_file: Incoming, images: int, held_bytes: int, limits: Limits
) -> None:
    if images >= limits.max_dataset_images:
        raise LimitError(
            f"{incoming_file.file_name}: this dataset is full at {images:,} images; "
            "export it or begin another one."
        )
    if held_bytes + len(incoming_file.data) > limits.max_dataset_bytes:
        raise LimitError(
            f"{incoming_file.file_name}: this dataset may hold "
            f"{limits.max_dataset_bytes // 1_000_000:,} MB; "
            "export it or begin another one."
        )

"""A label set that was read, as one to be written: on disk, image by image."""

from collections.abc import Callable, Iterator, Set
from typing import Any, Final, NamedTuple

from imagebase.annotation import ImageRecord, ReviewStatus, Size
from imagebase.formats.base import PARTS, ExportImage, ReadImage, StoredImages
from imagebase.formats.file_names import NameTaker, flat_name, safe_path
from imagebase.formats.placement import Frame, fitted
from imagebase.formats.reader import LabelReader
from imagebase.formats.scratch import DiskSet, from_bytes, scratch_database, to_bytes

_SCHEMA: Final = """
CREATE TABLE image (
    number INTEGER PRIMARY KEY, image_id BLOB, width INTEGER, height INTEGER,
    orientation INTEGER, wanted BLOB, name BLOB
)
"""


class Placed(NamedTuple):
    """What becomes of an image that was read.

    image_id: stands for its file. size: of its upright file. name: as it would be
    called if it were alone. orientation: of the file, EXIF's.
    """

    image_id: str
    size: Size
    name: str
    orientation: int = 1


class StoredSet(StoredImages):
    """The images of a collector that are placed, in their order.

    is_flat: their names are to have no folders. keeps_names: they stay as they are;
    otherwise they are made safe and unique, as `export_names` does it.
    """

    def __init__(
        self,
        collector: LabelReader,
        place: Callable[[ReadImage], Placed | None],
        *,
        is_flat: bool,
        keeps_names: bool,
    ) -> None:
        self._collector = collector
        self._database = scratch_database(_SCHEMA)
        self._count = 0
        self._parts: set[str] = set()
        self._without_part = 0
        self.has_flat_names = is_flat
        for number, image in enumerate(collector.images(is_bare=True)):
            placed = place(image)
            if placed is not None:
                self._add(number, placed)
                self._parts.add(_part(image))
                self._without_part += not image.part
        if keeps_names:
            self._database.execute("UPDATE image SET name = wanted")
        else:
            self._name()

    def close(self) -> None:
        self._database.close()

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[ExportImage]:
        rows = self._database.execute("SELECT * FROM image ORDER BY number")
        wanted = next(rows, None)
        for number, image in enumerate(self._collector.images(is_bare=True)):
            if wanted is not None and wanted[0] == number:
                yield _export_image(image, wanted)
                wanted = next(rows, None)

    def names(self) -> Iterator[str]:
        rows = self._database.execute("SELECT name FROM image ORDER BY number")
        return (from_bytes(name) for (name,) in rows)

    def parts(self) -> Set[str]:
        return self._parts

    @property
    def unplaced(self) -> int:
        """How many images a split says nothing of, where there is one."""
        return self._without_part if self._parts > {PARTS[0]} else 0

    def _add(self, number: int, placed: Placed) -> None:
        name = flat_name(placed.name) if self.has_flat_names else placed.name
        texts = to_bytes(placed.image_id), to_bytes(name)
        self._database.execute(
            "INSERT INTO image VALUES (?, ?, ?, ?, ?, ?, NULL)",
            (number, texts[0], *placed.size, placed.orientation, texts[1]),
        )
        self._count += 1

    def _name(self) -> None:
        """Give names: to those that keep theirs first, then to the others."""
        sets = DiskSet(), DiskSet(), DiskSet()
        taker = NameTaker(*sets)
        self._name_by(lambda name: name if taker.take(name) else None)
        self._name_by(taker.numbered)
        for one in sets:
            one.close()

    def _name_by(self, give: Callable[[str], str | None]) -> None:
        rows = "SELECT number, wanted FROM image WHERE name IS NULL ORDER BY number"
        update = "UPDATE image SET name = ? WHERE number = ?"
        for number, wanted in self._database.execute(rows):
            name = give(safe_path(from_bytes(wanted)))
            if name is not None:
                self._database.execute(update, (to_bytes(name), number))


def _export_image(image: ReadImage, row: tuple[Any, ...]) -> ExportImage:
    _, image_id, width, height, orientation, _, name = row
    size = Size(width, height)
    placed = fitted(image, Frame(size, orientation)).image
    record = ImageRecord(
        image_id=from_bytes(image_id),
        file_name=image.name,
        size=size,
        annotations=placed.annotations,
        status=ReviewStatus.APPROVED,
        tags=image.tags,
        ignored=placed.regions,
    )
    return ExportImage(record, from_bytes(name), part=_part(image))


def _part(image: ReadImage) -> str:
    """Return where an image goes: to training where nothing else is said of it."""
    return image.part or PARTS[0]

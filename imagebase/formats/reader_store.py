"""Images, boxes and remarks read so far, kept on disk."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple

from imagebase.annotation import Annotation, Attributes, Box, Size, Source
from imagebase.annotation.areas import Shape, shape_json, shape_of_json
from imagebase.formats.base import ReadImage, Remark
from imagebase.formats.scratch import from_bytes, scratch_database, to_bytes
from imagebase.formats.split import part_in


@dataclass(slots=True)
class Entry:
    """An image that is being taken in.

    key: that it is known by: the path of its file, or what stands for one that is not
        there. name: what its label file calls it, short.
    path, others: its file, empty where none is known; those that may be meant.
    stated, stated_in: how the first label file has it, and which that is.
    fit: how well its file fits that, as bytes that compare.
    file, earlier: the file whose boxes come in now, and how many boxes those before
        it had. boxes: how many there are, crowds too.
    part: None where nothing has named one yet, empty where two were named.
    """

    image_id: int
    key: str
    name: str
    size: Size | None
    is_relative: bool
    path: str = ""
    others: tuple[str, ...] = ()
    stated: str = ""
    stated_in: str = ""
    fit: bytes = b""
    file: str = ""
    earlier: int = 0
    boxes: int = 0
    part: str | None = None


class StatedImage(NamedTuple):
    """An image as a label file has it, and the file that it means; as in `Entry`."""

    key: str
    name: str
    path: str = ""
    others: tuple[str, ...] = ()
    stated: str = ""
    stated_in: str = ""
    fit: bytes = b""


def state_of(entry: Entry) -> tuple[object, ...]:
    width, height = entry.size or (None, None)
    texts = (entry.path, entry.stated, entry.stated_in)
    path, stated, stated_in = (to_bytes(text) or None for text in texts)
    return (
        *(to_bytes(entry.name), path, joined_texts(entry.others)),
        *(stated, stated_in, entry.fit, width, height, entry.is_relative),
        *(to_bytes(entry.file), entry.earlier, entry.boxes, entry.part),
        entry.image_id,
    )


def entry_of(row: tuple[Any, ...]) -> Entry:
    image_id, key, name, path, others, stated, stated_in, fit, width, height = row[:10]
    is_relative, file, earlier, boxes, part = row[10:]
    return Entry(
        image_id,
        from_bytes(key),
        from_bytes(name),
        None if width is None else Size(width, height),
        bool(is_relative),
        from_bytes(path or b""),
        split_texts(others),
        from_bytes(stated or b""),
        from_bytes(stated_in or b""),
        fit,
        from_bytes(file),
        earlier,
        boxes,
        part,
    )


def joined_texts(texts: Iterable[str]) -> bytes | None:
    return to_bytes("\0".join(texts)) or None


def split_texts(data: bytes | None) -> tuple[str, ...]:
    return tuple(from_bytes(data).split("\0")) if data else ()


_BUFFERED_BOXES: Final = 1000
_ENTRIES_AT_HAND: Final = 5000
_SCHEMA: Final = """
CREATE TABLE image (
    id INTEGER PRIMARY KEY, key BLOB UNIQUE, name BLOB, path BLOB, others BLOB,
    stated BLOB, stated_in BLOB, fit BLOB, width INTEGER, height INTEGER,
    is_relative INTEGER, file BLOB, earlier INTEGER, boxes INTEGER, part TEXT
);
CREATE TABLE box (
    image INTEGER, number INTEGER, label INTEGER,
    x_min REAL, y_min REAL, x_max REAL, y_max REAL,
    source INTEGER, confidence REAL, is_crowd INTEGER, attributes TEXT,
    PRIMARY KEY (image, number)
) WITHOUT ROWID;
CREATE TABLE tag (
    image INTEGER, label INTEGER, number INTEGER, PRIMARY KEY (image, label)
) WITHOUT ROWID;
CREATE TABLE region (image INTEGER, shape TEXT);
CREATE INDEX region_image ON region (image);
CREATE TABLE remark (is_skipped INTEGER, file BLOB, at BLOB, reason BLOB);
CREATE TABLE link (file INTEGER, key BLOB, image INTEGER, PRIMARY KEY (file, key))
WITHOUT ROWID;
"""
_SOURCES: Final = tuple(Source)
_BARE: Final[dict[str, Any]] = {"annotation_id": "", "changed_at": datetime.min}


class BoxRow(NamedTuple):
    """A box that is kept. label: its number."""

    box: Box
    label: int
    source: Source
    confidence: float | None
    is_crowd: bool
    attributes: Attributes | None = None


class ReaderStore:
    """Takes in images, and gives them back in the order in which they came."""

    def __init__(self) -> None:
        self._database = scratch_database(_SCHEMA)
        self._entries: dict[str, Entry] = {}
        self._boxes: list[tuple[object, ...]] = []
        self.images = 0
        self.boxes_read = 0
        self.tags = 0
        self.regions = 0

    def close(self) -> None:
        self._database.close()

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._boxes.clear()
        self.images = self.boxes_read = self.tags = self.regions = 0
        for table in ("image", "box", "tag", "region", "remark", "link"):
            self._database.execute(f"DELETE FROM {table}")

    def add_image(
        self,
        image: StatedImage,
        size: Size | None,
        *,
        is_relative: bool,
        part: str = "",
    ) -> None:
        """Take in an image; one that is there already stays, and may gain a size."""
        known = self.find(image.key)
        if known is not None:
            known.size = known.size or size
            known.part = _merged_part(known.part, part)
            return
        self.images += 1
        entry = Entry(
            self.images,
            image.key,
            image.name,
            size,
            is_relative,
            *image[2:],
            part=part or None,
        )
        self._keep_at_hand(entry)
        # The rest of the row is written when the entry goes.
        self._database.execute(
            "INSERT INTO image (id, key) VALUES (?, ?)",
            (self.images, to_bytes(image.key)),
        )

    def find(self, key: str) -> Entry | None:
        """Return an image; changes made to it are kept, but for its key."""
        if key in self._entries:
            return self._entries[key]
        row = self._database.execute(
            "SELECT * FROM image WHERE key = ?", (to_bytes(key),)
        ).fetchone()
        return None if row is None else self._keep_at_hand(entry_of(row))

    def rename(self, entry: Entry, key: str) -> None:
        """Let an image be known by another key, which none has, and have no file."""
        self._write()
        others = entry.others or (entry.path,)
        self._database.execute(
            "UPDATE image SET key = ?, path = NULL, others = ? WHERE id = ?",
            (to_bytes(key), joined_texts(others), entry.image_id),
        )

    def settle(self, find: Callable[[Entry], StatedImage]) -> None:
        """Give each image one name, and a file to those that nobody looked for yet.

        Of several of one name each is called by its key.
        """
        self._write()
        rows = "SELECT * FROM image WHERE stated_in IS NULL"
        update = "UPDATE image SET path = ?, others = ? WHERE id = ?"
        for entry in map(entry_of, self._database.execute(rows).fetchall()):
            match = find(entry)
            texts = to_bytes(match.path) or None, joined_texts(match.others)
            self._database.execute(update, (*texts, entry.image_id))
        self._database.execute("CREATE INDEX IF NOT EXISTS by_name ON image (name)")
        shared = "SELECT name FROM image GROUP BY name HAVING count(*) > 1"
        rename = "UPDATE image SET name = key WHERE name <> key AND name IN"
        # A key may be the name of yet another image.
        while self._database.execute(f"{rename} ({shared})").rowcount:
            pass

    def _keep_at_hand(self, entry: Entry) -> Entry:
        if len(self._entries) >= _ENTRIES_AT_HAND:
            self._write()
        self._entries[entry.key] = entry
        return entry

    def add_box(self, entry: Entry, row: BoxRow) -> None:
        source = _SOURCES.index(row.source)
        attributes = json.dumps(row.attributes) if row.attributes else None
        rest = (source, row.confidence, row.is_crowd, attributes)
        self._boxes.append((entry.image_id, entry.boxes, row.label, *row.box, *rest))
        entry.boxes += 1
        self.boxes_read += not row.is_crowd
        if len(self._boxes) >= _BUFFERED_BOXES:
            self._write_boxes()

    def has_box(self, entry: Entry, box: Box, label: int) -> bool:
        """Say whether an earlier file brought this very box of this image."""
        self._write_boxes()
        row = self._database.execute(
            "SELECT 1 FROM box WHERE image = ? AND number < ? AND label = ?"
            " AND x_min = ? AND y_min = ? AND x_max = ? AND y_max = ?",
            (entry.image_id, entry.earlier, label, *box),
        )
        return row.fetchone() is not None

    def add_tag(self, entry: Entry, label: int) -> None:
        done = self._database.execute(
            "INSERT OR IGNORE INTO tag SELECT ?, ?, count(*) FROM tag WHERE image = ?",
            (entry.image_id, label, entry.image_id),
        )
        self.tags += done.rowcount

    def add_region(self, entry: Entry, shape: Shape) -> None:
        """Take in an area that nobody labels."""
        self.regions += 1
        self._database.execute(
            "INSERT INTO region VALUES (?, ?)",
            (entry.image_id, json.dumps(shape_json(shape))),
        )

    def _regions_of(self, image_id: int) -> tuple[Shape, ...]:
        if not self.regions:
            return ()
        rows = self._database.execute(
            "SELECT shape FROM region WHERE image = ? ORDER BY rowid", (image_id,)
        )
        return tuple(shape_of_json(json.loads(row[0])) for row in rows)

    def add_remark(self, remark: Remark, *, is_skipped: bool) -> None:
        self._database.execute(
            "INSERT INTO remark VALUES (?, ?, ?, ?)",
            (is_skipped, *map(to_bytes, remark)),
        )

    def remarks(self, *, skipped: bool) -> Iterator[Remark]:
        rows = self._database.execute(
            "SELECT file, at, reason FROM remark WHERE is_skipped = ? ORDER BY rowid",
            (skipped,),
        )
        return (Remark(*map(from_bytes, row)) for row in rows)

    def link(self, file: int, key: str, entry: Entry) -> bool:
        """Let a key of a file stand for an image; False where it stands for another."""
        done = self._database.execute(
            "INSERT OR IGNORE INTO link VALUES (?, ?, ?)",
            (file, to_bytes(key), entry.image_id),
        )
        return done.rowcount > 0

    def linked(self, file: int, key: str) -> str | None:
        """Return the image that an id of a file stands for, by what it is known by."""
        row = self._database.execute(
            "SELECT image.key FROM link JOIN image ON id = link.image"
            " WHERE link.file = ? AND link.key = ?",
            (file, to_bytes(key)),
        ).fetchone()
        return None if row is None else from_bytes(row[0])

    def place_by_folders(self) -> None:
        """Split by the folders in names, if nothing else splits and each name has one.

        A single folder of such a name divides nothing.
        """
        self._write()
        self._database.create_function("part_in", 2, _part_in, deterministic=True)
        # Most sets show at their first image that it is not so.
        where = "WHERE part IS NOT NULL OR part_in(key, name) IS NULL"
        if self._database.execute(f"SELECT 1 FROM image {where} LIMIT 1").fetchone():
            return
        named = "SELECT DISTINCT part_in(key, name) FROM image LIMIT 2"
        if len(self._database.execute(named).fetchall()) > 1:
            self._database.execute("UPDATE image SET part = part_in(key, name)")

    def read_images(
        self, labels: tuple[str, ...], *, is_bare: bool = False
    ) -> Iterator[ReadImage]:
        """Yield the images in order.

        Args:
            labels: by their numbers.
            is_bare: boxes need no id and no time of their own.
        """
        self._write()
        boxes = _Groups(self._database.execute("SELECT * FROM box"))
        tags = _Groups(
            self._database.execute("SELECT * FROM tag ORDER BY image, number")
        )
        for row in self._database.execute("SELECT * FROM image ORDER BY id"):
            groups = boxes.of(row[0]), tags.of(row[0])
            image = _image(row, *groups, labels, is_bare=is_bare)
            regions = self._regions_of(row[0])
            yield replace(image, regions=regions) if regions else image

    def read_image(self, name: str, labels: tuple[str, ...]) -> ReadImage | None:
        """Return one image by its name."""
        self._write()
        row = self._database.execute(
            "SELECT * FROM image WHERE name = ?", (to_bytes(name),)
        ).fetchone()
        if row is None:
            return None
        which = (row[0],)
        boxes = self._database.execute("SELECT * FROM box WHERE image = ?", which)
        tags = self._database.execute(
            "SELECT * FROM tag WHERE image = ? ORDER BY number", which
        )
        image = _image(row, boxes, tags, labels)
        return replace(image, regions=self._regions_of(row[0]))

    def _write(self) -> None:
        self._write_boxes()
        self._database.executemany(
            "UPDATE image SET name = ?, path = ?, others = ?, stated = ?,"
            " stated_in = ?, fit = ?, width = ?, height = ?, is_relative = ?,"
            " file = ?, earlier = ?, boxes = ?, part = ? WHERE id = ?",
            map(state_of, self._entries.values()),
        )
        self._entries.clear()

    def _write_boxes(self) -> None:
        if self._boxes:
            marks = "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
            insert = f"INSERT INTO box VALUES ({marks})"
            self._database.executemany(insert, self._boxes)
            self._boxes.clear()


class _Groups:
    """Rows that begin with an image's id, in the order of the ids, image by image."""

    def __init__(self, rows: Iterable[tuple[Any, ...]]) -> None:
        self._groups = groupby(rows, key=itemgetter(0))
        self._next = next(self._groups, None)

    def of(self, image_id: int) -> list[tuple[Any, ...]]:
        if self._next is None or self._next[0] != image_id:
            return []
        rows = list(self._next[1])
        self._next = next(self._groups, None)
        return rows


def _merged_part(known: str | None, part: str) -> str | None:
    """Merge the split known so far with that of another file."""
    if not part:
        return known
    return part if known in (None, part) else ""


def _part_in(key: bytes, name: bytes) -> str | None:
    return part_in(from_bytes(key)) or part_in(from_bytes(name)) or None


def _image(
    row: tuple[Any, ...],
    boxes: Iterable[tuple[Any, ...]],
    tags: Iterable[tuple[Any, ...]],
    labels: tuple[str, ...],
    *,
    is_bare: bool = False,
) -> ReadImage:
    entry = entry_of(row)
    groups: tuple[list[Annotation], list[Annotation]] = ([], [])
    make: Callable[..., Annotation] = Annotation
    if is_bare:
        make = partial(Annotation, **_BARE)
    for _, _, label, *box, source, confidence, is_crowd, attributes in boxes:
        annotation = make(
            Box(*box),
            labels[label],
            source=_SOURCES[source],
            confidence=confidence,
            attributes=json.loads(attributes) if attributes else {},
        )
        groups[is_crowd].append(annotation)
    return ReadImage(
        entry.name,
        entry.size,
        tuple(groups[0]),
        entry.is_relative,
        tuple(groups[1]),
        tuple(labels[label] for _, label, _ in tags),
        entry.part or "",
        entry.path,
        entry.others,
        entry.stated_in,
        entry.stated,
    )

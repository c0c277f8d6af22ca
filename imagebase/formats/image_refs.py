"""What images label files speak of: those whose file is here, and all others."""

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from imagebase.formats.file_names import image_stem
from imagebase.formats.image_index import (
    Found,
    NameIndex,
    image_name,
    stated_path,
)
from imagebase.formats.scratch import Entry, Spool, Stated

if TYPE_CHECKING:
    from imagebase.formats.reader import LabelReader


class ImageClaims:
    """Tells which file each image of the label files is, and lets no two have one.

    A file is that of the name that says most for it; of several that say as much it is
    of none.
    """

    def __init__(self, index: NameIndex, spool: Spool) -> None:
        self.index = index
        self._spool = spool
        self._last_search: tuple[tuple[str, str, str], Found] | None = None
        # How well names fit that had to leave a file, as others fit as well.
        self._contested: dict[str, bytes] = {}

    def clear(self) -> None:
        self._contested.clear()

    def search(self, stated: str, file: str, part: str) -> Found:
        """Return the files that may be meant; rows of one image often follow on."""
        asked = stated, file, part
        if self._last_search is None or self._last_search[0] != asked:
            found = self.index.search(stated, near=file, part=part)
            self._last_search = asked, found
        return self._last_search[1]

    def stated(
        self, name: str, stated: str, file: str, part: str, path: str | None
    ) -> Stated:
        """Return an image as a label file has it; as for `Collector.add_image`."""
        if path:
            return Stated(path, name, path, (), stated, file or path)
        if path is None and not file:
            # Nobody says where: it is looked for once all are here.
            return Stated(name, name, stated=stated)
        found = Found() if path == "" else self.search(stated, file, part)
        if found.path is None:
            own = _own_key(stated, file)
            return Stated(own, name, "", found.paths, stated, file)
        fit = found.fit.strength
        claim = Stated(found.path, name, found.path, (), stated, file, fit)
        if self._is_granted(claim):
            return claim
        own = _own_key(stated, file)
        return Stated(own, name, "", (found.path,), stated, file)

    def _is_granted(self, claim: Stated) -> bool:
        """Say whether a file is that of this name; a worse name has to leave it."""
        if claim.fit <= self._contested.get(claim.path, b""):
            return False
        holder = self._spool.find(claim.path)
        if holder is None or _is_same_image(holder, claim):
            return True
        if claim.fit < holder.fit:
            return False
        if claim.fit == holder.fit:
            self._contested[claim.path] = claim.fit
        self._spool.rename(holder, _own_key(holder.stated, holder.stated_in))
        return claim.fit > holder.fit

    def looked_for(self, entry: Entry) -> Stated:
        """Return an image that nobody has looked for yet, with its file."""
        found = self.index.search(entry.stated or entry.name)
        others = () if found.path else found.paths
        return Stated(entry.key, entry.name, found.path or "", others)


def _own_key(stated: str, file: str) -> str:
    """Return what an image is known by that has no file."""
    folder = file.rpartition("/")[0]
    key = stated_path(stated) or stated
    return f"{folder}/{key}" if folder else key


def _is_same_image(holder: Entry, claim: Stated) -> bool:
    """Say whether two label files, or one twice, mean the same file by what they say.

    Other names in one label file are other images.
    """
    if holder.stated == claim.stated or not holder.fit:
        return True
    is_elsewhere = holder.stated_in != claim.stated_in
    return is_elsewhere and _agrees(holder.fit) and _agrees(claim.fit)


def _agrees(strength: bytes) -> bool:
    return bool(strength[0] or strength[1])


def named_beside(
    collector: "LabelReader", stated: str, *, file: str, field: str
) -> tuple[str, str]:
    """Return the name of a label file's image, and what to look for as its path.

    Where each image has a label file, the image of the same name is meant: what is
    written inside is out of date where images were renamed, and that is said.

    Args:
        stated: what the label file says inside. field: where it says so.
    """
    name, stem = image_name(stated), PurePosixPath(file).stem
    own = collector.find_image(stem, file=file)
    if own is None:
        path = collector.find_image(stated, file=file) if name else None
        return PurePosixPath(path or name or stem).name, stated if name else stem
    called = PurePosixPath(own).name
    is_stale = image_stem(PurePosixPath(name).name) != image_stem(called)
    # Names in a zip may be written in another code page than those inside its files.
    if name and is_stale and collector.find_image(stated, file=file) != own:
        what = f"its {field} says {name}, and it was taken for that of {called}"
        collector.change(file, "", what)
    return called, stem

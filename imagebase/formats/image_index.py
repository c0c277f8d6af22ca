"""Find the image file that a label file means, and the label file of an image."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from imagebase.annotation import clean_text
from imagebase.formats.file_names import image_stem
from imagebase.formats.reader_store import Entry, ReaderStore, StatedImage
from imagebase.formats.split import part_in, part_in_words

if TYPE_CHECKING:
    from imagebase.formats.reader import LabelReader

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_DRIVE: Final = re.compile(r"[A-Za-z]:(?=/)")
_ROOT: Final = re.compile(r"[\\/]|[A-Za-z]:[\\/]")
# Label Studio puts this before the names of uploads.
_UPLOAD_PREFIX: Final = re.compile(r"[0-9a-f]{8}-(?=.)")
# Zips of Windows have names in the code page of its country, which readers of zips
# take for that of the first PCs.
_ZIP_ENCODING: Final = "cp437"
_CODE_PAGES: Final = (
    *("utf-8", "gb18030", "cp932", "big5", "cp949"),
    *("cp850", "cp1252", "cp866", "cp1251", "cp1250", "cp852", "cp737", "cp857"),
)


class Fit(NamedTuple):
    """How well a file fits what a label file states, the most telling first.

    is_there: it is the very path as seen from the label file. shared: folders of both
    that are the same, from the file upwards. has_suffix: it is no other kind of image.
    is_of_part: it lies in a folder of the part that the label file is about. nearness:
    folders that it shares with the label file, from the top. mirrored: the same from
    the bottom, as of `xml/cam1/1.xml`, or of `cam1.csv`, and `images/cam1/1.jpg`.
    is_exact: no letter differs. agrees: no folder of the one contradicts that of the
    other.
    """

    is_there: bool = False
    shared: int = 0
    has_suffix: bool = False
    is_of_part: bool = False
    nearness: int = 0
    mirrored: int = 0
    is_exact: bool = False
    agrees: bool = False

    @property
    def strength(self) -> bytes:
        """How much a name says for this file against other names: bytes compare."""
        signals = (
            *(self.is_there, self.agrees, self.shared),
            *(self.has_suffix, self.is_exact),
        )
        return bytes(min(value, 255) for value in signals)


class FileMatches(NamedTuple):
    """The files that fit equally well: one is the image, several are none of them."""

    paths: tuple[str, ...] = ()
    fit: Fit = Fit()

    @property
    def path(self) -> str | None:
        return self.paths[0] if len(self.paths) == 1 else None


class NameIndex:
    """Finds the image that a label file means, however little it states.

    copies: files that were passed over as they have the content of another.

    Args:
        names: of image files, `/` between the parts.
        is_same: whether files of these names are copies of one image.
    """

    def __init__(
        self,
        names: Iterable[str],
        is_same: Callable[[Sequence[str]], bool] = lambda names: False,
    ) -> None:
        self._names = dict.fromkeys(names)
        self._is_same = is_same
        self.copies: set[str] = set()
        self._by_stem: dict[str, list[str]] | None = None

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def find(self, name: str, *, near: str = "", part: str = "") -> str | None:
        """Return the only image of this name; None where several fit as well."""
        return self.search(name, near=near, part=part).path

    def find_all(self, name: str) -> Sequence[str]:
        """Return every image that fits a name as well as any does."""
        return self.search(name).paths

    def search(self, name: str, *, near: str = "", part: str = "") -> FileMatches:
        """Return the files that fit a name best.

        Args:
            name: as the label file has it: a name with or without suffix, a path of
                this or another machine, a URL.
            near: the label file that has it.
            part: of a split that the label file is about; empty for none.
        """
        stated = stated_path(name)
        folder = near.rpartition("/")[0]
        several = FileMatches()
        for asked in _spellings(stated):
            there = f"{folder}/{asked}" if folder else asked
            if there in self._names and not is_absolute(name):
                return FileMatches((there,), Fit(True, has_suffix=True, is_exact=True))
            if candidates := self._candidates(asked):
                matches = self._best(
                    candidates, _StatedName(asked, there, near, part, is_absolute(name))
                )
                if matches.path:
                    return matches
                several = several if several.paths else matches
        return several

    def _candidates(self, asked: str) -> Sequence[str]:
        last = _folded(PurePosixPath(asked).name)
        stems = self._stems()
        # Without an image's suffix dots belong to the name; "a.b" may be "a.b.jpg", and
        # so may "a.bmp" be "a.bmp.png".
        whole = stems.get(last, []) if image_stem(last) != last else []
        return (*whole, *stems.get(image_stem(last), ()))

    def _stems(self) -> dict[str, list[str]]:
        """Return the names by the stem of their last part; made when first needed."""
        if self._by_stem is None:
            self._by_stem = {}
            for name in self._names:
                stem = image_stem(PurePosixPath(_folded(name)).name)
                self._by_stem.setdefault(stem, []).append(name)
        return self._by_stem

    def _best(self, candidates: Sequence[str], asked: "_StatedName") -> FileMatches:
        fits = {name: asked.fit_of(name) for name in candidates}
        best = max(fits.values())
        names = [name for name, fit in fits.items() if fit == best]
        if len(names) > 1:
            names = _outermost(names)
        if len(names) > 1 and self._is_same(names):
            self.copies.update(names[1:])
            names = names[:1]
        return FileMatches(tuple(names), best)


class _StatedName:
    """A name stated in a label file, to be compared with files.

    there: its path as seen from the label file. is_absolute: whether its first folders
    are those of another machine.
    """

    def __init__(
        self, name: str, there: str, near: str, part: str, is_absolute: bool
    ) -> None:
        self._there = None if is_absolute else _folded(there)
        self._is_absolute = is_absolute
        self._part = part
        *folders, self._last = name.split("/")
        self._folders = [_folded(folder) for folder in reversed(folders)]
        *self._near, last_near = _folded(near).split("/")
        self._near_stem = PurePosixPath(last_near).stem
        self._suffix = PurePosixPath(self._last).suffix.lower()
        self._has_suffix = image_stem(self._last) != self._last

    def fit_of(self, name: str) -> Fit:
        folders = _folded(name).split("/")[:-1]
        last = PurePosixPath(name)
        is_stem = image_stem(last.name) == self._last
        shared = _equal(self._folders, reversed(folders))
        fewer = min(len(self._folders), len(folders))
        return Fit(
            is_there=_folded(name) == self._there,
            shared=shared,
            has_suffix=not self._has_suffix
            or is_stem
            or last.suffix.lower() == self._suffix,
            is_of_part=bool(self._part) and self._is_of_part(folders),
            nearness=_equal(self._near, folders),
            mirrored=self._mirrored(folders[: len(folders) - shared]),
            is_exact=self._last == last.name or (is_stem and not self._has_suffix),
            agrees=self._is_absolute or shared == fewer,
        )

    def _is_of_part(self, folders: Sequence[str]) -> bool:
        """Say whether a folder is that of the part, also as one word of several."""
        named = part_in("/".join([*folders, ""]))
        parts = [named] if named else map(part_in_words, folders)
        return self._part in parts

    def _mirrored(self, folders: Sequence[str]) -> int:
        near = self._near[::-1]
        return max(
            _equal(reversed(folders), near),
            _equal(reversed(folders), [self._near_stem, *near]),
        )


def _folded(text: str) -> str:
    """Return a name without what file systems change in it: case, composed letters."""
    if text.isascii():
        return text.casefold()
    return unicodedata.normalize("NFC", text).casefold()


def _equal(some: Iterable[str], others: Iterable[str]) -> int:
    """Return how many are equal from the first on."""
    count = 0
    for folder, other in zip(some, others, strict=False):
        if folder != other:
            break
        count += 1
    return count


def _outermost(names: list[str]) -> list[str]:
    """Return the one whose folder holds those of all others, as that of copies does."""
    folders = {name: name.rpartition("/")[0] for name in names}
    first = min(names, key=lambda name: len(folders[name]))
    inside = f"{folders[first]}/" if folders[first] else ""
    others = [name for name in names if name != first]
    is_above = all(
        name.startswith(inside) and folders[name] != folders[first] for name in others
    )
    return [first] if is_above else names


def _spellings(stated: str) -> Iterator[str]:
    """Yield what a name may be called on disk, the likeliest first."""
    yield stated
    folder, slash, last = stated.rpartition("/")
    if "%" in stated:
        yield unquote(stated)
    if last != last.strip():
        yield folder + slash + last.strip()
    if _UPLOAD_PREFIX.match(last):
        yield folder + slash + _UPLOAD_PREFIX.sub("", last)
    if not stated.isascii():
        yield from _as_zips_have_it(stated)


def _as_zips_have_it(stated: str) -> Iterator[str]:
    for code_page in _CODE_PAGES:
        try:
            yield stated.encode(code_page).decode(_ZIP_ENCODING)
        except UnicodeError:
            continue


# Rows of one image often follow on.
@lru_cache(maxsize=256)
def stated_path(text: str) -> str:
    """Return what a label file states of an image as a path, whatever it starts at.

    `/` between the parts, without a drive, a server, and what follows a URL's `?`.
    """
    name = text.strip("\0").replace("\\", "/")
    if is_url(name):
        server_and_path = _URL.sub("", name).partition("?")[0].partition("#")[0]
        name = unquote(server_and_path.partition("/")[2])
    name = _DRIVE.sub("", name)
    return "/".join(part for part in name.split("/") if part not in ("", ".", ".."))


def image_name(text: str) -> str:
    """Return an image name from a label file as a relative path with `/`.

    Of an absolute path or a URL, which mean something on one machine only, the last
    part.
    """
    name = clean_text(text)
    path = stated_path(name)
    if is_absolute(name):
        return PurePosixPath(path).name
    return path


def is_absolute(text: str) -> bool:
    """Say whether a path or URL begins at the root of some machine."""
    return _ROOT.match(text) is not None or is_url(text)


def is_url(text: str) -> bool:
    return _URL.match(text) is not None


class Pairs(NamedTuple):
    """by_image: the label file of each image that has one. alone: those of no image.

    repeated: label files of an image that has one already, which is read.
    """

    by_image: dict[str, str]
    alone: list[str]
    repeated: list[str]


def paired(
    images: Iterable[str], label_files: Iterable[str], stem_of: Callable[[str], str]
) -> Pairs:
    """Pair files that have a stem in common; those left over by the end of their paths.

    Folders separate files of the same name. Where the folders of both differ, as with
    labels and images in places of their own, a name that is there once is enough, with
    or without what Label Studio puts before the names of uploads.
    """
    files: dict[str, str] = {}
    repeated = []
    for file in label_files:
        if files.setdefault(stem_of(file), file) != file:
            repeated.append(file)
    stems = {image: stem_of(image) for image in images}
    by_image = {image: files[stem] for image, stem in stems.items() if stem in files}
    used = set(by_image.values())
    left = {stem: file for stem, file in files.items() if file not in used}
    by_image |= _by_ends([stem for stem in stems if stem not in by_image], left)
    used |= set(by_image.values())
    return Pairs(by_image, [f for f in files.values() if f not in used], repeated)


def _by_ends(images: Sequence[str], files: Mapping[str, str]) -> dict[str, str]:
    """Return the one file of each image whose stem fits it best."""
    if not images:
        return {}
    index = NameIndex(images)
    wanted: dict[str, list[tuple[bytes, str]]] = {}
    for stem, file in files.items():
        matches = index.search(stem)
        if matches.path is not None:
            wanted.setdefault(matches.path, []).append((matches.fit.strength, file))
    pairs = {}
    for image, claims in wanted.items():
        (most, file), *others = sorted(claims, reverse=True)
        if not others or others[0][0] < most:
            pairs[image] = file
    return pairs


def short_names(
    names: Iterable[str], shortened: Callable[[str], str]
) -> dict[str, str]:
    """Return a short name for each; the name itself where others have the same one."""
    short = {name: shortened(name) for name in names}
    counts = Counter(short.values())
    return {
        name: short_name if counts[short_name] == 1 else name
        for name, short_name in short.items()
    }


class ImageClaims:
    """Tells which file each image of the label files is, and lets no two have one.

    A file belongs to the name that fits it best; of several that fit equally well it is
    of none.
    """

    def __init__(self, index: NameIndex, store: ReaderStore) -> None:
        self.index = index
        self._store = store
        self._last_search: tuple[tuple[str, str, str], FileMatches] | None = None
        # How well names fit that had to leave a file, as others fit as well.
        self._contested: dict[str, bytes] = {}

    def clear(self) -> None:
        self._contested.clear()

    def search(self, stated: str, file: str, part: str) -> FileMatches:
        """Return the files that may be meant; rows of one image often follow on."""
        asked = stated, file, part
        if self._last_search is None or self._last_search[0] != asked:
            matches = self.index.search(stated, near=file, part=part)
            self._last_search = asked, matches
        return self._last_search[1]

    def stated(
        self, name: str, stated: str, file: str, part: str, path: str | None
    ) -> StatedImage:
        """Return an image as a label file has it; as for `LabelReader.add_image`."""
        if path:
            return StatedImage(path, name, path, (), stated, file or path)
        if path is None and not file:
            # Without a place it is looked for once all are here.
            return StatedImage(name, name, stated=stated)
        matches = FileMatches() if path == "" else self.search(stated, file, part)
        if matches.path is None:
            own = _own_key(stated, file)
            return StatedImage(own, name, "", matches.paths, stated, file)
        fit = matches.fit.strength
        claim = StatedImage(matches.path, name, matches.path, (), stated, file, fit)
        if self._is_granted(claim):
            return claim
        own = _own_key(stated, file)
        return StatedImage(own, name, "", (matches.path,), stated, file)

    def _is_granted(self, claim: StatedImage) -> bool:
        """Say whether a file is that of this name; a worse name has to leave it."""
        if claim.fit <= self._contested.get(claim.path, b""):
            return False
        holder = self._store.find(claim.path)
        if holder is None or _is_same_image(holder, claim):
            return True
        if claim.fit < holder.fit:
            return False
        if claim.fit == holder.fit:
            self._contested[claim.path] = claim.fit
        self._store.rename(holder, _own_key(holder.stated, holder.stated_in))
        return claim.fit > holder.fit

    def looked_for(self, entry: Entry) -> StatedImage:
        """Return an image that nobody has looked for yet, with its file."""
        matches = self.index.search(entry.stated or entry.name)
        others = () if matches.path else matches.paths
        return StatedImage(entry.key, entry.name, matches.path or "", others)


def _own_key(stated: str, file: str) -> str:
    """Return what an image is known by that has no file."""
    folder = file.rpartition("/")[0]
    key = stated_path(stated) or stated
    return f"{folder}/{key}" if folder else key


def _is_same_image(holder: Entry, claim: StatedImage) -> bool:
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

    Where each image has a label file, the image of the same name is meant: the name
    inside is out of date where images were renamed, and that is reported.

    Args:
        stated: the name inside the label file. field: that holds it.
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

"""Which label file is that of which image, where only their names tell."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from imagebase.formats.image_index import NameIndex


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

    Folders tell apart what has the same name. Where the folders of both differ, as with
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
    by_image |= _by_ends([one for one in stems if one not in by_image], left)
    used |= set(by_image.values())
    return Pairs(by_image, [f for f in files.values() if f not in used], repeated)


def _by_ends(images: Sequence[str], files: Mapping[str, str]) -> dict[str, str]:
    """Return the one file of each image whose stem says most for it."""
    if not images:
        return {}
    index = NameIndex(images)
    wanted: dict[str, list[tuple[bytes, str]]] = {}
    for stem, file in files.items():
        found = index.search(stem)
        if found.path is not None:
            wanted.setdefault(found.path, []).append((found.fit.strength, file))
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
    return {name: one if counts[one] == 1 else name for name, one in short.items()}

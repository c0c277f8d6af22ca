"""Which label file is that of which image, where only their names tell."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import NamedTuple


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
    """Pair files that have a stem in common; those left over by the last part of it.

    Folders tell apart what has the same name. Where the folders of both differ, as with
    labels and images in places of their own, a name that is there once is enough.
    """
    files: dict[str, str] = {}
    repeated = []
    for file in label_files:
        if files.setdefault(stem_of(file), file) != file:
            repeated.append(file)
    stems = {image: stem_of(image) for image in images}
    by_image = {image: files[stem] for image, stem in stems.items() if stem in files}
    left_files = _by_last_part({f: s for s, f in files.items()}, by_image.values())
    left_images = _by_last_part(stems, by_image.keys())
    for last, image in left_images.items():
        if image is not None and (file_or_none := left_files.get(last)) is not None:
            by_image[image] = file_or_none
    used = frozenset(by_image.values())
    return Pairs(by_image, [f for f in files.values() if f not in used], repeated)


def _by_last_part(
    stems: dict[str, str], without: Iterable[str]
) -> dict[str, str | None]:
    """Return names by the last part of their stem; None where several share one."""
    found: dict[str, str | None] = {}
    done = frozenset(without)
    for name, stem in stems.items():
        if name not in done:
            last = PurePosixPath(stem).name
            found[last] = None if last in found else name
    return found


def short_names(
    names: Iterable[str], shortened: Callable[[str], str]
) -> dict[str, str]:
    """Return a short name for each; the name itself where others have the same one."""
    short = {name: shortened(name) for name in names}
    counts = Counter(short.values())
    return {name: one if counts[one] == 1 else name for name, one in short.items()}

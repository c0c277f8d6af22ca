"""A large set is handed over in several zips, each a label set of its own."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple


class Weighed(NamedTuple):
    """An image, by the part that a split gives it and about how large it is."""

    part: str
    byte_count: int


def dealt_into_zips(images: Sequence[Weighed], *, most_bytes: int) -> list[list[int]]:
    """Return the places of the images that each zip holds, in their order.

    Each part of a split is dealt out by itself, so that every zip trains, validates and
    tests on its share. Sizes are estimates: a zip may come out a little larger.
    """
    total = sum(one.byte_count for one in images)
    count = max(1, min(-(-total // most_bytes), len(images)))
    held: list[list[int]] = [[] for _ in range(count)]
    whole: defaultdict[str, int] = defaultdict(int)
    for image in images:
        whole[image.part] += image.byte_count + 1
    before: defaultdict[str, int] = defaultdict(int)
    for place, image in enumerate(images):
        # Where its middle lies decides: two of nearly the same size part.
        middle = before[image.part] + (image.byte_count + 1) / 2
        held[int(middle * count / whole[image.part])].append(place)
        before[image.part] += image.byte_count + 1
    return [places for places in held if places]


def zips_without_parts(
    images: Sequence[Weighed], dealt: Sequence[Sequence[int]]
) -> dict[str, int]:
    """Return of how many zips each part is missing, of those parts that there are."""
    held = [{images[place].part for place in places} for places in dealt]
    parts = dict.fromkeys(one.part for one in images)
    missing = {part: sum(part not in parts for parts in held) for part in parts}
    return {part: count for part, count in missing.items() if count}

"""Is this image fit for detection? Warnings only: nothing is ever refused for them.

The thresholds were set on 128 COCO photographs and on copies of them made worse; the
figures are next to each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Quality, Size
from imagebase.images.decode import LoadedImage, RgbArray, fitted_size, resized

# Detectors see about 416 pixels: sharpness that only shows above this size does
# not help them, and only at one size do the figures of different cameras compare.
WORKING_SIDE: Final = 512

# Variance of the Laplacian over the variance of the grey values, so that a dark or
# faint image is not also called blurred. Photographs: 0.036 and up for 99 in 100.
# Blurred by a Gaussian of 2 pixels: 0.019 and less for 99 in 100.
MIN_FOCUS: Final = 0.02
# Mean grey value. Photographs: 40 to 215. At a fifth of their light: below 34 for 95 in
# 100; washed out to 15 % of their range under white: 222 and up.
MIN_BRIGHTNESS: Final = 35.0
MAX_BRIGHTNESS: Final = 220.0
# Standard deviation of the grey values. Photographs: 24 and up. At 15 % of their
# contrast: 15 and less.
MIN_CONTRAST: Final = 18.0
# A net of 416 pixels would enlarge such an image fourfold and see only smoothness.
MIN_SIDE_PX: Final = 100

# Of 64 bits. Copies of the 128 photographs at half the size differ in 4 at most, at
# JPEG quality 40 in 6, brightened in 5 for 99 in 100; different photographs in 14.
MAX_HASH_DISTANCE: Final = 6
# With vectors of the images at least so alike, so many bits: copies with 2 % cut off on
# two sides are all found, with 5 % 93 of 100; of 8,128 pairs of different photographs
# none is, of 66,066 pairs of blood cell images 4 more (docs/assist.md).
MIN_LIKENESS: Final = 0.96
MAX_HASH_DISTANCE_OF_ALIKE: Final = 16

_HASH_SIDE: Final = 8
# A hash in parts.
_BANDS: Final = 4
_BAND_BITS: Final = 16

WARNINGS_IN_WORDS: Final = {
    "blurred": "looks blurred: edges are soft, and boxes will be less exact",
    "dark": "is very dark: objects may be missed",
    "bright": "is very bright: objects may be washed out",
    "flat": "has hardly any contrast: objects may be missed",
    "tiny": f"is tiny: a side has fewer than {MIN_SIDE_PX} pixels",
}


def decoding_size(size: Size) -> Size:
    """Return the size at which `assess` needs an image of this size decoded.

    Twice the working size: shrinking by less softens, and would tell on sharpness.
    """
    return fitted_size(size, longest_side=2 * WORKING_SIDE)


def assess(loaded: LoadedImage) -> Quality:
    """Return what can be measured of an image, with the warnings that follow.

    Pixels decoded smaller do as well, down to `decoding_size`.
    """
    grey = _working_grey(loaded.rgb)
    sharpness = float(cv2.Laplacian(grey, cv2.CV_32F).var())
    brightness, contrast = float(grey.mean()), float(grey.std())
    return Quality(
        sharpness=sharpness,
        brightness=brightness,
        contrast=contrast,
        difference_hash=difference_hash(grey),
        warnings=_warnings(sharpness, brightness, contrast, loaded.size),
    )


def warnings_in_words(quality: Quality) -> list[str]:
    """Return each warning as the rest of a sentence after the image's name."""
    return [WARNINGS_IN_WORDS.get(warning, warning) for warning in quality.warnings]


def difference_hash(grey: NDArray[np.uint8]) -> str:
    """Return 64 bits, as 16 hex digits, that survive scaling and recompression.

    Each bit says whether a cell of a 9 × 8 image is darker than its right neighbour
    (dHash: Krawetz, "Kind of Like That", 2013). Row by row, the highest bit first.
    """
    cells = (_HASH_SIDE + 1, _HASH_SIDE)
    small = np.asarray(cv2.resize(grey, cells, interpolation=cv2.INTER_AREA))
    return np.packbits(small[:, :-1] < small[:, 1:]).tobytes().hex()


def near_duplicates(
    hashes: Mapping[str, str],
    *,
    max_distance: int = MAX_HASH_DISTANCE,
    vectors: Mapping[str, NDArray[np.float32]] | None = None,
) -> list[list[str]]:
    """Return groups of images whose difference hashes are nearly the same.

    Groups have two members at least, and images in the order given; an image is in a
    group when it is near to any other member.

    Args:
        hashes: difference hash by image id.
        max_distance: bits, of 64, that two near duplicates may differ in.
        vectors: of images, of length 1 and shape (D,), where they are known. Then
            copies that are cut off a little are found too: their hashes differ in more
            bits, their vectors hardly do.
    """
    image_ids = list(hashes)
    images = _Hashed(
        np.array([int(hashes[name], 16) for name in image_ids], dtype=np.uint64),
        max_distance,
        _rows(image_ids, vectors or {}),
    )
    left = np.arange(len(image_ids))
    if images.vectors is None and max_distance < 2 * _BANDS:
        # Most images are near to none, and need not be compared with each other.
        left = np.flatnonzero(_has_near(images.bits, max_distance))
    groups = []
    while left.size:
        group, left = _taken_group(images, left)
        if len(group) > 1:
            groups.append([image_ids[index] for index in sorted(group)])
    return groups


@dataclass(frozen=True, slots=True, eq=False)
class _Hashed:
    """N images. bits: (N,). vectors: (N, D), zeros where not known, or None."""

    bits: NDArray[np.uint64]
    max_distance: int
    vectors: NDArray[np.float32] | None

    def is_near(self, image: int, others: NDArray[np.intp]) -> NDArray[np.bool_]:
        distance = np.bitwise_count(self.bits[others] ^ self.bits[image])
        is_near = distance <= self.max_distance
        if self.vectors is not None:
            maybe = np.flatnonzero(~is_near & (distance <= MAX_HASH_DISTANCE_OF_ALIKE))
            alike = self.vectors[others[maybe]] @ self.vectors[image]
            is_near[maybe] = alike >= MIN_LIKENESS
        return np.asarray(is_near)


def _rows(
    image_ids: Sequence[str], vectors: Mapping[str, NDArray[np.float32]]
) -> NDArray[np.float32] | None:
    length = len(next(iter(vectors.values()), ()))
    if not length:
        return None
    rows = np.zeros((len(image_ids), length), np.float32)
    for row, image_id in enumerate(image_ids):
        if image_id in vectors:
            rows[row] = vectors[image_id]
    return rows


def _has_near(bits: NDArray[np.uint64], max_distance: int) -> NDArray[np.bool_]:
    """Say of each hash whether another one differs in at most so many bits, of 7.

    Two such hashes differ in at most one bit of some of the four bands: only hashes
    with such a band are compared (Norouzi, Punjani and Fleet, 2012).
    """
    known, which, counts = np.unique(bits, return_inverse=True, return_counts=True)
    is_near = counts > 1
    turns = np.array([0, *(1 << bit for bit in range(_BAND_BITS))], np.int64)
    for band in range(_BANDS):
        shifted = known >> np.uint64(band * _BAND_BITS)
        key = (shifted & np.uint64((1 << _BAND_BITS) - 1)).astype(np.int64)
        by_key = np.argsort(key, kind="stable")
        first = np.searchsorted(key[by_key], np.arange((1 << _BAND_BITS) + 1))
        for turn in turns:
            asking = np.flatnonzero(~is_near)
            begin, end = first[key[asking] ^ turn], first[(key[asking] ^ turn) + 1]
            # One after the other: a bucket may hold thousands of frames of one scene.
            for step in range(int((end - begin).max(initial=0))):
                left = (begin + step < end) & ~is_near[asking]
                asking, begin, end = asking[left], begin[left], end[left]
                other = by_key[begin + step]
                apart = np.bitwise_count(known[asking] ^ known[other])
                found = (apart <= max_distance) & (asking != other)
                is_near[asking[found]] = True
                is_near[other[found]] = True
    return np.asarray(is_near[which])


def _taken_group(
    images: _Hashed, left: NDArray[np.intp]
) -> tuple[list[int], NDArray[np.intp]]:
    """Return the group of the first index left, and the indices left after it."""
    group, left = [int(left[0])], left[1:]
    # Each index is compared once with all that are left and never paired up: a
    # thousand frames of one scene are half a million pairs.
    for member in group:
        is_near = images.is_near(member, left)
        if is_near.any():
            group.extend(left[is_near].tolist())
            left = left[~is_near]
    return group, left


def _working_grey(rgb: RgbArray) -> NDArray[np.uint8]:
    height, width = rgb.shape[:2]
    small = resized(rgb, fitted_size(Size(width, height), longest_side=WORKING_SIDE))
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _warnings(
    sharpness: float, brightness: float, contrast: float, size: Size
) -> tuple[str, ...]:
    findings = {
        "blurred": sharpness < MIN_FOCUS * contrast**2,
        "dark": brightness < MIN_BRIGHTNESS,
        "bright": brightness > MAX_BRIGHTNESS,
        "flat": contrast < MIN_CONTRAST,
        "tiny": min(size) < MIN_SIDE_PX,
    }
    return tuple(name for name, applies in findings.items() if applies)

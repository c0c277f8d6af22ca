from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from imagebase.annotation import Quality, Size
from imagebase.images import quality
from imagebase.images.decode import (
    LoadedImage,
    encode_jpeg,
    fitted_size,
    load_image,
    resized,
)
from imagebase.images.quality import (
    WARNINGS_IN_WORDS,
    assess,
    decoding_size,
    near_duplicates,
    warnings_in_words,
)
from imagebase.images.scan import sample_photographs

RgbArray = NDArray[np.uint8]


def loaded(rgb: RgbArray) -> LoadedImage:
    return LoadedImage(rgb, Size(rgb.shape[1], rgb.shape[0]))


def blurred(rgb: RgbArray) -> RgbArray:
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), 3), dtype=np.uint8)


def darkened(rgb: RgbArray) -> RgbArray:
    return (rgb * 0.15).astype(np.uint8)


def bleached(rgb: RgbArray) -> RgbArray:
    return (255 - (255 - rgb.astype(np.float32)) * 0.15).astype(np.uint8)


def flattened(rgb: RgbArray) -> RgbArray:
    return (128 + (rgb.astype(np.float32) - 128) * 0.15).astype(np.uint8)


@pytest.fixture(scope="module")
def photographs() -> list[RgbArray]:
    """The sample photographs, decoded."""
    return [
        load_image(path.read_bytes(), file_name=name, max_pixels=10**7).rgb
        for name, path in sample_photographs()
    ]


def bits_apart(a: str, b: str) -> int:
    return (int(a, 16) ^ int(b, 16)).bit_count()


def test_good_photographs_mostly_pass_without_warning(shared_data: Path) -> None:
    warned = []
    paths = sorted((shared_data / "coco_val_dev128" / "images").glob("*.jpg"))
    for path in paths:
        image = load_image(path.read_bytes(), file_name=path.name, max_pixels=10**7)
        if assess(image).warnings:
            warned.append(path.name)
    assert len(paths) == 128
    print(f"\nfalse alarms: {len(warned)} of {len(paths)} photographs {warned}")
    assert len(warned) <= 2


@pytest.mark.parametrize(
    ("spoil", "warning"),
    [
        (blurred, "blurred"),
        (darkened, "dark"),
        (bleached, "bright"),
        (flattened, "flat"),
    ],
)
def test_spoiled_photographs_are_flagged(
    photographs: list[RgbArray], spoil: object, warning: str
) -> None:
    assert callable(spoil)
    assert photographs
    for rgb in photographs:
        assert warning not in assess(loaded(rgb)).warnings
        assert warning in assess(loaded(spoil(rgb))).warnings


def test_dark_or_flat_photographs_are_not_called_blurred(
    photographs: list[RgbArray],
) -> None:
    assert photographs
    for rgb in photographs:
        assert "blurred" not in assess(loaded(flattened(rgb))).warnings


def test_tiny_is_judged_by_the_full_size() -> None:
    rgb = np.zeros((99, 400, 3), np.uint8)
    assert "tiny" in assess(loaded(rgb)).warnings
    assert "tiny" not in assess(LoadedImage(rgb, Size(1600, 396))).warnings


def test_plain_colour_is_measured_without_failing() -> None:
    quality = assess(loaded(np.full((200, 200, 3), 77, np.uint8)))
    assert (quality.sharpness, quality.brightness, quality.contrast) == (0, 77, 0)
    assert quality.difference_hash == "0" * 16
    assert quality.warnings == ("flat",)


def test_one_pixel_is_measured_without_failing() -> None:
    assert "tiny" in assess(loaded(np.zeros((1, 1, 3), np.uint8))).warnings


def test_reduced_decoding_gives_nearly_the_same_figures() -> None:
    name, path = sample_photographs()[0]
    original = load_image(path.read_bytes(), file_name=name, max_pixels=10**7).rgb
    big = encode_jpeg(cv2.resize(original, (2560, 1704)).astype(np.uint8), quality=95)
    full = load_image(big, file_name=name, max_pixels=10**8)
    reduced = load_image(
        big, file_name=name, max_pixels=10**8, wanted=decoding_size(full.size)
    )
    assert reduced.rgb.shape[1] == 1280
    a, b = assess(full), assess(reduced)
    assert b.sharpness == pytest.approx(a.sharpness, rel=0.15)
    assert b.brightness == pytest.approx(a.brightness, abs=1)
    assert bits_apart(a.difference_hash, b.difference_hash) <= 2


def test_copies_are_near_and_different_photographs_far(
    photographs: list[RgbArray],
) -> None:
    hashes = {}
    for index, rgb in enumerate(photographs):
        height, width = rgb.shape[:2]
        half = resized(rgb, fitted_size(Size(width, height), longest_side=320))
        hashes[f"{index}"] = assess(loaded(rgb)).difference_hash
        hashes[f"{index} copy"] = assess(loaded(half)).difference_hash
    pairs = [[f"{n}", f"{n} copy"] for n in range(len(photographs))]
    assert near_duplicates(hashes) == pairs


@pytest.mark.parametrize(("max_distance", "count"), [(0, 0), (1, 1), (2, 1)])
def test_near_duplicates_reach_as_far_as_asked(max_distance: int, count: int) -> None:
    hashes = {"a": "0" * 16, "b": "0" * 15 + "1", "c": "f" * 16}
    groups = near_duplicates(hashes, max_distance=max_distance)
    assert groups == [["a", "b"]] * count


def test_near_duplicates_chain_into_one_group_in_the_order_given() -> None:
    hashes = {"far": "f" * 16, "c": "3".zfill(16), "a": "0" * 16, "b": "1".zfill(16)}
    assert near_duplicates(hashes, max_distance=1) == [["c", "a", "b"]]


def test_vectors_find_copies_whose_hashes_differ_more() -> None:
    hashes = {"a": "0" * 16, "cut": "0fff".zfill(16), "other": "0fff".zfill(16)[::-1]}
    near, far = np.array([[1, 0], [0, 1]], np.float32)
    assert near_duplicates(hashes) == []
    alike = {"a": near, "cut": near, "other": far}
    assert near_duplicates(hashes, vectors=alike) == [["a", "cut"]]
    assert near_duplicates(hashes, vectors={"a": near}) == []


def test_alike_vectors_alone_make_no_duplicate() -> None:
    hashes = {"a": "0" * 16, "b": "fffff".zfill(16)}
    one = np.array([1, 0], np.float32)
    assert near_duplicates(hashes, vectors={"a": one, "b": one}) == []


def test_no_images_have_no_duplicates() -> None:
    assert near_duplicates({}) == []


@pytest.mark.timeout(10)
def test_ten_thousand_images_are_compared_quickly() -> None:
    random = np.random.default_rng(5).integers(0, 2**63, 10_000)
    assert (
        near_duplicates({str(i): f"{bits:016x}" for i, bits in enumerate(random)}) == []
    )
    assert len(near_duplicates({str(i): "0" * 16 for i in range(10_000)})) == 1


@pytest.mark.parametrize("max_distance", [0, 1, 3, 6, 7])
def test_hashes_near_another_are_those_that_all_pairs_show(max_distance: int) -> None:
    random = np.random.default_rng(max_distance)
    bits = random.integers(0, 2**64, 300, dtype=np.uint64)
    for flips in (1, 3, 6, 8):
        turned = bits[:40].copy()
        for _ in range(flips):
            turned ^= np.uint64(1) << random.integers(0, 64, 40).astype(np.uint64)
        bits = np.concatenate([bits, turned, bits[:3]])
    apart = np.bitwise_count(bits[:, None] ^ bits[None, :])
    np.fill_diagonal(apart, 64)
    expected = (apart <= max_distance).any(axis=1)
    np.testing.assert_array_equal(quality._has_near(bits, max_distance), expected)


def test_images_near_to_none_are_not_compared_with_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = []
    taken = quality._taken_group

    def counting(
        images: quality._Hashed, left: NDArray[np.intp]
    ) -> tuple[list[int], NDArray[np.intp]]:
        compared.append(len(left))
        return taken(images, left)

    monkeypatch.setattr(quality, "_taken_group", counting)
    random = np.random.default_rng(5).integers(0, 2**63, 10_000)
    hashes = {str(i): f"{bits:016x}" for i, bits in enumerate([*random, random[0]])}
    assert near_duplicates(hashes) == [["0", "10000"]]
    assert compared == [2]


def test_every_warning_has_words() -> None:
    quality = Quality(1, 2, 3, "0" * 16, tuple(WARNINGS_IN_WORDS))
    assert len(warnings_in_words(quality)) == 5

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebase.export.selection import dealt_into_zips, zips_without_parts


def test_small_set_is_one_zip() -> None:
    zips = dealt_into_zips(["train"] * 5, [10] * 5, most_bytes=50)
    assert zips == [[0, 1, 2, 3, 4]]


def test_two_images_of_nearly_the_same_size_part() -> None:
    for sizes in ((49, 51), (51, 49)):
        zips = dealt_into_zips(["train"] * 2, sizes, most_bytes=60)
        assert zips == [[0], [1]]


def test_every_zip_has_its_share_of_every_part() -> None:
    parts = ["train"] * 80 + ["val"] * 10 + ["test"] * 10
    zips = dealt_into_zips(parts, [10] * 100, most_bytes=200)
    assert [Counter(parts[place] for place in zip_) for zip_ in zips] == [
        Counter(train=16, val=2, test=2)
    ] * 5


@pytest.mark.parametrize("most", [1, 7, 100, 10**6])
@given(
    sizes=st.lists(
        st.tuples(st.sampled_from(["train", "val", "test"]), st.integers(0, 50)),
        min_size=1,
    )
)
def test_every_image_is_in_one_zip(sizes: list[tuple[str, int]], most: int) -> None:
    parts, byte_counts = zip(*sizes, strict=True)
    zips = dealt_into_zips(parts, byte_counts, most_bytes=most)
    assert sorted(place for zip_ in zips for place in zip_) == list(range(len(parts)))
    assert all(zip_ == sorted(zip_) for zip_ in zips)


def test_zips_that_a_part_is_missing_in_are_counted() -> None:
    parts = ["train"] * 8 + ["val"] * 2
    zips = dealt_into_zips(parts, [10] * 10, most_bytes=25)
    assert len(zips) == 4
    assert zips_without_parts(parts, zips) == {"val": 2}
    assert zips_without_parts(parts, [range(10)]) == {}

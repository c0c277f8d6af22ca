import hashlib
import itertools
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebase.annotation import Annotation, Box, ImageRecord, Quality, Size
from imagebase.errors import ExportError
from imagebase.formats.base import PARTS
from imagebase.formats.split import (
    Shares,
    Split,
    SplitCount,
    SplitImage,
    split_by_column,
    split_by_shares,
    split_image,
    table,
    torn_groups,
)
from imagebase.images.decode import LoadedImage, load_image
from imagebase.images.quality import assess
from imagebase.images.scan import sample_photographs

THREE = Shares(0.7, 0.2, 0.1)


def name(number: int) -> str:
    """Return a made image id."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def made(labels: Iterable[Iterable[str]]) -> list[SplitImage]:
    """Return an image for each collection of labels; none is like another."""
    return [SplitImage(name(at), Counter(label)) for at, label in enumerate(labels)]


def sizes(split: Split) -> tuple[int, ...]:
    return tuple(len(split.image_ids(part)) for part in PARTS)


def street(count: int) -> list[SplitImage]:
    """Return images as streets have them: many cars, few trains, some empty."""
    chance = random.Random(4)
    odds = {"car": 0.8, "person": 0.5, "dog": 0.1, "train": 0.03}
    return made(
        [label for label, odd in odds.items() if chance.random() < odd]
        for _ in range(count)
    )


def test_every_image_is_in_one_part_and_the_shares_are_held() -> None:
    assert sizes(split_by_shares(street(1000), THREE)) == (700, 200, 100)


def test_every_label_is_spread_by_the_shares_within_an_image() -> None:
    images = street(1000)
    shown = table(images, split_by_shares(images, THREE), ["car", "train"])
    assert {row.label for row in shown.labels} == {"car", "train", "dog", "person"}
    for row in (*shown.labels, shown.empty):
        for part, share in zip(PARTS, THREE, strict=True):
            assert abs(row.parts[part].images - share * row.total.images) <= 2, row


def test_rarest_label_is_in_every_part_where_chance_would_leave_it_out() -> None:
    images = made([["car"]] * 190 + [["car", "train"]] * 10)
    shown = table(images, split_by_shares(images, THREE), ["train"])
    assert [shown.labels[0].parts[part].images for part in PARTS] == [7, 2, 1]


def test_label_of_one_image_goes_to_the_largest_part() -> None:
    images = made([["car"]] * 30 + [["train"]])
    for seed in range(20):
        split = split_by_shares(images, Shares(0.2, 0.7, 0.1), seed=seed)
        assert split.part_of[name(30)] == "val"


def test_images_each_with_a_label_of_its_own_still_fill_the_parts() -> None:
    images = made([f"label {at}"] for at in range(10))
    assert sizes(split_by_shares(images, Shares(8, 1, 1))) == (8, 1, 1)


def test_empty_images_are_spread_too() -> None:
    images = made([["car"]] * 80 + [[]] * 20)
    shown = table(images, split_by_shares(images, Shares(5, 4, 1)), ["car"])
    assert [shown.empty.parts[part].images for part in PARTS] == [10, 8, 2]
    assert shown.empty.total == (20, 0)


@pytest.mark.parametrize(
    ("count", "shares", "expected"),
    [
        (0, THREE, (0, 0, 0)),
        (1, THREE, (1, 0, 0)),
        (2, THREE, (1, 1, 0)),
        (3, THREE, (1, 1, 1)),
        (4, THREE, (2, 1, 1)),
        (1, Shares(0.1, 0.1, 0.8), (0, 0, 1)),
        (2, Shares(1, 1, 1), (1, 1, 0)),
        (7, Shares(1, 0, 0), (7, 0, 0)),
        (7, Shares(0, 0, 3), (0, 0, 7)),
        (5, Shares(0.5, 0.5, 0), (3, 2, 0)),
        (100, Shares(0.999, 0.001, 0), (99, 1, 0)),
    ],
    ids=str,
)
def test_parts_have_their_shares_in_whole_images(
    count: int, shares: Shares, expected: tuple[int, ...]
) -> None:
    assert sizes(split_by_shares(made([["car"]] * count), shares)) == expected


def test_split_depends_on_neither_order_nor_process() -> None:
    images = street(60)
    expected = split_by_shares(images, THREE, seed=3).part_of
    for seed in range(3):
        shuffled = random.Random(seed).sample(images, len(images))
        assert split_by_shares(shuffled, THREE, seed=3).part_of == expected
    script = (
        "from tests.formats.test_split import *\n"
        "print(sorted(split_by_shares(street(60), THREE, seed=3).part_of.items()))"
    )
    for hash_seed in ("1", "2"):
        shown = subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": "."},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert shown.strip() == str(sorted(expected.items()))


def test_split_of_a_seed_stays_what_it_was() -> None:
    """People keep a seed to have the same split next year."""
    split = split_by_shares(street(200), THREE, seed=7)
    text = "".join(split.part_of[image_id][1] for image_id in sorted(split.part_of))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert digest == "1948496f57f3e746"


def test_another_seed_gives_another_split() -> None:
    images = street(200)
    splits = [split_by_shares(images, THREE, seed=seed) for seed in range(5)]
    for a, b in itertools.combinations(splits, 2):
        assert a.part_of != b.part_of


def test_near_duplicates_stay_on_one_side() -> None:
    frames = [
        SplitImage(name(at), {"car": 1}, f"{(at // 5) * 0x0123456789ABCDEF:016x}"[-16:])
        for at in range(100)
    ]
    split = split_by_shares(frames, THREE)
    assert torn_groups(frames, split) == []
    assert all(count % 5 == 0 for count in sizes(split))
    assert sizes(split) == (70, 20, 10)
    apart = split_by_shares(frames, THREE, max_hash_distance=None)
    assert torn_groups(frames, apart)


def test_copies_of_real_photographs_stay_with_them() -> None:
    records = []
    for file_name, path in sample_photographs():
        rgb = load_image(path.read_bytes(), file_name=file_name, max_pixels=10**7).rgb
        half = np.asarray(cv2.resize(rgb, None, fx=0.5, fy=0.5), dtype=np.uint8)
        for copy, pixels in (("", rgb), (" at half the size", half)):
            size = Size(pixels.shape[1], pixels.shape[0])
            quality = assess(LoadedImage(pixels, size))
            image_id = hashlib.sha256((file_name + copy).encode()).hexdigest()
            records.append(ImageRecord(image_id, file_name, size, quality=quality))
    images = [split_image(record) for record in records]
    assert images
    for seed in range(10):
        part_of = split_by_shares(images, Shares(1, 1, 1), seed=seed).part_of
        for whole, halved in zip(records[::2], records[1::2], strict=True):
            assert part_of[whole.image_id] == part_of[halved.image_id]


def test_group_larger_than_its_part_goes_where_most_room_is() -> None:
    same = [SplitImage(name(at), {"car": 1}, "0" * 16) for at in range(90)]
    others = [SplitImage(name(at), {"dog": 1}) for at in range(90, 100)]
    split = split_by_shares([*same, *others], Shares(8, 2))
    dogs = [split.part_of[other.image_id] for other in others]
    assert Counter(dogs) == {"train": 8, "val": 2}
    assert sizes(split) == (98, 2, 0)


def test_record_counts_boxes_by_label() -> None:
    boxes = [Annotation(Box(0, 0, 1, 1), label) for label in ("cat", "dog", "cat")]
    quality = Quality(1, 1, 1, "00ff00ff00ff00ff")
    record = ImageRecord(
        name(0), "a.jpg", Size(9, 9), annotations=tuple(boxes), quality=quality
    )
    image = split_image(record)
    assert image == SplitImage(name(0), {"cat": 2, "dog": 1}, "00ff00ff00ff00ff")


def test_table_counts_images_and_boxes_and_keeps_unused_labels() -> None:
    images = made([["cat", "cat", "dog"], ["cat"], []])
    parts = dict(zip(map(name, range(3)), ["train", "val", "train"], strict=True))
    shown = table(images, Split(parts), ["bird", "cat"])
    assert [row.label for row in shown.labels] == ["bird", "cat", "dog"]
    bird, cat, dog = shown.labels
    assert bird.total == (0, 0)
    assert cat.parts == {
        "train": SplitCount(1, 2),
        "val": SplitCount(1, 1),
        "test": SplitCount(),
    }
    assert cat.total == (2, 3)
    assert dog.parts["train"] == (1, 1)
    assert shown.empty.parts["train"] == (1, 0)
    assert shown.all_images.parts["train"] == (2, 3)
    assert shown.all_images.total == (3, 4)


def test_column_is_read_in_the_spellings_people_use() -> None:
    column = {"a": "Train ", "b": "valid", "c": "TEST", "d": "validation", "x": "?"}
    split = split_by_column("abcd", column)
    assert split.part_of == {"a": "train", "b": "val", "c": "test", "d": "val"}
    assert split.image_ids("val") == ("b", "d")


def test_column_with_something_else_in_it_is_refused() -> None:
    with pytest.raises(ExportError, match=r"'holdout'.*write train, val or test"):
        split_by_column(["a"], {"a": "holdout"})


def test_image_missing_in_the_column_is_refused_unless_it_has_a_part() -> None:
    with pytest.raises(ExportError, match="says nothing of image a"):
        split_by_column("ab", {"a": " ", "b": "val"})
    filled = split_by_column("ab", {"b": "val"}, otherwise="train")
    assert filled.part_of == {"a": "train", "b": "val"}


def test_column_that_tears_near_duplicates_apart_is_reported() -> None:
    images = [SplitImage(letter, {}, "0" * 16) for letter in "abc"]
    split = split_by_column("abc", {"a": "train", "b": "val", "c": "train"})
    assert torn_groups(images, split) == [["a", "b", "c"]]


@pytest.mark.parametrize(
    "shares", [Shares(0, 0, 0), Shares(-1, 2, 0), Shares(float("nan"), 1, 1)]
)
def test_impossible_shares_are_refused(shares: Shares) -> None:
    with pytest.raises(ExportError, match="share"):
        split_by_shares(street(5), shares)


# Drawing examples is slow on a busy machine, which says nothing of the split.
@given(
    st.lists(st.frozensets(st.sampled_from("abcde"), max_size=3), max_size=40),
    st.tuples(*[st.integers(0, 10)] * 3).filter(any),
    st.integers(0, 5),
    st.data(),
)
def test_any_images_are_split_whole_and_groups_stay_together(
    labels: list[frozenset[str]],
    shares: tuple[int, int, int],
    seed: int,
    data: st.DataObject,
) -> None:
    scenes = data.draw(st.lists(st.integers(0, 99), min_size=1, max_size=40))
    images = [
        SplitImage(
            name(at), Counter(label), f"{2 ** (scenes[at % len(scenes)] % 60):016x}"
        )
        for at, label in enumerate(labels)
    ]
    alone = split_by_shares(images, Shares(*shares), seed=seed, max_hash_distance=None)
    for part, share in zip(PARTS, shares, strict=True):
        wanted = share / sum(shares) * len(images)
        # One for rounding, two for the parts that would otherwise have none.
        assert abs(len(alone.image_ids(part)) - wanted) < 3
        assert share or not alone.image_ids(part)
    together = split_by_shares(images, Shares(*shares), seed=seed, max_hash_distance=0)
    assert list(together.part_of) == [image.image_id for image in images]
    assert torn_groups(images, together, max_hash_distance=0) == []
    shown = table(images, together, "abcde")
    assert shown.all_images.total.images == len(images)

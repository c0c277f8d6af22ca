"""What is shown before an export is what comes of it."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from imagebase.annotation import Size
from imagebase.augmentation import Crop, FlipHorizontally, Mosaic, Noise, Recipe
from imagebase.export.preview import preview_split, variants
from imagebase.export.request import FOLDERS, TAGS, ExportRequest, SplitChoice
from imagebase.formats.registry import read
from imagebase.formats.split import Shares
from imagebase.formats.trees import FolderTree
from imagebase.images.resize import Letterbox
from tests.export.datasets import box, built, dataset, picture

PLAIN = ExportRequest("coco", split=SplitChoice(shares=Shares(0.5, 0.5)))
CAT, DOG = box(10, 10, 50, 40), box(60, 20, 110, 70, label="dog")


def test_table_is_what_the_export_holds(tmp_path: Path) -> None:
    found = dataset(*[[CAT, DOG]] * 3, *[[CAT]] * 4, [])
    seen = preview_split(found, PLAIN)
    assert seen is not None
    result = built(found, PLAIN, tmp_path)
    counts = {
        part: count.images
        for part, count in seen.table.all_images.parts.items()
        if count.images
    }
    assert result.parts == counts == {"train": 4, "val": 4}
    assert [row.label for row in seen.table.labels] == ["cat", "dog"]
    assert [row.total.boxes for row in seen.table.labels] == [7, 3]
    assert seen.table.empty.total.images == 1
    assert (seen.torn, seen.has_places) == (0, True)


def test_only_labels_that_were_chosen_are_counted() -> None:
    found = dataset([CAT, DOG], [DOG], [CAT])
    seen = preview_split(found, replace(PLAIN, labels=("dog",), renumbers=True))
    assert seen is not None
    assert [row.label for row in seen.table.labels] == ["dog"]
    assert seen.table.empty.total.images == 1


def test_no_split_is_nothing_to_look_at() -> None:
    assert preview_split(dataset([CAT]), ExportRequest("coco")) is None


def test_column_that_no_image_has_is_recognised() -> None:
    found = dataset([CAT], [DOG], names=["val/a.png", "b.png"], tags=[["night"], []])
    for by, has_places in ((TAGS, False), (FOLDERS, True)):
        seen = preview_split(found, replace(PLAIN, split=SplitChoice(by)))
        assert seen is not None
        assert seen.has_places == has_places


def test_variants_are_those_of_the_export_to_the_pixel(tmp_path: Path) -> None:
    recipe = Recipe((FlipHorizontally(), Crop(0.5), Noise(probability=1)), Mosaic())
    request = replace(PLAIN, recipe=recipe, resizing=Letterbox(Size(96, 96)))
    found = dataset(*[[CAT, DOG]] * 8)
    seen = preview_split(found, request)
    assert seen is not None
    train = seen.split.image_ids("train")
    shown = list(variants(found, request, train, count=6, max_pixels=10**6))
    assert len(shown) == 6
    assert len({(variant.record.image_id, variant.number) for variant in shown}) == 6
    with zipfile.ZipFile(built(found, request, tmp_path).zips[0].path) as archive:
        archive.extractall(tmp_path / "read")
    held = read(FolderTree(tmp_path / "read"), "coco")
    boxes = {image.name: image.annotations for image in held.images}
    for variant in shown:
        name = variant.record.file_name.replace(".png", f"_v{variant.number}.png")
        data = (tmp_path / "read" / "images" / "train" / name).read_bytes()
        np.testing.assert_array_equal(picture(data), variant.image.rgb)
        np.testing.assert_allclose(
            [tuple(each.box) for each in boxes[name]],
            [tuple(each.box) for each in variant.image.annotations],
            atol=1e-3,
        )


def test_few_images_are_shown_in_turns() -> None:
    request = replace(PLAIN, recipe=Recipe((FlipHorizontally(),), variants=2))
    found = dataset([CAT], [])
    ids = found.image_ids()
    shown = list(variants(found, request, ids, count=6, max_pixels=10**6))
    assert [(variant.record.image_id, variant.number) for variant in shown] == [
        (ids[0], 1),
        (ids[1], 1),
        (ids[0], 2),
        (ids[1], 2),
    ]
    assert not list(variants(found, request, [], count=6, max_pixels=10**6))


def test_lost_image_has_no_variants_and_is_in_none(tmp_path: Path) -> None:
    found = dataset(*[[CAT, DOG]] * 4)
    found.files[found.image_ids()[0]] = b"no picture"
    recipe = Recipe(mosaic=Mosaic(probability=1), variants=2)
    asked = replace(PLAIN, split=None, recipe=recipe)
    made = variants(found, asked, found.image_ids(), count=4, max_pixels=10**7)
    shown = {
        f"{variant.record.file_name}/{variant.number}": variant.image
        for variant in made
    }
    assert sorted(shown) == ["1.png/1", "2.png/1", "3.png/1"]
    with zipfile.ZipFile(built(found, asked, tmp_path).zips[0].path) as archive:
        for name, image in shown.items():
            stem, _, number = name.partition(".png/")
            (path,) = (
                name for name in archive.namelist() if f"{stem}_v{number}.png" in name
            )
            np.testing.assert_array_equal(picture(archive.read(path)), image.rgb)

"""Label sets from one format into another, by the command line and by the library."""

import io
import json
import re
import shutil
import tracemalloc
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from imagebase.annotation import Size
from imagebase.cli import app
from imagebase.formats import reader_store
from imagebase.formats.base import ReadResult, WriteOptions
from imagebase.formats.convert import Conversion, convert
from imagebase.formats.manifest import MANIFEST_FILE as MANIFEST
from imagebase.formats.manifest import REPORT_FILE as REPORT
from imagebase.formats.registry import FORMATS, read
from imagebase.formats.trees import FolderTree
from imagebase.formats.verified_export import export_folder, export_zip
from imagebase.images.decode import encode_png
from tests.formats.builders import box, export_set, record

PNG = encode_png(np.zeros((48, 64, 3), np.uint8))
LABELS = ("zebra", "never used", "a: b")
PETS = export_set(
    record(box(1, 2, 30, 40, label="zebra"), name="a.png"),
    record(box(0, 0, 64, 48, label="a: b"), box(5, 6, 7, 8), name="sub/b.png"),
    record(name="empty.png"),
    labels=LABELS,
)


def convert_cli(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["convert", *map(str, arguments), "--quiet"])


def test_zip_is_the_one_that_the_app_offers(tmp_path: Path) -> None:
    offered = tmp_path / "pets.zip"
    export_zip(PETS, "yolo", images=png_bytes, path=offered)
    source = exported(tmp_path / "coco", "coco")
    written = tmp_path / "again" / "pets.zip"
    done = convert_cli(source, "--to", "yolo", "--zip", written)
    assert done.exit_code == 0, done.output
    assert contents(written) == contents(offered)


def test_coco_zip_has_the_layout_of_the_app(tmp_path: Path) -> None:
    source = exported(tmp_path / "voc", "voc")
    written = tmp_path / "pets.zip"
    assert convert_cli(source, "--to", "coco", "--zip", written).exit_code == 0
    assert sorted(contents(written)) == [
        "annotations/instances_default.json",
        *(f"images/default/{name}.png" for name in ("a", "empty", "sub_b")),
    ]


@pytest.mark.parametrize("options", [[], ["--output", "out", "--zip", "out.zip"]])
def test_results_go_to_a_folder_or_to_a_zip(tmp_path: Path, options: list[str]) -> None:
    source = exported(tmp_path / "voc", "voc")
    done = convert_cli(source, "--to", "coco", *options)
    assert done.exit_code == 2
    assert "--output for a folder, or --zip for one file" in done.stderr


def test_zip_takes_the_place_of_an_earlier_export_only(tmp_path: Path) -> None:
    source = exported(tmp_path / "voc", "voc")
    target = tmp_path / "pets.zip"
    for _ in range(2):
        assert convert_cli(source, "--to", "coco", "--zip", target).exit_code == 0
    target.write_bytes(b"photographs of years")
    done = convert_cli(source, "--to", "coco", "--zip", target)
    assert (done.exit_code, target.read_bytes()) == (1, b"photographs of years")
    assert "is in the way" in done.stderr


def contents(path: Path) -> dict[str, bytes]:
    """Return the files of a zip but for what is said about them."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return {n: d for n, d in files.items() if n not in (MANIFEST, REPORT)}


def png_bytes(image_id: str) -> bytes:
    return PNG


def exported(folder: Path, format_name: str) -> Path:
    export_folder(PETS, format_name, images=png_bytes, folder=folder)
    return folder


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    """Three label files of images of 64 × 48 pixels, and no image."""
    folder = tmp_path / "labels"
    folder.mkdir()
    (folder / "classes.txt").write_text("dog\ncat\n")
    (folder / "a.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    (folder / "b.rf.01.txt").write_text("0 0.5 0.5 1 1\n")
    (folder / "empty.txt").write_text("")
    return folder


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.png", "deep/b.rf.01.png", "empty.png"):
        (folder / name).write_bytes(PNG)
    return folder


def told(
    source: Path, output: Path, to: str, images: Path | None = None
) -> tuple[Conversion, list[str]]:
    sentences: list[str] = []
    done = convert(source, output, to=to, images=images, on_problem=sentences.append)
    return done, sentences


def result_of(output: Path, format_name: str) -> ReadResult:
    return read(FolderTree(output / format_name), format_name)


def coco_names(output: Path) -> list[str]:
    text = (output / "coco" / "annotations.json").read_text(encoding="utf-8")
    return [image["file_name"] for image in json.loads(text)["images"]]


@pytest.mark.parametrize("source_format", FORMATS)
def test_every_format_is_written_in_every_other(
    source_format: str, tmp_path: Path
) -> None:
    source = exported(tmp_path / "source", source_format)
    for target in FORMATS:
        done = convert(source, tmp_path / "out", to=target)
        assert (done.source_format, done.images) == (source_format, 3)
        found = result_of(tmp_path / "out", target)
        assert found.labels.names == (*LABELS, "cat")
        if FORMATS[source_format].has_boxes and FORMATS[target].has_boxes:
            assert done.boxes == 3
            boxes = [
                [tuple(map(round, annotation.box)) for annotation in image.annotations]
                for image in (
                    read_image.in_pixels(Size(64, 48)) for read_image in found.images
                )
            ]
            # In formats that list no images they come in the order of their names.
            assert sorted(boxes) == [
                [],
                [(0, 0, 64, 48), (5, 6, 7, 8)],
                [(1, 2, 30, 40)],
            ]


SPLIT = {"a": "train", "b": "val", "empty": "test"}
IN_PARTS = replace(
    PETS,
    images=tuple(
        replace(image, part=part)
        for image, part in zip(PETS.images, SPLIT.values(), strict=True)
    ),
)


def parts_in(output: Path, format_name: str) -> dict[str, str]:
    """Return where the images of a written set are, by the last of their names."""
    found = result_of(output, format_name).images
    return {
        re.split(r"[/_]", PurePath(image.name).stem)[-1]: image.part for image in found
    }


@pytest.mark.parametrize("with_images", [True, False], ids=["images", "labels only"])
@pytest.mark.parametrize("source_format", FORMATS)
def test_who_trains_and_who_is_tested_stays(
    source_format: str, with_images: bool, tmp_path: Path
) -> None:
    options = WriteOptions(with_images=with_images)
    source = tmp_path / "source"
    export_folder(
        IN_PARTS, source_format, images=png_bytes, folder=source, options=options
    )
    pictures = None
    if not with_images:
        pictures = tmp_path / "pictures"
        export_folder(PETS, "voc", images=png_bytes, folder=pictures)
    for target in FORMATS:
        done, sentences = told(source, tmp_path / "out", target, pictures)
        assert done.images == 3
        assert parts_in(tmp_path / "out", target) == SPLIT, target
        assert not [sentence for sentence in sentences if "split" in sentence]


@pytest.mark.parametrize("source_format", FORMATS)
def test_a_set_without_a_split_stays_without(
    source_format: str, tmp_path: Path
) -> None:
    source = exported(tmp_path / "source", source_format)
    for target in ("yolo", "darknet", "coco"):
        told(source, tmp_path / "out", target)
    assert set(parts_in(tmp_path / "out", "yolo").values()) == {"train"}
    # Both lists have all images, and there is no folder of a part.
    assert set(parts_in(tmp_path / "out", "darknet").values()) == {""}
    assert (tmp_path / "out" / "coco" / "annotations.json").is_file()


def csv_rows(*names: str) -> str:
    rows = "".join(f"{name},64,48,cat,1,2,8,9\n" for name in names)
    return f"filename,width,height,class,xmin,ymin,xmax,ymax\n{rows}"


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        (
            {"a.csv": csv_rows("train/a.jpg", "valid/b.jpg")},
            {"a": "train", "b": "val"},
        ),
        (
            {"train_labels.csv": csv_rows("a.jpg"), "test_labels.csv": csv_rows("b")},
            {"a": "train", "b": "test"},
        ),
        # One folder of such a name, or one among others, divides nothing.
        ({"a.csv": csv_rows("test/a.jpg")}, {"a": "train"}),
        ({"test.csv": csv_rows("a.jpg")}, {"a": "train"}),
        (
            {"a.csv": csv_rows("test/a.jpg", "val/b.jpg", "cats/c.jpg")},
            {"a": "train", "b": "train", "c": "train"},
        ),
        # Who is in two parts is in neither.
        (
            {"train.csv": csv_rows("a.jpg", "b.jpg"), "val.csv": csv_rows("b.jpg")},
            {"a": "train", "b": "train"},
        ),
    ],
    ids=["folders", "files", "a folder", "a file", "some folders", "twice"],
)
def test_a_split_is_read_from_names_that_tell_parts_apart(
    tmp_path: Path, files: dict[str, str], parts: dict[str, str]
) -> None:
    source = tmp_path / "source"
    for name, text in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    told(source, tmp_path / "out", "yolo")
    assert parts_in(tmp_path / "out", "yolo") == parts


def test_images_that_a_split_leaves_out_are_counted(tmp_path: Path) -> None:
    source = tmp_path / "source"
    export_folder(IN_PARTS, "voc", images=png_bytes, folder=source)
    (source / "ImageSets" / "Main" / "test.txt").write_text("")
    _, sentences = told(source, tmp_path / "out", "yolo")
    assert sentences[0] == (
        "Changed: 1 image that the split says nothing of is for training"
    )
    assert parts_in(tmp_path / "out", "yolo") == SPLIT | {"empty": "train"}


def test_sizes_and_names_come_from_the_images(
    tmp_path: Path, yolo: Path, photographs: Path
) -> None:
    done, sentences = told(yolo, tmp_path / "out", "coco", photographs)
    assert (done.images, done.boxes, sentences) == (3, 2, [])
    assert coco_names(tmp_path / "out") == ["a.png", "deep/b.rf.01.png", "empty.png"]
    found = result_of(tmp_path / "out", "coco")
    assert found.labels.names == ("dog", "cat")
    assert found.images[0].size == Size(64, 48)
    assert tuple(found.images[0].annotations[0].box) == (16, 12, 48, 36)


def test_fractions_need_no_size_where_they_stay_fractions(
    tmp_path: Path, yolo: Path
) -> None:
    done, _ = told(yolo, tmp_path / "out", "darknet")
    assert (done.images, done.boxes) == (3, 2)
    written = tmp_path / "out" / "darknet" / "obj"
    assert (written / "a.txt").read_text() == "1 0.500000 0.500000 0.500000 0.500000\n"
    assert (written / "b.rf.01.txt").is_file()


def test_images_without_a_size_are_named_and_the_others_written(
    tmp_path: Path, yolo: Path, photographs: Path
) -> None:
    (photographs / "a.png").unlink()
    (photographs / "empty.png").write_bytes(b"no image")
    done, sentences = told(yolo, tmp_path / "out", "voc", photographs)
    assert done.images == 1
    assert sentences[0].startswith("Left out: empty.png is not an image")
    assert sentences[1] == (
        "Left out: empty.png and 1 more: no image file of this name could be read, and "
        "nothing else says how large the image is"
    )


def test_images_are_copied_where_readers_look_for_them(tmp_path: Path) -> None:
    source = exported(tmp_path / "source", "voc")
    told(source, tmp_path / "out", "yolo")
    told(source, tmp_path / "out", "csv")
    images = tmp_path / "out" / "yolo" / "images" / "train"
    assert sorted(path.name for path in images.iterdir()) == [
        *("a.png", "empty.png", "sub_b.png"),
    ]
    assert (images / "a.png").read_bytes() == PNG
    assert not list((tmp_path / "out" / "csv").rglob("*.png"))


def test_an_image_that_is_missing_is_listed_all_the_same(tmp_path: Path) -> None:
    source = exported(tmp_path / "source", "coco")
    (source / "images" / "empty.png").unlink()
    done, _ = told(source, tmp_path / "out", "labelme")
    assert done.images == 3
    names = {path.name for path in (tmp_path / "out/labelme/images").iterdir()}
    assert {"a.png", "empty.json"} <= names
    assert "empty.png" not in names


def test_an_image_that_exif_turns_is_written_upright(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 48)).save(source / "a.jpg", exif=exif)
    (source / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    told(source, tmp_path / "out", "voc")
    image = result_of(tmp_path / "out", "voc").images[0]
    assert image.size == Size(48, 64)
    assert tuple(image.annotations[0].box) == (12, 16, 36, 48)
    with Image.open(tmp_path / "out" / "voc" / "JPEGImages" / "a.jpg") as copy:
        assert copy.size == (48, 64)


def test_a_size_that_the_labels_have_wrong_is_corrected_and_named(
    tmp_path: Path,
) -> None:
    source = exported(tmp_path / "source", "coco")
    path = source / "annotations.json"
    path.write_text(path.read_text().replace('"width": 64', '"width": 65'))
    _, sentences = told(source, tmp_path / "out", "voc")
    assert sentences[0] == (
        "Changed: a.png: the labels are for 65 × 48 pixels, the image has 64 × 48: "
        "boxes are scaled"
    )
    assert result_of(tmp_path / "out", "voc").images[0].size == Size(64, 48)


Files = Mapping[str, str | bytes]


def remarks(
    source: Path, output: Path, to: str, images: Path | None = None
) -> tuple[Conversion, list[str]]:
    """Return what a conversion says of what it left out or changed alone."""
    done, sentences = told(source, output, to, images)
    return done, [
        sentence for sentence in sentences if sentence.startswith(("Left", "Changed"))
    ]


def coco_of(*names: str, size: tuple[int, int] = (64, 48)) -> str:
    """Return a COCO file with a box for each image: 10, 20 with 30 × 20 pixels."""
    width, height = size
    images = [
        {"id": at, "file_name": name, "width": width, "height": height}
        for at, name in enumerate(names)
    ]
    boxes = [
        {"id": at, "image_id": at, "category_id": 1, "bbox": [10, 20, 30, 20]}
        for at, _ in enumerate(names)
    ]
    categories = [{"id": 1, "name": "cat"}]
    return json.dumps(
        {"images": images, "annotations": boxes, "categories": categories}
    )


def write_all(folder: Path, files: Files) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


def png_of(width: int, height: int, *, shade: int = 0) -> bytes:
    return encode_png(np.full((height, width, 3), shade, np.uint8))


def jpeg_turned(orientation: int, width: int = 64, height: int = 48) -> bytes:
    """Return a JPEG of these stored pixels, which EXIF turns."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (width, height)).save(file, "JPEG", exif=exif)
    return file.getvalue()


def test_images_of_one_name_in_several_folders_stay_several(tmp_path: Path) -> None:
    source = write_all(
        tmp_path / "set",
        {
            "a.json": coco_of("cam1/1.png", "/home/x/cam2/1.png"),
            "images/cam1/1.png": png_of(64, 48),
            "images/cam2/1.png": png_of(64, 48, shade=9),
        },
    )
    done, sentences = remarks(source, tmp_path / "out", "yolo")
    assert (done.images, done.boxes, sentences) == (2, 2, [])
    written = sorted((tmp_path / "out/yolo/images/train").iterdir())
    assert {path.read_bytes() for path in written} == {
        png_of(64, 48),
        png_of(64, 48, shade=9),
    }


def test_a_name_that_may_mean_several_images_is_left_out_and_said(
    tmp_path: Path,
) -> None:
    source = write_all(
        tmp_path / "set",
        {
            "a.json": coco_of("1.png", "2.png"),
            "cam1/1.png": png_of(64, 48),
            "cam2/1.png": png_of(64, 48, shade=9),
            "cam2/2.png": png_of(64, 48),
        },
    )
    done, sentences = remarks(source, tmp_path / "out", "coco")
    assert done.images == 1
    assert sentences == [
        "Left out: 1.png: several images match its name: cam1/1.png, cam2/1.png"
    ]
    (source / "a.json").write_text(coco_of("1.png"))
    result = invoked(source, "--to", "yolo", "--output", tmp_path / "none")
    assert result.exit_code == 1
    assert "cam1/1.png, cam2/1.png" in result.stderr
    assert not (tmp_path / "none").exists()


def test_copies_and_absent_images_are_told_apart(tmp_path: Path) -> None:
    source = write_all(
        tmp_path / "set",
        {
            "a.json": coco_of("1.png", "gone.png"),
            "x/1.png": PNG,
            "y/1.png": PNG,
            "other.png": PNG,
        },
    )
    _, sentences = remarks(source, tmp_path / "out", "yolo")
    assert sentences == [
        "Changed: gone.png: no image file of this name is here; the labels are written "
        "alone",
        "Left out: 1 image that the labels say nothing of",
        "Left out: 1 image that is a copy of another one",
    ]


@pytest.mark.parametrize(
    ("image", "said", "size", "box", "note"),
    [
        (png_of(32, 24), (64, 48), (32, 24), (5, 10, 20, 20), "scaled"),
        (jpeg_turned(6), (64, 48), (48, 64), (8, 10, 28, 40), "turned with it"),
        (jpeg_turned(8), (64, 48), (48, 64), (20, 24, 40, 54), "turned with it"),
        (jpeg_turned(6), (128, 96), (48, 64), (28, 5, 38, 20), "scaled and turned"),
        (jpeg_turned(6), (48, 64), (48, 64), (10, 20, 40, 40), ""),
        (jpeg_turned(3), (64, 48), (64, 48), (10, 20, 40, 40), ""),
    ],
)
def test_boxes_follow_the_image_file(
    tmp_path: Path,
    image: bytes,
    said: tuple[int, int],
    size: tuple[int, int],
    box: tuple[float, ...],
    note: str,
) -> None:
    files: Files = {"a.json": coco_of("a.jpg", size=said), "a.jpg": image}
    source = write_all(tmp_path / "set", files)
    _, sentences = remarks(source, tmp_path / "out", "csv")
    (found,) = result_of(tmp_path / "out", "csv").images
    assert (found.size, tuple(found.annotations[0].box)) == (Size(*size), box)
    assert len(sentences) == bool(note)
    assert note in "".join(sentences)


def test_labels_of_another_image_are_left_out(tmp_path: Path) -> None:
    files: Files = {
        "a.json": coco_of("a.png", "b.png"),
        "a.png": png_of(64, 64),
        "b.png": PNG,
    }
    source = write_all(tmp_path / "set", files)
    done, sentences = remarks(source, tmp_path / "out", "yolo")
    assert done.images == 1
    assert sentences == [
        "Left out: a.png: the labels are for 64 × 48 pixels, the image has 64 × 64: "
        "another image, or a part of it"
    ]


def test_images_of_the_set_given_again_are_the_same(tmp_path: Path) -> None:
    source = exported(tmp_path / "set", "yolo")
    done, sentences = remarks(source, tmp_path / "out", "coco", source / "images")
    assert (done.images, done.boxes, sentences) == (3, 3, [])
    assert coco_names(tmp_path / "out")[0] == "train/a.png"
    done, sentences = remarks(source / "labels", tmp_path / "out", "csv", source)
    assert (done.images, done.boxes) == (3, 3)
    assert [sentence for sentence in sentences if "Left out" in sentence] == []


def test_given_images_go_before_those_beside_the_labels(tmp_path: Path) -> None:
    files: Files = {"a.json": coco_of("a.png"), "a.png": png_of(32, 24)}
    source = write_all(tmp_path / "set", files)
    given = write_all(tmp_path / "large", {"deep/a.png": PNG})
    done, sentences = remarks(source, tmp_path / "out", "yolo", given)
    assert (done.images, sentences) == (1, [])
    (written,) = (tmp_path / "out/yolo/images/train").iterdir()
    assert written.read_bytes() == PNG


def test_what_was_written_before_is_not_read_again(tmp_path: Path) -> None:
    exported(tmp_path, "voc")
    told(tmp_path, tmp_path / "out", "coco")
    done, _ = told(tmp_path, tmp_path / "out", "yolo")
    assert (done.source_format, done.images) == ("voc", 3)


def test_a_set_is_written_beside_itself(tmp_path: Path) -> None:
    exported(tmp_path / "voc", "voc")
    done, _ = told(tmp_path, tmp_path, "coco")
    assert (done.source_format, done.images) == ("voc", 3)


def test_a_zip_is_read(tmp_path: Path) -> None:
    source = exported(tmp_path / "source", "darknet")
    archive = shutil.make_archive(str(tmp_path / "pets"), "zip", source)
    done, _ = told(Path(archive), tmp_path / "out", "yolo")
    assert (done.images, done.boxes) == (3, 3)
    assert (tmp_path / "out/yolo/images/train/a.png").read_bytes() == PNG


def test_names_stay_as_they_are_where_no_image_is_written(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    rows = "".join(f"{n},64,48,cat,1,2,8,9\n" for n in ("a.jpg", "A.JPG", "a.png"))
    source.write_text(f"filename,width,height,class,xmin,ymin,xmax,ymax\n{rows}")
    for target in ("coco", "cvat", "labelstudio"):
        told(source, tmp_path / "out", target)
        found = result_of(tmp_path / "out", target)
        assert [image.name for image in found.images] == ["a.jpg", "A.JPG", "a.png"]
    told(source, tmp_path / "out", "yolo")
    folder = tmp_path / "out" / "yolo" / "labels" / "train"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("A_2.txt", "a.txt", "a_3.txt"),
    ]


def test_darknet_is_given_pictures_that_it_reads(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    rows = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    for name, kind in (("a.webp", "WEBP"), ("b.tif", "TIFF"), ("c.JPG", "JPEG")):
        Image.new("RGB", (64, 48), "grey").save(source / name, kind)
        rows.append(f"{name},64,48,cat,1,1,9,9")
    (source / "labels.csv").write_text("\n".join(rows))
    convert(source, tmp_path / "out", to="darknet")
    written = tmp_path / "out" / "darknet"
    listed = (written / "train.txt").read_text().split()
    assert listed == [f"obj/{name}" for name in ("a.jpg", "b.png", "c.jpg")]
    kinds = []
    for path in (written / path for path in listed):
        with Image.open(path) as image:
            kinds.append(image.format)
        assert path.with_suffix(".txt").read_text()
    assert kinds == ["JPEG", "PNG", "JPEG"]


def test_labels_in_another_format_are_named_where_only_they_have_an_image(
    tmp_path: Path,
) -> None:
    files: dict[str, str | bytes] = {
        "a.json": coco_of("1.png"),
        "1.png": PNG,
        "2.png": PNG + b" ",
        "2.txt": "0 0.5 0.5 0.5 0.5\n",
        "3.png": PNG + b"  ",
        "classes.txt": "cat\n",
    }
    _, sentences = remarks(write_all(tmp_path / "set", files), tmp_path / "out", "coco")
    assert sentences == [
        "Left out: 2 images that the labels say nothing of",
        "Left out: 2.png has labels in Ultralytics YOLO, which were not read",
    ]


def test_a_zip_beside_labels_without_images_is_named(tmp_path: Path) -> None:
    source = write_all(
        tmp_path / "set", {"a.json": coco_of("1.png"), "images.zip": b"PK"}
    )
    _, sentences = remarks(source, tmp_path / "out", "coco")
    assert sentences == [
        "Left out: images.zip is packed: unpack it first if the images are in it"
    ]


def test_images_that_no_label_file_names_are_counted(
    tmp_path: Path, photographs: Path
) -> None:
    source = exported(tmp_path / "source", "coco") / "annotations.json"
    _, sentences = told(source, tmp_path / "out", "csv", photographs)
    assert "Left out: 1 image that the labels say nothing of" in sentences


def test_labels_of_whole_images_are_missed_where_there_are_only_boxes(
    tmp_path: Path,
) -> None:
    source = exported(tmp_path / "source", "classification")
    _, sentences = told(source, tmp_path / "out", "coco")
    assert sentences[0] == (
        "Left out: 3 labels of whole images, as COCO JSON has those of boxes only"
    )


def peak_bytes(folder: Path, images: int, target: str) -> int:
    """Return the most that Python's objects took in a conversion."""
    found = (
        record(*[box(n, 1, n + 9, 20) for n in range(5)], name=f"{number}.jpg")
        for number in range(images)
    )
    export_folder(
        export_set(*found),
        "coco",
        images=png_bytes,
        folder=folder / "coco",
        options=WriteOptions(with_images=False),
    )
    tracemalloc.start()
    convert(folder / "coco", folder / "out", to=target)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize(
    "target", ["csv", pytest.param("createml", marks=pytest.mark.long)]
)
def test_memory_does_not_grow_with_the_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    monkeypatch.setattr(reader_store, "_ENTRIES_AT_HAND", 50)
    monkeypatch.setattr(reader_store, "_BUFFERED_BOXES", 50)
    small = peak_bytes(tmp_path / "small", 100, target)
    large = peak_bytes(tmp_path / "large", 700, target)
    # Held in memory, 600 more images with five boxes each would take 1.6 MB and more.
    assert large - small < 800_000


def invoked(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


def test_command_says_what_it_did_and_what_not(
    tmp_path: Path, yolo: Path, photographs: Path
) -> None:
    (yolo / "a.txt").write_text("1 0.5 0.5 0.5 0.5\n7 0.5 0.5 0.5 0.5\n")
    options = ("--to", "coco", "--output", tmp_path / "out", "--images", photographs)
    result = invoked(yolo, *options)
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "3 images, 2 boxes, 2 labels, 1 remark: yolo to coco in "
    )
    assert result.stdout.count("\n") == 1
    assert result.stderr == (
        "Left out: a.txt, line 2: class id 7 is not among the 2 labels listed, in "
        "'7 0.5 0.5 0.5 0.5'\n"
    )


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--to", "nope"], 2, "There is no annotation format 'nope'; choose one of"),
        (["--to", "coco", "--from", "nope"], 2, "There is no annotation format 'nope'"),
        (["--to", "coco", "--from", "voc"], 1, "There is no Pascal VOC file here"),
        (["--to", "coco", "--images", "/nowhere"], 1, "/nowhere does not exist"),
        (["--to", "coco"], 1, "No image of "),
    ],
    ids=lambda case: " ".join(case) if isinstance(case, list) else "",
)
def test_command_ends_with_its_code_and_a_sentence(
    tmp_path: Path, yolo: Path, options: list[str], code: int, sentence: str
) -> None:
    result = invoked(yolo, "--output", tmp_path / "out", *options)
    assert result.exit_code == code
    assert sentence in result.stderr
    assert result.stdout == ""
    assert not list((tmp_path / "out").glob("*"))


def test_command_needs_a_source_that_is_there(tmp_path: Path) -> None:
    result = invoked(tmp_path / "nope", "--to", "coco", "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert "does not exist; give a folder or a file" in result.stderr


@pytest.mark.parametrize("missing", ["--to", "--output"])
def test_command_needs_to_know_what_and_where(tmp_path: Path, missing: str) -> None:
    options = {"--to": "coco", "--output": str(tmp_path / "out")}
    del options[missing]
    result = invoked(tmp_path, *(text for pair in options.items() for text in pair))
    assert result.exit_code == 2
    assert missing in result.stderr


def test_command_says_what_it_found_instead_of_labels(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("hello")
    result = invoked(tmp_path / "in", "--to", "coco", "--output", tmp_path / "out")
    assert result.exit_code == 1
    assert "No readable labels were found in notes.txt" in result.stderr

"""The Python API: its docstrings' examples and docs/python.md, run as they stand."""

import ast
import doctest
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import imagebase
from imagebase.annotation import Annotation, Box, ReviewStatus, Size
from imagebase.detection.detection_model import ImageInput
from imagebase.errors import (
    AnnotationFileError,
    ImageReadError,
    NotFoundError,
    UnknownLabelError,
)
from imagebase.settings import PROJECT_ROOT, SAMPLES_FOLDER, TEAM_OWNER, settings
from imagebase.store import Scope, Store, open_store
from tests.videos import scenes, write_video

BEAR_SIZE = Size(586, 640)
PHOTOGRAPHS = ("bear.jpg", "kitchen.jpg", "skier.jpg")
DOCUMENT = (PROJECT_ROOT / "docs" / "python.md").read_text(encoding="utf-8")
EXAMPLES = [name for name in imagebase.__all__ if name not in {"__version__"}]


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs, and the label files that a model made of them."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "photos").mkdir()
    for name in PHOTOGRAPHS:
        shutil.copy(SAMPLES_FOLDER / name, folder / "photos")
    write_video(folder / "clip.avi", scenes(1))
    imagebase.annotate(folder / "photos", folder / "labels", formats=["coco", "yolo"])
    return folder


@pytest.fixture
def folder(
    labels: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    migrated_sqlite: Path,
) -> Iterator[Path]:
    """A copy of that folder to work in, with a dataset of the app."""
    shutil.copytree(labels, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "home").mkdir()
    shutil.copy(migrated_sqlite, tmp_path / "home" / "imagebase.db")
    monkeypatch.setenv("IMAGEBASE_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    store = open_store(settings())
    dataset = store.create_dataset(TEAM_OWNER, "My images", who="Ada")
    scope = Scope(TEAM_OWNER, dataset.dataset_id, "Ada")
    add_bear(store, scope)
    store.close()
    yield tmp_path / "work"
    settings.cache_clear()


def add_bear(store: Store, scope: Scope) -> None:
    data = (SAMPLES_FOLDER / "bear.jpg").read_bytes()
    added = store.add_image(
        scope, data, file_name="bear.jpg", size=BEAR_SIZE, quality=None
    )
    store.add_labels(scope, ["bear"])
    box = Annotation(Box(30, 40, 500, 600), "bear", changed_by="Ada")
    record = added.record.with_annotations([box])
    store.save(scope, replace(record, status=ReviewStatus.APPROVED))


def test_every_public_name_is_there_and_documented() -> None:
    assert sorted(imagebase.__all__) == imagebase.__all__
    assert set(imagebase.__all__) <= set(dir(imagebase))
    for name in EXAMPLES:
        assert getattr(imagebase, name).__doc__, name
    with pytest.raises(AttributeError, match="nonsense"):
        _ = imagebase.nonsense  # type: ignore[attr-defined]


def test_type_checker_sees_the_names_that_are_loaded_lazily() -> None:
    tree = ast.parse(Path(imagebase.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = [n for n in block.body if isinstance(n, ast.ImportFrom)]
    names = {f"{n.module}.{alias.name}" for n in imported for alias in n.names}
    lazy = {f"imagebase.{m}.{n}" for n, m in imagebase._MODULE_OF.items()}  # type: ignore[attr-defined]
    assert names == lazy
    assert {n.rpartition(".")[2] for n in names} == {*EXAMPLES}


def test_import_loads_nothing_else() -> None:
    code = "import imagebase, sys; print(*[m for m in sys.modules if '.' not in m])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "imagebase" in loaded
    assert {"numpy", "cv2", "openvino", "PIL", "streamlit"}.isdisjoint(loaded)


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_of_each_docstring(name: str, folder: Path) -> None:
    value = getattr(imagebase, name)
    module = sys.modules[value.__module__]
    finder = doctest.DocTestFinder()
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    report = io.StringIO()
    for test in finder.find(value, name, module=module):
        runner.run(test, out=report.write)
    assert not runner.failures, report.getvalue()
    assert runner.tries or not callable(value) or name in WITHOUT_EXAMPLE


# Values whose fields say it all, and what others' examples show.
WITHOUT_EXAMPLE = {
    "Annotation",
    "Box",
    "Dataset",
    "ImageBaseError",
    "ImageRecord",
    "LabelSet",
    "Size",
}


def code_blocks() -> list[tuple[str, str]]:
    """Return the Python of the document, each with what it prints."""
    blocks = re.findall(r"```(python|text)\n(.*?)```", DOCUMENT, re.DOTALL)
    found = []
    for place, (kind, text) in enumerate(blocks):
        if kind == "python":
            after = blocks[place + 1 : place + 2]
            found.append((text, after[0][1] if after and after[0][0] == "text" else ""))
    return found


def fiftyone() -> ModuleType:
    """Stand in for FiftyOne, which is not among the libraries of the tests."""
    module = ModuleType("fiftyone")

    class Detection:
        def __init__(
            self, *, label: str, bounding_box: list[float], confidence: float | None
        ) -> None:
            assert all(0 <= fraction <= 1 for fraction in bounding_box)
            assert len(bounding_box) == 4

    class Detections:
        def __init__(self, *, detections: list[Detection]) -> None:
            assert detections

    class Sample(dict[str, Detections]):
        def __init__(self, *, filepath: str) -> None:
            assert Path(filepath).is_file()

    class Dataset:
        def __init__(self, name: str) -> None:
            self.count = 0

        def add_samples(self, samples: list[Sample]) -> None:
            self.count = len(samples)

    for kind in (Detection, Detections, Sample, Dataset):
        setattr(module, kind.__name__, kind)
    return module


def test_every_code_block_of_the_document(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fiftyone", fiftyone())
    namespace: dict[str, Any] = {}
    blocks = code_blocks()
    for code, expected in blocks:
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(code, "docs/python.md", "exec"), namespace)
        assert printed.getvalue().split() == expected.split(), code
    assert len(blocks) > 8
    assert namespace["fiftyone_dataset"].count == len(PHOTOGRAPHS)


def test_document_names_every_public_name() -> None:
    assert [name for name in EXAMPLES if f"`{name}`" not in DOCUMENT] == []


def test_path_array_and_pillow_image_give_the_same_boxes(folder: Path) -> None:
    path = folder / "photos" / "kitchen.jpg"
    model = imagebase.load_model(precision="f32")
    bgr = cv2.imread(str(path))
    assert bgr is not None
    with Image.open(path) as opened:
        by_pillow = model(opened)
        by_array = model.detect(np.asarray(opened))
    assert len(by_pillow) > 0
    np.testing.assert_array_equal(by_pillow.xyxy, by_array.xyxy)
    np.testing.assert_allclose(model(path).xyxy, by_array.xyxy, atol=1)
    assert model(bgr[:, :, ::-1]).labels[0] == by_array.labels[0] == "refrigerator"


def test_pillow_image_is_turned_upright_by_its_exif(folder: Path) -> None:
    model = imagebase.load_model(precision="f32")
    with Image.open(folder / "photos" / "bear.jpg") as opened:
        upright = model(opened)
        exif = Image.Exif()
        exif[0x0112] = 6
        opened.rotate(90, expand=True).save("turned.png", exif=exif)
    with Image.open("turned.png") as turned:
        assert turned.size == (opened.height, opened.width)
        np.testing.assert_allclose(model(turned).xyxy, upright.xyxy, atol=1)


def test_detections_have_the_dtypes_and_shapes_that_are_documented() -> None:
    black = np.zeros((48, 64, 3), np.uint8)
    empty = imagebase.load_model()(black)
    assert empty.xyxy.shape == (0, 4)
    assert empty.xyxy.dtype == empty.confidence.dtype == np.float32
    assert empty.labels == ()


@pytest.mark.parametrize(
    "image",
    [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32), "gone.jpg"],
    ids=["grey", "float", "missing"],
)
def test_image_that_cannot_be_used_is_an_error(image: ImageInput) -> None:
    with pytest.raises(ImageReadError, match=r"uint8 RGB|gone\.jpg cannot be opened"):
        imagebase.load_model()(image)


def test_label_that_the_model_lacks_is_an_error() -> None:
    with pytest.raises(UnknownLabelError, match="unicorn"):
        imagebase.load_model()(np.zeros((8, 8, 3), np.uint8), labels=["unicorn"])


def test_labels_in_fractions_are_read_in_pixels_of_their_images(folder: Path) -> None:
    as_coco = imagebase.read_labels("labels/coco", images="photos")
    as_yolo = imagebase.read_labels("labels/yolo")
    assert len(as_yolo) == len(as_coco) == 3
    for image, other in zip(as_coco, as_yolo, strict=True):
        assert image.size == other.size
        np.testing.assert_allclose(
            [box.box for box in image.annotations],
            [box.box for box in other.annotations],
            atol=0.01,
        )


def test_labels_in_fractions_without_images_are_left_out_and_said(folder: Path) -> None:
    shutil.rmtree("labels/yolo/images")
    read = imagebase.read_labels("labels/yolo", format_name="yolo")
    assert len(read) == 0
    assert "bear" in read.problems[0]
    assert "how large" in read.problems[0]


def test_written_labels_keep_their_split_and_their_images(folder: Path) -> None:
    read = imagebase.read_labels("labels/coco", images="photos")
    split = imagebase.AnnotatedDataset(
        read.labels, read.images, {"bear.jpg": "val", "skier.jpg": "test"}
    )
    imagebase.write_labels(split, "out", format_name="yolo", images="photos")
    assert Path("out/yolo/images/val/bear.jpg").is_file()
    again = imagebase.read_labels("out/yolo")
    assert sorted(again.splits.values()) == ["test", "train", "val"]


def test_image_that_is_missing_is_an_error_and_nothing_is_written(folder: Path) -> None:
    read = imagebase.read_labels("labels/coco", images="photos")
    Path("photos/bear.jpg").unlink()
    with pytest.raises(ImageReadError, match=r"bear\.jpg"):
        imagebase.write_labels(read, "out", format_name="yolo", images="photos")
    assert not Path("out/yolo").exists()


def test_files_that_are_no_labels_are_an_error(folder: Path) -> None:
    with pytest.raises(AnnotationFileError):
        imagebase.read_labels("photos")


def test_unknown_dataset_is_an_error_that_lists_those_there_are(folder: Path) -> None:
    with pytest.raises(NotFoundError, match=r"Nope.*My images"):
        imagebase.open_dataset("Nope")


def test_dataset_is_walked_in_upload_order_and_by_status(folder: Path) -> None:
    with imagebase.open_dataset("My images") as dataset:
        names = [image.file_name for image in dataset]
        assert names == ["bear.jpg"]
        assert list(dataset.images(statuses=[ReviewStatus.NEW])) == []
        (approved,) = dataset.images(statuses=["approved"])
        assert dataset.pixels(approved).shape == (*approved.size[::-1], 3)

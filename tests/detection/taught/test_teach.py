"""Teach by example: from images and boxes to a model that finds more of them."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

import imagebase
from imagebase.cli import app
from imagebase.detection.detector import sha256_of_model
from imagebase.detection.factory import shared_detector
from imagebase.detection.library import ModelLibrary
from imagebase.detection.model_card import ModelCard
from imagebase.detection.taught.calibration import USUAL, logistic, logistic_of
from imagebase.detection.taught.teach import Example, _name
from imagebase.detection.taught.teacher import spread
from imagebase.errors import (
    AnnotationFileError,
    ModelLoadError,
    TeachingError,
    UnknownModelError,
)
from imagebase.geometry import pairwise_iou
from imagebase.settings import DEFAULT_CONFIDENCE

Image = NDArray[np.uint8]
Corners = tuple[float, float, float, float]


def scene(*, seed: int) -> tuple[Image, list[tuple[Corners, str]]]:
    """Return an image of 320 × 240 pixels with two red discs and a blue square."""
    random = np.random.default_rng(seed)
    rgb = random.integers(90, 140, (240, 320, 3), np.uint8)
    rgb = cv2.GaussianBlur(rgb, (0, 0), 2)
    boxes: list[tuple[Corners, str]] = []
    for column in range(3):
        x, y = (
            int(random.integers(40, 66)) + 100 * column,
            int(random.integers(50, 190)),
        )
        if column == seed % 3:
            cv2.rectangle(rgb, (x - 24, y - 24), (x + 24, y + 24), (30, 40, 200), -1)
            boxes.append(((x - 24, y - 24, x + 25, y + 25), "square"))
        else:
            cv2.circle(rgb, (x, y), 26, (210, 40, 30), -1)
            boxes.append(((x - 26, y - 26, x + 27, y + 27), "disc"))
    return np.asarray(rgb, np.uint8), boxes


EXAMPLES = [scene(seed=seed) for seed in range(4)]


@pytest.fixture(scope="module")
def model() -> imagebase.DetectionModel:
    return imagebase.teach(EXAMPLES)


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """A folder with the example images and label files next to them."""
    records = []
    (tmp_path / "examples").mkdir()
    for index, (rgb, boxes) in enumerate(EXAMPLES):
        name = f"{index}.png"
        cv2.imwrite(str(tmp_path / "examples" / name), rgb[:, :, ::-1])
        annotations = tuple(
            imagebase.Annotation(imagebase.Box(*xyxy), label) for xyxy, label in boxes
        )
        records.append(
            imagebase.ImageRecord(name, name, imagebase.Size(320, 240), annotations)
        )
    dataset = imagebase.AnnotatedDataset(
        imagebase.LabelSet.of(["disc", "square"]), records
    )
    imagebase.write_labels(dataset, tmp_path / "written", format_name="coco")
    source = tmp_path / "written" / "coco" / "annotations.json"
    source.rename(tmp_path / "examples" / "annotations.json")
    return tmp_path / "examples"


def test_more_of_the_examples_are_found(model: imagebase.DetectionModel) -> None:
    assert model.labels == ("disc", "square")
    assert model.name == "disc and square, 4 images"
    for seed in (20, 21, 22):
        rgb, boxes = scene(seed=seed)
        found = model(rgb)
        assert sorted(found.labels) == sorted(label for _, label in boxes)
        true = np.array([xyxy for xyxy, _ in boxes], np.float32)
        iou = pairwise_iou(found.xyxy, true)
        assert (iou.max(axis=1) > 0.7).all()
        for label, best in zip(found.labels, iou.argmax(axis=1), strict=True):
            assert boxes[best][1] == label


def test_the_same_examples_give_the_same_model(
    model: imagebase.DetectionModel,
) -> None:
    again = imagebase.teach(iter(EXAMPLES))
    assert again.detector.sha256 == model.detector.sha256
    other = imagebase.teach(EXAMPLES[:2])
    assert other.detector.sha256 != model.detector.sha256
    assert other.detector.model_id.startswith("disc and square, 2 images-")


def test_a_saved_model_loads_by_its_path(
    model: imagebase.DetectionModel, tmp_path: Path
) -> None:
    path = imagebase.save_taught(model, tmp_path / "shapes")
    assert path == tmp_path / "shapes.npz"
    assert [file.name for file in tmp_path.iterdir()] == ["shapes.npz"]
    loaded = imagebase.load_model(path)
    assert loaded.name == "shapes"
    assert loaded.labels == model.labels
    assert loaded.detector.sha256 == model.detector.sha256
    rgb, _ = scene(seed=23)
    before, after = model(rgb), loaded(rgb)
    assert np.array_equal(before.xyxy, after.xyxy)
    assert np.array_equal(before.confidence, after.confidence)


def test_a_library_keeps_taught_models(
    model: imagebase.DetectionModel, tmp_path: Path
) -> None:
    path = imagebase.save_taught(model, tmp_path / "shapes.npz")
    library = ModelLibrary(tmp_path / "models")
    sha256, size = model.detector.sha256, model.input_size
    card = ModelCard(
        "Shapes", "", "taught", size, model.labels, sha256, 80_000, "Ada", None
    )
    added = library.add({"taught.npz": path}, card)
    assert (added.name, added.labels, added.is_taught) == ("Shapes", model.labels, True)
    detector = shared_detector(added)
    assert detector.sha256 == sha256_of_model(added) == model.detector.sha256
    assert detector.model_id == f"Shapes-{detector.sha256[:12]}"


def test_boxes_are_in_pixels_of_the_full_image_and_of_the_mirrored_one(
    model: imagebase.DetectionModel,
) -> None:
    rgb, boxes = scene(seed=24)
    small = np.ascontiguousarray(rgb[::2, ::2])
    for mirrored in (False, True):
        found = model.detector.candidates(
            small, size=imagebase.Size(320, 240), floor=0.5, mirrored=mirrored
        )
        true = np.array([xyxy for xyxy, _ in boxes], np.float32)
        assert (pairwise_iou(true, found.xyxy).max(axis=1) > 0.6).all()


def test_only_some_labels_are_taught_and_the_others_are_background() -> None:
    model = imagebase.teach(EXAMPLES, labels=["square"], name="squares")
    assert model.labels == ("square",)
    rgb, boxes = scene(seed=25)
    found = model(rgb)
    true = [xyxy for xyxy, label in boxes if label == "square"]
    assert len(found) == 1
    assert pairwise_iou(found.xyxy, np.array(true, np.float32))[0, 0] > 0.7


def test_label_files_teach(labelled: Path) -> None:
    by_path = imagebase.teach(labelled)
    by_dataset = imagebase.teach(imagebase.read_labels(labelled), images=labelled)
    by_name = imagebase.load_model(f"examples:{labelled}")
    digests = {each.detector.sha256 for each in (by_path, by_dataset, by_name)}
    assert len(digests) == 1
    assert by_name.labels == ("disc", "square")


def test_annotate_and_evaluate_take_a_taught_model(
    labelled: Path, model: imagebase.DetectionModel, tmp_path: Path
) -> None:
    summary = imagebase.annotate(labelled, tmp_path / "out", model=model)
    assert summary.images == len(EXAMPLES)
    boxes = imagebase.read_labels(tmp_path / "out" / "coco", images=labelled)
    assert {label for image in boxes for label in image.labels} == {"disc", "square"}
    path = imagebase.save_taught(model, tmp_path / "shapes.npz")
    models = [str(path), f"examples:{labelled}"]
    evaluated = imagebase.evaluate(
        labelled, tmp_path / "report", images=labelled, models=models
    )
    for name in models:
        assert evaluated.metrics[name]["AP50"] > 0.8


def test_the_command_line_teaches_by_a_folder(labelled: Path, tmp_path: Path) -> None:
    rgb, boxes = scene(seed=30)
    cv2.imwrite(str(tmp_path / "new.png"), rgb[:, :, ::-1])
    files = [str(tmp_path / "new.png"), "--output", str(tmp_path / "out")]
    arguments = ["annotate", *files, "--model", f"examples:{labelled}"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    image = imagebase.read_labels(tmp_path / "out" / "coco").images[0]
    assert sorted(image.labels) == sorted({label for _, label in boxes})
    nothing = [*arguments[:-1], f"examples:{tmp_path / 'out'}"]
    assert CliRunner().invoke(app, nothing).exit_code == 1


def test_a_taught_model_votes_and_runs_accurately(
    model: imagebase.DetectionModel, tmp_path: Path
) -> None:
    path = imagebase.save_taught(model, tmp_path / "shapes.npz")
    ensemble = imagebase.load_model(f"{path},yolo-fastest-1.1")
    assert ensemble.labels[:2] == ("disc", "square")
    accurate = imagebase.load_model(path, quality="accurate")
    rgb, boxes = scene(seed=26)
    assert len(accurate(rgb, confidence=0.3)) >= len(boxes)
    with pytest.raises(ModelLoadError, match="leave the input size out"):
        imagebase.load_model(path, input_size=320)


def test_examples_that_teach_nothing(labelled: Path, tmp_path: Path) -> None:
    rgb, _ = EXAMPLES[0]
    nothing: tuple[list[Example], ...] = (
        [],
        [(rgb, [])],
        [(rgb, [((400, 10, 500, 90), "disc")])],
    )
    for examples in nothing:
        with pytest.raises(TeachingError, match="box"):
            imagebase.teach(examples)
    with pytest.raises(TeachingError, match="is no box"):
        imagebase.teach([(rgb, [((0, 0, float("nan"), 9), "disc")])])
    with pytest.raises(TeachingError, match="boxes of 0 labels"):
        imagebase.teach(EXAMPLES, labels=["triangle"])
    with pytest.raises(TeachingError, match="give the folder of their images"):
        imagebase.teach(imagebase.read_labels(labelled))
    with pytest.raises(AnnotationFileError):
        imagebase.load_model(f"examples:{tmp_path / 'nowhere'}")
    with pytest.raises(ModelLoadError, match="leave the size out"):
        imagebase.load_model(f"examples:{labelled}", input_size=416)


def test_only_taught_models_are_saved(
    model: imagebase.DetectionModel, tmp_path: Path
) -> None:
    with pytest.raises(TeachingError, match="was not taught"):
        imagebase.save_taught(imagebase.load_model("yolo-fastest-1.1"), tmp_path / "a")
    with pytest.raises(TeachingError, match="cannot be written"):
        imagebase.save_taught(model, tmp_path / "nowhere" / "a.npz")
    with pytest.raises(UnknownModelError):
        imagebase.load_model(tmp_path / "a.npz")


def test_the_default_confidence_keeps_the_right_boxes() -> None:
    score = np.repeat(np.array([0.2, 0.9], np.float32), [100, 20])
    right = (score > 0.5).astype(np.float32)
    slope, offset = logistic_of([(score[:60], right[:60]), (score[60:], right[60:])])
    confidence = 1 / (1 + np.exp(-(slope * np.array([0.2, 0.9]) + offset)))
    assert confidence[0] < 0.1
    assert confidence[1] > DEFAULT_CONFIDENCE + 0.2
    assert logistic_of([(score, np.zeros_like(score))]) == USUAL


def test_confidence_is_half_between_right_and_wrong_boxes() -> None:
    score = np.repeat(np.array([0.2, 0.9], np.float32), 50)
    slope, offset = logistic(score, (score > 0.5).astype(np.float32))
    assert slope * 0.2 + offset < -1
    assert slope * 0.9 + offset > 1
    flat, _ = logistic(score, (score < 0.5).astype(np.float32))
    assert flat == 1.0


def test_many_examples_are_spread_out() -> None:
    assert spread([True, False, True]) == [0, 1, 2]
    chosen = spread([True] * 200)
    assert len(chosen) == len(set(chosen)) == 60
    assert (chosen[0], chosen[-1]) == (0, 199)
    mixed = spread([index >= 90 for index in range(100)])
    assert len(mixed) == 60
    assert set(range(90, 100)) <= set(mixed)


def test_a_model_is_named_after_its_labels() -> None:
    assert _name(["a"], 1) == "a, 1 image"
    assert _name(["a", "b", "c"], 2) == "a, b and c, 2 images"
    assert _name(["a", "b", "c", "d"], 9) == "a, b and 2 more, 9 images"


def test_a_model_can_be_used_by_several_threads(
    model: imagebase.DetectionModel,
) -> None:
    assert model.detector.precision == "f32"
    images = [scene(seed=seed)[0] for seed in (40, 41, 42, 43)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(model, images))
    for image, found in zip(images, together, strict=True):
        assert np.array_equal(found.xyxy, model(image).xyxy)

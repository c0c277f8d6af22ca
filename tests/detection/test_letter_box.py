"""letter_box=1 in a cfg's [net]: Darknet's own arithmetic, written down once more here.

Nothing of it is taken from the package: `letterbox_image`, `resize_image` and
`correct_yolo_boxes` are AlexeyAB's, in NumPy.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates, Detections, select
from imagebase.detection.darknet.graph import darknet_to_onnx
from imagebase.detection.detector import LoadedModel, load_single
from imagebase.detection.library import find_model
from imagebase.detection.model_files import Model
from imagebase.detection.onnx.families import adapter_for, read_onnx
from imagebase.detection.preprocess import darknet_letterboxed
from imagebase.detection.runtime import load_runtime
from imagebase.geometry import pairwise_iou
from imagebase.images.decode import LoadedImage, load_image
from imagebase.training.darknet_cfg import cfg_for
from tests.conftest import SHARED_DATA
from tests.detection.darknet.darknet_models import ONE_BOX_CFG, write_one_box_model

PHOTOS = SHARED_DATA.parent / "reference" / "photos"
SIDE = 416
Floats = NDArray[np.float64]


def with_letter_box(folder: Path, name: str = "yolov4-tiny") -> Path:
    """Write a model that came along once more, its cfg with letter_box=1."""
    came = find_model(name)
    assert came.weights is not None
    folder.mkdir()
    text = came.graph.read_text()
    (folder / "obj.cfg").write_text(text.replace("[net]", "[net]\nletter_box=1", 1))
    (folder / "obj.weights").symlink_to(came.weights.resolve())
    (folder / "obj.names").write_text("\n".join(came.labels))
    return folder


def resize_image(picture: Floats, size: Size) -> Floats:
    """Bilinear between the middles of the corners, a side after the other."""
    height, width = picture.shape[:2]
    x = np.arange(size.width) * (width - 1) / (size.width - 1)
    y = np.arange(size.height) * (height - 1) / (size.height - 1)
    left, top = (
        np.minimum(x.astype(int), width - 2),
        np.minimum(y.astype(int), height - 2),
    )
    dx, dy = (x - left)[None, :, None], (y - top)[:, None, None]
    rows = picture[top] * (1 - dy) + picture[top + 1] * dy
    return np.asarray(rows[:, left] * (1 - dx) + rows[:, left + 1] * dx)


def resized_bytes(rgb: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """As bytes again, which Darknet reads where it is built with OpenCV."""
    return np.round(resize_image(rgb.astype(np.float64), size)).astype(np.uint8)


def new_size(size: Size) -> Size:
    if SIDE / size.width < SIDE / size.height:
        return Size(SIDE, size.height * SIDE // size.width)
    return Size(size.width * SIDE // size.height, SIDE)


def letterbox_image(rgb: NDArray[np.uint8]) -> Floats:
    height, width = rgb.shape[:2]
    inner = new_size(Size(width, height))
    field = np.full((SIDE, SIDE, 3), 0.5)
    top, left = (SIDE - inner.height) // 2, (SIDE - inner.width) // 2
    small = resized_bytes(rgb, inner) / 255
    field[top : top + inner.height, left : left + inner.width] = small
    return field


def correct_yolo_boxes(relative: Floats, size: Size) -> Floats:
    """Take boxes from parts of the net to pixels of the image."""
    inner = new_size(size)
    boxes = relative.copy()
    for axis, (new, side) in enumerate(zip(inner, size, strict=True)):
        for edge in (axis, axis + 2):
            begins = (SIDE - new) / 2 / SIDE
            boxes[:, edge] = (boxes[:, edge] - begins) / (new / SIDE) * side
            boxes[:, edge] = np.clip(boxes[:, edge], 0, side)
    return boxes


def darknets_boxes(picture: LoadedImage, model: Model) -> Detections:
    """Return what Darknet finds in a letterboxed photograph, by the formulas above."""
    assert model.weights is not None
    onnx = darknet_to_onnx(model.graph.read_bytes(), model.weights.read_bytes())
    adapter = adapter_for(read_onnx(onnx))
    runtime = load_runtime(
        onnx, outputs=adapter.outputs, runtime="openvino", precision="f32"
    )
    blob = letterbox_image(picture.rgb).transpose(2, 0, 1)[None].astype(np.float32)
    found = adapter.decode(runtime.run(np.ascontiguousarray(blob)), 0.01)
    xyxy = correct_yolo_boxes(found.xyxy.astype(np.float64), picture.size)
    return usual(replace(found, xyxy=xyxy.astype(np.float32)))


def usual(candidates: Candidates) -> Detections:
    return select(candidates, confidence_threshold=0.25, nms_threshold=0.45)


def photographs() -> list[LoadedImage]:
    return [
        load_image(path.read_bytes(), file_name=path.name, max_pixels=50_000_000)
        for path in sorted(PHOTOS.glob("*.jpg"))
    ]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = with_letter_box(tmp_path_factory.mktemp("letter") / "boxed")
    return find_model(str(folder))


@pytest.fixture(scope="module")
def boxed(model: Model) -> LoadedModel:
    return load_single(model, precision="f32")


@pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"{PHOTOS} is absent")
def test_seven_photographs_agree_with_darknets_formula(
    model: Model, boxed: LoadedModel
) -> None:
    pictures = photographs()
    assert len(pictures) == 7
    for picture in pictures:
        theirs = darknets_boxes(picture, model)
        # Resized as Darknet does, so that only the letterbox and the boxes are ours.
        rgb = resized_bytes(picture.rgb, new_size(picture.size))
        ours = usual(boxed.candidates(rgb, size=picture.size))
        assert ours.class_id.tolist() == theirs.class_id.tolist()
        np.testing.assert_allclose(ours.xyxy, theirs.xyxy, atol=0.1)
        np.testing.assert_allclose(ours.confidence, theirs.confidence, atol=0.005)


@pytest.mark.skipif(not PHOTOS.is_dir(), reason=f"{PHOTOS} is absent")
def test_what_darknet_is_sure_of_is_found_in_the_photographs_themselves(
    model: Model, boxed: LoadedModel
) -> None:
    for picture in photographs():
        theirs = darknets_boxes(picture, model)
        ours = usual(boxed.candidates(picture.rgb, size=picture.size))
        sure = theirs.confidence > 0.5
        assert sure.any()
        overlap = pairwise_iou(theirs.xyxy[sure], ours.xyxy)
        same = theirs.class_id[sure][:, None] == ours.class_id[None]
        assert (np.where(same, overlap, 0).max(axis=1, initial=0) > 0.75).all()


def test_letter_box_is_read_from_the_cfg_and_changes_the_boxes(tmp_path: Path) -> None:
    folder = write_one_box_model(tmp_path / "pets")
    cfg = ONE_BOX_CFG.replace("[net]", "[net]\nletter_box=1")
    (folder / "obj.cfg").write_text(cfg)
    detector = load_single(find_model(str(folder)))
    # Half as high as wide: rows 8 to 24 of the net of 32 hold the image, so that the
    # box of 16 × 8 in the net's middle is half as wide and half as high as it.
    found = detector.candidates(np.zeros((32, 64, 3), np.uint8), size=Size(64, 32))
    np.testing.assert_allclose(found.xyxy, [[16, 8, 48, 24]], atol=1e-3)


def test_picture_begins_at_a_whole_pixel_and_boxes_at_a_half() -> None:
    rgb = np.full((21, 32, 3), 255, np.uint8)
    prepared = darknet_letterboxed(rgb, Size(32, 32))
    assert prepared.inner == (32, 21)
    assert prepared.corner == (0.0, 5.5)
    rows = prepared.blob[0, 0, :, 0]
    np.testing.assert_allclose(rows, [0.5] * 5 + [1] * 21 + [0.5] * 6)


def test_graph_without_letter_box_says_nothing_of_it() -> None:
    model = find_model("yolov4-tiny")
    assert model.weights is not None
    onnx = darknet_to_onnx(model.graph.read_bytes(), model.weights.read_bytes())
    assert "letter_box" not in read_onnx(onnx).metadata["imagebase"]


def test_training_on_stretched_pictures_takes_letter_box_out() -> None:
    cfg = ONE_BOX_CFG.replace("[net]", "[net]\nletter_box=1")
    trained = cfg_for(cfg, classes=2, input_size=Size(32, 32))
    assert "letter_box=0" in trained
    assert "letter_box" not in cfg_for(ONE_BOX_CFG, classes=2, input_size=Size(32, 32))

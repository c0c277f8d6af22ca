"""One tiny real model, and the four that come along on real photographs."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.detection.candidates import (
    Candidates,
    Detections,
    mirrored_left_right,
    select,
)
from imagebase.detection.detector import LoadedModel, load_single
from imagebase.detection.factory import shared_detector
from imagebase.detection.library import find_model
from imagebase.errors import ModelLoadError
from imagebase.geometry import FloatArray, as_xyxy, clip_xyxy, pairwise_iou
from imagebase.images.decode import LoadedImage, load_image
from imagebase.settings import DEFAULT_MODEL, SAMPLES_FOLDER
from tests.conftest import SHARED_DATA
from tests.detection.darknet.darknet_models import write_one_box_model

REFERENCE = SHARED_DATA.parent / "reference"
MODELS = ("yolov4-tiny", "yolo-fastest-1.1", "yolo-fastest-1.1-xl", "yolox-nano")
BLACK = np.zeros((48, 64, 3), np.uint8)


@pytest.fixture
def one_box(tmp_path: Path) -> LoadedModel:
    return load_single(find_model(str(write_one_box_model(tmp_path / "pets"))))


def test_the_one_box_the_biases_encode_is_found(one_box: LoadedModel) -> None:
    found = one_box.candidates(BLACK, size=Size(64, 48), floor=0.5)
    # Centre of the only cell; anchor 16 × 8 of a 32 × 32 input, stretched to 64 × 48.
    np.testing.assert_allclose(found.xyxy, [[16, 18, 48, 30]], atol=1e-3)
    assert found.class_id.tolist() == [1]
    assert one_box.labels[1] == "dog"


def test_boxes_are_in_pixels_of_the_full_size(one_box: LoadedModel) -> None:
    found = one_box.candidates(BLACK, size=Size(640, 480), floor=0.5)
    np.testing.assert_allclose(found.xyxy, [[160, 180, 480, 300]], atol=1e-2)


def test_boxes_are_clipped_to_the_picture(tmp_path: Path) -> None:
    folder = write_one_box_model(tmp_path / "wide", box=(0, 0, 3, 0))
    detector = load_single(find_model(str(folder)))
    found = detector.candidates(BLACK, size=Size(64, 48), floor=0.5)
    np.testing.assert_allclose(found.xyxy, [[0, 18, 64, 30]], atol=1e-3)


def test_a_box_outside_the_picture_is_left_out(tmp_path: Path) -> None:
    folder = write_one_box_model(tmp_path / "thin", box=(0, 0, -100, 0))
    detector = load_single(find_model(str(folder)))
    assert len(detector.candidates(BLACK, size=Size(64, 48))) == 0


def test_the_same_files_have_the_same_id_and_a_changed_cfg_another(
    tmp_path: Path,
) -> None:
    folder = write_one_box_model(tmp_path / "pets")
    first, again = (load_single(find_model(str(folder))) for _ in range(2))
    assert first.model_id == again.model_id == f"pets-{first.sha256[:12]}"
    cfg = folder / "obj.cfg"
    cfg.write_text(cfg.read_text().replace("16,8", "16,9"))
    assert load_single(find_model(str(folder))).model_id != first.model_id


def test_one_detector_serves_the_process_until_its_files_change(
    tmp_path: Path,
) -> None:
    folder = write_one_box_model(tmp_path / "pets")
    model = find_model(str(folder))
    with ThreadPoolExecutor(8) as pool:
        detectors = set(pool.map(lambda _: shared_detector(model), range(16)))
    assert len(detectors) == 1
    assert shared_detector(model, precision="f32") not in detectors
    (folder / "obj.cfg").write_text((folder / "obj.cfg").read_text() + "\n")
    assert shared_detector(model) not in detectors


def test_too_few_labels_are_refused_with_both_counts(tmp_path: Path) -> None:
    folder = write_one_box_model(tmp_path / "pets")
    (folder / "obj.names").write_text("cat")
    with pytest.raises(ModelLoadError, match=r"pets: it knows 2 classes and 1 labels"):
        load_single(find_model(str(folder)))


def test_the_input_size_of_a_fixed_graph_is_refused() -> None:
    with pytest.raises(ModelLoadError, match="input is fixed at 416×416"):
        load_single(find_model("yolox-nano"), input_size=320)


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    model = find_model(str(write_one_box_model(tmp_path / "pets")))
    model.graph.unlink()
    with pytest.raises(ModelLoadError, match="files of the model pets cannot be read"):
        shared_detector(model)


def photographs() -> list[Path]:
    found = sorted((REFERENCE / "photos").glob("*.jpg"))
    assert found
    return found


def loaded(path: Path) -> LoadedImage:
    return load_image(path.read_bytes(), file_name=path.name, max_pixels=50_000_000)


def usual(candidates: Candidates) -> Detections:
    return select(candidates, confidence_threshold=0.25, nms_threshold=0.45)


needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason=f"{REFERENCE} is absent"
)


@needs_reference
@pytest.mark.parametrize("name", MODELS)
def test_both_runtimes_give_the_same_boxes(name: str) -> None:
    model = find_model(name)
    openvino, opencv = (
        load_single(model, runtime=runtime, precision="f32")
        for runtime in ("openvino", "opencv")
    )
    for path in photographs():
        picture = loaded(path)
        ours = usual(openvino.candidates(picture.rgb, size=picture.size))
        theirs = usual(opencv.candidates(picture.rgb, size=picture.size))
        assert ours.class_id.tolist() == theirs.class_id.tolist()
        np.testing.assert_allclose(ours.xyxy, theirs.xyxy, atol=0.5)
        np.testing.assert_allclose(ours.confidence, theirs.confidence, atol=0.01)


@pytest.fixture(scope="module")
def yolov4_tiny() -> LoadedModel:
    return load_single(find_model(DEFAULT_MODEL), precision="f32")


@needs_reference
def test_threads_that_share_a_detector_do_not_mix_their_pictures(
    yolov4_tiny: LoadedModel,
) -> None:
    pictures = [loaded(path) for path in photographs()]

    def boxes(picture: LoadedImage) -> list[list[float]]:
        found = yolov4_tiny.candidates(picture.rgb, size=picture.size)
        return [[float(edge) for edge in box] for box in found.xyxy]

    alone = [boxes(picture) for picture in pictures]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(boxes, pictures * 3))
    assert together == alone * 3


def darknets_boxes(objects: list[dict[str, object]], size: Size) -> FloatArray:
    rows = []
    for expected in objects:
        at = expected["relative_coordinates"]
        assert isinstance(at, dict)
        x, y = at["center_x"] * size.width, at["center_y"] * size.height
        half_w, half_h = at["width"] * size.width / 2, at["height"] * size.height / 2
        rows.append([x - half_w, y - half_h, x + half_w, y + half_h])
    return as_xyxy(rows)


def resized_as_darknet_does(rgb: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return resize_image's image: bilinear between the corners' middles."""
    height, width = rgb.shape[:2]
    x = np.arange(side) * (width - 1) / (side - 1)
    y = np.arange(side) * (height - 1) / (side - 1)
    left = np.minimum(x.astype(int), width - 2)
    top = np.minimum(y.astype(int), height - 2)
    right_share = (x - left)[None, :, None]
    lower_share = (y - top)[:, None, None]
    rows = rgb[top] * (1 - lower_share) + rgb[top + 1] * lower_share
    picture = rows[:, left] * (1 - right_share) + rows[:, left + 1] * right_share
    return np.asarray(np.round(picture), dtype=np.uint8)


def darknet_frames() -> list[dict[str, Any]]:
    text = (REFERENCE / "darknet_thresh0.25.json").read_text(encoding="utf-8")
    frames: list[dict[str, Any]] = json.loads(text)
    return frames


def opencv_boxes() -> dict[str, list[dict[str, Any]]]:
    """Return OpenCV 4's boxes by photograph, where they can be compared.

    It cuts objectness at 0.2 before it suppresses, so near 0.25 it keeps others; and it
    moves a box that begins outside the image inside without shortening it.
    """
    text = (REFERENCE / "opencv4_thresh0.25.json").read_text(encoding="utf-8")
    return {
        name: [
            box
            for box in found["nms_per_class"]
            if box["score"] > 0.3 and min(box["box"][:2]) > 0
        ]
        for name, found in json.loads(text).items()
    }


def distances(found: Detections, class_id: int, box: FloatArray) -> FloatArray:
    """Return how far the worst edge of each box of a class is from this box's."""
    gaps = np.abs(found.xyxy[found.class_id == class_id] - box)
    return np.asarray(gaps.max(axis=1))


@needs_reference
def test_darknets_boxes_are_found_within_two_pixels_after_its_own_resizing(
    yolov4_tiny: LoadedModel,
) -> None:
    assert darknet_frames()
    for frame in darknet_frames():
        name = Path(frame["filename"]).name
        picture = loaded(REFERENCE / "photos" / name)
        rgb = resized_as_darknet_does(picture.rgb, 416)
        found = usual(yolov4_tiny.candidates(rgb, size=picture.size))
        assert len(found) == len(frame["objects"])
        theirs = darknets_boxes(frame["objects"], picture.size)
        for expected, box in zip(
            frame["objects"], clip_xyxy(theirs, picture.size), strict=True
        ):
            assert distances(found, expected["class_id"], box).min() < 2, (
                f"{name}: {expected}"
            )


@needs_reference
def test_opencv_4s_boxes_are_found_to_a_pixel_after_plain_bilinear_resizing(
    yolov4_tiny: LoadedModel,
) -> None:
    assert any(opencv_boxes().values())
    for name, boxes in opencv_boxes().items():
        picture = loaded(REFERENCE / "photos" / name)
        rgb = np.asarray(cv2.resize(picture.rgb, (416, 416)), dtype=np.uint8)
        found = usual(yolov4_tiny.candidates(rgb, size=picture.size))
        for expected in boxes:
            class_id = yolov4_tiny.labels.index(expected["name"])
            x, y, width, height = expected["box"]
            box = clip_xyxy(as_xyxy([[x, y, x + width, y + height]]), picture.size)
            near = distances(found, class_id, box)
            score = found.confidence[found.class_id == class_id]
            same = np.abs(score - expected["score"]) < 0.005
            assert (near[same] < 1.5).any(), f"{name}: {expected}"


@needs_reference
def test_area_averaging_moves_what_darknet_is_sure_of_by_a_few_pixels(
    yolov4_tiny: LoadedModel,
) -> None:
    assert darknet_frames()
    for frame in darknet_frames():
        name = Path(frame["filename"]).name
        picture = loaded(REFERENCE / "photos" / name)
        found = usual(yolov4_tiny.candidates(picture.rgb, size=picture.size))
        sure = [box for box in frame["objects"] if box["confidence"] > 0.5]
        theirs = clip_xyxy(darknets_boxes(sure, picture.size), picture.size)
        overlap = pairwise_iou(theirs, found.xyxy)
        for expected, row in zip(sure, overlap, strict=True):
            best = row[found.class_id == expected["class_id"]].max(initial=0)
            assert best > 0.75, f"{name}: {expected}"


@pytest.fixture
def off_centre(tmp_path: Path) -> LoadedModel:
    """A detector whose one box lies in the left half of any image it is shown."""
    folder = write_one_box_model(tmp_path / "left", box=(-2, 0, 0, 0))
    return load_single(find_model(str(folder)))


def test_mirrored_box_is_given_on_the_upright_picture(off_centre: LoadedModel) -> None:
    size = Size(64, 48)
    (plain,) = off_centre.candidates(BLACK, size=size, floor=0.5).xyxy
    (turned,) = off_centre.candidates(BLACK, size=size, floor=0.5, mirrored=True).xyxy
    assert plain[2] < 40  # it is not in the middle, or this would tell nothing
    x_min, y_min, x_max, y_max = plain
    np.testing.assert_allclose(turned, [64 - x_max, y_min, 64 - x_min, y_max])


@pytest.mark.parametrize("name", ["yolov4-tiny", "yolox-nano"])
def test_mirrored_pass_of_a_flipped_photograph_is_the_flipped_plain_pass(
    name: str,
) -> None:
    detector = shared_detector(find_model(name))
    picture = loaded(SAMPLES_FOLDER / "kitchen.jpg")
    flipped = np.ascontiguousarray(picture.rgb[:, ::-1])
    plain = detector.candidates(picture.rgb, size=picture.size)
    turned = detector.candidates(flipped, size=picture.size, mirrored=True)
    back = mirrored_left_right(turned, width=picture.size.width)
    np.testing.assert_allclose(back.xyxy, plain.xyxy, atol=1e-3)
    np.testing.assert_array_equal(back.confidence, plain.confidence)
    np.testing.assert_array_equal(back.class_id, plain.class_id)


def test_mirrored_pass_finds_the_same_large_objects_in_the_same_places() -> None:
    detector = shared_detector(find_model(DEFAULT_MODEL))
    picture = loaded(SAMPLES_FOLDER / "skier.jpg")
    plain, turned = (
        usual(detector.candidates(picture.rgb, size=picture.size, mirrored=is_mirrored))
        for is_mirrored in (False, True)
    )
    assert plain.confidence[0] > 0.5
    assert turned.class_id[0] == plain.class_id[0]
    assert pairwise_iou(plain.xyxy[:1], turned.xyxy[:1])[0, 0] > 0.8

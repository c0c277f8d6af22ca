"""What the doctor asks, what it warns of, and what a dry run finds out."""

from pathlib import Path

import numpy as np
import pytest

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.detector import load_single
from imagebase.detection.library import ModelLibrary
from imagebase.detection.model_files import model_in_file
from imagebase.detection.validation import (
    DryRun,
    Level,
    Validation,
    add_to_library,
    dry_run,
    validate_upload,
)
from imagebase.detection.validation.dry_run import boxes_of, finding_of
from imagebase.errors import MisreadModelError, ModelLoadError
from imagebase.settings import Limits
from tests.detection.onnx.onnx_builder import GraphBuilder
from tests.detection.onnx.onnx_layouts import (
    BOX,
    CENTRE,
    HEIGHT,
    NAMES,
    SCORE,
    V8_ROW,
    WIDTH,
    cells,
    end_to_end,
    one_row,
    paddle,
    rows_of_seven,
    rtdetr_ultralytics,
    v8,
    yolo_nas_raw,
    yolov6,
    yolox,
)


def open_model() -> bytes:
    """Return a YOLOv8 of any size, which its metadata do not say."""
    table = one_row(cells(8, 16, 32), V8_ROW).transpose(0, 2, 1)
    graph = GraphBuilder(("batch", 3, "height", "width"))
    return graph.output("output0", table, ("batch", 9, "anchors")).model()


def examined(content: bytes, **said: str | int) -> Validation:
    files = [("m.onnx", content), ("m.names", NAMES.encode())]
    return validate_upload(files, limits=Limits(), **said)  # type: ignore[arg-type]


def test_open_size_is_asked_for_and_kept_with_the_model(tmp_path: Path) -> None:
    asked = examined(open_model())
    assert asked.asks_size
    assert asked.draft is None
    assert "say the side of the images" in asked.findings[-1].text
    said = examined(open_model(), input_size=320)
    assert said.asks_size
    assert said.draft is not None
    assert said.draft.input_size == Size(320, 320)
    tried = dry_run(said.draft.model)
    assert tried.input_size == Size(320, 320)
    library = ModelLibrary(tmp_path / "models")
    model = add_to_library(
        said.draft, library, name="m", who="", trial=tried, limits=Limits()
    )
    detector = load_single(model)
    assert detector.input_size == Size(320, 320)
    assert detector.sha256 == library.card("m").sha256
    found = detector.candidates(
        np.zeros((320, 320, 3), np.uint8), size=Size(320, 320), floor=0.25
    )
    np.testing.assert_allclose(found.xyxy, [BOX], atol=0.05)
    # Still open, so that another size may be had.
    assert load_single(model, input_size=640).input_size == Size(640, 640)


def test_open_model_that_nobody_examined_takes_the_size_of_a_run(
    tmp_path: Path,
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(open_model())
    path.with_suffix(".names").write_text(NAMES)
    model = model_in_file(path, name="m")
    with pytest.raises(ModelLoadError, match="has no fixed size"):
        load_single(model)
    assert load_single(model, input_size=320).input_size == Size(320, 320)


def test_size_of_a_model_that_has_one_is_refused() -> None:
    found = examined(v8(cells(8, 16, 32)), input_size=640)
    assert "its input is fixed at 320×256; leave" in found.findings[-1].text


@pytest.mark.parametrize(
    ("build", "family"),
    [
        pytest.param(lambda: paddle(nms=True), "pp-yoloe", id="Paddle"),
        pytest.param(lambda: yolo_nas_raw(("1", "2")), "boxes-stretched", id="boxes"),
    ],
)
def test_what_no_number_tells_is_warned_of_and_settled_by_a_person(
    build: object, family: str
) -> None:
    assert callable(build)
    content = build()
    unsure = examined(content)
    assert unsure.is_usable
    warned = [
        finding.text for finding in unsure.findings if finding.level is Level.WARNING
    ]
    assert len(warned) == 1
    assert "if the boxes look wrong, choose" in warned[0]
    assert family in warned[0]
    assert family in unsure.families
    settled = examined(content, family=family)
    assert {finding.level for finding in settled.findings} == {Level.GOOD}


def renamed(content: bytes, output: str) -> bytes:
    return content.replace(b"outputs", output.encode().ljust(7, b"_"))


@pytest.mark.parametrize(
    ("content", "said", "meant"),
    [
        pytest.param(renamed(yolov6(8, 16, 32), "out"), "", "yolov6", id="YOLOv6"),
        pytest.param(yolov6(8, 16, 32), "yolox", "yolov6", id="YOLOv6 as YOLOX"),
        pytest.param(
            yolox(decoded=False), "yolox-decoded", "yolox", id="YOLOX as decoded"
        ),
        pytest.param(yolox(decoded=False), "yolov6", "yolox", id="YOLOX as YOLOv6"),
        pytest.param(
            yolox(decoded=True), "yolox", "yolox-decoded", id="decoded YOLOX as raw"
        ),
        pytest.param(
            rtdetr_ultralytics(chosen=True),
            "end-to-end",
            "rtdetr-ultralytics",
            id="RT-DETR as YOLO",
        ),
        pytest.param(
            end_to_end(), "rtdetr-ultralytics", "end-to-end", id="YOLO as RT-DETR"
        ),
        pytest.param(
            rows_of_seven(nas=False),
            "yolo-nas-rows",
            "yolov7-end-to-end",
            id="YOLOv7 as YOLO-NAS",
        ),
    ],
)
def test_numbers_that_are_another_familys_name_it(
    content: bytes, said: str, meant: str
) -> None:
    found = examined(content, **({"family": said} if said else {}))
    assert found.draft is not None
    with pytest.raises(MisreadModelError, match=f"its family is {meant}") as error:
        dry_run(found.draft.model)
    assert error.value.family == meant


def said_by(*outputs: np.ndarray, declared: tuple[int | str, ...]) -> bytes:
    """Return four outputs whose boxes are declared to be of another shape."""
    names = ("num_dets", "det_boxes", "det_scores", "det_classes")
    shapes: list[tuple[int | str, ...]] = [(1, 1), declared, (1, "n"), (1, "n")]
    graph = GraphBuilder()
    for name, values, shape in zip(names, outputs, shapes, strict=True):
        graph.output(name, values, shape)
    return graph.model()


def floats(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


BOXES = np.array([[BOX, BOX]], np.float32)


@pytest.mark.parametrize(
    ("content", "count"),
    [
        pytest.param(
            said_by(
                floats(np.nan), BOXES, floats(1, 1), floats(0, 1), declared=(1, "n", 4)
            ),
            0,
            id="a count that is no number",
        ),
        pytest.param(
            said_by(
                floats(1e30), BOXES, floats(1, 1), floats(0, 1), declared=(1, "n", 4)
            ),
            2,
            id="more than there are",
        ),
        pytest.param(
            said_by(
                floats(2), BOXES, floats(1, 1), floats(np.inf, -1), declared=(1, "n", 4)
            ),
            0,
            id="classes that are none",
        ),
        pytest.param(
            said_by(
                floats(2), BOXES[0], floats(1, 1), floats(0, 1), declared=("b", "n", 4)
            ),
            "where 1 × any × 4 was expected",
            id="a side less",
        ),
    ],
)
def test_numbers_that_are_none_do_no_harm(content: bytes, count: int | str) -> None:
    found = examined(content)
    assert found.draft is not None
    if isinstance(count, str):
        with pytest.raises(ModelLoadError, match=count):
            dry_run(found.draft.model)
        return
    assert len(dry_run(found.draft.model).candidates) == count


def table(row: list[float], *, rows: int, turned: bool = False) -> bytes:
    values = one_row(rows, row)
    values = values.transpose(0, 2, 1) if turned else values
    return GraphBuilder((1, 3, HEIGHT, WIDTH)).output("output0", values).model()


PART = [0.5, 0.5, 0.2, 0.2]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(
            table([*PART, 0, 0, 0.9, 0, 0], rows=cells(8, 16, 32), turned=True),
            "its boxes are numbers from 0 to 1 and not pixels; export",
            id="YOLOv8 in parts",
        ),
        pytest.param(
            table([*PART, 1, 0, 0, 0.9, 0, 0], rows=3 * cells(8, 16, 32)),
            "its boxes are numbers from 0 to 1 and not pixels; export",
            id="YOLOv5 in parts",
        ),
        pytest.param(
            table([*CENTRE, 0, 0, 4, 0, 0], rows=cells(8, 16, 32), turned=True),
            "its scores go up to 4 and are not probabilities",
            id="logits",
        ),
        pytest.param(
            table([*BOX, 0.9, 0.5], rows=300),
            "what should be its classes are no whole numbers",
            id="no classes at the end",
        ),
        pytest.param(
            table([*BOX, 3, 0.9], rows=300),
            "its scores go up to 3",
            id="class before score",
        ),
    ],
)
def test_numbers_that_no_family_has_are_refused(content: bytes, sentence: str) -> None:
    found = examined(content)
    assert found.draft is not None
    with pytest.raises(ModelLoadError, match=sentence):
        dry_run(found.draft.model)


def a_trial(*boxes: tuple[float, float, float, float]) -> DryRun:
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    found = Candidates(
        xyxy,
        np.full(len(boxes), SCORE, np.float32),
        (np.arange(len(boxes)) % 400).astype(np.int32),
    )
    return DryRun(found, Size(WIDTH, HEIGHT), 5.0, Size(64, 64), "openvino", "f32")


MANY = [(x, y, x + 9, y + 9) for x in range(0, 200, 10) for y in range(0, 200, 10)]


@pytest.mark.parametrize(
    ("trial", "sentence"),
    [
        pytest.param(
            a_trial(), "0 boxes in k.jpg: the image has none of its labels", id="none"
        ),
        pytest.param(
            a_trial((0, 0, 320, 256), (1, 0, 320, 256)),
            "2 boxes in k.jpg: each is the whole image",
            id="whole",
        ),
        pytest.param(a_trial((0, 0, 1, 1)), "smaller than 2 pixels", id="dots"),
        pytest.param(a_trial(*MANY), "400 boxes in k.jpg: there are so", id="flood"),
    ],
)
def test_no_tick_stands_before_boxes_that_cannot_be_right(
    trial: DryRun, sentence: str
) -> None:
    boxes = boxes_of(trial, [f"c{i}" for i in range(400)])
    said = finding_of(trial, boxes, image="k.jpg")
    assert said.level is Level.WARNING
    assert sentence in said.text


def test_boxes_that_can_be_right_are_ticked_with_their_time() -> None:
    trial = a_trial((0, 0, 320, 256), BOX)
    boxes = boxes_of(trial, ["a", "b"])
    said = finding_of(trial, boxes, image="k.jpg")
    assert said == (Level.GOOD, "2 boxes in k.jpg, 5 ms an image (openvino, f32).")

"""A small graph for every family and layout, each saying that there is the same box.

Written from what each family publishes of its export and its inference, which a line
above each names; nothing is taken from the package. The net is 320 pixels wide and
256 high, so that a width for a height shows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from tests.detection.onnx.onnx_builder import GraphBuilder

Array = NDArray[np.float32]

WIDTH, HEIGHT = 320, 256
# In pixels of the net; class 2 of five at .9.
BOX = (120.0, 90.0, 200.0, 150.0)
CLASS, CLASSES, SCORE = 2, 5, 0.9
CENTRE = (160.0, 120.0, 80.0, 60.0)
NAMES = "".join(f"c{i}\n" for i in range(CLASSES))
PARTS = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT], np.float32)
PICTURE = (1, 3, HEIGHT, WIDTH)


@dataclass(frozen=True)
class Layout:
    """family: as it is called. build: returns the file. placing: how images go in.

    shown: what the net reads where an image is (255, 51, 0). asked: whether a person
    has to say the family. names: the labels' file.
    """

    name: str
    family: str
    build: Callable[[], bytes]
    placing: str
    shown: tuple[float, float, float]
    asked: bool = False
    names: str = NAMES


UNIT = (1.0, 0.2, 0.0)
BYTES = (255.0, 51.0, 0.0)
BGR_BYTES = (0.0, 51.0, 255.0)
# torchvision's mean and deviation of ImageNet.
IMAGENET = (
    (1.0 - 0.485) / 0.229,
    (0.2 - 0.456) / 0.224,
    (0.0 - 0.406) / 0.225,
)


def cells(*strides: int) -> int:
    return sum((WIDTH // stride) * (HEIGHT // stride) for stride in strides)


def scores(*, count: int = CLASSES, at: int = CLASS) -> Array:
    found = np.zeros(count, np.float32)
    found[at] = SCORE
    return found


def one_row(rows: int, values: list[float] | Array, at: int = 7) -> Array:
    """Return zeros of shape (1, rows, columns) but for one row."""
    table = np.zeros((1, rows, len(values)), np.float32)
    table[0, at] = values
    return table


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))


def logits(count: int, at: int, rows: int = 300) -> Array:
    found = np.full((1, rows, count), -8, np.float32)
    found[0, 7, at] = logit(SCORE)
    return found


# YOLOv5's detect.py: letterbox in the middle on 114, RGB / 255; centre and size in
# pixels, objectness times class.
V5_ROW = [*CENTRE, 1.0, *scores()]


def v5(*strides: int, maps: bool = False) -> bytes:
    count = 3 * cells(*strides)
    graph = GraphBuilder(PICTURE).output("output", one_row(count, V5_ROW))
    if maps:
        for number, stride in enumerate(strides):
            shape = (1, 3, HEIGHT // stride, WIDTH // stride, 5 + CLASSES)
            graph.output(f"map{number}", np.zeros(shape, np.float32))
    return graph.model()


# Ultralytics' Detect head: (1, 4 + classes, cells).
V8_ROW = [*CENTRE, *scores()]


def v8(count: int, *, turned: bool = False) -> bytes:
    table = one_row(count, V8_ROW)
    table = table if turned else table.transpose(0, 2, 1)
    return GraphBuilder(PICTURE).output("output0", table).model()


def v8_open(*, batch_only: bool = False) -> bytes:
    sides = (HEIGHT, WIDTH) if batch_only else ("height", "width")
    table = one_row(cells(8, 16, 32), V8_ROW).transpose(0, 2, 1)
    declared = ("batch", 4 + CLASSES, table.shape[2] if batch_only else "anchors")
    graph = GraphBuilder(("batch", 3, *sides)).output("output0", table, declared)
    return graph.model({} if batch_only else {"imgsz": f"[{HEIGHT}, {WIDTH}]"})


def v9_dual() -> bytes:
    """The auxiliary branch first, then the main one, as detect_dual.py takes them."""
    table = one_row(cells(8, 16, 32), V8_ROW).transpose(0, 2, 1)
    graph = GraphBuilder(PICTURE).output("output0", np.zeros_like(table))
    return graph.output("output1", table).model()


def end_to_end(metadata: dict[str, str] | None = None) -> bytes:
    table = one_row(300, [*BOX, SCORE, CLASS], 0)
    return GraphBuilder(PICTURE).output("output0", table).model(metadata)


# Ultralytics' RTDETRPredictor: stretched (scale_fill), RGB / 255; centre and size from
# 0 to 1.
RTDETR_BOX = [*(np.array(CENTRE, np.float32) / PARTS)]


def rtdetr_ultralytics(*, chosen: bool) -> bytes:
    row = [*RTDETR_BOX, SCORE, CLASS] if chosen else [*RTDETR_BOX, *scores()]
    metadata = {"head": "RTDETRDecoder"} if chosen else {}
    return GraphBuilder(PICTURE).output("output0", one_row(300, row)).model(metadata)


# YOLOX's preproc and demo_postprocess: top left on 114, BGR from 0 to 255; offset in a
# cell and logarithm of the size, times the stride.
def yolox(*, decoded: bool) -> bytes:
    table = np.zeros((1, cells(8, 16, 32), 5 + CLASSES), np.float32)
    # Column 10 and row 7 of the cells of 16 pixels.
    at = cells(8) + 7 * (WIDTH // 16) + 10
    place = [0, 0.5, np.log(5), np.log(60 / 16)]
    table[0, at] = [*(CENTRE if decoded else place), 1.0 - 1e-6, *scores()]
    graph = GraphBuilder(PICTURE)
    if decoded:
        graph.op("Exp", graph.constant(np.float32(0)))
    return graph.output("output", table).model()


# YOLOv6's process_image and non_max_suppression: as YOLOv5, the objectness always 1.
def yolov6(*strides: int) -> bytes:
    table = np.zeros((1, cells(*strides), 5 + CLASSES), np.float32)
    table[..., 4] = 1
    table[0, 7] = [*CENTRE, 1, *scores()]
    return GraphBuilder(PICTURE).output("outputs", table).model()


# YOLOv7's and YOLOv6's ONNX_ORT: number, corners, class, score.
def rows_of_seven(*, nas: bool) -> bytes:
    last = [SCORE, CLASS] if nas else [CLASS, SCORE]
    table = np.array([[0, *BOX, *last], [0, 1, 2, 30, 40, *last[::-1]]], np.float32)[:1]
    name = "graph2_flat_predictions" if nas else "output"
    return GraphBuilder(PICTURE).output(name, table, ("boxes", 7)).model()


# TensorRT's EfficientNMS and YOLO-NAS's batch format: how many, then that many.
def four_outputs(*, nas: bool, kind: int = TensorProto.FLOAT) -> bytes:
    names = (
        ("num_predictions", "pred_boxes", "pred_scores", "pred_classes")
        if nas
        else ("num_dets", "det_boxes", "det_scores", "det_classes")
    )
    boxes = np.zeros((1, 100, 4), np.float32)
    boxes[0, :2] = BOX, (1, 1, 50, 50)
    found = np.zeros((1, 100), np.float32)
    found[0, :2] = SCORE, 0.8
    classes = np.zeros((1, 100), np.int64)
    classes[0, 0] = CLASS
    graph = GraphBuilder(PICTURE, kind=kind)
    graph.output(names[0], np.array([[1]], np.int64)).output(names[1], boxes)
    return graph.output(names[2], found).output(names[3], classes).model()


# YOLO-NAS's default processing: 636 of 640, in the middle on 114, RGB / 255.
def yolo_nas_raw(names: tuple[str, str] = ("pred_bboxes", "pred_scores")) -> bytes:
    count = cells(8, 16, 32)
    graph = GraphBuilder(PICTURE).output(names[0], one_row(count, list(BOX)))
    return graph.output(names[1], one_row(count, scores())).model()


# RT-DETR's and D-FINE's deploy(): boxes from 0 to 1 times orig_target_sizes, width
# first; stretched RGB / 255 (onnx_inf.py).
def rtdetr() -> bytes:
    graph = GraphBuilder(("N", 3, HEIGHT, WIDTH))
    sizes = graph.input("orig_target_sizes", ("N", 2), TensorProto.INT64)
    sides = graph.op("Cast", sizes, to=TensorProto.FLOAT)
    sides = graph.op("Concat", sides, sides, axis=1)
    parts = graph.constant(one_row(300, [*(np.array(BOX, np.float32) / PARTS)], 0))
    boxes = graph.op("Mul", parts, sides)
    labels, found = np.zeros((1, 300), np.int64), np.zeros((1, 300), np.float32)
    labels[0, 0], found[0, 0] = CLASS, SCORE
    graph.output("labels", labels, ("N", 300)).output("boxes", boxes, ("N", 300, 4))
    return graph.output("scores", found, ("N", 300)).model()


# RF-DETR's predict(): stretched, ImageNet's mean and deviation; sigmoid of logits, one
# column more than classes, or COCO's 91 numbers.
def rfdetr(columns: int, at: int) -> bytes:
    graph = GraphBuilder(PICTURE, name="input")
    graph.output("dets", one_row(300, RTDETR_BOX))
    return graph.output("labels", logits(columns, at)).model()


# Hugging Face's post_process_object_detection of RT-DETR (sigmoid) and of DETR
# (softmax, the last column being no object).
def transformers(columns: int, *, mask: bool = False, output: str = "logits") -> bytes:
    graph = GraphBuilder(("batch", 3, HEIGHT, WIDTH), name="pixel_values")
    if mask:
        side = (64, 64) if output == "logits" else (HEIGHT, WIDTH)
        graph.input("pixel_mask", (1, *side), TensorProto.INT64)
    found = logits(columns, CLASS)
    if mask:
        # The others' exponentials are as good as 0, so that these two share 1.
        found[0, 7] = -60
        found[0, 7, CLASS], found[0, 7, -1] = logit(SCORE), 0
        found[0, :7, -1] = found[0, 8:, -1] = 20
    graph.output(output, found, ("batch", 300, columns))
    boxes = one_row(300, RTDETR_BOX)
    return graph.output("pred_boxes", boxes, ("batch", 300, 4)).model()


# PP-YOLOE's head: boxes over scale_factor, rows first; multiclass_nms3 gives class,
# score, corners.
def paddle(*, nms: bool, im_shape: bool = False) -> bytes:
    graph = GraphBuilder((1, 3, HEIGHT, WIDTH), name="image")
    factor = graph.input("scale_factor", (1, 2))
    if im_shape:
        graph.input("im_shape", (1, 2))
    turned = graph.op("Gather", factor, graph.constant(np.array([1, 0])), axis=1)
    by = graph.op("Concat", turned, turned, axis=1)
    if not nms:
        count = cells(8, 16, 32)
        boxes = graph.op("Div", graph.constant(one_row(count, list(BOX))), by)
        graph.output("tmp_16", boxes, (1, count, 4))
        return graph.output(
            "concat_14", one_row(count, scores()).transpose(0, 2, 1)
        ).model()
    corners = graph.op("Div", graph.constant(np.array([BOX], np.float32)), by)
    chosen = graph.constant(np.array([[CLASS, SCORE]], np.float32))
    rows = graph.op("Concat", chosen, corners, axis=1)
    graph.output("multiclass_nms3_0.tmp_0", rows, ("n", 6))
    return graph.output("multiclass_nms3_0.tmp_2", np.array([1], np.int32)).model()


# pytorch-YOLOv4's demo: stretched RGB / 255; corners from 0 to 1.
def yolov4() -> bytes:
    count = 3 * cells(8, 16, 32)
    boxes = one_row(count, [*(np.array(BOX, np.float32) / PARTS)])[:, :, None]
    graph = GraphBuilder(PICTURE, name="input").output("boxes", boxes)
    return graph.output("confs", one_row(count, scores())).model()


def boxes_scores_labels() -> bytes:
    graph = GraphBuilder(PICTURE).output("boxes", one_row(100, list(BOX), 0))
    labels, found = np.zeros((1, 100), np.int64), np.zeros((1, 100), np.float32)
    labels[0, 0], found[0, 0] = CLASS, SCORE
    return graph.output("labels", labels).output("scores", found).model()


def dets_labels() -> bytes:
    labels = np.zeros((1, 100), np.int64)
    labels[0, 0] = CLASS
    graph = GraphBuilder(PICTURE).output("dets", one_row(100, [*BOX, SCORE], 0))
    return graph.output("labels", labels).model()


COCO_NAMES = "".join(f"c{i}\n" for i in range(80))

LAYOUTS = (
    Layout("YOLOv5", "yolov5", lambda: v5(8, 16, 32), "middle", UNIT),
    Layout("YOLOv5 P6", "yolov5", lambda: v5(8, 16, 32, 64), "middle", UNIT),
    Layout("YOLOv5 P2", "yolov5", lambda: v5(4, 8, 16, 32), "middle", UNIT),
    Layout(
        "YOLOv5 up to 6.0", "yolov5", lambda: v5(8, 16, 32, maps=True), "middle", UNIT
    ),
    Layout("YOLOv3-tiny", "yolov5", lambda: v5(16, 32), "middle", UNIT),
    Layout("YOLOv8", "yolov8", lambda: v8(cells(8, 16, 32)), "middle", UNIT),
    Layout("YOLOv8 P2", "yolov8", lambda: v8(cells(4, 8, 16, 32)), "middle", UNIT),
    Layout("YOLOv8 P6", "yolov8", lambda: v8(cells(8, 16, 32, 64)), "middle", UNIT),
    Layout("strides 16, 32", "yolov8", lambda: v8(cells(16, 32)), "middle", UNIT),
    Layout("cells of no grid", "yolov8", lambda: v8(1234), "middle", UNIT),
    Layout(
        "YOLOv8 turned",
        "yolov8-rows",
        lambda: v8(cells(8, 16, 32), turned=True),
        "middle",
        UNIT,
    ),
    Layout("open batch", "yolov8", lambda: v8_open(batch_only=True), "middle", UNIT),
    Layout("open sides", "yolov8", v8_open, "middle", UNIT),
    Layout("YOLOv9 with two branches", "yolov8", v9_dual, "middle", UNIT),
    Layout("YOLOv10", "end-to-end", end_to_end, "middle", UNIT),
    Layout(
        "YOLO26",
        "end-to-end",
        lambda: end_to_end({"end2end": "True"}),
        "middle",
        UNIT,
    ),
    Layout(
        "RT-DETR of Ultralytics",
        "rtdetr-ultralytics",
        lambda: rtdetr_ultralytics(chosen=True),
        "stretched",
        UNIT,
    ),
    Layout(
        "RT-DETR of Ultralytics up to 8.3",
        "rtdetr-ultralytics",
        lambda: rtdetr_ultralytics(chosen=False),
        "stretched",
        UNIT,
    ),
    Layout("YOLOX", "yolox", lambda: yolox(decoded=False), "top left", BGR_BYTES),
    Layout(
        "YOLOX decoded",
        "yolox-decoded",
        lambda: yolox(decoded=True),
        "top left",
        BGR_BYTES,
    ),
    Layout("YOLOv6", "yolov6", lambda: yolov6(8, 16, 32), "middle", UNIT),
    Layout("YOLOv6 P6", "yolov6", lambda: yolov6(8, 16, 32, 64), "middle", UNIT),
    Layout(
        "YOLOv7 with NMS",
        "yolov7-end-to-end",
        lambda: rows_of_seven(nas=False),
        "middle",
        UNIT,
    ),
    Layout(
        "four outputs",
        "nms-four-outputs",
        lambda: four_outputs(nas=False),
        "middle",
        UNIT,
    ),
    Layout(
        "YOLO-NAS flat",
        "yolo-nas-rows",
        lambda: rows_of_seven(nas=True),
        "margin",
        UNIT,
    ),
    Layout(
        "YOLO-NAS batch", "yolo-nas", lambda: four_outputs(nas=True), "margin", UNIT
    ),
    Layout(
        "YOLO-NAS of bytes",
        "yolo-nas",
        lambda: four_outputs(nas=True, kind=TensorProto.UINT8),
        "margin",
        BYTES,
    ),
    Layout("YOLO-NAS raw", "yolo-nas", yolo_nas_raw, "margin", UNIT),
    Layout(
        "YOLO-NAS raw, no names",
        "yolo-nas",
        lambda: yolo_nas_raw(("904", "913")),
        "margin",
        UNIT,
    ),
    Layout("RT-DETR, D-FINE", "rt-detr", rtdetr, "stretched", UNIT),
    Layout("DEIMv2", "rt-detr-normalised", rtdetr, "stretched", IMAGENET, asked=True),
    Layout(
        "RF-DETR", "rf-detr", lambda: rfdetr(CLASSES + 1, CLASS), "stretched", IMAGENET
    ),
    # Category 3, car, is the third of the 80.
    Layout(
        "RF-DETR of COCO",
        "rf-detr",
        lambda: rfdetr(91, 3),
        "stretched",
        IMAGENET,
        names=COCO_NAMES,
    ),
    Layout(
        "RT-DETR of Transformers",
        "transformers-rt-detr",
        lambda: transformers(CLASSES),
        "stretched",
        UNIT,
    ),
    Layout(
        "DETR of Meta",
        "transformers-detr",
        lambda: transformers(CLASSES + 1, mask=True, output="pred_logits"),
        "stretched",
        IMAGENET,
    ),
    Layout(
        "DETR of Transformers",
        "transformers-detr",
        lambda: transformers(CLASSES + 1, mask=True),
        "stretched",
        IMAGENET,
    ),
    Layout("PP-YOLOE+", "pp-yoloe-plus", lambda: paddle(nms=True), "stretched", UNIT),
    Layout(
        "RT-DETR of Paddle",
        "pp-yoloe-plus",
        lambda: paddle(nms=True, im_shape=True),
        "stretched",
        UNIT,
    ),
    Layout(
        "PP-YOLOE+ without NMS",
        "pp-yoloe-plus",
        lambda: paddle(nms=False),
        "stretched",
        UNIT,
    ),
    Layout(
        "PP-YOLOE",
        "pp-yoloe",
        lambda: paddle(nms=True),
        "stretched",
        IMAGENET,
        asked=True,
    ),
    Layout("YOLOv4 of PyTorch", "yolov4-pytorch", yolov4, "stretched", UNIT),
    Layout(
        "boxes, scores, labels",
        "boxes-letterboxed",
        boxes_scores_labels,
        "middle",
        UNIT,
        asked=True,
    ),
    Layout("MMDeploy", "boxes-stretched", dets_labels, "stretched", UNIT, asked=True),
)

"""Recognise the family of an ONNX model: how images go in and boxes come out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from imagebase.annotation import Size
from imagebase.detection.onnx import (
    classifier,
    darknet_onnx,
    detr,
    paddle,
    plain_outputs,
    ultralytics,
    yolox,
)
from imagebase.detection.onnx.adapter import Adapter, Likelihood
from imagebase.detection.onnx.file_info import (
    OnnxModel,
    TensorShape,
    check_operations,
    check_task,
    is_masks,
    labels_of,
    read_onnx,
    shape_in_words,
)
from imagebase.detection.onnx.inputs import image_size, takes_bytes
from imagebase.errors import AmbiguousModelError, ModelLoadError

__all__ = [
    "FAMILY_NAMES",
    "Adapter",
    "OnnxModel",
    "adapter_for",
    "families_of",
    "labels_of",
    "possible_adapters",
    "read_onnx",
]

FAMILY_NAMES: Final[Mapping[str, str]] = {
    darknet_onnx.FAMILY: "Darknet",
    yolox.RAW: "YOLOX",
    yolox.DECODED: "YOLOX with decoded boxes",
    yolox.YOLOV6: "YOLOv6",
    ultralytics.WITH_OBJECTNESS: "YOLOv5 or v7",
    ultralytics.COLUMNS: "YOLOv8, 11 or 12",
    ultralytics.ROWS: "YOLOv8, 11 or 12, a row a box",
    ultralytics.END_TO_END: "YOLO with its NMS inside",
    ultralytics.RTDETR: "RT-DETR of Ultralytics",
    plain_outputs.ROWS: "YOLOv7 or v6 with its NMS inside",
    plain_outputs.FOUR: "YOLO with its NMS inside, four outputs",
    plain_outputs.YOLO_NAS: "YOLO-NAS",
    plain_outputs.YOLO_NAS_ROWS: "YOLO-NAS with its NMS inside",
    detr.RTDETR: "RT-DETR, D-FINE or DEIM",
    detr.RTDETR_NORMALISED: "DEIMv2, ImageNet's mean",
    detr.RFDETR: "RF-DETR",
    detr.SIGMOID: "RT-DETR or D-FINE of Transformers",
    detr.SOFTMAX: "DETR of Transformers",
    paddle.PLUS: "PP-YOLOE+ or RT-DETR of Paddle",
    paddle.NORMALISED: "PP-YOLOE or PicoDet, ImageNet's mean",
    plain_outputs.YOLOV4: "YOLOv4 of PyTorch",
    plain_outputs.LETTERBOXED: "boxes and scores, images letterboxed",
    plain_outputs.STRETCHED: "boxes and scores, images stretched",
    classifier.PLAIN: "Classifier",
    classifier.IMAGENET: "Classifier, ImageNet's mean",
}

_Recognise = Callable[[OnnxModel, Size, int | None], list[Adapter]]
_RECOGNISE: Final[Sequence[_Recognise]] = (
    yolox.recognise,
    ultralytics.recognise,
    plain_outputs.recognise_nms,
    detr.recognise,
    paddle.recognise,
    plain_outputs.recognise_boxes_and_scores,
)
# Only YOLO-NAS is known to scale the image itself.
_OF_BYTES: Final = frozenset({plain_outputs.YOLO_NAS, plain_outputs.YOLO_NAS_ROWS})


def possible_adapters(
    model: OnnxModel, *, labels: int | None = None, side: int | None = None
) -> list[Adapter]:
    """Return every way a model may be read, the likeliest first; never none.

    Args:
        model: from `read_onnx`.
        labels: how many are named, which tells families apart; None if unknown.
        side: of a square image, where the model leaves it open.

    Raises:
        ModelLoadError: no family knows it; the message has the outputs' shapes.
    """
    check_task(model)
    check_operations(model)
    net_size = image_size(model, side=side)
    own = darknet_onnx.recognise(model, net_size)
    own = own or classifier.recognise(model, net_size)
    if own:
        return own
    groups = [recognise(model, net_size, labels) for recognise in _RECOGNISE]
    if takes_bytes(model):
        groups = [
            [adapter for adapter in g if adapter.family in _OF_BYTES] for g in groups
        ]
    fitting = [
        [adapter for adapter in group if _fits(adapter, labels)] for group in groups
    ]
    groups = fitting if any(fitting) else groups
    groups.sort(
        key=lambda group: -max((adapter.likelihood for adapter in group), default=0)
    )
    adapters = [adapter for group in groups for adapter in group]
    if not adapters:
        raise ModelLoadError(_unknown(model))
    return adapters


def _fits(adapter: Adapter, labels: int | None) -> bool:
    return bool(labels) and adapter.classes in {None, labels}


def adapter_for(
    model: OnnxModel,
    *,
    labels: int | None = None,
    family: str | None = None,
    side: int | None = None,
) -> Adapter:
    """Return how to use a model.

    Args:
        model: from `read_onnx`.
        labels: how many are named; None if unknown.
        family: chosen by hand where it is ambiguous; None leaves it to the file.
        side: of a square image, where the model leaves it open.

    Raises:
        ModelLoadError: no family knows it; the message has the outputs' shapes.
        AmbiguousModelError: more than one does, and none was chosen.
    """
    adapters = possible_adapters(model, labels=labels, side=side)
    if family is not None:
        known = [*adapters, *possible_adapters(model, side=side)]
        chosen = [adapter for adapter in known if adapter.family == family]
        if not chosen:
            raise ModelLoadError(
                f"This ONNX model cannot be read as {family}; its outputs fit "
                f"{', '.join(adapter.family for adapter in adapters)}."
            )
        return chosen[0]
    most = max(adapter.likelihood for adapter in adapters)
    likely = [adapter for adapter in adapters if adapter.likelihood == most]
    if len(likely) > 1:
        families = families_of(adapters)
        raise AmbiguousModelError(
            "This ONNX model can be read in more than one way "
            f"({', '.join(families)}); name its labels, or say which it is.",
            families=families,
        )
    return likely[0]


def families_of(adapters: Sequence[Adapter]) -> tuple[str, ...]:
    """Return the families to choose from, the likeliest first."""
    offered = [
        adapter for adapter in adapters if adapter.likelihood > Likelihood.UNLIKELY
    ]
    return tuple(adapter.family for adapter in offered or adapters)


def _unknown(model: OnnxModel) -> str:
    """Return why no family fits, as exactly as the outputs' shapes tell."""
    shapes = list(model.outputs.values())
    outputs = ", ".join(
        f"{name} {shape_in_words(shape)}" for name, shape in model.outputs.items()
    )[:500]
    if any(len(shape) == 5 for shape in shapes) or _are_maps(shapes):
        return (
            f"This ONNX model gives raw feature maps of training ({outputs}); export "
            "it for inference."
        )
    if any(is_masks(shape) for shape in shapes):
        return (
            f"This ONNX model gives masks with its boxes ({outputs}), so it is for "
            "segmentation; only models that detect boxes can be used."
        )
    if len(shapes) == 3 and sorted(map(len, shapes)) == [1, 1, 2]:
        return (
            f"This ONNX model gives boxes, labels and scores in lists ({outputs}), as "
            "torchvision's detectors do, which are not read; export a YOLO, RT-DETR or "
            "RF-DETR."
        )
    return (
        "This ONNX model is of no known family (docs/models.md lists them): its "
        f"outputs are {outputs or 'none'}."
    )


def _are_maps(shapes: Sequence[TensorShape]) -> bool:
    return bool(shapes) and all(len(shape) == 4 for shape in shapes)

"""Our own converter's graphs, known by the metadata that it wrote."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from imagebase.annotation import Size
from imagebase.detection.candidates import Candidates
from imagebase.detection.darknet.graph import METADATA_KEY
from imagebase.detection.darknet.heads import Head, HeadKind, decode_heads
from imagebase.detection.onnx.adapter import Adapter, FloatBlob
from imagebase.detection.onnx.file_info import OnnxModel
from imagebase.detection.preprocess import darknet_letterboxed, stretched
from imagebase.errors import ModelLoadError

FAMILY = "darknet"
_KINDS: Final[Mapping[str, HeadKind]] = {"region": "region", "gaussian": "gaussian"}


def recognise(model: OnnxModel, net_size: Size) -> list[Adapter]:
    """Read our own converter's metadata.

    Raises:
        ModelLoadError: they are damaged, or do not fit the graph.
    """
    if METADATA_KEY not in model.metadata:
        return []
    try:
        described = json.loads(model.metadata[METADATA_KEY])
        heads = tuple(_head(head) for head in described["heads"])
        letter_box = described.get("letter_box", False) is True
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelLoadError(
            "The metadata of this ONNX model is damaged; convert it from its cfg "
            "and weights again."
        ) from error
    _check_heads(heads, model)

    def decode(outputs: Sequence[FloatBlob], floor: float) -> Candidates:
        return decode_heads(heads, outputs, net_size=net_size, floor=floor)

    return [
        Adapter(
            family=FAMILY,
            net_size=net_size,
            classes=heads[0].classes,
            outputs=tuple(head.name for head in heads),
            prepare=darknet_letterboxed if letter_box else stretched,
            decode=decode,
        )
    ]


def _head(described: dict[str, Any]) -> Head:
    """Return a head from JSON; whatever is not as written raises or is converted."""
    return Head(
        name=str(described["name"]),
        kind=_KINDS.get(str(described["kind"]), "yolo"),
        classes=int(described["classes"]),
        anchors=tuple((float(w), float(h)) for w, h in described["anchors"]),
        mask=tuple(int(index) for index in described["mask"]),
        scale_x_y=float(described["scale_x_y"]),
        new_coords=bool(described["new_coords"]),
    )


def _check_heads(heads: Sequence[Head], model: OnnxModel) -> None:
    for head in heads:
        shape = model.outputs.get(head.name, ())
        in_range = all(0 <= index < len(head.anchors) for index in head.mask)
        if not in_range or len(shape) != 4 or shape[1] != head.channels:
            raise ModelLoadError(
                f"The metadata of this ONNX model does not fit its output {head.name} "
                f"{shape}; convert it from its cfg and weights again."
            )
    if len({head.classes for head in heads}) != 1:
        raise ModelLoadError(
            "The metadata of this ONNX model names no heads, or heads of different "
            "classes; convert it from its cfg and weights again."
        )

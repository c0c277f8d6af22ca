"""The card of any model: of an added one as it was kept, of the others as read."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from imagebase.annotation import Size
from imagebase.detection.darknet.cfg import parse_cfg
from imagebase.detection.darknet.plan import plan_network
from imagebase.detection.library import ModelLibrary
from imagebase.detection.model_card import CARD_FILE, ModelCard, Score
from imagebase.detection.model_files import Model, sha256_of
from imagebase.detection.onnx.darknet_onnx import FAMILY as DARKNET
from imagebase.detection.onnx.families import read_onnx, recipe_for

# weights/README.md says how they were measured.
_MEASURED_ON: Final = "128 photographs of COCO"
_SCORES: Final[Mapping[str, Score]] = {
    "yolov4-tiny": Score(0.268, 0.482, _MEASURED_ON),
    "yolo-fastest-1.1": Score(0.164, 0.351, _MEASURED_ON),
    "yolo-fastest-1.1-xl": Score(0.236, 0.443, _MEASURED_ON),
    "yolox-nano": Score(0.345, 0.509, _MEASURED_ON),
}
_PUBLIC_DOMAIN: Final = "Public domain (Darknet's YOLO licence)."


def card_of(model: Model) -> ModelCard:
    """Return what is known of a model.

    Raises:
        ModelLoadError: its files or its card are damaged.
    """
    if (model.folder / CARD_FILE).is_file():
        return ModelLibrary(model.folder.parent).card(model.folder.name)
    return _read_card(model)


@lru_cache(maxsize=32)
def _read_card(model: Model) -> ModelCard:
    graph = model.graph.read_bytes()
    weights = model.weights.read_bytes() if model.weights else None
    family, size = _read(model, graph)
    licence = model.folder / "LICENSE"
    return ModelCard(
        name=model.name,
        identity=model.name,
        family=family,
        input_size=size,
        labels=model.labels,
        sha256=sha256_of(graph, weights, model.family),
        byte_count=len(graph) + len(weights or b""),
        added_by="",
        added_at=None,
        description=model.title if model.title != model.name else "",
        source=model.origin,
        licence=_text(licence) or (_PUBLIC_DOMAIN if model.is_bundled else ""),
        score=_SCORES.get(model.name) if model.is_bundled else None,
    )


def _read(model: Model, graph: bytes) -> tuple[str, Size]:
    if model.is_darknet:
        return DARKNET, plan_network(parse_cfg(graph), input_size=None).size
    recipe = recipe_for(read_onnx(graph), labels=len(model.labels), family=model.family)
    return recipe.family, recipe.net_size


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

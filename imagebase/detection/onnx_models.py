"""Which family an ONNX model is of, how pictures go in and boxes come out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from imagebase.annotation import Size
from imagebase.detection import own_graph, ultralytics, yolox
from imagebase.detection.onnx_files import (
    OnnxModel,
    check_task,
    labels_of,
    picture_size,
    read_onnx,
    shape_in_words,
)
from imagebase.detection.recipe import Recipe
from imagebase.errors import AmbiguousModelError, ModelLoadError

__all__ = [
    "FAMILY_NAMES",
    "OnnxModel",
    "Recipe",
    "labels_of",
    "possible_recipes",
    "read_onnx",
    "recipe_for",
]

FAMILY_NAMES: Final[Mapping[str, str]] = {
    own_graph.FAMILY: "Darknet",
    yolox.RAW: "YOLOX",
    yolox.DECODED: "YOLOX with decoded boxes",
    ultralytics.WITH_OBJECTNESS: "YOLOv5",
    ultralytics.COLUMNS: "YOLOv8, 11 or 12",
    ultralytics.ROWS: "YOLOv8, 11 or 12, a row a box",
    ultralytics.END_TO_END: "YOLO with its NMS inside",
}
# Two readings of one family: the graph itself says which is meant.
_SAME: Final = frozenset({yolox.RAW, yolox.DECODED})

_RECOGNISE: Final[Sequence[Callable[[OnnxModel, Size], list[Recipe]]]] = (
    yolox.recognise,
    ultralytics.recognise,
)


def possible_recipes(model: OnnxModel, *, labels: int | None = None) -> list[Recipe]:
    """Return every way a model may be read, the likeliest first; never none.

    Args:
        model: from `read_onnx`.
        labels: how many are named, which tells families apart; None where nobody knows.

    Raises:
        ModelLoadError: no family knows it; the message has the outputs' shapes.
    """
    check_task(model)
    net_size = picture_size(model)
    own = own_graph.recognise(model, net_size)
    if own:
        return own
    found = [one for recognise in _RECOGNISE for one in recognise(model, net_size)]
    if not found:
        raise ModelLoadError(_unknown(model))
    fitting = [one for one in found if labels and one.classes in {None, labels}]
    return fitting or found


def recipe_for(
    model: OnnxModel, *, labels: int | None = None, family: str | None = None
) -> Recipe:
    """Return how to use a model.

    Args:
        model: from `read_onnx`.
        labels: how many are named; None where nobody knows.
        family: what a person said where it is not clear; None leaves it to the model.

    Raises:
        ModelLoadError: no family knows it; the message has the outputs' shapes.
        AmbiguousModelError: more than one does, and nobody said which.
    """
    found = possible_recipes(model, labels=labels)
    if family is not None:
        chosen = [one for one in possible_recipes(model) if one.family == family]
        if not chosen:
            raise ModelLoadError(
                f"This ONNX model cannot be read as {family}; its outputs fit "
                f"{', '.join(one.family for one in found)}."
            )
        return chosen[0]
    families = tuple(one.family for one in found)
    if len(families) > 1 and not _SAME.issuperset(families):
        raise AmbiguousModelError(
            "This ONNX model can be read in more than one way "
            f"({', '.join(families)}); name its labels, or say which it is.",
            families=families,
        )
    return found[0]


def _unknown(model: OnnxModel) -> str:
    shapes = [
        f"{name} {shape_in_words(shape)}" for name, shape in model.outputs.items()
    ]
    if any(len(shape) == 5 for shape in model.outputs.values()):
        return (
            "This ONNX model gives a training's raw feature maps "
            f"({', '.join(shapes)[:500]}); export it for inference."
        )
    known = ", ".join(dict.fromkeys(FAMILY_NAMES.values()))
    return (
        f"This ONNX model is of no known family ({known}): its outputs are "
        f"{', '.join(shapes)[:500] or 'none'}."
    )

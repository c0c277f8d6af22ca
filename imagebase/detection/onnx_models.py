"""Which family an ONNX model is of, how pictures go in and boxes come out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from imagebase.annotation import Size
from imagebase.detection import own_graph, ultralytics, yolox
from imagebase.detection.onnx_files import (
    OnnxModel,
    check_operations,
    check_task,
    labels_of,
    read_onnx,
    shape_in_words,
)
from imagebase.detection.onnx_inputs import picture_size, takes_bytes
from imagebase.detection.recipe import Evidence, Recipe
from imagebase.errors import AmbiguousModelError, ModelLoadError

__all__ = [
    "FAMILY_NAMES",
    "OnnxModel",
    "Recipe",
    "families_of",
    "labels_of",
    "possible_recipes",
    "read_onnx",
    "recipe_for",
]

FAMILY_NAMES: Final[Mapping[str, str]] = {
    own_graph.FAMILY: "Darknet",
    yolox.RAW: "YOLOX",
    yolox.DECODED: "YOLOX with decoded boxes",
    yolox.YOLOV6: "YOLOv6",
    ultralytics.WITH_OBJECTNESS: "YOLOv5 or v7",
    ultralytics.COLUMNS: "YOLOv8, 11 or 12",
    ultralytics.ROWS: "YOLOv8, 11 or 12, a row a box",
    ultralytics.END_TO_END: "YOLO with its NMS inside",
    ultralytics.RTDETR: "RT-DETR of Ultralytics",
}

_Recognise = Callable[[OnnxModel, Size, int | None], list[Recipe]]
_RECOGNISE: Final[Sequence[_Recognise]] = (yolox.recognise, ultralytics.recognise)
_RECOGNISE_BYTES: Final[Sequence[_Recognise]] = ()


def possible_recipes(
    model: OnnxModel, *, labels: int | None = None, side: int | None = None
) -> list[Recipe]:
    """Return every way a model may be read, the likeliest first; never none.

    Args:
        model: from `read_onnx`.
        labels: how many are named, which tells families apart; None where nobody knows.
        side: of a square picture, where the model leaves it open.

    Raises:
        ModelLoadError: no family knows it; the message has the outputs' shapes.
    """
    check_task(model)
    check_operations(model)
    net_size = picture_size(model, side=side)
    own = own_graph.recognise(model, net_size)
    if own:
        return own
    known = _RECOGNISE_BYTES if takes_bytes(model) else _RECOGNISE
    groups = [recognise(model, net_size, labels) for recognise in known]
    fitting = [[one for one in group if _fits(one, labels)] for group in groups]
    groups = fitting if any(fitting) else groups
    groups.sort(key=lambda group: -max((one.evidence for one in group), default=0))
    found = [one for group in groups for one in group]
    if not found:
        raise ModelLoadError(_unknown(model))
    return found


def _fits(recipe: Recipe, labels: int | None) -> bool:
    return bool(labels) and recipe.classes in {None, labels}


def recipe_for(
    model: OnnxModel,
    *,
    labels: int | None = None,
    family: str | None = None,
    side: int | None = None,
) -> Recipe:
    """Return how to use a model.

    Args:
        model: from `read_onnx`.
        labels: how many are named; None where nobody knows.
        family: what a person said where it is not clear; None leaves it to the model.
        side: of a square picture, where the model leaves it open.

    Raises:
        ModelLoadError: no family knows it; the message has the outputs' shapes.
        AmbiguousModelError: more than one does, and nobody said which.
    """
    found = possible_recipes(model, labels=labels, side=side)
    if family is not None:
        known = [*found, *possible_recipes(model, side=side)]
        chosen = [one for one in known if one.family == family]
        if not chosen:
            raise ModelLoadError(
                f"This ONNX model cannot be read as {family}; its outputs fit "
                f"{', '.join(one.family for one in found)}."
            )
        return chosen[0]
    most = max(one.evidence for one in found)
    likely = [one for one in found if one.evidence == most]
    if len(likely) > 1:
        families = families_of(found)
        raise AmbiguousModelError(
            "This ONNX model can be read in more than one way "
            f"({', '.join(families)}); name its labels, or say which it is.",
            families=families,
        )
    return likely[0]


def families_of(recipes: Sequence[Recipe]) -> tuple[str, ...]:
    """Return the families that a person is offered, the likeliest first."""
    offered = [one for one in recipes if one.evidence > Evidence.UNLIKELY]
    return tuple(one.family for one in offered or recipes)


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

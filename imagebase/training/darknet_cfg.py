"""Darknet files for training: cfg for new labels, anchors, first layers' weights."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imagebase.annotation import Size
from imagebase.detection.darknet.cfg import parse_cfg
from imagebase.detection.darknet.layers import stored_weights
from imagebase.detection.darknet.plan import plan_network
from imagebase.errors import ModelLoadError
from imagebase.evaluation.arrays import CONFIDENCE_FLOOR

Floats = NDArray[np.float64]
Anchors = Sequence[tuple[float, float]]

_RESTARTS: Final = 10
_ROUNDS: Final = 100

# OpenCV 4's importer drops objectness below 0.2 unless the cfg gives another threshold.
# This is the threshold of an evaluation: 0.01 costs 0.002 AP50 on blood cells.
OPENCV_FLOOR: Final = f"{CONFIDENCE_FLOOR:g}"
# Darknet: every anchor whose shape overlaps an object's by more than this learns it.
IOU_THRESHOLD: Final = "0.213"

# `darknet partial cfg weights yolov4-tiny.conv.29 29`: the layers before the first
# head, which know edges and shapes and no labels.
CONV_29: Final = "yolov4-tiny.conv.29"
LAYERS: Final = 29
_HEADER_BYTES: Final = 20


def cfg_for(
    cfg: str, *, classes: int, input_size: Size, anchors: Anchors | None = None
) -> str:
    """Return the cfg of the same net with heads for this many classes.

    Args:
        cfg: of a net with [yolo] heads, each right after a convolution.
        classes: how many there are to be.
        input_size: of the net.
        anchors: width and height in pixels of the net, small ones first; None keeps
            those of the cfg, and its masks. The stock tiny cfg gives its second head
            the anchors 1,2,3, a mistake that its weights were trained with; new
            anchors correct it.

    Raises:
        ModelLoadError: the cfg has no such heads.
    """
    blocks = _blocks(cfg)
    heads = [place for place, block in enumerate(blocks) if _kind(block) == "yolo"]
    if not heads or any(_kind(blocks[head - 1]) != "convolutional" for head in heads):
        raise ModelLoadError("The cfg has no [yolo] head after a convolution to train.")
    net = {"width": f"{input_size.width}", "height": f"{input_size.height}"}
    net |= _replaced(blocks[0], {"batch": "1", "subdivisions": "1", "letter_box": "0"})
    blocks[0] = _with_options(blocks[0], net)
    for number, place in enumerate(heads):
        mask = _mask(blocks[place], number, len(heads), anchors)
        filters = {"filters": f"{len(mask) * (classes + 5)}"}
        blocks[place - 1] = _with_options(blocks[place - 1], filters)
        options = {
            "classes": f"{classes}",
            "iou_thresh": IOU_THRESHOLD,
            "thresh": OPENCV_FLOOR,
        }
        if anchors is not None:
            options["mask"] = ",".join(map(str, mask))
            options["anchors"] = ",  ".join(f"{w:g},{h:g}" for w, h in anchors)
            options["num"] = f"{len(anchors)}"
        blocks[place] = _with_options(blocks[place], options)
    return "\n".join("\n".join(block) for block in blocks) + "\n"


def _replaced(net: Sequence[str], options: Mapping[str, str]) -> dict[str, str]:
    """Return those options that the cfg sets.

    Darknet and OpenCV then run on one image at a time, stretched like in training.
    """
    names = {line.partition("=")[0].strip() for line in net}
    return {name: value for name, value in options.items() if name in names}


def _mask(
    block: Sequence[str], number: int, heads: int, anchors: Anchors | None
) -> list[int]:
    """Return which anchors a head takes: the coarse head comes first, the large ones.

    New anchors are distributed evenly.
    """
    if anchors is None:
        return [
            int(number)
            for number in _option(block, "mask").split(",")
            if number.strip()
        ]
    each = len(anchors) // heads
    first = (heads - 1 - number) * each
    return list(range(first, first + each))


def _blocks(cfg: str) -> list[list[str]]:
    """Return the lines of each section; the first has the lines before it."""
    blocks: list[list[str]] = [[]]
    for line in cfg.splitlines():
        if line.strip().startswith("[") and any(_kind([block]) for block in blocks[-1]):
            blocks.append([])
        blocks[-1].append(line.rstrip())
    return blocks


def _kind(block: Sequence[str]) -> str:
    for line in block:
        if line.strip().startswith("["):
            return line.strip()[1:].partition("]")[0].lower()
    return ""


def _option(block: Sequence[str], name: str) -> str:
    for line in block:
        if line.partition("=")[0].strip() == name:
            return line.partition("=")[2].partition("#")[0].strip()
    return ""


def _with_options(block: Sequence[str], options: Mapping[str, str]) -> list[str]:
    """Return the section with these options replaced, or added at its end."""
    left = dict(options)
    lines = []
    for line in block:
        name = line.partition("=")[0].strip()
        lines.append(f"{name}={left.pop(name)}" if name in left else line)
    while lines and not lines[-1]:
        lines.pop()
    return [*lines, *(f"{name}={value}" for name, value in left.items()), ""]


def cluster_anchors(
    sizes: Floats, *, count: int = 6, seed: int = 0
) -> list[tuple[float, float]]:
    """Return this many widths and heights that fit boxes best, small ones first.

    K-means with 1 - IoU of the shapes as the distance and the median as the middle, the
    best of ten restarts (Redmon and Farhadi, "YOLO9000", 2016, section 2).

    Args:
        sizes: widths and heights, shape (N, 2), in pixels of the net, above 0.
        count: how many anchors.
        seed: of the initial anchors.

    Raises:
        ValueError: there are fewer different shapes than anchors.
    """
    if len(np.unique(sizes, axis=0)) < count:
        raise ValueError(f"{count} anchors need as many different boxes at least")
    generator = np.random.default_rng(seed)
    clusterings = [_cluster(sizes, count, generator) for _ in range(_RESTARTS)]
    best = max(clusterings, key=lambda anchors: mean_best_iou(sizes, anchors))
    ordered = best[np.argsort(best.prod(axis=1))]
    return [(float(w), float(h)) for w, h in ordered.round(1)]


def mean_best_iou(sizes: Floats, anchors: Floats) -> float:
    """Return the mean IoU of each box's shape with its best anchor."""
    return float(shape_iou(sizes, anchors).max(axis=1).mean())


def shape_iou(sizes: Floats, anchors: Floats) -> Floats:
    """Return the IoU of N shapes with M, aligned at one corner, shape (N, M)."""
    shared = np.minimum(sizes[:, None], anchors[None]).prod(axis=2)
    union = sizes.prod(axis=1)[:, None] + anchors.prod(axis=1)[None] - shared
    return np.asarray(shared / union)


def _cluster(sizes: Floats, count: int, generator: np.random.Generator) -> Floats:
    anchors = _first(np.unique(sizes, axis=0), count, generator)
    nearest = np.full(len(sizes), -1)
    for _ in range(_ROUNDS):
        chosen = shape_iou(sizes, anchors).argmax(axis=1)
        if (chosen == nearest).all():
            break
        nearest = chosen
        anchors = np.stack(
            [
                np.median(sizes[nearest == cluster], axis=0)
                if (nearest == cluster).any()
                else anchors[cluster]
                for cluster in range(count)
            ]
        )
    return anchors


def _first(shapes: Floats, count: int, generator: np.random.Generator) -> Floats:
    """Return initial shapes, each likely far from the previous ones.

    As k-means++ does (Arthur and Vassilvitskii, 2007).
    """
    chosen = [int(generator.integers(len(shapes)))]
    while len(chosen) < count:
        apart = (1 - shape_iou(shapes, shapes[chosen]).max(axis=1)).clip(min=0) ** 2
        apart[chosen] = 0
        share = apart / apart.sum() if apart.sum() else None
        chosen.append(int(generator.choice(len(shapes), p=share)))
    return shapes[chosen]


def first_layers(cfg: bytes, weights: bytes, *, layers: int = LAYERS) -> bytes:
    """Return the .weights of the first layers, cut like `darknet partial` does.

    Raises:
        ModelLoadError: the files do not belong together.
    """
    network = plan_network(parse_cfg(cfg), input_size=None)
    needed = _HEADER_BYTES + 4 * network.weights
    if len(weights) != needed:
        raise ModelLoadError(
            f"The weights do not belong to this cfg: {needed:,} bytes are needed and "
            f"the file has {len(weights):,}."
        )
    stored = sum(map(stored_weights, network.layers[:layers]))
    return weights[: _HEADER_BYTES + 4 * stored]

"""The cfg of a net for other labels: the text of a known one with a few lines changed.

Layers, comments and options that nobody asked to change stay as they are.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from imagebase.annotation import Size
from imagebase.errors import ModelLoadError
from imagebase.evaluation.arrays import CONFIDENCE_FLOOR

Anchors = Sequence[tuple[float, float]]

# OpenCV 4's importer drops objectness below 0.2 unless a cfg says another threshold.
# That of an evaluation: at 0.01 its AP50 of blood cells is 0.002 less than ours.
OPENCV_FLOOR: Final = f"{CONFIDENCE_FLOOR:g}"
# Darknet: every anchor whose shape overlaps an object's by more than this learns it.
IOU_THRESHOLD: Final = "0.213"


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
            the anchors 1,2,3, a slip that its weights were trained with; with other
            anchors it is put right.

    Raises:
        ModelLoadError: the cfg has no such heads.
    """
    blocks = _blocks(cfg)
    heads = [place for place, block in enumerate(blocks) if _kind(block) == "yolo"]
    if not heads or any(_kind(blocks[one - 1]) != "convolutional" for one in heads):
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

    Darknet and OpenCV look at one picture at a time then, stretched, as the training
    here stretches its pictures; how the cfg's own net was trained is not said.
    """
    names = {line.partition("=")[0].strip() for line in net}
    return {name: value for name, value in options.items() if name in names}


def _mask(
    block: Sequence[str], number: int, heads: int, anchors: Anchors | None
) -> list[int]:
    """Return which anchors a head takes: the coarse head comes first, the large ones.

    Anchors of one's own are dealt out evenly.
    """
    if anchors is None:
        return [int(one) for one in _option(block, "mask").split(",") if one.strip()]
    each = len(anchors) // heads
    first = (heads - 1 - number) * each
    return list(range(first, first + each))


def _blocks(cfg: str) -> list[list[str]]:
    """Return the lines of each section; what stands before the first goes with it."""
    blocks: list[list[str]] = [[]]
    for line in cfg.splitlines():
        if line.strip().startswith("[") and any(_kind([one]) for one in blocks[-1]):
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
    """Return the section with these options: in their place, new ones at its end."""
    left = dict(options)
    lines = []
    for line in block:
        name = line.partition("=")[0].strip()
        lines.append(f"{name}={left.pop(name)}" if name in left else line)
    while lines and not lines[-1]:
        lines.pop()
    return [*lines, *(f"{name}={value}" for name, value in left.items()), ""]

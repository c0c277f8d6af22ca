"""Which cell and anchor of a head answers for which object."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from imagebase.annotation import Size
from imagebase.detection.heads import Head

# An anchor whose shape overlaps an object's by more than this learns it, and the best.
SHAPE_IOU: Final = 0.213


class Targets(NamedTuple):
    """The objects of a batch: N rows.

    image: (N,), which picture of the batch. label: (N,). boxes: (N, 4), centre and
    size as shares of the picture's width and height. ignored: (B, rows, columns), the
    share of each cell of a grid over the picture where nothing is learned; None is
    nowhere.
    """

    image: Tensor
    label: Tensor
    boxes: Tensor
    ignored: Tensor | None = None


class Positives(NamedTuple):
    """P places of one head that answer for an object; an object may have several.

    target: (P,), rows of the targets. slot, row, column: (P,).
    """

    target: Tensor
    slot: Tensor
    row: Tensor
    column: Tensor


def assign(
    targets: Targets, heads: Sequence[Head], grids: Sequence[Size], net_size: Size
) -> list[Positives]:
    """Return for each head which places answer for which objects.

    An object belongs to the cell that its centre lies in, of every anchor whose width
    and height overlap its own (IoU on one corner) by more than `SHAPE_IOU`, and of the
    best one; of equals, the first slot of the first head.
    """
    overlap = _shape_iou(targets.boxes[:, 2:], heads, net_size)
    chosen = overlap > SHAPE_IOU
    if len(chosen):
        chosen[torch.arange(len(chosen)), overlap.argmax(dim=1)] = True
    positives, first = [], 0
    for head, grid in zip(heads, grids, strict=True):
        last = first + len(head.mask)
        target, slot = chosen[:, first:last].nonzero(as_tuple=True)
        centres = targets.boxes[target, :2]
        column = (centres[:, 0] * grid.width).long().clamp(0, grid.width - 1)
        row = (centres[:, 1] * grid.height).long().clamp(0, grid.height - 1)
        positives.append(Positives(target, slot, row, column))
        first = last
    return positives


def _shape_iou(sizes: Tensor, heads: Sequence[Head], net_size: Size) -> Tensor:
    """Return the IoU of N shapes with all slots of all heads, (N, slots)."""
    pairs = [head.anchors[one] for head in heads for one in head.mask]
    anchors = sizes.new_tensor(pairs) / sizes.new_tensor([*net_size])
    shared = torch.minimum(sizes[:, None], anchors[None]).prod(dim=2)
    union = sizes.prod(dim=1)[:, None] + anchors.prod(dim=1)[None] - shared
    return shared / union.clamp(min=1e-12)

"""Loss of a YOLO network: anchor assignment, box, objectness and class loss."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from imagebase.annotation import Size
from imagebase.annotation.coverage import INSIDE_SHARE
from imagebase.detection.darknet.heads import Head

# Anchors with a higher shape IoU are assigned to an object, and the best anchor.
SHAPE_IOU: Final = 0.213


class Targets(NamedTuple):
    """The objects of a batch: N rows.

    image: (N,), which image of the batch. label: (N,). boxes: (N, 4), centre and
    size relative to the image. ignored: (B, rows, columns), the
    share of each cell of a grid over the image in ignore areas; None without any.
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
    pairs = [head.anchors[anchor] for head in heads for anchor in head.mask]
    anchors = sizes.new_tensor(pairs) / sizes.new_tensor([*net_size])
    shared = torch.minimum(sizes[:, None], anchors[None]).prod(dim=2)
    union = sizes.prod(dim=1)[:, None] + anchors.prod(dim=1)[None] - shared
    return shared / union.clamp(min=1e-12)


BOX_GAIN: Final = 3.0
IGNORE_IOU: Final = 0.7
# Limits exp(): a box is at most e**10 anchors wide.
_MAX_EXPONENT: Final = 10.0
_TINY: Final = 1e-7


class Loss(NamedTuple):
    """total is minimized; the parts are unweighted."""

    total: Tensor
    box: Tensor
    objectness: Tensor
    classes: Tensor


def loss_of(
    outputs: Sequence[Tensor], targets: Targets, heads: Sequence[Head], net_size: Size
) -> Loss:
    """Return the loss of a batch.

    Args:
        outputs: raw heads, (B, anchors × (5 + classes), rows, columns), any float type.
        targets: of the same batch, in its order.
        heads: what the outputs are.
        net_size: in whose pixels the anchors are.
    """
    raws = [
        _split(output.float(), head)
        for output, head in zip(outputs, heads, strict=True)
    ]
    grids = [Size(raw.shape[3], raw.shape[2]) for raw in raws]
    assigned = assign(targets, heads, grids, net_size)
    count = max(sum(len(assigned_cells.target) for assigned_cells in assigned), 1)
    zero = sum((raw.sum() * 0 for raw in raws), torch.zeros((), device=raws[0].device))
    box, objectness, classes = zero, zero, zero
    for raw, head, positives in zip(raws, heads, assigned, strict=True):
        decoded = decode(raw, head, net_size)
        image = targets.image[positives.target]
        place = (image, positives.slot, positives.row, positives.column)
        truth = targets.boxes[positives.target]
        box = box + (1 - ciou(decoded[place], truth, net_size)).sum()
        objectness = objectness + _objectness_loss(raw, decoded, place, targets)
        classes = classes + _class_loss(raw[place][:, 5:], targets, positives)
    parts = [value / count for value in (box, objectness, classes)]
    return Loss(BOX_GAIN * parts[0] + parts[1] + parts[2], *parts)


def _split(output: Tensor, head: Head) -> Tensor:
    """Return a raw head as (B, slots, rows, columns, 5 + classes)."""
    batch, _, rows, columns = output.shape
    shape = (batch, len(head.mask), 5 + head.classes, rows, columns)
    return output.reshape(shape).permute(0, 1, 3, 4, 2)


def decode(raw: Tensor, head: Head, net_size: Size) -> Tensor:
    """Return the boxes of a split head, centre and size as shares: (B, S, H, W, 4)."""
    rows, columns = raw.shape[2:4]
    offset = raw[..., :2].sigmoid() * head.scale_x_y - (head.scale_x_y - 1) / 2
    across = torch.arange(columns, device=raw.device, dtype=raw.dtype)
    down = torch.arange(rows, device=raw.device, dtype=raw.dtype)
    corner = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)
    centre = (corner + offset) / raw.new_tensor([columns, rows])
    anchors = raw.new_tensor([head.anchors[anchor] for anchor in head.mask])
    shares = anchors / raw.new_tensor([*net_size])
    factor = raw[..., 2:4].clamp(-_MAX_EXPONENT, _MAX_EXPONENT).exp()
    return torch.cat([centre, factor * shares[:, None, None]], dim=-1)


def ciou(boxes: Tensor, truth: Tensor, net_size: Size) -> Tensor:
    """Return the complete IoU of boxes with their own truth, shape (P,).

    Both (P, 4), centre and size as shares; proportions are those of the net's pixels.
    """
    sides = boxes.new_tensor([*net_size, *net_size])
    (near, far), (true_near, true_far) = (
        _corners(boxes * sides),
        _corners(truth * sides),
    )
    extent = (torch.minimum(far, true_far) - torch.maximum(near, true_near)).clamp(
        min=0
    )
    shared = extent.prod(dim=1)
    size, true_size = far - near, true_far - true_near
    union = size.prod(dim=1) + true_size.prod(dim=1) - shared
    iou = shared / (union + _TINY)
    around = torch.maximum(far, true_far) - torch.minimum(near, true_near)
    apart = ((near + far) - (true_near + true_far)) / 2
    distance = apart.square().sum(dim=1) / (around.square().sum(dim=1) + _TINY)
    turn = torch.atan2(size[:, 0], size[:, 1])
    true_turn = torch.atan2(true_size[:, 0], true_size[:, 1])
    shape = (4 / math.pi**2) * (turn - true_turn).square()
    with torch.no_grad():
        weight = shape / (1 - iou + shape + _TINY)
    return iou - distance - weight * shape


def _corners(boxes: Tensor) -> tuple[Tensor, Tensor]:
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return centre - half, centre + half


def _objectness_loss(
    raw: Tensor, decoded: Tensor, place: tuple[Tensor, ...], targets: Targets
) -> Tensor:
    wanted = torch.zeros_like(raw[..., 4])
    wanted[place] = 1
    counts = (best_iou(decoded.detach(), targets) <= IGNORE_IOU).to(raw.dtype)
    if targets.ignored is not None:
        inside = ignored_share(decoded.detach(), targets.ignored) >= INSIDE_SHARE
        counts[inside] = 0
    counts[place] = 1
    each = functional.binary_cross_entropy_with_logits(
        raw[..., 4], wanted, reduction="none"
    )
    return (each * counts).sum()


def best_iou(decoded: Tensor, targets: Targets) -> Tensor:
    """Return how well each predicted box overlaps any object: (B, S, H, W)."""
    batch = len(decoded)
    boxes = decoded.reshape(batch, -1, 4)
    best = boxes.new_zeros(boxes.shape[:2])
    with torch.no_grad():
        for image in range(batch):
            truth = targets.boxes[targets.image == image]
            if len(truth):
                best[image] = _iou(boxes[image], truth).amax(dim=1)
    return best.reshape(decoded.shape[:-1])


def ignored_share(decoded: Tensor, ignored: Tensor) -> Tensor:
    """Return the share of each predicted box that lies in areas: (B, S, H, W).

    The part of a box outside the image is not counted.

    Args:
        decoded: centre and size as shares, (B, S, H, W, 4).
        ignored: (B, rows, columns), the share of each cell that the areas cover.
    """
    with torch.no_grad():
        batch, rows, columns = ignored.shape
        near, far = (
            corner.clamp(0, 1) for corner in _corners(decoded.reshape(batch, -1, 4))
        )
        sums = ignored.cumsum(1).cumsum(2) / (rows * columns)
        sums = functional.pad(sums, (1, 0, 1, 0))[:, None]
        corners = [
            torch.stack([x[..., 0], y[..., 1]], dim=-1)
            for x, y in ((far, far), (near, far), (far, near), (near, near))
        ]
        # Between the corners of cells the sum grows linearly along x and y.
        far_far, near_far, far_near, near_near = (
            functional.grid_sample(
                sums, 2 * corner[:, None] - 1, padding_mode="border", align_corners=True
            )[:, 0, 0]
            for corner in corners
        )
        shared = far_far - near_far - far_near + near_near
        share = shared / (far - near).prod(dim=2).clamp(min=1e-12)
    return share.reshape(decoded.shape[:-1])


def _iou(boxes: Tensor, truth: Tensor) -> Tensor:
    """Return the IoU of N boxes with M, shape (N, M)."""
    (near, far), (true_near, true_far) = _corners(boxes), _corners(truth)
    extent = torch.minimum(far[:, None], true_far) - torch.maximum(
        near[:, None], true_near
    )
    shared = extent.clamp(min=0).prod(dim=2)
    union = boxes[:, None, 2:].prod(dim=2) + truth[None, :, 2:].prod(dim=2) - shared
    return shared / union.clamp(min=1e-12)


def _class_loss(logits: Tensor, targets: Targets, positives: Positives) -> Tensor:
    labels = targets.label[positives.target]
    wanted = functional.one_hot(labels, logits.shape[1]).to(logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")

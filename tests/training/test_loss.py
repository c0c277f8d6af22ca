"""The loss against one written box by box, and what it does with nasty input."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from imagebase.annotation import Box as Imagebox
from imagebase.annotation import Size
from imagebase.annotation.areas import rectangle
from imagebase.annotation.coverage import covered_shares, mask_of
from imagebase.detection.darknet.heads import Head
from imagebase.training.loss import Targets, assign, ignored_share, loss_of

NET = Size(96, 64)
CLASSES = 3
ANCHORS = (
    (8.0, 10.0),
    (20.0, 24.0),
    (30.0, 60.0),
    (60.0, 30.0),
    (70.0, 70.0),
    (90.0, 90.0),
)
HEADS = (
    Head("coarse", "yolo", CLASSES, ANCHORS, (3, 4, 5), scale_x_y=1.05),
    Head("fine", "yolo", CLASSES, ANCHORS, (1, 2, 3), scale_x_y=1.05),
)
GRIDS = (Size(3, 2), Size(6, 4))


def random_outputs(seed: int, batch: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(batch, 3 * (5 + CLASSES), grid.height, grid.width) for grid in GRIDS]
    return [torch.randn(shape, generator=generator) * 1.5 for shape in shapes]


def targets_of(rows: list[tuple[int, int, float, float, float, float]]) -> Targets:
    return Targets(
        torch.tensor([row[0] for row in rows], dtype=torch.int64),
        torch.tensor([row[1] for row in rows], dtype=torch.int64),
        torch.tensor([row[2:] for row in rows], dtype=torch.float32).reshape(-1, 4),
    )


def random_targets(seed: int, count: int = 9) -> Targets:
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        x, y = random.uniform(0, 1, 2)
        w, h = random.uniform(0.02, 0.9, 2)
        image, label = int(random.integers(0, 3)), int(random.integers(0, CLASSES))
        rows.append((image, label, x, y, w, h))
    return targets_of(rows)


Box = tuple[float, float, float, float]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def entropy(logit: float, wanted: float) -> float:
    p = sigmoid(logit)
    return -(wanted * math.log(p) + (1 - wanted) * math.log(1 - p))


def overlap_of(a: Box, b: Box) -> float:
    """Return the IoU of two boxes, middle and size, in pixels."""
    wide = min(a[0] + a[2] / 2, b[0] + b[2] / 2) - max(a[0] - a[2] / 2, b[0] - b[2] / 2)
    high = min(a[1] + a[3] / 2, b[1] + b[3] / 2) - max(a[1] - a[3] / 2, b[1] - b[3] / 2)
    shared = max(wide, 0) * max(high, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def ciou_of(a: Box, b: Box) -> float:
    iou = overlap_of(a, b)
    wide = max(a[0] + a[2] / 2, b[0] + b[2] / 2) - min(a[0] - a[2] / 2, b[0] - b[2] / 2)
    high = max(a[1] + a[3] / 2, b[1] + b[3] / 2) - min(a[1] - a[3] / 2, b[1] - b[3] / 2)
    apart = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
    turn = math.atan(a[2] / a[3]) - math.atan(b[2] / b[3])
    shape = 4 / math.pi**2 * turn**2
    weight = shape / (1 - iou + shape)
    return iou - apart / (wide**2 + high**2) - weight * shape


def box_at(
    raw: np.ndarray, head: Head, slot: int, row: int, column: int, grid: Size
) -> Box:
    x, y, w, h = (float(raw[slot, edge, row, column]) for edge in range(4))
    s = head.scale_x_y
    anchor = head.anchors[head.mask[slot]]
    return (
        (column + sigmoid(x) * s - (s - 1) / 2) / grid.width * NET.width,
        (row + sigmoid(y) * s - (s - 1) / 2) / grid.height * NET.height,
        math.exp(w) * anchor[0],
        math.exp(h) * anchor[1],
    )


def brute_force(outputs: list[Tensor], targets: Targets) -> dict[str, float]:
    """Return the loss, one prediction and one object after the other."""
    boxes = [
        (x * NET.width, y * NET.height, w * NET.width, h * NET.height)
        for x, y, w, h in targets.boxes.tolist()
    ]
    positives: dict[tuple[int, int, int, int, int], list[int]] = {}
    for number, box in enumerate(boxes):
        shapes = [
            overlap_of((0, 0, box[2], box[3]), (0, 0, *head.anchors[anchor]))
            for head in HEADS
            for anchor in head.mask
        ]
        best = shapes.index(max(shapes))
        for place, shape in enumerate(shapes):
            if shape <= 0.213 and place != best:
                continue
            which, slot = divmod(place, 3)
            grid = GRIDS[which]
            column = min(int(box[0] / NET.width * grid.width), grid.width - 1)
            row = min(int(box[1] / NET.height * grid.height), grid.height - 1)
            key = (int(targets.image[number]), which, slot, row, column)
            positives.setdefault(key, []).append(number)
    total = {"box": 0.0, "objectness": 0.0, "classes": 0.0}
    for head_at, (head, output, grid) in enumerate(
        zip(HEADS, outputs, GRIDS, strict=True)
    ):
        for image in range(len(output)):
            raw = output[image].double().numpy()
            raw = raw.reshape(3, 5 + CLASSES, grid.height, grid.width)
            own = [b for n, b in enumerate(boxes) if int(targets.image[n]) == image]
            for slot, row, column in np.ndindex(3, grid.height, grid.width):
                found = box_at(raw, head, slot, row, column, grid)
                here = positives.get((image, head_at, slot, row, column), [])
                objectness = float(raw[slot, 4, row, column])
                if here:
                    total["objectness"] += entropy(objectness, 1)
                elif max([overlap_of(found, anchor) for anchor in own] or [0]) <= 0.7:
                    total["objectness"] += entropy(objectness, 0)
                for number in here:
                    total["box"] += 1 - ciou_of(found, boxes[number])
                    for class_id in range(CLASSES):
                        wanted = float(int(targets.label[number]) == class_id)
                        logit = float(raw[slot, 5 + class_id, row, column])
                        total["classes"] += entropy(logit, wanted)
    count = max(sum(map(len, positives.values())), 1)
    return {name: value / count for name, value in total.items()}


@pytest.mark.parametrize("seed", range(6))
def test_loss_equals_a_loop_over_every_box(seed: int) -> None:
    outputs, targets = random_outputs(seed), random_targets(seed, count=3 + 4 * seed)
    # Some predictions lie on an object, so that a few are neither right nor wrong.
    outputs[1][:, :5] *= 0.05
    expected = brute_force(outputs, targets)
    found = loss_of(outputs, targets, HEADS, NET)
    for name, value in expected.items():
        assert float(getattr(found, name)) == pytest.approx(value, rel=1e-5), name
    whole = 3 * expected["box"] + expected["objectness"] + expected["classes"]
    assert float(found.total) == pytest.approx(whole, rel=1e-5)


def test_a_good_box_of_an_unassigned_anchor_is_not_penalized() -> None:
    # The object's middle lies right of the border of two cells, 32 pixels from the
    # left; the cell on the left of it says the same box, and is sure of it.
    target = targets_of([(0, 0, 33 / 96, 0.25, 70 / 96, 70 / 64)])
    losses = []
    for confidence in (0.0, 9.0):
        outputs = [torch.zeros(1, 24, 2, 3), torch.full((1, 24, 4, 6), -9.0)]
        slot = 8  # of the anchor of 70 x 70
        outputs[0][0, slot, 0, 0] = 9.0
        outputs[0][0, slot + 4, 0, 0] = confidence
        found = loss_of(outputs, target, HEADS, NET)
        expected = brute_force(outputs, target)["objectness"]
        assert float(found.objectness) == pytest.approx(expected, rel=1e-5)
        losses.append(float(found.objectness))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


NASTY = {
    "no targets": [],
    "at the far corner": [(0, 0, 1.0, 1.0, 0.2, 0.2)],
    "at the near corner": [(1, 1, 0.0, 0.0, 0.3, 0.3)],
    "tiny": [(0, 2, 0.5, 0.5, 1e-4, 1e-4)],
    "a hair wide": [(2, 2, 0.3, 0.6, 1e-6, 0.9)],
    "everything": [(0, 0, 0.5, 0.5, 1.0, 1.0)],
    "the same twice": [(0, 0, 0.5, 0.5, 0.3, 0.3), (0, 1, 0.5, 0.5, 0.3, 0.3)],
}


@pytest.mark.parametrize("scale", [0.0, 1.0, 80.0, 1e4])
@pytest.mark.parametrize("rows", NASTY.values(), ids=NASTY)
def test_loss_and_gradients_are_finite(
    rows: list[tuple[int, int, float, float, float, float]], scale: float
) -> None:
    outputs = [(output * scale).requires_grad_() for output in random_outputs(5)]
    loss = loss_of(outputs, targets_of(rows), HEADS, NET).total
    loss.backward()  # type: ignore[no-untyped-call]
    assert bool(torch.isfinite(loss))
    for output in outputs:
        assert output.grad is not None
        assert bool(torch.isfinite(output.grad).all())


def test_following_the_gradient_finds_the_objects() -> None:
    outputs = [output.requires_grad_() for output in random_outputs(8)]
    targets = random_targets(8)
    optimizer = torch.optim.Adam(outputs, lr=0.15)
    first = loss_of(outputs, targets, HEADS, NET).total.item()
    for _ in range(80):
        loss = loss_of(outputs, targets, HEADS, NET).total
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss.item() < 0.12 * first


def test_predictions_in_ignore_areas_have_no_loss() -> None:
    """Only predictions outside, and those that answer for objects, are learned from."""
    outputs, targets = random_outputs(1), random_targets(1)
    ignored = torch.zeros(3, 16, 24)
    ignored[0] = 1
    ignored[1, :, :12] = 1
    for output in outputs:
        output.requires_grad_()
    masked = loss_of(outputs, targets._replace(ignored=ignored), HEADS, NET)
    plain = loss_of(outputs, targets, HEADS, NET)
    assert masked.objectness < plain.objectness
    assert masked.box == plain.box
    assert masked.classes == plain.classes
    masked.objectness.backward()  # type: ignore[no-untyped-call]
    grid, output = GRIDS[1], outputs[1]
    assert output.grad is not None
    assigned = assign(targets, HEADS, GRIDS, NET)[1]
    split = output.grad.reshape(3, 3, 5 + CLASSES, grid.height, grid.width)
    learned = split[0, :, 4] != 0
    own = targets.image[assigned.target] == 0
    expected = torch.zeros_like(learned)
    expected[assigned.slot[own], assigned.row[own], assigned.column[own]] = True
    assert torch.equal(learned, expected)


def test_ignored_share_equals_that_of_the_pixels() -> None:
    shapes = [rectangle(Imagebox(8, 4, 40, 36)), rectangle(Imagebox(60, 0, 96, 20))]
    mask = mask_of(shapes, NET)
    cells = mask.reshape(16, 4, 24, 4).mean(axis=(1, 3))
    random = np.random.default_rng(3)
    near = random.uniform(0, [70, 45], (50, 2))
    corners = np.concatenate([near, near + random.uniform(2, 20, (50, 2))], axis=1)
    sides = np.array([96, 64, 96, 64])
    relative = np.concatenate(
        [(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], axis=1
    )
    found = torch.tensor(relative / sides, dtype=torch.float32).reshape(1, 1, 5, 10, 4)
    shares = ignored_share(found, torch.tensor(cells, dtype=torch.float32)[None])
    np.testing.assert_allclose(
        shares.reshape(-1).numpy(), covered_shares(corners, shapes, NET), atol=1e-3
    )

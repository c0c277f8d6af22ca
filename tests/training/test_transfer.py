"""What a new net knows from the old one."""

import numpy as np
import torch

from imagebase.annotation import Size
from imagebase.detection.darknet.heads import decode_heads
from imagebase.detection.library import find_model
from imagebase.training.darknet_cfg import cfg_for
from imagebase.training.network import module_of, transfer

COCO = find_model("yolov4-tiny").labels
SIZE = Size(160, 160)


def outputs_of(module: torch.nn.Module) -> list[np.ndarray]:
    blob = np.random.default_rng(3).random((1, 3, 160, 160), dtype=np.float32)
    with torch.inference_mode():
        return [head.numpy() for head in module.eval()(torch.from_numpy(blob))]


def test_unchanged_labels_are_detected_as_before(
    base_files: tuple[bytes, bytes],
) -> None:
    source = module_of(*base_files)
    cfg = cfg_for(base_files[0].decode(), classes=3, input_size=SIZE)
    target = transfer(source, COCO, cfg.encode(), ["zebra", "Dog", "person"])
    for old, new in zip(outputs_of(source), outputs_of(target), strict=True):
        old = old.reshape(3, 85, *old.shape[2:])
        new = new.reshape(3, 8, *new.shape[2:])
        np.testing.assert_allclose(new[:, :5], old[:, :5], atol=1e-4)
        rows = [5 + COCO.index(name) for name in ("zebra", "dog", "person")]
        np.testing.assert_allclose(new[:, 5:], old[:, rows], atol=1e-4)


def test_a_new_label_starts_at_its_prior_alone(base_files: tuple[bytes, bytes]) -> None:
    cfg = cfg_for(base_files[0].decode(), classes=4, input_size=SIZE)
    target = transfer(module_of(*base_files), COCO, cfg.encode(), ["a", "b", "c", "d"])
    for output in outputs_of(target):
        classes = output.reshape(3, 9, -1)[:, 5:]
        np.testing.assert_allclose(1 / (1 + np.exp(-classes)), 0.25, atol=1e-5)


def test_boxes_do_not_move_with_other_anchors(
    base_files: tuple[bytes, bytes],
) -> None:
    source, text = module_of(*base_files), base_files[0].decode()
    same = transfer(
        source, COCO, cfg_for(text, classes=1, input_size=SIZE).encode(), ["x"]
    )
    # The second head takes the anchors 0,1,2 then, and had 1,2,3.
    anchors = [
        (20.0, 30.0),
        (30.0, 60.0),
        (80.0, 80.0),
        (90.0, 99.0),
        (100.0, 140.0),
        (300.0, 310.0),
    ]
    other_cfg = cfg_for(text, classes=1, input_size=SIZE, anchors=anchors)
    other = transfer(source, COCO, other_cfg.encode(), ["x"])
    found = [
        decode_heads(model.network.heads, outputs_of(model), net_size=SIZE, floor=0.0)
        for model in (same, other)
    ]
    np.testing.assert_allclose(found[0].xyxy, found[1].xyxy, atol=1e-3)

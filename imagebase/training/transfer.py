"""A net for other labels begins with the weights of another."""

import math
from collections.abc import Sequence

import torch

from imagebase.detection.darknet.cfg import parse_cfg
from imagebase.detection.darknet.heads import Head
from imagebase.detection.darknet.plan import plan_network
from imagebase.errors import ModelLoadError
from imagebase.training.network import ConvolutionBlock, DarknetModule, load_weights

# Channels of a slot before its classes: x, y, w, h, objectness.
BOX_CHANNELS = 5
_WIDTH, _HEIGHT = 2, 3


def module_of(cfg: bytes, weights: bytes) -> DarknetModule:
    """Return the module of a Darknet model.

    Raises:
        ModelLoadError: the files cannot be used, or hold what cannot be trained.
    """
    module = DarknetModule(plan_network(parse_cfg(cfg), input_size=None))
    load_weights(module, weights)
    return module


def transfer(
    source: DarknetModule,
    source_labels: Sequence[str],
    cfg: bytes,
    labels: Sequence[str],
) -> DarknetModule:
    """Return a module of this cfg and these labels that begins where the source ends.

    Raises:
        ModelLoadError: the nets differ in more than their heads.
    """
    target = DarknetModule(plan_network(parse_cfg(cfg), input_size=None))
    heads = target.head_places()
    if heads != source.head_places() or source.blocks.keys() != target.blocks.keys():
        raise ModelLoadError("These two nets are not built alike; start from another.")
    with torch.no_grad():
        for place in map(int, target.blocks):
            if place not in heads:
                state = source.block(place).state_dict()
                target.block(place).load_state_dict(state)
        for place, old, new in zip(
            heads, source.network.heads, target.network.heads, strict=True
        ):
            rows = _class_rows(source_labels, labels)
            _copy_head(source.block(place), target.block(place), old, new, rows)
    return target


def _class_rows(old: Sequence[str], new: Sequence[str]) -> list[int | None]:
    """Return for each new label the old one's number, None where there is none."""
    places = {label.casefold().strip(): place for place, label in enumerate(old)}
    return [places.get(label.casefold().strip()) for label in new]


def _copy_head(
    source: ConvolutionBlock,
    target: ConvolutionBlock,
    old: Head,
    new: Head,
    rows: Sequence[int | None],
) -> None:
    if len(old.mask) != len(new.mask):
        raise ModelLoadError(
            "The heads of these two nets have unlike numbers of boxes."
        )
    kernel, bias = target.convolution.weight, target.convolution.bias
    old_kernel, old_bias = source.convolution.weight, source.convolution.bias
    assert bias is not None
    assert old_bias is not None
    kernel.zero_()
    bias.fill_(_prior(new.classes))
    for slot in range(len(new.mask)):
        to, of = slot * (5 + new.classes), slot * (5 + old.classes)
        pairs = [(to + one, of + one) for one in range(BOX_CHANNELS)]
        pairs += [
            (to + BOX_CHANNELS + place, of + BOX_CHANNELS + row)
            for place, row in enumerate(rows)
            if row is not None
        ]
        for here, there in pairs:
            kernel[here], bias[here] = old_kernel[there], old_bias[there]
        before, after = old.anchors[old.mask[slot]], new.anchors[new.mask[slot]]
        bias[to + _WIDTH] += math.log(before[0] / after[0])
        bias[to + _HEIGHT] += math.log(before[1] / after[1])


def _prior(classes: int) -> float:
    """Return the logit of one class among these, of one half where there is one."""
    share = min(0.5, 1 / classes)
    return math.log(share / (1 - share))

"""What those need who train with Darknet itself: one zip, one command."""

from typing import Final

from imagebase.detection.darknet.cfg import parse_cfg
from imagebase.detection.darknet.layers import Network, stored_weights
from imagebase.detection.darknet.plan import plan_network
from imagebase.errors import ModelLoadError

# `darknet partial cfg weights yolov4-tiny.conv.29 29`: the layers before the first
# head, which know edges and shapes and no labels.
CONV_29: Final = "yolov4-tiny.conv.29"
LAYERS: Final = 29
_HEADER_BYTES: Final = 20


def first_layers(cfg: bytes, weights: bytes, *, layers: int = LAYERS) -> bytes:
    """Return the .weights of a net's first layers, as `darknet partial` cuts them.

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
    return weights[: _HEADER_BYTES + 4 * _count(network, layers)]


def _count(network: Network, layers: int) -> int:
    first = network.layers[:layers]
    return sum(map(stored_weights, first))

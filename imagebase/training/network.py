"""A Darknet net as a PyTorch module, layer by layer as its cfg has them."""

from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from imagebase.detection.darknet.layers import (
    Convolution,
    Dropout,
    Layer,
    Maxpool,
    Network,
    Output,
    Route,
    Shortcut,
    Upsample,
)
from imagebase.detection.darknet.weights import BATCH_NORM_EPSILON
from imagebase.errors import ModelLoadError

# PyTorch's word for how much a batch counts in the running mean and variance.
BATCH_NORM_MOMENTUM: Final = 0.03
ACTIVATIONS: Final = ("linear", "leaky", "mish", "relu", "swish", "logistic")
_LEAKY_SLOPE: Final = 0.1


class ConvolutionBlock(nn.Module):
    """A convolution, its batch norm where it has one, and its activation."""

    def __init__(self, layer: Convolution) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(
            layer.channels_in,
            layer.shape.channels,
            layer.kernel,
            stride=(layer.stride.height, layer.stride.width),
            padding=layer.padding,
            dilation=layer.dilation,
            groups=layer.groups,
            bias=not layer.batch_normalize,
        )
        self.normalization = (
            nn.BatchNorm2d(
                layer.shape.channels,
                eps=BATCH_NORM_EPSILON,
                momentum=BATCH_NORM_MOMENTUM,
            )
            if layer.batch_normalize
            else None
        )
        self._activation = layer.activation

    def forward(self, pictures: Tensor) -> Tensor:
        found = self.convolution(pictures)
        if self.normalization is not None:
            found = self.normalization(found)
        return _activated(found, self._activation)


def _activated(values: Tensor, activation: str) -> Tensor:
    match activation:
        case "leaky":
            return functional.leaky_relu(values, _LEAKY_SLOPE)
        case "mish":
            return functional.mish(values)
        case "relu":
            return functional.relu(values)
        case "swish":
            return functional.silu(values)
        case "logistic":
            return torch.sigmoid(values)
    return values


class DarknetModule(nn.Module):
    """The net; its input is RGB in [0, 1], shape (B, 3, height, width).

    The result is the raw convolution of each head, (B, anchors × (5 + classes), rows,
    columns). Other sizes than the cfg's will do where the strides divide them.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        _check_kinds(network)
        self.network = network
        self.blocks = nn.ModuleDict(
            {
                str(place): ConvolutionBlock(layer)
                for place, layer in enumerate(network.layers)
                if isinstance(layer, Convolution)
            }
        )
        self._wanted_later = {
            source
            for layer in network.layers
            if isinstance(layer, Route | Shortcut)
            for source in layer.sources
        }

    def block(self, place: int) -> ConvolutionBlock:
        """Return the convolution that is this layer of the cfg."""
        return cast(ConvolutionBlock, self.blocks[str(place)])

    def head_places(self) -> list[int]:
        """Return the layers whose raw output is a head's, in order."""
        layers = enumerate(self.network.layers)
        return [place - 1 for place, layer in layers if isinstance(layer, Output)]

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        current, kept, heads = pictures, dict[int, Tensor](), list[Tensor]()
        for place, layer in enumerate(self.network.layers):
            if isinstance(layer, Output):
                heads.append(current)
            else:
                current = self._run(place, layer, current, kept)
            if place in self._wanted_later:
                kept[place] = current
        return tuple(heads)

    def _run(
        self, place: int, layer: Layer, current: Tensor, kept: dict[int, Tensor]
    ) -> Tensor:
        match layer:
            case Convolution():
                return cast(Tensor, self.block(place)(current))
            case Route():
                return _routed(layer, kept)
            case Shortcut():
                total = current
                for source in layer.sources:
                    total = total + kept[source]
                return _activated(total, layer.activation)
            case Maxpool():
                return _pooled(layer, current)
            case Upsample():
                scale = float(layer.stride)
                return (
                    functional.interpolate(current, scale_factor=scale) * layer.scale
                    if layer.scale != 1
                    else functional.interpolate(current, scale_factor=scale)
                )
        return current


def _routed(layer: Route, kept: dict[int, Tensor]) -> Tensor:
    parts = [kept[source] for source in layer.sources]
    if layer.groups > 1:
        parts = [one.chunk(layer.groups, dim=1)[layer.group_id] for one in parts]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _pooled(layer: Maxpool, current: Tensor) -> Tensor:
    """Pool as Darknet does: what it adds at the edges never wins."""
    near = layer.padding // 2
    height, width = current.shape[2:]
    rows = (height + layer.padding - layer.kernel) // layer.stride.height + 1
    columns = (width + layer.padding - layer.kernel) // layer.stride.width + 1
    below = (rows - 1) * layer.stride.height + layer.kernel - near - height
    right = (columns - 1) * layer.stride.width + layer.kernel - near - width
    if near or below > 0 or right > 0:
        edges = (near, max(right, 0), near, max(below, 0))
        current = functional.pad(current, edges, value=float("-inf"))
    stride = (layer.stride.height, layer.stride.width)
    return functional.max_pool2d(current, layer.kernel, stride)


def _check_kinds(network: Network) -> None:
    known = Convolution | Route | Shortcut | Maxpool | Upsample | Dropout | Output
    for layer in network.layers:
        if not isinstance(layer, known):
            kind = type(layer).__name__.lower()
            raise ModelLoadError(f"A net with a [{kind}] layer cannot be trained here.")
        if isinstance(layer, Shortcut) and (
            layer.weights
            or any(network.layers[one].shape != layer.shape for one in layer.sources)
        ):
            raise ModelLoadError(
                "A [shortcut] with weights or of other sizes cannot be trained."
            )
        if isinstance(layer, Convolution | Shortcut) and (
            layer.activation not in ACTIVATIONS
        ):
            raise ModelLoadError(f"activation={layer.activation} cannot be trained.")
        if isinstance(layer, Output) and (
            layer.head.kind != "yolo" or layer.head.new_coords
        ):
            raise ModelLoadError("Only nets with plain [yolo] heads can be trained.")

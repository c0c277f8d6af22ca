"""Darknet network as a PyTorch module: weights, transfer to new labels, device."""

import contextlib
import copy
import math
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from imagebase.detection.darknet.cfg import parse_cfg
from imagebase.detection.darknet.heads import Head
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
from imagebase.detection.darknet.plan import plan_network
from imagebase.detection.darknet.weights import BATCH_NORM_EPSILON
from imagebase.errors import ModelLoadError, TrainingError

# PyTorch's word for how much a batch counts in the running mean and variance.
BATCH_NORM_MOMENTUM: Final = 0.03
ACTIVATIONS: Final = ("linear", "leaky", "mish", "relu", "swish", "logistic")
_LEAKY_SLOPE: Final = 0.1
# Channels of an anchor before its classes: x, y, w, h, objectness.
BOX_CHANNELS: Final = 5
_WIDTH, _HEIGHT = 2, 3
_HEADER: Final = struct.Struct("<3iq")
_VERSION: Final = (0, 2, 5)


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
        features = self.convolution(pictures)
        if self.normalization is not None:
            features = self.normalization(features)
        return _activated(features, self._activation)


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
        current, outputs, heads = pictures, dict[int, Tensor](), list[Tensor]()
        for place, layer in enumerate(self.network.layers):
            if isinstance(layer, Output):
                heads.append(current)
            else:
                current = self._run(place, layer, current, outputs)
            if place in self._wanted_later:
                outputs[place] = current
        return tuple(heads)

    def _run(
        self, place: int, layer: Layer, current: Tensor, outputs: dict[int, Tensor]
    ) -> Tensor:
        match layer:
            case Convolution():
                return cast(Tensor, self.block(place)(current))
            case Route():
                return _routed(layer, outputs)
            case Shortcut():
                total = current
                for source in layer.sources:
                    total = total + outputs[source]
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


def _routed(layer: Route, outputs: dict[int, Tensor]) -> Tensor:
    parts = [outputs[source] for source in layer.sources]
    if layer.groups > 1:
        parts = [source.chunk(layer.groups, dim=1)[layer.group_id] for source in parts]
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
            or any(
                network.layers[source].shape != layer.shape for source in layer.sources
            )
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


def load_weights(module: DarknetModule, content: bytes) -> int:
    """Load weights into a module; return how many images they were trained on.

    Raises:
        ModelLoadError: the file and the net do not belong together.
    """
    header, seen = _read_header(content)
    needed = module.network.weights
    if len(content) - header != needed * 4:
        raise ModelLoadError(
            f"The weights do not belong to this cfg: it needs {needed:,} numbers and "
            f"the file has {(len(content) - header) / 4:,.10g}."
        )
    values = torch.from_numpy(np.frombuffer(content, "<f4", offset=header).copy())
    start = 0
    with torch.no_grad():
        for tensor in _in_file_order(module):
            part = values[start : start + tensor.numel()]
            tensor.copy_(part.reshape(tensor.shape))
            start += tensor.numel()
    return seen


def dump_weights(
    module: DarknetModule, *, seen: int = 0, layers: int | None = None
) -> bytes:
    """Return the .weights file of a module, as Darknet's save_weights writes it.

    Args:
        module: of any device and memory layout.
        seen: images it was trained on; Darknet continues counting from there.
        layers: only the first layers of the cfg, like `darknet partial`.
    """
    parts = [_HEADER.pack(*_VERSION, seen)]
    for tensor in _in_file_order(module, layers):
        flat = tensor.detach().to("cpu", torch.float32).contiguous()
        parts.append(flat.numpy().astype("<f4", copy=False).tobytes())
    return b"".join(parts)


def _read_header(content: bytes) -> tuple[int, int]:
    """Return the bytes of the header and the images seen (Darknet: load_weights_upto).

    The count has 8 bytes from version 0.2 on, 4 before.
    """
    major, minor = struct.unpack("<2i", content[:8].ljust(8, b"\0"))
    header = 20 if major * 10 + minor >= 2 else 16
    if len(content) < header:
        raise ModelLoadError(f"The weights have only {len(content)} bytes.")
    seen = content[12:header]
    return header, int.from_bytes(seen, "little", signed=True)


def _in_file_order(
    module: DarknetModule, layers: int | None = None
) -> Iterator[Tensor]:
    """Yield bias, scale, mean, variance, kernel of each convolution in turn."""
    for place, layer in enumerate(module.network.layers[:layers]):
        if not isinstance(layer, Convolution):
            continue
        block = module.block(place)
        norm, convolution = block.normalization, block.convolution
        if norm is not None:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            yield from (norm.bias, norm.weight, norm.running_mean, norm.running_var)
        else:
            assert convolution.bias is not None
            yield convolution.bias
        yield convolution.weight


def module_of(cfg: bytes, weights: bytes) -> DarknetModule:
    """Return the module of a Darknet model.

    Raises:
        ModelLoadError: the files are invalid, or have layers that cannot be trained.
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
    """Return a module for this cfg and these labels with the weights of the source.

    Raises:
        ModelLoadError: the networks differ in more than their heads.
    """
    target = DarknetModule(plan_network(parse_cfg(cfg), input_size=None))
    heads = target.head_places()
    if heads != source.head_places() or source.blocks.keys() != target.blocks.keys():
        raise ModelLoadError(
            "These two networks have different layers; start from another model."
        )
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
    """Return the old class ID of each new label, None for a new one."""
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
            "The heads of these two networks have different numbers of anchors."
        )
    kernel, bias = target.convolution.weight, target.convolution.bias
    old_kernel, old_bias = source.convolution.weight, source.convolution.bias
    assert bias is not None
    assert old_bias is not None
    kernel.zero_()
    bias.fill_(_prior(new.classes))
    for slot in range(len(new.mask)):
        to, of = slot * (5 + new.classes), slot * (5 + old.classes)
        pairs = [(to + channel, of + channel) for channel in range(BOX_CHANNELS)]
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
    """Return the logit of 1 / classes, at most of one half."""
    share = min(0.5, 1 / classes)
    return math.log(share / (1 - share))


@dataclass(frozen=True, slots=True)
class Compute:
    """device: cpu, cuda or mps. is_bf16: whether convolutions run in bfloat16."""

    device: torch.device
    is_bf16: bool

    @property
    def in_words(self) -> str:
        return f"{self.device.type}, {'bf16' if self.is_bf16 else 'f32'}"

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context of a forward pass."""
        if not self.is_bf16:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def pictures(self, pictures: NDArray[np.uint8]) -> Tensor:
        """Return bytes (B, height, width, 3) as input in [0, 1], channels last."""
        tensor = torch.from_numpy(pictures).to(self.device).permute(0, 3, 1, 2)
        # NHWC bytes seen as NCHW are channels last already.
        return tensor.to(torch.float32).mul_(1 / 255)


def placed(module: DarknetModule, device: torch.device) -> DarknetModule:
    """Return the module on its device, kernels laid out channels last."""
    # The stubs of `to` know no memory format next to a device.
    moved: DarknetModule = module.to(device)
    return moved.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def device_named(name: str) -> torch.device:
    """Return a device; `auto` takes CUDA, then Apple's MPS, then the CPU."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def faster_compute(
    device: torch.device,
    precision: str,
    module: DarknetModule,
    step: Callable[[DarknetModule, Compute], object],
) -> tuple[Compute, float | None]:
    """Return the faster precision on this machine, and a step's seconds.

    Times two steps of each after a warm-up step; nothing if a precision is given.

    Args:
        precision: `auto`, `f32` or `bf16`.
        module: copied; it is not changed.
        step: trains on one batch.

    Raises:
        TrainingError: the device can do neither.
    """
    if precision != "auto":
        return Compute(device, precision == "bf16"), None
    seconds: dict[Compute, float] = {}
    refused: list[RuntimeError] = []
    for is_bf16 in (True, False):
        compute = Compute(device, is_bf16)
        # A device without support, such as for bfloat16, raises RuntimeError.
        try:
            seconds[compute] = _step_seconds(compute, module, step)
        except RuntimeError as error:
            refused.append(error)
    if not seconds:
        raise TrainingError(
            f"Training fails on this device ({device.type}), perhaps for lack of "
            "memory; use a smaller input, or close other programs."
        ) from refused[-1]
    best = min(seconds, key=lambda size: seconds[size])
    return best, seconds[best]


def _step_seconds(
    compute: Compute,
    module: DarknetModule,
    step: Callable[[DarknetModule, Compute], object],
) -> float:
    trial = copy.deepcopy(module)
    step(trial, compute)
    began = time.perf_counter()
    for _ in range(2):
        step(trial, compute)
    if compute.device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / 2

"""Darknet's .weights bytes as one kernel and one bias for each convolution."""

import struct
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imagebase.detection.darknet.layers import (
    Convolution,
    Network,
    Shortcut,
    stored_weights,
)
from imagebase.errors import ModelLoadError

# AlexeyAB's Darknet adds this to the variance (fuse_conv_batchnorm, normalize_cpu), and
# the weights were trained with it. OpenCV's importer used 1e-6; AP tells no difference.
BATCH_NORM_EPSILON: Final = 1e-5
_SHARES_EPSILON: Final = 0.0001


class Kernel(NamedTuple):
    """kernel (filters, channels in / groups, k, k) and bias (filters,), float32."""

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]


def read_weights(content: bytes, network: Network) -> list[Kernel]:
    """Return the kernels of a net's convolutions in order, batch norm folded in.

    A shortcut with weights stands among them with the share of each layer it adds,
    shape (layers, channels or 1).

    The header is three int32, major, minor and revision, and a count of images seen:
    int64 from version 0.2 on, int32 before (Darknet's load_weights_upto).

    Raises:
        ModelLoadError: the file and the net do not belong together, with both counts,
            or a weight is not finite.
    """
    values = np.frombuffer(content, "<f4", offset=_checked_header(content, network))
    kernels = []
    start = 0
    for layer in network.layers:
        count = stored_weights(layer)
        own = values[start : start + count]
        if isinstance(layer, Convolution):
            kernels.append(_fold(layer, own))
        elif isinstance(layer, Shortcut) and count:
            kernels.append(Kernel(shares_of(layer, own), np.zeros(0, np.float32)))
        start += count
    return kernels


def shares_of(layer: Shortcut, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much of each layer a shortcut adds, the one before it first.

    As in Darknet's shortcut_multilayer_cpu, whose sum begins at 0.0001.
    """
    each = weights.reshape(len(layer.sources) + 1, -1).astype(np.float64)
    if layer.normalization == "relu":
        each = np.maximum(each, 0)
    elif layer.normalization == "softmax":
        each = np.exp(each - each.max(axis=0))
    if layer.normalization != "none":
        each = each / (each.sum(axis=0) + _SHARES_EPSILON)
    if not np.isfinite(each).all():
        raise _not_finite()
    return each.astype(np.float32)


def _not_finite() -> ModelLoadError:
    return ModelLoadError(
        "The weights cannot be used: some are not finite numbers; the file is damaged, "
        "or the training diverged."
    )


def _checked_header(content: bytes, network: Network) -> int:
    header = header_bytes(content)
    if len(content) < header:
        raise ModelLoadError(
            f"The weights cannot be used: the file has only {len(content)} bytes."
        )
    actual = (len(content) - header) / 4
    if actual != network.weights:
        problem = "left over" if actual > network.weights else "missing"
        raise ModelLoadError(
            f"The weights do not belong to this cfg: it needs {network.weights} "
            f"numbers and the file has {actual:.10g}, so "
            f"{abs(actual - network.weights):.10g} are {problem}."
        )
    return header


def header_bytes(content: bytes) -> int:
    """Return how long the header of a .weights file is, by the version in it."""
    major, minor = struct.unpack("<2i", content[:8].ljust(8, b"\0"))
    return 20 if major * 10 + minor >= 2 else 16


def _fold(layer: Convolution, values: NDArray[np.float32]) -> Kernel:
    """Return w·s/√(v+ε) and b-m·s/√(v+ε); the order in the file is b, s, m, v, w."""
    filters = layer.shape.channels
    vectors = 4 if layer.batch_normalize else 1
    head = values[: vectors * filters].reshape(vectors, filters).astype(np.float64)
    kernel: NDArray[Any] = values[vectors * filters :].reshape(layer.kernel_shape)
    bias = head[0]
    if layer.batch_normalize:
        bias, scale, mean, variance = head
        with np.errstate(all="ignore"):
            factor = scale / np.sqrt(variance + BATCH_NORM_EPSILON)
            bias = bias - mean * factor
            kernel = kernel * factor[:, None, None, None]
    with np.errstate(all="ignore"):
        folded = Kernel(kernel.astype(np.float32), bias.astype(np.float32))
    if not (np.isfinite(folded.kernel).all() and np.isfinite(folded.bias).all()):
        raise _not_finite()
    return folded

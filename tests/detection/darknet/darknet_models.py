"""Small real Darknet models, and what their layers compute, written after the C code.

Independent of the package: nothing here is taken from the converter.
"""

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

HEADER = struct.pack("<3iq", 0, 2, 5, 0)

# One cell of 32 × 32 pixels; seven outputs: x y w h objectness and two classes.
ONE_BOX_CFG = """
[net]
width=32
height=32
channels=3

[convolutional]
filters=7
size=32
stride=32
activation=linear

[yolo]
mask=0
anchors=16,8
classes=2
num=1
"""


def one_box_weights(
    *, box: tuple[float, ...] = (0, 0, 0, 0), scores: tuple[float, ...] = (9, -9, 9)
) -> bytes:
    """Return weights whose kernel is zero, so that the biases alone speak."""
    biases = np.array([*box, *scores], np.float32)
    return HEADER + biases.tobytes() + bytes(4 * 7 * 3 * 32 * 32)


def write_one_box_model(folder: Path, **biases: tuple[float, ...]) -> Path:
    """Write the model of one box; class 1 of `cat`, `dog` unless the biases differ."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "obj.cfg").write_text(ONE_BOX_CFG)
    (folder / "obj.weights").write_bytes(one_box_weights(**biases))
    (folder / "obj.names").write_text("cat\ndog\n")
    return folder


def net_cfg(layers: str, *, width: int = 8, height: int = 6) -> bytes:
    """Return a cfg of these layers, ended by a yolo head over six channels."""
    head = "[yolo]\nmask=0\nanchors=4,4\nclasses=1\nnum=1\n"
    net = f"[net]\nwidth={width}\nheight={height}\nchannels=3\n"
    return f"{net}{layers}\n{head}".encode()


def random_floats(count: int, *, seed: int = 7) -> Array:
    """Return floats around 0, none near it so that no activation hides a mistake."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.5, count).astype(np.float32)


def weights_file(*parts: Array) -> bytes:
    return HEADER + b"".join(part.astype("<f4").tobytes() for part in parts)


def convolve(
    picture: Array,
    kernel: Array,
    bias: Array,
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    dilation: int = 1,
) -> Array:
    """Return Darknet's convolution of (C, H, W) with (F, C / groups, k, k)."""
    padded = np.pad(picture, [(0, 0), (padding, padding), (padding, padding)])
    filters, inner, side, _ = kernel.shape
    reach = dilation * (side - 1) + 1
    rows = (padded.shape[1] - reach) // stride + 1
    columns = (padded.shape[2] - reach) // stride + 1
    out = np.zeros((filters, rows, columns), np.float64)
    for f in range(filters):
        first = f // (filters // groups) * inner
        for y in range(rows):
            for x in range(columns):
                top, left = y * stride, x * stride
                window = padded[
                    first : first + inner,
                    top : top + reach : dilation,
                    left : left + reach : dilation,
                ]
                out[f, y, x] = (window * kernel[f]).sum() + bias[f]
    return out.astype(np.float32)


def maxpool(picture: Array, *, size: int, stride: int, padding: int) -> Array:
    """Return forward_maxpool_layer's output for (C, H, W), loop for loop."""
    channels, height, width = picture.shape
    rows = (height + padding - size) // stride + 1
    columns = (width + padding - size) // stride + 1
    out = np.full((channels, rows, columns), -np.inf, np.float32)
    for y in range(rows):
        for x in range(columns):
            for n in range(size):
                for m in range(size):
                    row = -(padding // 2) + y * stride + n
                    column = -(padding // 2) + x * stride + m
                    if 0 <= row < height and 0 <= column < width:
                        seen = picture[:, row, column]
                        out[:, y, x] = np.maximum(out[:, y, x], seen)
    return out


def reorg(picture: Array, *, stride: int) -> Array:
    """Return reorg_cpu's output with forward=0, index by index."""
    channels, height, width = picture.shape
    flat = picture.ravel()
    out = np.zeros(picture.size, np.float32)
    out_c = channels // (stride * stride)
    for k in range(channels):
        for j in range(height):
            for i in range(width):
                c2, offset = k % out_c, k // out_c
                w2 = i * stride + offset % stride
                h2 = j * stride + offset // stride
                source = w2 + width * stride * (h2 + height * stride * c2)
                out[i + width * (j + height * k)] = flat[source]
    return out.reshape(channels * stride**2, height // stride, width // stride)

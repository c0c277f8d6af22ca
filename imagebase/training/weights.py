"""Darknet's .weights bytes into a module and out of it again, not a bit changed."""

import struct
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from imagebase.detection.darknet.layers import Convolution
from imagebase.errors import ModelLoadError
from imagebase.training.network import DarknetModule

_HEADER = struct.Struct("<3iq")
_VERSION = (0, 2, 5)


def load_weights(module: DarknetModule, content: bytes) -> int:
    """Put weights into a module and return how many images they had seen.

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
        seen: images it was trained on; Darknet goes on counting from there.
        layers: only of so many layers of the cfg, as `darknet partial` has it.
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

"""What a net is computed on and in: device, number type, memory layout."""

import contextlib
import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imagebase.errors import TrainingError
from imagebase.training.network import DarknetModule


@dataclass(frozen=True, slots=True)
class Compute:
    """device: cpu, cuda or mps. is_bf16: whether convolutions run in bfloat16."""

    device: torch.device
    is_bf16: bool

    @property
    def in_words(self) -> str:
        return f"{self.device.type}, {'bf16' if self.is_bf16 else 'f32'}"

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return what a forward pass runs in."""
        if not self.is_bf16:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def pictures(self, pictures: NDArray[np.uint8]) -> Tensor:
        """Return bytes (B, height, width, 3) as what the net reads, channels last."""
        tensor = torch.from_numpy(pictures).to(self.device).permute(0, 3, 1, 2)
        # NHWC bytes seen as NCHW are channels last already.
        return tensor.to(torch.float32).mul_(1 / 255)


def placed(module: DarknetModule, device: torch.device) -> DarknetModule:
    """Return the module on its device, kernels laid out channels last."""
    # The stubs of `to` know no memory format beside a device.
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
    """Return the number type in which steps are faster here, and a step's seconds.

    Two steps of each are timed after one to warm up; what a processor is able to do
    shows by itself. Where a precision is given, nothing is timed.

    Args:
        precision: `auto`, `f32` or `bf16`.
        module: copied; it is not changed.
        step: learns from one batch of the usual size.

    Raises:
        TrainingError: the device can do neither.
    """
    if precision != "auto":
        return Compute(device, precision == "bf16"), None
    found: dict[Compute, float] = {}
    refused: list[RuntimeError] = []
    for is_bf16 in (True, False):
        compute = Compute(device, is_bf16)
        # What a device cannot do, such as bfloat16 on older ones, it says so.
        try:
            found[compute] = _step_seconds(compute, module, step)
        except RuntimeError as error:
            refused.append(error)
    if not found:
        raise TrainingError(
            f"The net cannot learn on this device ({device.type}), perhaps for lack of "
            "memory; take a smaller input, or close what else uses it."
        ) from refused[-1]
    best = min(found, key=lambda one: found[one])
    return best, found[best]


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

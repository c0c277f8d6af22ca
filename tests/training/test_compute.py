"""What a net is computed in: what is faster, and what to say where nothing works."""

import pytest
import torch

from imagebase.errors import TrainingError
from imagebase.training.network import Compute, DarknetModule, faster_compute, module_of


@pytest.fixture
def module(base_files: tuple[bytes, bytes]) -> DarknetModule:
    return module_of(*base_files)


def test_unsupported_precision_is_not_chosen(
    module: DarknetModule,
) -> None:
    def step(_: DarknetModule, compute: Compute) -> None:
        if compute.is_bf16:
            raise RuntimeError("not implemented for BFloat16")

    compute, seconds = faster_compute(torch.device("cpu"), "auto", module, step)
    assert not compute.is_bf16
    assert seconds is not None


def test_a_device_without_any_precision_is_an_error(
    module: DarknetModule,
) -> None:
    def step(_: DarknetModule, compute: Compute) -> None:
        raise RuntimeError("cannot allocate")

    with pytest.raises(TrainingError, match=r"on this device \(cpu\)"):
        faster_compute(torch.device("cpu"), "auto", module, step)

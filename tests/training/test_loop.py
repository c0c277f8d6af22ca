"""One step of the loop: what is learned, what is skipped, what the average does."""

from pathlib import Path

import pytest
import torch

from imagebase.annotation import Size
from imagebase.training.darknet_cfg import cfg_for
from imagebase.training.data import prepare
from imagebase.training.data_loader import Batch, Batches
from imagebase.training.loop import learn, optimizer_of, update_average
from imagebase.training.network import (
    Compute,
    DarknetModule,
    faster_compute,
    module_of,
    placed,
    transfer,
)
from imagebase.training.run_settings import TrainingSettings
from tests.training.shapes import LABELS, sources

CPU = torch.device("cpu")
F32 = Compute(CPU, is_bf16=False)
SIZE = Size(64, 64)


@pytest.fixture
def module(base_files: tuple[bytes, bytes]) -> DarknetModule:
    cfg = cfg_for(base_files[0].decode(), classes=2, input_size=SIZE)
    fresh = transfer(module_of(*base_files), ["none"] * 80, cfg.encode(), LABELS)
    return placed(fresh, CPU)


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    training_set = prepare(tmp_path, sources(5), labels=LABELS, input_size=SIZE)
    return Batches(training_set, TrainingSettings(base="", steps=1)).batch(0)


def state_of(module: DarknetModule) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def test_a_step_changes_every_kernel(module: DarknetModule, batch: Batch) -> None:
    before = state_of(module)
    found = learn(module, F32, optimizer_of(module, 1e-3), batch)
    assert found is not None
    assert len(found) == 4
    after = module.state_dict()
    kernels = [name for name in before if name.endswith("convolution.weight")]
    assert all(not torch.equal(before[name], after[name]) for name in kernels)


def test_a_batch_with_a_nonfinite_loss_changes_nothing(
    module: DarknetModule, batch: Batch
) -> None:
    optimizer = optimizer_of(module, 1e-3)
    norm = module.block(0).normalization
    assert norm is not None
    with torch.no_grad():
        norm.weight[0] = float("inf")
    before = state_of(module)
    assert learn(module, F32, optimizer, batch) is None
    after = module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not optimizer.state


def test_only_kernels_decay(module: DarknetModule) -> None:
    kernels, others = optimizer_of(module, 1e-3).param_groups
    assert kernels["weight_decay"] > 0
    assert others["weight_decay"] == 0
    assert {parameter.ndim for parameter in kernels["params"]} == {4}
    assert {parameter.ndim for parameter in others["params"]} == {1}


def test_averaged_weights_follow_quickly_then_slowly(
    module: DarknetModule, base_files: tuple[bytes, bytes]
) -> None:
    average = placed(module_of(*base_files), CPU)
    target = placed(module_of(*base_files), CPU)
    kernel = "blocks.0.convolution.weight"
    with torch.no_grad():
        for parameter in target.parameters():
            parameter.add_(1)
    start = average.state_dict()[kernel].clone()
    update_average(average, target, 0)
    torch.testing.assert_close(
        average.state_dict()[kernel] - start, torch.full_like(start, 0.9)
    )
    start = average.state_dict()[kernel].clone()
    update_average(average, target, 10_000)
    expected = (target.state_dict()[kernel] - start) * 0.01
    torch.testing.assert_close(
        average.state_dict()[kernel] - start, expected, atol=1e-5, rtol=1e-3
    )


def test_faster_precision_is_chosen_without_changing_the_module(
    module: DarknetModule, batch: Batch
) -> None:
    before = state_of(module)
    seen: list[Compute] = []

    def step(trial: DarknetModule, compute: Compute) -> None:
        seen.append(compute)
        learn(trial, compute, optimizer_of(trial, 1e-3), batch)

    compute, seconds = faster_compute(CPU, "auto", module, step)
    assert compute in seen
    assert {step.is_bf16 for step in seen} == {True, False}
    assert seconds is not None
    assert seconds > 0
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    assert faster_compute(CPU, "bf16", module, step) == (Compute(CPU, True), None)

"""What the tests of training share."""

import os
from collections.abc import Iterator

import pytest
import torch

from imagebase.settings import WEIGHTS_FOLDER

BASE = WEIGHTS_FOLDER / "yolov4-tiny"


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine would take minutes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    yield
    torch.set_num_threads(before)
    del os.environ["OMP_NUM_THREADS"]


@pytest.fixture(scope="session")
def base_files() -> tuple[bytes, bytes]:
    """The cfg and the weights of the default model."""
    return (BASE / "obj.cfg").read_bytes(), (BASE / "obj.weights").read_bytes()

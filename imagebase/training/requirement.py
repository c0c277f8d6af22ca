"""Is PyTorch here, and how to get it where it is not."""

from importlib.util import find_spec
from typing import Final

from imagebase.errors import TrainingError

FOR_CPU: Final = "pip install -r requirements-train.txt"
FOR_GPU: Final = "pip install torch"
HOW_TO_GET_IT: Final = (
    "Training needs PyTorch, which is not installed; install it with "
    f"`{FOR_CPU}` for the CPU, or with `{FOR_GPU}` for an NVIDIA GPU."
)


def has_torch() -> bool:
    """Say whether PyTorch is installed; it is not loaded."""
    return find_spec("torch") is not None


def require_torch() -> None:
    """Raise TrainingError, with how to get it, where PyTorch is missing."""
    if not has_torch():
        raise TrainingError(HOW_TO_GET_IT)

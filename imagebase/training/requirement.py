"""Is PyTorch here, and how to get it where it is not."""

from importlib.util import find_spec
from typing import Final

from imagebase.errors import TrainingError

# pip alone brings the CUDA build to Linux, several GB of it, GPU or no GPU.
_GET_UV: Final = "python -m pip install uv"
_CPU: Final = "python -m uv pip install torch --torch-backend=cpu"
_GPU: Final = "python -m uv pip install torch --torch-backend=auto"
FOR_CPU: Final = f"{_GET_UV}\n{_CPU}"
FOR_GPU: Final = f"{_GET_UV}\n{_GPU}"
HOW_TO_GET_IT: Final = (
    f"Training needs PyTorch, which is not installed; run `{_GET_UV}` and then "
    f"`{_CPU}` for the CPU, or `{_GPU}` for an NVIDIA GPU."
)


def has_torch() -> bool:
    """Say whether PyTorch is installed; it is not loaded."""
    return find_spec("torch") is not None


def require_torch() -> None:
    """Raise TrainingError, with how to get it, where PyTorch is missing."""
    if not has_torch():
        raise TrainingError(HOW_TO_GET_IT)

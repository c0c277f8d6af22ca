"""Settings of a training run."""

from dataclasses import asdict, dataclass, replace
from typing import Final, Self

from imagebase.annotation import Size
from imagebase.errors import TrainingError

DEFAULT_MINUTES: Final = 3.0
DEFAULT_INPUT_SIZE: Final = 416
STRIDE: Final = 32


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """Length and options; exactly one of `minutes`, `epochs` and `steps` is set.

    minutes: wall time, including reading and the final evaluation, without time in
        which the machine sleeps.
    steps: batches; for trials and tests.
    base: folder of the Darknet model to start from.
    flip: whether to mirror images; not for text.
    colours: whether to change colours; not if colour is the label.
    cluster_anchors: whether to cluster new anchors, or keep those of the base.
    precision: `auto` (the faster one), `f32` or `bf16`.
    """

    base: str
    minutes: float | None = None
    epochs: int | None = None
    steps: int | None = None
    seed: int = 0
    batch_size: int = 4
    learning_rate: float = 1.2e-3
    flip: bool = True
    colours: bool = True
    cluster_anchors: bool = False
    precision: str = "auto"
    device: str = "auto"

    def __post_init__(self) -> None:
        lengths = [self.minutes, self.epochs, self.steps]
        given = [length for length in lengths if length is not None]
        if len(given) != 1 or given[0] <= 0:
            raise TrainingError("Set either minutes or epochs, above 0.")

    def with_length_of(self, other: "TrainingSettings") -> Self:
        """Return the settings with the length of others."""
        return replace(
            self, minutes=other.minutes, epochs=other.epochs, steps=other.steps
        )

    def same_but_length(self, other: "TrainingSettings") -> bool:
        """Return whether a run with the other settings can resume with these."""
        ignored = ("minutes", "epochs", "steps", "precision", "device")
        mine, theirs = asdict(self), asdict(other)
        return all(mine[name] == theirs[name] for name in mine if name not in ignored)


def check_input_size(side: int) -> Size:
    """Return the input size for a side in pixels.

    Raises:
        TrainingError: it is not a multiple of the stride.
    """
    if side % STRIDE or not STRIDE <= side <= 2048:
        near = min(2048, max(STRIDE, round(side / STRIDE) * STRIDE))
        raise TrainingError(f"An input of {side} pixels is not possible; try {near}.")
    return Size(side, side)

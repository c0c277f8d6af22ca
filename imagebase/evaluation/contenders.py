"""Who is judged: NAME[&NAME…][@SIZE][+accurate][+f32|+bf16]."""

from dataclasses import dataclass
from typing import Final

from imagebase.errors import EvaluationError

ACCURATE: Final = "accurate"
_VOTE: Final = "&"
PRECISIONS: Final = ("f32", "bf16")
_LEAST_SIZE: Final = 32
_MOST_SIZE: Final = 2048


@dataclass(frozen=True, slots=True)
class Contender:
    """A model and how it looks at pictures.

    spec: as it was asked for, which is what it is called in every table.
    models: names, folders or .onnx files; more than one vote. input_size: None is the
    model's own.
    """

    spec: str
    models: tuple[str, ...]
    input_size: int | None = None
    is_accurate: bool = False
    precision: str = "auto"


def parse_contender(spec: str) -> Contender:
    """Return what a text asks for, read from its end: paths may hold + and @.

    Raises:
        EvaluationError: it contradicts itself or names a size that cannot be.
    """
    rest, is_accurate, precision = spec.strip(), False, ""
    while True:
        before, plus, option = rest.rpartition("+")
        if not plus or option not in (ACCURATE, *PRECISIONS):
            break
        if option == ACCURATE:
            is_accurate = True
        elif precision and precision != option:
            raise EvaluationError(f"{spec} asks for two precisions; leave one out.")
        else:
            precision = option
        rest = before
    model, at, size = rest.rpartition("@")
    if not at or not size.isdecimal():
        model, size = rest, ""
    models = tuple(one.strip() for one in model.split(_VOTE))
    if not all(models):
        raise EvaluationError(f"{spec!r} names no model; give NAME, or NAME@SIZE.")
    return Contender(
        spec.strip(),
        models,
        _checked_size(spec, int(size)) if size else None,
        is_accurate,
        precision or "auto",
    )


def _checked_size(spec: str, size: int) -> int:
    if size % 32 or not _LEAST_SIZE <= size <= _MOST_SIZE:
        near = min(max(_LEAST_SIZE, round(size / 32) * 32), _MOST_SIZE)
        raise EvaluationError(
            f"{spec}: {size} is no multiple of 32 from {_LEAST_SIZE} to {_MOST_SIZE}; "
            f"try {near}."
        )
    return size

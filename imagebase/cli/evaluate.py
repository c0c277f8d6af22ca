"""python -m imagebase evaluate: how good are models on labels that are right?"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from imagebase.cli.console import (
    Verbose,
    errors,
    plain,
    refuse,
    reported_errors,
    say,
    show,
)
from imagebase.errors import EvaluationError
from imagebase.settings import DEFAULT_CONFIDENCE

_Images = Annotated[
    str | None,
    typer.Option("--images", help="A folder (recursive), a zip, one image, or a URL."),
]
_Labels = Annotated[
    Path, typer.Option("--labels", help="The truth: a folder, a zip or a file.")
]
_Output = Annotated[
    Path, typer.Option("--output", help="The folder that results go to.")
]
_LabelsFormat = Annotated[
    str | None,
    typer.Option("--labels-format", help="As the files show it if not given."),
]
_Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME[&NAME…][@SIZE][+accurate][+f32|+bf16]",
        help="A model's name, folder or .onnx file, and how it looks at pictures; with "
        "& between them models vote. May be given more than once.",
    ),
]
_Detections = Annotated[
    list[str] | None,
    typer.Option(
        "--detections",
        metavar="NAME=PATH",
        help="Another program's: a list of COCO or Darknet results, or labels with "
        "confidences. May be given more than once.",
    ),
]
_Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="THEIRS=OURS",
        help="What a label of the models is called in the truth; nothing after the = "
        "leaves it out. Names and common synonyms are found without it.",
    ),
]
_Confidence = Annotated[
    float,
    typer.Option(
        "--confidence",
        min=0.001,
        max=1.0,
        help="That the models are used at; AP does not depend on it.",
    ),
]
_Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]

_Progress = Callable[[str, int, int], None]


def evaluate(
    labels: _Labels,
    output: _Output,
    images: _Images = None,
    labels_format: _LabelsFormat = None,
    models: _Models = None,
    detections: _Detections = None,
    mapped: _Map = None,
    confidence: _Confidence = DEFAULT_CONFIDENCE,
    quiet: _Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Judge models against labels: metrics.json and report.html.

    Exit code 0: done, images and labels that could not be judged are listed on standard
    error; 1: nothing could be done; 2: wrong usage.
    """
    from imagebase.evaluation.evaluate_files import Asked, check, summary
    from imagebase.evaluation.evaluate_files import evaluate as judge

    asked = Asked(
        images=images,
        labels=labels,
        models=models or [],
        detections={
            name: Path(path) for name, path in _pairs("--detections", detections)
        },
        labels_format=labels_format,
        choices={name: label or None for name, label in _pairs("--map", mapped)},
        threshold=confidence,
    )
    with reported_errors():
        try:
            check(asked)
        except EvaluationError as error:
            refuse(str(error))
        with _progress(quiet=quiet) as on_progress:
            evaluated = judge(asked, output, on_progress=on_progress)
    for one in evaluated.left_out:
        say(f"Not judged: {one.what}: {one.reason}")
    for one in evaluated.changed:
        say(f"Changed: {one.what}: {one.reason}")
    for standing in evaluated.standings:
        passed = standing.passed
        for file, reason in passed.refused.items():
            say(f"{standing.spec}: {file}: {reason}")
        if passed.mapping.unmapped:
            names = ", ".join(passed.mapping.unmapped)
            say(f"{standing.spec}: labels that the truth has not: {names}")
        if passed.mapping.unknown:
            names = ", ".join(passed.mapping.unknown)
            say(f"{standing.spec}: labels that it cannot say: {names}")
    show(plain_lines(summary(evaluated)))


def plain_lines(text: str) -> str:
    """Return lines of somebody's text that cannot steer the terminal."""
    return "\n".join(plain(line) for line in text.split("\n"))


def _pairs(option: str, values: list[str] | None) -> list[tuple[str, str]]:
    pairs = []
    for value in values or []:
        name, equals, rest = value.partition("=")
        if not equals or not name or (option == "--detections" and not rest):
            refuse(f"{option} {value} is not understood; give NAME=VALUE.")
        pairs.append((name, rest))
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        refuse(f"{option} names {twice} twice; give it once.")
    return pairs


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[_Progress]:
    """Draw a bar for each model on a terminal; elsewhere, or where asked for, none."""
    if quiet or not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
    )
    tasks = {}
    with bar:

        def on_progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(plain(what), total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield on_progress

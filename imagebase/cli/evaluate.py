"""The `evaluate` command: AP of models on labelled images."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imagebase.cli.console import (
    Output,
    Quiet,
    Verbose,
    local_source,
    plain,
    progress_bar,
    refuse,
    reported_errors,
    say,
    show,
)
from imagebase.settings import DEFAULT_CONFIDENCE

if TYPE_CHECKING:
    from imagebase.evaluation.evaluate_files import Evaluated

_Images = Annotated[
    str | None,
    typer.Option(
        "--images", help="A folder (with subfolders), a zip, one image, or a URL."
    ),
]
_Labels = Annotated[
    Path,
    typer.Option(
        "--labels",
        callback=local_source,
        help="The ground truth: label files in a folder, a zip or one file.",
    ),
]
_LabelsFormat = Annotated[
    str | None,
    typer.Option("--labels-format", help="Format of the labels. Default: recognised."),
]
_Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME[&NAME…][@SIZE][+accurate][+f32|+bf16]",
        help="A model's name, folder or .onnx file, with its input size, quality and "
        "precision; & between models forms an ensemble. examples:FOLDER teaches one by "
        "the images and label files there. May be given more than once.",
    ),
]
_Detections = Annotated[
    list[str] | None,
    typer.Option(
        "--detections",
        metavar="NAME=PATH",
        help="Results of another program: COCO or Darknet results, or label files with "
        "confidence. May be given more than once.",
    ),
]
_Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="THEIRS=OURS",
        help="Name of a model's label in the ground truth; nothing after the = "
        "leaves it out. Equal names and common synonyms need no mapping.",
    ),
]
_Confidence = Annotated[
    float,
    typer.Option(
        "--confidence",
        min=0.001,
        max=1.0,
        help="Threshold for precision and recall; AP does not depend on it.",
    ),
]


def evaluate(
    labels: _Labels,
    output: Output,
    images: _Images = None,
    labels_format: _LabelsFormat = None,
    models: _Models = None,
    detections: _Detections = None,
    mapped: _Map = None,
    confidence: _Confidence = DEFAULT_CONFIDENCE,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Evaluate models on labelled images: metrics.json and report.html.

    Exit code 0: done, images and labels that were left out are listed on standard
    error; 1: nothing could be done; 2: wrong usage.
    """
    from imagebase.evaluation.evaluate_files import evaluate as run
    from imagebase.evaluation.evaluate_files import summary

    with reported_errors(), progress_bar(quiet=quiet) as on_progress:
        evaluated = run(
            labels,
            output,
            images=images,
            models=models or [],
            detections=_pairs("--detections", detections),
            labels_format=labels_format,
            label_mapping={
                theirs: ours or None for theirs, ours in _pairs("--map", mapped).items()
            },
            confidence=confidence,
            on_progress=on_progress,
        )
    for problem in _problems(evaluated):
        say(problem)
    show("\n".join(plain(line) for line in summary(evaluated).split("\n")))


def _problems(evaluated: "Evaluated") -> Iterator[str]:
    for not_judged in evaluated.not_judged:
        yield f"Not evaluated: {not_judged.what}: {not_judged.reason}"
    for changed in evaluated.changed:
        yield f"Changed: {changed.what}: {changed.reason}"
    for result in evaluated.results:
        detection_pass = result.passed
        for file, reason in detection_pass.refused.items():
            yield f"{result.spec}: {file}: {reason}"
        if names := detection_pass.mapping.unmapped:
            yield f"{result.spec}: labels not in the ground truth: {', '.join(names)}"
        if names := detection_pass.mapping.unknown:
            yield f"{result.spec}: labels it cannot detect: {', '.join(names)}"


def _pairs(option: str, values: list[str] | None) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for value in values or []:
        name, equals, rest = value.partition("=")
        if not equals or not name or (option == "--detections" and not rest):
            refuse(f"{option} {value} is not understood; give NAME=VALUE.")
        if name in pairs:
            refuse(f"{option} names {name} twice; give it once.")
        pairs[name] = rest
    return pairs

"""The command line: python -m imagebase …

Exit code 0: done, refused files are listed; 1: nothing could be done; 2: wrong usage.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
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

from imagebase import __version__
from imagebase.cli import backup, evaluate, models, train
from imagebase.cli.console import FAILED, Verbose, run_to_the_end, start_log
from imagebase.cli.console import errors as _errors
from imagebase.cli.console import refuse as _refuse
from imagebase.cli.console import reported_errors as _reported_errors
from imagebase.cli.console import say as _say
from imagebase.cli.console import show as _show
from imagebase.settings import DEFAULT_CONFIDENCE, DEFAULT_MODEL, DEFAULT_NMS_IOU

app = typer.Typer(
    name="imagebase",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Label images, or run the app.",
)
app.add_typer(models.app, name="models")
app.command("evaluate")(evaluate.evaluate)
app.command("train")(train.train)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)


class Runtime(StrEnum):
    AUTO = "auto"
    OPENVINO = "openvino"
    OPENCV = "opencv"


class Quality(StrEnum):
    FAST = "fast"
    ACCURATE = "accurate"


class Precision(StrEnum):
    AUTO = "auto"
    F32 = "f32"
    BF16 = "bf16"


_Source = Annotated[
    str, typer.Argument(help="A folder (recursive), a zip, one image, or a URL.")
]
_Output = Annotated[
    Path, typer.Option("--output", help="The folder that results go to.")
]
_Model = Annotated[
    str,
    typer.Option(
        "--model",
        help="A model's name, folder or .onnx file; several with commas vote.",
    ),
]
_Confidence = Annotated[
    float,
    typer.Option("--confidence", min=0.001, max=1.0, help="The least that stays."),
]
_Nms = Annotated[
    float,
    typer.Option(
        "--nms",
        min=0.0,
        max=1.0,
        help="IoU above which the less confident of two boxes goes.",
    ),
]
_Labels = Annotated[
    str, typer.Option("--labels", help="Only these, with commas between.")
]
_Formats = Annotated[
    list[str] | None,
    typer.Option("--format", help="May be given more than once; coco if not given."),
]
_Runtime = Annotated[Runtime, typer.Option("--runtime", help="What runs the net.")]
_Precision = Annotated[
    Precision, typer.Option("--precision", help="What the net computes in.")
]
_Quality = Annotated[
    Quality,
    typer.Option(
        "--quality",
        help="fast: one look at each image; accurate: whole, mirrored and in four "
        "parts, fused; about six times the work.",
    ),
]
_Engine = Annotated[str, typer.Option("--engine", help="local: on this machine.")]
_RayAddress = Annotated[str | None, typer.Option("--ray-address", hidden=True)]
_InputSize = Annotated[
    int | None,
    typer.Option(
        "--input-size",
        min=32,
        max=2048,
        help="Side of the net's input, a multiple of 32; as the model has it if not "
        "given.",
    ),
]
_Resume = Annotated[
    bool,
    typer.Option(
        "--resume/--no-resume",
        help="Go on from what an interrupted run with the same model left in the "
        "output, or begin anew. A run that ended leaves nothing to go on from.",
    ),
]
_Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]


def _show_version(is_asked: bool) -> None:
    if is_asked:
        _show(f"imagebase {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version),
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Label images, or run the app."""
    start_log()


@app.command()
def annotate(
    source: _Source,
    output: _Output,
    model: _Model = DEFAULT_MODEL,
    confidence: _Confidence = DEFAULT_CONFIDENCE,
    nms: _Nms = DEFAULT_NMS_IOU,
    labels: _Labels = "",
    formats: _Formats = None,
    runtime: _Runtime = Runtime.AUTO,
    precision: _Precision = Precision.AUTO,
    quality: _Quality = Quality.FAST,
    engine: _Engine = "local",
    ray_address: _RayAddress = None,
    input_size: _InputSize = None,
    resume: _Resume = True,
    quiet: _Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Label images and write the result, without the app.

    Exit code 0: done, files that were refused are listed on standard error; 1: nothing
    could be done; 2: wrong usage.
    """
    from imagebase.batch.run import RunSettings, run
    from imagebase.detection.selection_rule import SelectionRule

    _refuse_what_comes_later(engine, ray_address)
    _refuse_what_cannot_be(runtime, precision, input_size)
    rule = SelectionRule(
        confidence_threshold=confidence,
        nms_threshold=nms,
        labels=tuple(name.strip() for name in labels.split(",") if name.strip())
        or None,
    )
    settings = RunSettings(
        rule=rule,
        runtime=runtime.value,
        precision=precision.value,
        input_size=input_size,
        quality=quality.value,
    )
    with _reported_errors(), _progress(quiet=quiet) as on_progress:
        summary = run(
            source,
            output,
            model_name=model,
            formats=formats or ["coco"],
            settings=settings,
            resume=resume,
            on_progress=on_progress,
        )
    for sentence in summary.remarks:
        _say(sentence)
    for refusal in summary.refused:
        named = refusal.file in refusal.reason
        _say(f"Refused: {'' if named else f'{refusal.file}: '}{refusal.reason}")
    _show(summary.in_words())
    if not summary.images:
        _say(f"No image of {source} could be labelled.")
        raise typer.Exit(FAILED)


@app.command()
def convert(
    source: Annotated[
        Path,
        typer.Argument(help="A label set: a folder, a zip, or one file."),
    ],
    to: Annotated[str, typer.Option("--to", help="The format to write.")],
    output: Annotated[
        Path | None, typer.Option("--output", help="The folder that results go to.")
    ] = None,
    zip_file: Annotated[
        Path | None,
        typer.Option(
            "--zip",
            help="Write the zip that the Export page makes, in place of --output.",
        ),
    ] = None,
    source_format: Annotated[
        str | None,
        typer.Option("--from", help="The format to read; recognised if not given."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            help="A folder or zip with the images, if they are not in the source.",
        ),
    ] = None,
    quiet: _Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write a label set in another format.

    Exit code 0: done, what was left out or changed is listed on standard error; 1:
    nothing could be done; 2: wrong usage.
    """
    from imagebase.formats.convert import convert as run

    if (output is None) == (zip_file is None):
        _refuse("Give --output for a folder, or --zip for one file.")
    target = output or zip_file
    assert target is not None
    with (
        _reported_errors(),
        _progress(quiet=quiet, title="Converting") as on_progress,
    ):
        done = run(
            source,
            target,
            to=to,
            is_zip=zip_file is not None,
            source_format=source_format,
            images=images,
            on_progress=on_progress,
            on_problem=_say,
        )
    _show(done.in_words())


def _refuse_what_comes_later(engine: str, ray_address: str | None) -> None:
    if engine == "ray" or ray_address is not None:
        _refuse("Ray comes in a later version; label on this machine for now.")
    if engine != "local":
        _refuse(f"There is no engine {engine!r}; give local, or leave it out.")


def _refuse_what_cannot_be(
    runtime: Runtime,
    precision: Precision,
    input_size: int | None,
) -> None:
    if runtime is Runtime.OPENCV and precision is Precision.BF16:
        _refuse("The runtime opencv computes in f32 only; leave --precision out.")
    if input_size and input_size % 32:
        near = max(32, round(input_size / 32) * 32)
        _refuse(f"--input-size {input_size} is no multiple of 32; try {near}.")


@app.command()
def serve(
    address: Annotated[
        str, typer.Option("--address", help="Others reach 0.0.0.0, only you this one.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8501,
    samples: Annotated[
        bool, typer.Option("--samples", help="Begin with the sample photographs.")
    ] = False,
    headless: Annotated[
        bool, typer.Option("--headless", help="Do not open a browser.")
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Check weights, folders and port, then start the app."""
    from imagebase.cli.serve import check, start

    with _reported_errors():
        for line in check(address, port):
            _show(line)
        start(address, port, samples=samples, headless=headless)


@contextlib.contextmanager
def _progress(
    *, quiet: bool, title: str = "Labelling"
) -> Iterator[Callable[[int, int], None]]:
    """Draw a progress bar on a terminal; elsewhere, or where asked for, none."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    bar = Progress(
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=_errors,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def main() -> None:
    """Run the command line."""
    run_to_the_end(app)

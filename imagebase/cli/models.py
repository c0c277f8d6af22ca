"""python -m imagebase models: which there are, is this one sound, add it."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from imagebase.cli.console import (
    FAILED,
    plain,
    refuse,
    reported_errors,
    say,
    show,
    user_name,
)
from imagebase.errors import ModelLoadError
from imagebase.settings import TEAM_OWNER, Mode, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagebase.detection.validation import Diagnosis, Finding, Trial

app = typer.Typer(
    no_args_is_help=True,
    help="List the models, check one, or add it.",
    pretty_exceptions_enable=False,
)

_MARKS: Final = {"good": "✓", "warning": "⚠", "bad": "✗"}

_Paths = Annotated[
    list[Path],
    typer.Argument(help="The model's files, a folder or a zip with them, or an .onnx."),
]
_Family = Annotated[
    str | None,
    typer.Option("--family", help="How an ONNX model is read, where it is not clear."),
]
_InputSize = Annotated[
    int | None,
    typer.Option(
        "--input-size",
        help="Side of its images, where an ONNX model leaves it open.",
        min=32,
        max=4096,
    ),
]
_Picture = Annotated[
    Path | None,
    typer.Option("--picture", help="Try it on this picture and not on a sample."),
]
_Drawn = Annotated[
    Path | None,
    typer.Option(
        "--drawn", help="Write the image with its boxes to this .jpg or .png file."
    ),
]


@app.command("list")
def list_models() -> None:
    """List the models: name, family, net size, labels, MB, where from."""
    from imagebase.detection.library import all_models
    from imagebase.detection.model_card import card_of
    from imagebase.detection.onnx.families import FAMILY_NAMES

    rows = [("name", "family", "size", "labels", "MB", "from")]
    with reported_errors():
        for model in all_models():
            card = card_of(model)
            width, height = card.input_size
            rows.append(
                (
                    model.name,
                    FAMILY_NAMES[card.family],
                    f"{width}×{height}",
                    str(len(model.labels)),
                    f"{card.byte_count / 1e6:.1f}",
                    card.source,
                )
            )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [plain(cell).ljust(w) for cell, w in zip(row, widths, strict=True)]
        show("  ".join(cells).rstrip())


@app.command()
def check(
    paths: _Paths,
    family: _Family = None,
    input_size: _InputSize = None,
    picture: _Picture = None,
    drawn: _Drawn = None,
) -> None:
    """Say what is wrong with a model's files, then try them on a photograph.

    Exit code 0: it can be used; 1: it cannot; 2: wrong usage.
    """
    with reported_errors():
        _examined(paths, family, input_size, picture, drawn)


@app.command()
def add(
    paths: _Paths,
    name: Annotated[str, typer.Option("--name", help="What it is to be called.")],
    family: _Family = None,
    input_size: _InputSize = None,
    description: Annotated[str, typer.Option(help="What it is good for.")] = "",
    source: Annotated[str, typer.Option(help="Where it is from.")] = "",
    licence: Annotated[str, typer.Option(help="What may be done with it.")] = "",
    picture: _Picture = None,
    drawn: _Drawn = None,
) -> None:
    """Check a model and keep it in IMAGEBASE_HOME/models, for the app too.

    Exit code 0: it was kept; 1: it cannot be used; 2: wrong usage.
    """
    from imagebase.detection.library import library_of
    from imagebase.detection.validation import keep

    with reported_errors():
        library = library_of(TEAM_OWNER)
        library.check_name(name)
        diagnosis, tried = _examined(paths, family, input_size, picture, drawn)
        assert diagnosis.draft is not None  # else _examined would have ended
        model = keep(
            diagnosis.draft,
            library,
            name=name,
            who=user_name(),
            trial=tried,
            limits=settings().limits_for(Mode.TEAM),
            description=description,
            source=source,
            licence=licence,
        )
    show(f"Added: annotate … --model {plain(model.name)!r}")


def _examined(
    paths: list[Path],
    family: str | None,
    input_size: int | None,
    picture: Path | None,
    drawn: Path | None,
) -> "tuple[Diagnosis, Trial]":
    """Print what the doctor says and how a dry run went; end where it is in vain."""
    from imagebase.detection.validation import examine_paths
    from imagebase.detection.validation.dry_run import DRAWN_SUFFIXES, SAMPLE

    _refuse_what_is_not_there(paths, family)
    if drawn is not None and not drawn.parent.is_dir():
        refuse(f"{drawn.parent} is no folder; make it, or draw somewhere else.")
    if drawn is not None and drawn.suffix.lower() not in DRAWN_SUFFIXES:
        refuse(
            f"{drawn.name}: an image is drawn as {' or '.join(DRAWN_SUFFIXES)}; give "
            "one of these suffixes."
        )
    limits = settings().limits_for(Mode.TEAM)
    examined = partial(examine_paths, paths, limits=limits, input_size=input_size)
    try:
        diagnosis = examined(family=family)
    except OSError as error:
        refuse(f"{error.filename} cannot be read ({error.strerror}).")
    for finding in diagnosis.findings:
        _print(finding)
    if diagnosis.draft is None:
        _say_what_is_asked(diagnosis, family, input_size)
        raise typer.Exit(FAILED)
    chosen = picture or SAMPLE
    if not chosen.is_file():
        refuse(f"{chosen} is no file; give a picture.")
    again = None if family else lambda meant: examined(family=meant)
    diagnosis, tried = _tried(diagnosis, again, chosen)
    _print(_draw(diagnosis, tried, chosen, drawn))
    return diagnosis, tried


def _print(finding: "Finding") -> None:
    show(f"{_MARKS[finding.level]} {plain(finding.text)}")


def _say_what_is_asked(
    diagnosis: "Diagnosis", family: str | None, input_size: int | None
) -> None:
    if diagnosis.asks_size and input_size is None and not diagnosis.families:
        say("Add --input-size with the image size it was trained at.")
    elif len(diagnosis.families) > 1 and family is None:
        say(f"Add --family with one of {', '.join(diagnosis.families)}.")


def _tried(
    diagnosis: "Diagnosis",
    again: "Callable[[str], Diagnosis] | None",
    picture: Path,
) -> "tuple[Diagnosis, Trial]":
    """Return how a dry run went and by which diagnosis; end where it failed."""
    from imagebase.detection.validation import Finding, Level, try_reading

    limits = settings().limits_for(Mode.TEAM)
    try:
        settled, tried = try_reading(diagnosis, again, picture=picture, limits=limits)
    except ModelLoadError as error:
        _print(Finding(Level.BAD, str(error)))
        raise typer.Exit(FAILED) from error
    for finding in settled.findings:
        if finding not in diagnosis.findings:
            _print(finding)
    return settled, tried


def _refuse_what_is_not_there(paths: list[Path], family: str | None) -> None:
    from imagebase.detection.onnx.families import FAMILY_NAMES

    for path in paths:
        if not path.exists():
            refuse(f"{path} is not there; give the model's files.")
    if family is not None and family not in FAMILY_NAMES:
        refuse(f"There is no family {family!r}; give one of {', '.join(FAMILY_NAMES)}.")


def _draw(
    diagnosis: "Diagnosis", tried: "Trial", picture: Path, drawn: Path | None
) -> "Finding":
    """Return what a dry run's boxes say; draw them where that is asked."""
    from imagebase.detection.validation.dry_run import boxes_of, draw_trial, finding_of

    assert diagnosis.draft is not None
    labels = diagnosis.draft.model.labels
    boxes = boxes_of(tried, labels)
    if drawn is not None:
        is_png = drawn.suffix.lower() == ".png"
        drawn.write_bytes(draw_trial(boxes, picture, labels=labels, as_png=is_png))
    return finding_of(tried, boxes, image=picture.name)

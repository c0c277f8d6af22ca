"""The `models` commands: list the models, check one, add one."""

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

    from imagebase.detection.validation import DryRun, ModelFinding, Validation

app = typer.Typer(
    no_args_is_help=True,
    help="List the models, check one, or add it.",
    pretty_exceptions_enable=False,
)

_MARKS: Final = {"good": "✓", "warning": "⚠", "bad": "✗"}

_Paths = Annotated[
    list[Path],
    typer.Argument(
        help="The model's files, a folder or zip with them, or an .onnx file."
    ),
]
_Family = Annotated[
    str | None,
    typer.Option(
        "--family", help="The family of an ONNX model, where its outputs leave it open."
    ),
]
_InputSize = Annotated[
    int | None,
    typer.Option(
        "--input-size",
        help="Side of its input, where an ONNX model leaves it open.",
        min=32,
        max=4096,
    ),
]
_Picture = Annotated[
    Path | None,
    typer.Option("--picture", help="Test it on this image instead of a sample."),
]
_Drawn = Annotated[
    Path | None,
    typer.Option(
        "--drawn", help="Write the image with its boxes to this .jpg or .png file."
    ),
]


@app.command("list")
def list_models() -> None:
    """List the models: name, family, input size, labels, MB, source."""
    from imagebase.detection.library import all_models, classifiers
    from imagebase.detection.model_card import KINDS, card_of

    rows = [("name", "family", "size", "labels", "MB", "from")]
    with reported_errors():
        for model in [*all_models(), *classifiers()]:
            card = card_of(model)
            width, height = card.input_size
            rows.append(
                (
                    model.name,
                    KINDS[card.family],
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
    """Check a model's files for problems, then run them on a photograph.

    Exit code 0: it can be used; 1: it cannot; 2: wrong usage.
    """
    with reported_errors():
        _examined(paths, family, input_size, picture, drawn)


@app.command()
def add(
    paths: _Paths,
    name: Annotated[str, typer.Option("--name", help="The name to add it under.")],
    family: _Family = None,
    input_size: _InputSize = None,
    description: Annotated[
        str, typer.Option(help="Description shown in the app.")
    ] = "",
    source: Annotated[str, typer.Option(help="Source, such as a URL.")] = "",
    licence: Annotated[str, typer.Option(help="Licence.")] = "",
    picture: _Picture = None,
    drawn: _Drawn = None,
) -> None:
    """Check a model and add it to IMAGEBASE_HOME/models, for the app too.

    Exit code 0: it was added; 1: it cannot be used; 2: wrong usage.
    """
    from imagebase.detection.library import library_of
    from imagebase.detection.validation import add_to_library

    with reported_errors():
        library = library_of(TEAM_OWNER)
        library.check_name(name)
        diagnosis, tried = _examined(paths, family, input_size, picture, drawn)
        assert diagnosis.draft is not None  # else _examined would have ended
        model = add_to_library(
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
    if model.is_classifier:
        show(f"Added: {plain(model.name)} proposes image tags on Edit and Review")
    else:
        show(f"Added: annotate … --model {plain(model.name)!r}")


def _examined(
    paths: list[Path],
    family: str | None,
    input_size: int | None,
    picture: Path | None,
    drawn: Path | None,
) -> "tuple[Validation, DryRun]":
    """Print the findings and the result of a dry run; end where it cannot be used."""
    from imagebase.detection.validation import validate_files
    from imagebase.detection.validation.dry_run import DRAWN_SUFFIXES, SAMPLE

    _check_arguments(paths, family)
    if drawn is not None and not drawn.parent.is_dir():
        refuse(f"There is no folder {drawn.parent}; make it, or give another one.")
    if drawn is not None and drawn.suffix.lower() not in DRAWN_SUFFIXES:
        refuse(f"{drawn.name}: give a file that ends in {' or '.join(DRAWN_SUFFIXES)}.")
    limits = settings().limits_for(Mode.TEAM)
    examined = partial(validate_files, paths, limits=limits, input_size=input_size)
    try:
        diagnosis = examined(family=family)
    except OSError as error:
        refuse(f"{error.filename} cannot be read ({error.strerror}).")
    for finding in diagnosis.findings:
        _print(finding)
    if diagnosis.draft is None:
        _suggest_options(diagnosis, family, input_size)
        raise typer.Exit(FAILED)
    chosen = picture or SAMPLE
    if not chosen.is_file():
        refuse(f"There is no file {chosen}; give an image.")
    again = None if family else lambda meant: examined(family=meant)
    diagnosis, tried = _tried(diagnosis, again, chosen)
    _print(_draw(diagnosis, tried, chosen, drawn))
    return diagnosis, tried


def _print(finding: "ModelFinding") -> None:
    show(f"{_MARKS[finding.level]} {plain(finding.text)}")


def _suggest_options(
    diagnosis: "Validation", family: str | None, input_size: int | None
) -> None:
    if diagnosis.asks_size and input_size is None and not diagnosis.families:
        say("Add --input-size with the image size it was trained at.")
    elif len(diagnosis.families) > 1 and family is None:
        say(f"Add --family with one of {', '.join(diagnosis.families)}.")


def _tried(
    diagnosis: "Validation", again: "Callable[[str], Validation] | None", picture: Path
) -> "tuple[Validation, DryRun]":
    """Return the diagnosis after a dry run, and its result; end where it fails."""
    from imagebase.detection.validation import Level, ModelFinding, dry_run_or_reread

    limits = settings().limits_for(Mode.TEAM)
    try:
        settled, tried = dry_run_or_reread(
            diagnosis, again, image=picture, limits=limits
        )
    except ModelLoadError as error:
        _print(ModelFinding(Level.BAD, str(error)))
        raise typer.Exit(FAILED) from error
    for finding in settled.findings:
        if finding not in diagnosis.findings:
            _print(finding)
    return settled, tried


def _check_arguments(paths: list[Path], family: str | None) -> None:
    from imagebase.detection.onnx.families import FAMILY_NAMES

    for path in paths:
        if not path.exists():
            refuse(f"There is no {path}; give the model's files.")
    if family is not None and family not in FAMILY_NAMES:
        refuse(f"There is no family {family!r}; give one of {', '.join(FAMILY_NAMES)}.")


def _draw(
    diagnosis: "Validation", tried: "DryRun", picture: Path, drawn: Path | None
) -> "ModelFinding":
    from imagebase.detection.validation.dry_run import (
        boxes_of,
        draw_dry_run,
        finding_of,
        finding_of_tags,
    )

    assert diagnosis.draft is not None
    model = diagnosis.draft.model
    labels = model.labels
    boxes = [] if model.is_classifier else boxes_of(tried, labels)
    if drawn is not None:
        is_png = drawn.suffix.lower() == ".png"
        drawn.write_bytes(draw_dry_run(boxes, picture, labels=labels, as_png=is_png))
    if model.is_classifier:
        return finding_of_tags(tried, labels, image=picture.name)
    return finding_of(tried, boxes, image=picture.name)

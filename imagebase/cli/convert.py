"""The `convert` command: label files from one format into another."""

from pathlib import Path
from typing import Annotated

import typer

from imagebase.cli.console import (
    Quiet,
    Verbose,
    local_path,
    local_source,
    progress_bar,
    refuse,
    reported_errors,
    say,
    show,
)

_Source = Annotated[
    Path,
    typer.Argument(
        callback=local_source, help="Label files: a folder, a zip, or one file."
    ),
]
_To = Annotated[str, typer.Option("--to", help="The format to write.")]
_Output = Annotated[
    Path | None,
    typer.Option("--output", callback=local_path, help="The folder to write to."),
]
_Zip = Annotated[
    Path | None,
    typer.Option(
        "--zip",
        callback=local_path,
        help="Write the zip that the Export page makes, instead of --output.",
    ),
]
_From = Annotated[
    str | None, typer.Option("--from", help="The format to read. Default: recognised.")
]
_Images = Annotated[
    Path | None,
    typer.Option(
        "--images",
        callback=local_source,
        help="A folder or zip with the images, if they are not in the source.",
    ),
]


def convert(
    source: _Source,
    to: _To,
    output: _Output = None,
    zip_file: _Zip = None,
    source_format: _From = None,
    images: _Images = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Convert label files to another format.

    Exit code 0: done, left-out and changed items are listed on standard error; 1:
    nothing could be done; 2: wrong usage.
    """
    from imagebase.formats.convert import convert as run

    if (output is None) == (zip_file is None):
        refuse("Give --output for a folder, or --zip for one file.")
    target = output or zip_file
    assert target is not None
    with reported_errors(), progress_bar(quiet=quiet) as on_progress:
        done = run(
            source,
            target,
            to=to,
            is_zip=zip_file is not None,
            source_format=source_format,
            images=images,
            on_progress=lambda done, total: on_progress("Converting", done, total),
            on_problem=say,
        )
    show(done.in_words())

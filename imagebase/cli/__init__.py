"""The command line: `imagebase …` or `python -m imagebase …`, one module per command.

Exit code 0: done, refused files are listed; 1: nothing could be done; 2: wrong usage.
"""

from typing import Annotated

import typer

from imagebase import __version__
from imagebase.cli import (
    annotate,
    backup,
    convert,
    evaluate,
    frames,
    models,
    serve,
    train,
)
from imagebase.cli.console import Verbose, run_to_the_end, show, start_log

app = typer.Typer(
    name="imagebase",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Annotate images, or run the app.",
)
# --help lists them in this order.
app.command("annotate")(annotate.annotate)
app.command("frames")(frames.frames)
app.command("convert")(convert.convert)
app.command("evaluate")(evaluate.evaluate)
app.command("train")(train.train)
app.add_typer(models.app, name="models")
app.command("serve")(serve.serve)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("move")(backup.move)


def _show_version(is_given: bool) -> None:
    if is_given:
        show(f"imagebase {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version),
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Annotate images, or run the app."""
    start_log()


def main() -> None:
    """Run the command line."""
    run_to_the_end(app)

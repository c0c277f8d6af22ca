"""Shared by all commands: options, messages, progress bars and exit codes."""

import contextlib
import getpass
import io
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final, NoReturn, TextIO

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from imagebase.errors import (
    EvaluationRequestError,
    ImageBaseError,
    UnknownFormatError,
    UnknownLabelError,
    UnknownModelError,
)
from imagebase.logs import configure, redacted
from imagebase.settings import read_log_settings


def user_name() -> str:
    """Return the name of the system's user; empty where it has none."""
    try:
        return getpass.getuser()
    # In a container a user may be only a number.
    except (OSError, KeyError, ImportError):
        return ""


FAILED: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")

_WRONG_ARGUMENTS: Final = (
    UnknownModelError,
    UnknownFormatError,
    UnknownLabelError,
    EvaluationRequestError,
)

_log: Final = logging.getLogger(__name__)

errors: Final = Console(stderr=True, highlight=False, soft_wrap=True)


def start_log() -> None:
    """Log to standard error as IMAGEBASE_LOG says; by default warnings only."""
    with reported_errors():
        log = read_log_settings(os.environ, default="warning")
    configure(log.level, as_json=log.as_json)


def _be_verbose(verbose: bool) -> bool:
    """Log details too; so do the processes that are started from here."""
    if verbose:
        given = os.environ.get("IMAGEBASE_LOG", "")
        os.environ["IMAGEBASE_LOG"] = "debug,json" if "json" in given else "debug"
        start_log()
    return verbose


def writable_place(place: str) -> str:
    """Return a path or URL to write to; refuse a web server, which takes no files."""
    from imagebase.images.locations import shown_url

    found = _URL.match(place)
    if found and ("://" not in place or found[1].lower() in ("http", "https")):
        refuse(
            f"{shown_url(place)} cannot be written to; give a folder, or a URL such as "
            "s3://bucket/labels."
        )
    return place


def local_path(path: Path | None) -> Path | None:
    """Return an option's path; refuse a URL, which would become a folder `s3:`."""
    # A path has lost one of the two slashes. One letter is a drive of Windows.
    if path is not None and (found := _URL.match(path.as_posix())):
        refuse(f"{found[1]}:// cannot be written to; give a path on this machine.")
    return path


def local_source(path: Path | None) -> Path | None:
    """Return an argument's path; refuse a URL, which is read by some commands only."""
    if path is not None and (found := _URL.match(path.as_posix())):
        refuse(f"{found[1]}:// cannot be read here; copy it to this machine first.")
    return path


Output = Annotated[
    Path,
    typer.Option("--output", callback=local_path, help="The folder to write to."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        callback=_be_verbose,
        help="Log each step to standard error, as IMAGEBASE_LOG=debug does.",
    ),
]


def plain(text: str) -> str:
    """Return untrusted text without characters that control the terminal."""
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text
    )


class OutputLostError(Exception):
    """Standard output cannot be written. Not an OSError: no command handles it."""


def show(text: str) -> None:
    """Print a result to standard output; in vain where its reader has closed it.

    Raises:
        OutputLostError: it cannot be written.
    """
    try:
        typer.echo(text)
    except BrokenPipeError:
        _end_output()
    except OSError as error:
        raise OutputLostError(_why(error)) from error


def say(text: str) -> None:
    """Print a message to standard error; one that cannot be written is dropped."""
    with contextlib.suppress(OSError):
        errors.print(plain(redacted(text)), markup=False)


@contextlib.contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Draw a bar for each title on a terminal; elsewhere, or where quiet, none.

    Yields what to call with a title, the items done, and their number.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda title, done, total: None
        return
    tasks: dict[str, TaskID] = {}
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
    ) as bar:

        def on_progress(title: str, done: int, total: int) -> None:
            if title not in tasks:
                tasks[title] = bar.add_task(plain(title), total=total)
            bar.update(tasks[title], completed=done, total=total)

        yield on_progress


def refuse(sentence: str) -> NoReturn:
    """End because of wrong usage."""
    say(sentence)
    raise typer.Exit(WRONG_USAGE)


@contextlib.contextmanager
def reported_errors() -> Iterator[None]:
    """Print an expected error and end with its exit code."""
    try:
        yield
    except _WRONG_ARGUMENTS as error:
        say(str(error))
        raise typer.Exit(WRONG_USAGE) from error
    except ImageBaseError as error:
        _log.debug("The command failed", exc_info=True)
        say(str(error))
        raise typer.Exit(FAILED) from error
    except BrokenPipeError:
        raise  # the reader closed our output: typer ends the command
    except OSError as error:
        _log.debug("The command failed", exc_info=True)
        say(_in_words(error))
        raise typer.Exit(FAILED) from error


class _StandardOutput(io.TextIOWrapper):
    """Standard output, whose errors are told from those of other files."""

    def __init__(self, replaced: TextIO) -> None:
        super().__init__(
            replaced.buffer,
            encoding=replaced.encoding,
            errors=replaced.errors,
            line_buffering=bool(replaced.line_buffering),
        )
        self._replaced = replaced  # else it closes the buffer that both share

    def write(self, text: str) -> int:
        with _lost_output():
            return super().write(text)

    def flush(self) -> None:
        with _lost_output():
            super().flush()


@contextlib.contextmanager
def _lost_output() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputLostError(_why(error)) from error


def run_to_the_end(run: Callable[[], object]) -> None:
    """Run a command line; it ends cleanly where its output cannot be written.

    A pipe that its reader closed changes nothing: the exit code is the command's. Any
    other output that cannot be written ends it with a message, an unexpected error with
    its traceback in the log; both with exit code 1. Ctrl + C ends it with 130.
    """
    if sys.stdout is None:
        # Else the next file opened would be standard output. Writing to it fails.
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    sys.stdout = _StandardOutput(sys.stdout)
    try:
        _run_and_flush(run)
    except OutputLostError as error:
        _end_with(str(error))
    except OSError as error:
        _log.debug("The command failed", exc_info=True)
        say(_in_words(error))
        sys.exit(FAILED)
    except Exception:
        # Python's own report would be no line of the log, with nothing masked.
        _log.exception("Unexpected error")
        say("This is a fault in ImageBase; please report it with the lines above.")
        sys.exit(FAILED)


def _run_and_flush(run: Callable[[], object]) -> None:
    try:
        run()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            say("Interrupted. Start the command again to resume it or start it over.")
        raise
    except BrokenPipeError:
        _end_output()
    finally:
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            _end_output()


def _end_with(why: str) -> NoReturn:
    say(
        f"Cannot write to standard output ({why}); send it to a terminal or a disk "
        "with free space."
    )
    _end_output()
    sys.exit(FAILED)


def _end_output() -> None:
    """Send the rest of the output nowhere, or Python reports an error at exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def _in_words(error: OSError) -> str:
    why = _why(error)
    if error.filename is None:
        return f"The operating system reported an error ({why}); try again."
    name = os.fsdecode(error.filename)
    return f"{name} cannot be used ({why}); check the path and its permissions."

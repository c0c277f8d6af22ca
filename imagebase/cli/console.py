"""Console output of the commands: messages, exit codes, and who runs them."""

import contextlib
import getpass
import logging
import os
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console

from imagebase.errors import (
    ImageBaseError,
    UnknownFormatError,
    UnknownLabelError,
    UnknownModelError,
)
from imagebase.logs import configure, redacted
from imagebase.settings import read_log_settings


def user_name() -> str:
    """Return the name of the system's user; empty where the system has none for it."""
    try:
        return getpass.getuser()
    # In a container a user may well be a mere number.
    except (OSError, KeyError, ImportError):
        return ""


FAILED: Final = 1
WRONG_USAGE: Final = 2

_log: Final = logging.getLogger(__name__)

errors: Final = Console(stderr=True, highlight=False, soft_wrap=True)


def start_log() -> None:
    """Log to standard error as IMAGEBASE_LOG says, else warnings alone."""
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


Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        callback=_be_verbose,
        help="Log each step to standard error, as IMAGEBASE_LOG=debug does.",
    ),
]


def plain(text: str) -> str:
    """Return a text of a stranger's that cannot steer the terminal."""
    return "".join(
        one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text
    )


class OutputLostError(Exception):
    """Standard output takes no more. Not an OSError: no command is to mend it."""


def show(text: str) -> None:
    """Print a result to standard output.

    Raises:
        BrokenPipeError: nobody reads it any more.
        OutputLostError: it cannot be written.
    """
    try:
        typer.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputLostError(_why(error)) from error


def say(text: str) -> None:
    """Print a line for people to standard error; where that is full, nobody reads."""
    with contextlib.suppress(OSError):
        errors.print(plain(redacted(text)), markup=False)


def refuse(sentence: str) -> NoReturn:
    """End because of wrong usage."""
    say(sentence)
    raise typer.Exit(WRONG_USAGE)


@contextlib.contextmanager
def reported_errors() -> Iterator[None]:
    """Turn an expected error into its sentence and its exit code."""
    try:
        yield
    except (UnknownModelError, UnknownFormatError, UnknownLabelError) as error:
        say(str(error))
        raise typer.Exit(WRONG_USAGE) from error
    except ImageBaseError as error:
        _log.debug("The command failed", exc_info=True)
        say(str(error))
        raise typer.Exit(FAILED) from error
    except BrokenPipeError:
        raise  # whoever read our output has had enough: typer's to end
    except OSError as error:
        _log.debug("The command failed", exc_info=True)
        say(_in_words(error))
        raise typer.Exit(FAILED) from error


def run_to_the_end(run: Callable[[], object]) -> None:
    """Run a command line, and end in good order where its output cannot be written.

    A pipe that somebody closed ends it without a word, any other output with a
    sentence, an unexpected error with its traceback in the log; all with exit code 1.
    """
    if sys.stdout is None:
        # Else the next file opened would be standard output. Writing to it fails.
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")
    try:
        try:
            run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _end_output()
        sys.exit(FAILED)
    except OutputLostError as error:
        _end_with(str(error))
    except OSError as error:
        _end_with(_why(error))
    except Exception:
        # Python's own report would be no line of the log, with nothing masked.
        _log.exception("Unexpected error")
        say("This is a fault in ImageBase; please report it with the lines above.")
        sys.exit(FAILED)


def _end_with(why: str) -> NoReturn:
    say(
        f"Cannot write to standard output ({why}); send it to a terminal or a disk "
        "with free space."
    )
    _end_output()
    sys.exit(FAILED)


def _end_output() -> None:
    """Let what is still to be printed go nowhere, or Python would complain at exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def _in_words(error: OSError) -> str:
    why = _why(error)
    if error.filename is None:
        return f"The system refused what it was asked for ({why}); try again."
    name = os.fsdecode(error.filename)
    return f"{name} cannot be used ({why}); check the path and its permissions."

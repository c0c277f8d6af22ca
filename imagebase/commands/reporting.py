"""How commands speak: sentences to standard error, and the exit codes they end with."""

import contextlib
import os
from collections.abc import Iterator
from typing import Final, NoReturn

import typer
from rich.console import Console

from imagebase.errors import (
    ImageBaseError,
    UnknownFormatError,
    UnknownLabelError,
    UnknownModelError,
)

FAILED: Final = 1
WRONG_USAGE: Final = 2

errors: Final = Console(stderr=True, highlight=False, soft_wrap=True)


def plain(text: str) -> str:
    """Return a text of a stranger's that cannot steer the terminal."""
    return "".join(
        one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text
    )


def say(text: str) -> None:
    """Print a line for people to standard error."""
    errors.print(plain(text), markup=False)


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
        say(str(error))
        raise typer.Exit(FAILED) from error
    except BrokenPipeError:
        raise  # whoever read our output has had enough: typer's to end
    except OSError as error:
        say(_in_words(error))
        raise typer.Exit(FAILED) from error


def _in_words(error: OSError) -> str:
    why = error.strerror or str(error)
    if error.filename is None:
        return f"The system refused what it was asked for ({why}); try again."
    name = os.fsdecode(error.filename)
    return f"{name} cannot be used ({why}); check the path and its permissions."

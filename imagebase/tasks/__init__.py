"""The background work there is: each kind of job and the function that does it."""

from collections.abc import Mapping
from typing import Final

from imagebase.jobs import Handler
from imagebase.tasks.annotate import annotate, candidates_key
from imagebase.tasks.export import export
from imagebase.tasks.keep import keep

HANDLERS: Final[Mapping[str, Handler]] = {
    "annotate": annotate,
    "keep": keep,
    "export": export,
}

__all__ = ["HANDLERS", "candidates_key"]

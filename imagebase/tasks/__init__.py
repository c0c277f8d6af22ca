"""The background work there is: each kind of job and the function that does it."""

from collections.abc import Mapping
from typing import Final

from imagebase.jobs import Handler
from imagebase.tasks.annotate import annotate
from imagebase.tasks.backup import back_up, restore_backup
from imagebase.tasks.doubt import doubt
from imagebase.tasks.evaluate import evaluate
from imagebase.tasks.export import export
from imagebase.tasks.importing import import_labels
from imagebase.tasks.keep import keep
from imagebase.tasks.looking import candidates_key
from imagebase.tasks.train import train
from imagebase.tasks.training_bundle import training_bundle

HANDLERS: Final[Mapping[str, Handler]] = {
    "annotate": annotate,
    "keep": keep,
    "doubt": doubt,
    "export": export,
    "train": train,
    "bundle": training_bundle,
    "evaluate": evaluate,
    "import": import_labels,
    "backup": back_up,
    "restore": restore_backup,
}

__all__ = ["HANDLERS", "candidates_key"]

"""Kinds of background job, and the function that runs each."""

from collections.abc import Mapping
from typing import Final

from imagebase.jobs.annotation import annotate, keep
from imagebase.jobs.backups import back_up, restore_backup
from imagebase.jobs.evaluation import evaluate
from imagebase.jobs.exports import export, training_bundle
from imagebase.jobs.image_vectors import compare_images
from imagebase.jobs.inference import classify
from imagebase.jobs.installation import install_training
from imagebase.jobs.label_import import import_labels
from imagebase.jobs.runner import Handler
from imagebase.jobs.scoring import doubt
from imagebase.jobs.teaching import teach
from imagebase.jobs.training import train
from imagebase.jobs.videos import add_frames

HANDLERS: Final[Mapping[str, Handler]] = {
    "annotate": annotate,
    "keep": keep,
    "doubt": doubt,
    "export": export,
    "teach": teach,
    "train": train,
    "bundle": training_bundle,
    "evaluate": evaluate,
    "import": import_labels,
    "install": install_training,
    "backup": back_up,
    "restore": restore_backup,
    "vectors": compare_images,
    "classify": classify,
    "frames": add_frames,
}

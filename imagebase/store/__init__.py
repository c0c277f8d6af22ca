"""Datasets on disk: rows in a database, image files in a folder or bucket."""

from imagebase.store.annotation_rows import (
    ORDERS,
    AcceptCounts,
    AnnotationFilter,
    AnnotationRow,
)
from imagebase.store.candidates import CandidatesKey, RunInfo
from imagebase.store.comments import Comment
from imagebase.store.datasets import DatasetInfo, Usage
from imagebase.store.edits import SaveConflict, SaveReport
from imagebase.store.image_rows import ImageFilter, ImageRow
from imagebase.store.images import AddedImage
from imagebase.store.jobs import JobInfo, JobState
from imagebase.store.label_changes import TakenBoxes
from imagebase.store.scope import Scope
from imagebase.store.store import Store, open_store
from imagebase.store.uncertainty import BoxColumns, DoubtCounts, DoubtRow, ImageColumns
from imagebase.store.undo import Event, UndoResult

__all__ = [
    "ORDERS",
    "AcceptCounts",
    "AddedImage",
    "AnnotationFilter",
    "AnnotationRow",
    "BoxColumns",
    "CandidatesKey",
    "Comment",
    "DatasetInfo",
    "DoubtCounts",
    "DoubtRow",
    "Event",
    "ImageColumns",
    "ImageFilter",
    "ImageRow",
    "JobInfo",
    "JobState",
    "RunInfo",
    "SaveConflict",
    "SaveReport",
    "Scope",
    "Store",
    "TakenBoxes",
    "UndoResult",
    "Usage",
    "open_store",
]

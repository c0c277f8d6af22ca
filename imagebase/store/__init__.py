"""Datasets that survive: rows in a database, image files beside it."""

from imagebase.store.candidates import CandidatesKey, RunInfo
from imagebase.store.changes import Conflict, SaveReport
from imagebase.store.comments import Comment
from imagebase.store.datasets import DatasetInfo, Usage
from imagebase.store.doubts import BoxColumns, DoubtCounts, DoubtRow, ImageColumns
from imagebase.store.image_listing import ImageFilter, ImageRow
from imagebase.store.images import AddedImage
from imagebase.store.jobs import JobInfo, JobState
from imagebase.store.label_changes import TakenBoxes
from imagebase.store.listing import (
    ORDERS,
    AcceptCounts,
    AnnotationFilter,
    AnnotationRow,
)
from imagebase.store.scope import Scope
from imagebase.store.store import Store, open_store
from imagebase.store.summaries import ImageSummary
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
    "Conflict",
    "DatasetInfo",
    "DoubtCounts",
    "DoubtRow",
    "Event",
    "ImageColumns",
    "ImageFilter",
    "ImageRow",
    "ImageSummary",
    "JobInfo",
    "JobState",
    "RunInfo",
    "SaveReport",
    "Scope",
    "Store",
    "TakenBoxes",
    "UndoResult",
    "Usage",
    "open_store",
]

"""ImageBase: images in, corrected labels out.

The names below are the Python API; docs/python.md shows them at work. They are loaded
when they are first used, so that `import imagebase` takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "AnnotatedDataset",
    "Annotation",
    "Box",
    "Dataset",
    "DetectionModel",
    "Detections",
    "ImageBaseError",
    "ImageRecord",
    "LabelGuess",
    "LabelSet",
    "Size",
    "Suggestion",
    "__version__",
    "annotate",
    "convert",
    "evaluate",
    "frames",
    "load_model",
    "open_dataset",
    "read_labels",
    "save_taught",
    "suggest_at",
    "suggest_labels",
    "teach",
    "write_labels",
]

if TYPE_CHECKING:
    from imagebase.annotation import Annotation, Box, ImageRecord, LabelSet, Size
    from imagebase.assist.label_guess import LabelGuess, suggest_labels
    from imagebase.assist.pointing import Suggestion, suggest_at
    from imagebase.batch.frames import frames
    from imagebase.batch.run import annotate
    from imagebase.detection.candidates import Detections
    from imagebase.detection.detection_model import DetectionModel, load_model
    from imagebase.detection.taught.teach import save_taught, teach
    from imagebase.errors import ImageBaseError
    from imagebase.evaluation.evaluate_files import evaluate
    from imagebase.formats.convert import convert
    from imagebase.formats.label_files import (
        AnnotatedDataset,
        read_labels,
        write_labels,
    )
    from imagebase.store.dataset_reader import Dataset, open_dataset
else:
    _MODULES = {
        "annotation": ("Annotation", "Box", "ImageRecord", "LabelSet", "Size"),
        "assist.label_guess": ("LabelGuess", "suggest_labels"),
        "assist.pointing": ("Suggestion", "suggest_at"),
        "batch.frames": ("frames",),
        "batch.run": ("annotate",),
        "detection.candidates": ("Detections",),
        "detection.detection_model": ("DetectionModel", "load_model"),
        "detection.taught.teach": ("save_taught", "teach"),
        "errors": ("ImageBaseError",),
        "evaluation.evaluate_files": ("evaluate",),
        "formats.convert": ("convert",),
        "formats.label_files": ("AnnotatedDataset", "read_labels", "write_labels"),
        "store.dataset_reader": ("Dataset", "open_dataset"),
    }
    _MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

    def __getattr__(name: str) -> object:
        if name not in _MODULE_OF:
            raise AttributeError(f"module 'imagebase' has no attribute {name!r}")
        value = getattr(import_module(f"imagebase.{_MODULE_OF[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})

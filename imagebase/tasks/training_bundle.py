"""What those need who train with Darknet itself: one zip, one command."""

import zipfile
from pathlib import Path
from typing import Any, Final

from imagebase.exporting.request import (
    APPROVED,
    ExportRequest,
    SplitChoice,
    request_json,
)
from imagebase.jobs import JobContext
from imagebase.settings import DEFAULT_MODEL, WEIGHTS_FOLDER
from imagebase.tasks.export import export
from imagebase.training.bundle import CONV_29, first_layers

KIND: Final = "bundle"


def request() -> dict[str, Any]:
    """Return the export that a bundle is made from: approved images, split, Darknet."""
    return request_json(ExportRequest("darknet", images=APPROVED, split=SplitChoice()))


def training_bundle(context: JobContext) -> dict[str, Any] | None:
    """Export for Darknet and put the first weights beside it, which its README names.

    Parameters of the job: those of an export, from `request`, and `name`.
    """
    result = export(context)
    if result is None:
        return None
    model = WEIGHTS_FOLDER / DEFAULT_MODEL
    cfg, weights = (
        (model / "obj.cfg").read_bytes(),
        (model / "obj.weights").read_bytes(),
    )
    path = Path(result["path"])
    # Weights do not get smaller by packing.
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(CONV_29, first_layers(cfg, weights))
    return {**result, "byte_count": path.stat().st_size}

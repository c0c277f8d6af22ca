"""What those need who train with Darknet itself: one zip, one command."""

import zipfile
from pathlib import Path
from typing import Any, Final

from imagebase.annotation.states import APPROVED
from imagebase.detection.model_files import CFG, WEIGHTS
from imagebase.export.request import (
    AREAS_BLACK,
    ExportRequest,
    SplitChoice,
    request_json,
)
from imagebase.jobs.exports import export
from imagebase.jobs.runner import JobContext
from imagebase.settings import DEFAULT_MODEL, WEIGHTS_FOLDER
from imagebase.training.darknet_bundle import CONV_29, first_layers

BUNDLE_KIND: Final = "bundle"
# Darknet learns from what is in one folder, so as much as can be sent is one zip.
ZIP_BYTES: Final = 2_000_000_000


def request() -> dict[str, Any]:
    """Return the export that a bundle is made from: approved images, split, Darknet."""
    return request_json(
        ExportRequest(
            "darknet",
            images=APPROVED,
            split=SplitChoice(),
            areas=AREAS_BLACK,
            zip_bytes=ZIP_BYTES,
        )
    )


def training_bundle(context: JobContext) -> dict[str, Any] | None:
    """Export for Darknet and put the first weights beside it, which its README names.

    Parameters of the job: those of an export, from `request`, and `name`.
    """
    result = export(context)
    if result is None:
        return None
    zips = [_with_weights(one) for one in result["zips"]]
    return {
        **result,
        "zips": zips,
        "byte_count": sum(one["byte_count"] for one in zips),
    }


def _with_weights(one: dict[str, Any]) -> dict[str, Any]:
    """Put the first weights into a zip; return what is to be said of it now."""
    model, path = WEIGHTS_FOLDER / DEFAULT_MODEL, Path(one["path"])
    cfg, weights = (model / CFG).read_bytes(), (model / WEIGHTS).read_bytes()
    # Weights do not get smaller by packing.
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(CONV_29, first_layers(cfg, weights))
    return {**one, "byte_count": path.stat().st_size}

"""A dataset after a training: a model in the library, and a job that tells of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from imagebase.annotation import Size, utc_now
from imagebase.detection.library import library_of
from imagebase.detection.model_card import ModelCard
from imagebase.detection.model_files import CFG, NAMES, WEIGHTS, read_names, sha256_of
from imagebase.jobs.training import KIND, work_folder
from imagebase.settings import TEAM_OWNER, WEIGHTS_FOLDER
from imagebase.store import JobState
from imagebase.training.data import TRAIN
from imagebase.training.run_folder import write_json
from tests.app_fixtures import store, the_scope


def add_model(name: str) -> None:
    """Put a small net among the team's models, as a training would."""
    folder = WEIGHTS_FOLDER / "yolo-fastest-1.1"
    files = {name: folder / name for name in (CFG, WEIGHTS, NAMES)}
    card = ModelCard(
        name=name,
        identity=name,
        family="darknet",
        input_size=Size(320, 320),
        labels=read_names(folder / NAMES),
        sha256=sha256_of(files[CFG].read_bytes(), files[WEIGHTS].read_bytes(), None),
        byte_count=sum(file.stat().st_size for file in files.values()),
        added_by="ann",
        added_at=utc_now(),
    )
    library_of(TEAM_OWNER).add(files, card)


def add_round(
    model: str,
    *,
    ap50: float = 0.5,
    base: str = "yolov4-tiny",
    base_ap50: float | None = None,
    images: int = 8,
    boxes: Mapping[str, int] | None = None,
    known: Sequence[str] = (),
) -> None:
    """Add a training that came to its end, with what one leaves.

    known: the images that it learned from or was judged by.
    """
    metrics: dict[str, Any] = {
        "AP": ap50 / 2,
        "AP50": ap50,
        "AP50_interval": [ap50 - 0.1, ap50 + 0.1],
        "base": base,
        "base_AP50": base_ap50,
        "measured_on": "2 validation images",
        "images": {"train": images, "val": 2},
        "boxes": {"train": dict(boxes or {}), "val": {}},
        "minutes": 1.0,
        "warnings": [],
    }
    result = {"model": model, "metrics": metrics, "evaluations": [], "examples": []}
    store().submit_job(the_scope(), KIND, {"name": model})
    claimed = store().claim_job("a test", [KIND])
    assert claimed is not None
    folder = work_folder(the_scope(), claimed.job_id)
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_json(folder.with_suffix(".parts.json"), dict.fromkeys(known, TRAIN))
    store().end_job(claimed.claim_id, JobState.DONE, result=result)

"""Teach a dataset's model by examples, and find more like them on all its images."""

from typing import Any

from imagebase.annotation import ReviewStatus
from imagebase.detection.factory import ModelConfig, configured_detector
from imagebase.jobs.inference import max_image_pixels, run_model
from imagebase.jobs.runner import JobCancelledError, JobContext
from imagebase.jobs.scoring import score_stale
from imagebase.learning.taught_models import teach_dataset
from imagebase.wording import plural


def teach(context: JobContext) -> dict[str, Any] | None:
    """Teach the dataset's model, and store what it finds; no box changes.

    Parameters of the job: `labels` to find besides those that the model finds already,
    and `images`, ids of images on which all objects of these labels have boxes. Without
    either the model is taught again with what has come since. The result is that of
    `run_model`, with the `model` by name; None if cancelled before it was taught.
    """

    def report(done: int, total: int) -> None:
        context.raise_if_cancelled()
        context.progress(0, 0, f"Learning from {plural(total, 'image')} …")

    try:
        model = teach_dataset(
            context.store,
            context.scope,
            context.parameters.get("labels", ()),
            image_ids=context.parameters.get("images", ()),
            max_pixels=max_image_pixels(),
            on_progress=report,
        )
    except JobCancelledError:
        return None
    detector = configured_detector(
        ModelConfig((model.name,)), owner_id=context.scope.owner_id
    )
    result = run_model(context, detector, statuses=list(ReviewStatus))
    score_stale(context)
    return {**result, "model": model.name}

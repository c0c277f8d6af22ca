"""Run a model over images of a dataset and keep what it said; no box is changed."""

from typing import Any

from imagebase.annotation import ReviewStatus
from imagebase.detection.factory import ModelConfig, shared_looker
from imagebase.jobs import JobContext
from imagebase.tasks.judging import judge_stale
from imagebase.tasks.looking import look


def annotate(context: JobContext) -> dict[str, Any]:
    """Run a model on every image in the chosen states that it has not seen yet.

    Parameters of the job: those of `Setup`, with `model`, a name the registry knows;
    `statuses`, the review states of the images. The result counts the images that
    were looked at and names those that were refused.
    """
    context.progress(0, 0, "Loading the model …")
    setup = ModelConfig.of(context.parameters)
    detector = shared_looker(setup, owner_id=context.scope.owner_id)
    statuses = [ReviewStatus(one) for one in context.parameters["statuses"]]
    result = look(context, detector, statuses=statuses)
    judge_stale(context)
    return result

"""Look at images mirrored where that is asked, and judge which of them need a look."""

from typing import Any

from imagebase.annotation import NOT_APPROVED
from imagebase.jobs import JobContext
from imagebase.tasks.judging import judge_stale, model_in_use
from imagebase.tasks.looking import MIRRORED_PASS, look


def doubt(context: JobContext) -> dict[str, Any]:
    """Judge the images that changed since they were judged.

    Parameters of the job: `mirrored`, whether the model in use looks first at the
    mirrored picture of each image that it has seen and nobody approved. The result is
    that of the pass, with the number of images judged.
    """
    store, scope = context.store, context.scope
    context.progress(0, 0, "Loading the model …")
    in_use = model_in_use(store, scope)
    result: dict[str, Any] = {}
    if in_use is not None and context.parameters["mirrored"]:
        seen = store.has_candidates(scope, in_use.plain_key)
        result = look(
            context,
            in_use.detector,
            statuses=NOT_APPROVED,
            passes=MIRRORED_PASS,
            among=seen,
        )
    return {**result, "judged": judge_stale(context, with_progress=not result)}

"""Make the vectors that tell which images of a dataset are alike."""

from typing import Any, Final

from imagebase.jobs.inference import max_image_pixels
from imagebase.jobs.runner import JobContext
from imagebase.learning.image_vectors import make_vectors, without_vector

KIND: Final = "vectors"


def compare_images(context: JobContext) -> dict[str, Any]:
    """Make the vectors of the images that have none; a resumed job continues.

    The result has the number of `images`, and of those that cannot be read, `unread`.
    """
    store, scope = context.store, context.scope
    wanted = without_vector(store, scope)

    def report(done: int) -> bool:
        context.progress(done, len(wanted))
        return not context.cancelled

    unread = make_vectors(
        store, scope, wanted, max_pixels=max_image_pixels(), on_progress=report
    )
    return {"images": len(wanted), "unread": unread}

"""Images that a person takes out of a dataset, as they had them before them."""

from collections.abc import Mapping
from typing import Final

from imagebase.reviewing.review import BulkReport, OnProgress
from imagebase.store import ImageFilter, Scope, Store
from imagebase.store.scope import chunks

_BATCH: Final = 200


def remove_images(
    store: Store,
    scope: Scope,
    seen: Mapping[str, int],
    *,
    on_progress: OnProgress = lambda done, total: None,
) -> BulkReport:
    """Remove images with their files and all that is on them; nothing undoes it.

    Args:
        store: where they are.
        scope: the dataset, and who removes.
        seen: the images, with the revisions that the person had before them. One that
            somebody saved since stays, and counts as a conflict.
        on_progress: is called with the images done and their number.
    """
    removed = boxes = conflicts = done = 0
    for batch in chunks(seen, size=_BATCH):
        wanted = ImageFilter(image_ids=batch)
        rows = store.image_rows(scope, wanted)
        boxes += sum(
            one.box_count for one in rows if one.revision == seen[one.image_id]
        )
        removed += store.remove_images(scope, batch, seen=seen)
        conflicts += store.count_images(scope, wanted)
        done += len(batch)
        on_progress(done, len(seen))
    missing = len(seen) - removed - conflicts
    return BulkReport(removed, boxes, conflicts=conflicts, missing=missing)

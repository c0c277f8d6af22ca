"""Images that a person takes out of a dataset, as they had them before them."""

from collections.abc import Mapping

from imagebase.reviewing.review import BulkReport
from imagebase.store import ImageFilter, Scope, Store


def remove_images(store: Store, scope: Scope, seen: Mapping[str, int]) -> BulkReport:
    """Remove images with their files and all that is on them; nothing undoes it.

    Args:
        store: where they are.
        scope: the dataset, and who removes.
        seen: the images, with the revisions that the person had before them. One that
            somebody saved since stays, and counts as a conflict.
    """
    wanted = ImageFilter(image_ids=seen.keys())
    rows = store.image_rows(scope, wanted)
    boxes = sum(one.box_count for one in rows if one.revision == seen[one.image_id])
    removed = store.remove_images(scope, seen, seen=seen)
    conflicts = store.count_images(scope, wanted)
    missing = len(seen) - removed - conflicts
    return BulkReport(removed, boxes, conflicts=conflicts, missing=missing)

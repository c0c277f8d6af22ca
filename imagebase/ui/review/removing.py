"""Taking images that are ticked on the Review page out of the dataset."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from imagebase.review.bulk_edits import BulkReport, remove_images
from imagebase.store import ImageRow
from imagebase.ui import bulk_progress, image_removal, services, state, widgets
from imagebase.ui.bulk_progress import report
from imagebase.ui.image_removal import Going
from imagebase.ui.review.acting import Seen


def remove(chosen: Sequence[ImageRow], *, key: str) -> None:
    """Draw the removal of images; it asks first, and says what goes with them."""
    seen = {one.image_id: one.revision for one in chosen}
    with st.popover("Remove", icon=":material/delete:", disabled=not chosen):
        going = Going(
            len(chosen),
            sum(one.box_count for one in chosen),
            sum(one.open_comments for one in chosen),
        )
        about = str(hash(tuple(seen.items())))
        image_removal.confirm(
            going, about=about, key=key, on_sure=partial(_remove, seen)
        )


@state.told
def _remove(seen: Seen) -> None:
    """Remove what the button named: a tick that came with the press changes nothing."""
    store, scope = services.store(), state.scope()

    def work(tell: bulk_progress.Tell) -> BulkReport:
        return remove_images(store, scope, seen, on_progress=tell)

    def say(told: BulkReport) -> None:
        state.forget_shown(seen)
        images = widgets.plural(told.changed, "image")
        report(f"Removed {images} with {widgets.plural(told.boxes, 'box')}", told)

    bulk_progress.begin("Removing", work, then=say, images=len(seen))

"""Taking the image on the Edit page out of the dataset."""

from functools import partial
from typing import Final

import streamlit as st

from imagebase.annotation import ImageRecord
from imagebase.review.bulk_edits import remove_images
from imagebase.ui import image_removal, services, state, widgets
from imagebase.ui.edit import canvas, changing, walking
from imagebase.ui.image_removal import Going

_KEY: Final = "edit"


def remove(record: ImageRecord) -> None:
    """Draw the removal of this image; it asks first, and says what goes with it."""
    said = services.store().comments(state.scope(), record.image_id)
    going = Going(1, len(record.annotations), sum(one.is_open for one in said))
    with st.popover("Remove", icon=":material/delete:", type="tertiary"):
        image_removal.confirm(
            going,
            about=f"{record.image_id}.{record.revision}",
            key=_KEY,
            on_sure=partial(_remove, record.image_id),
        )


@state.told
def _remove(image_id: str) -> None:
    """Remove the image if it is as it was on screen, and go to the one after it."""
    canvas.settle()
    known, to_come = changing.record(), walking.following()
    is_other = known.image_id != image_id or state.is_news(known)
    if is_other or state.conflict(image_id) or not _is_removed(known):
        canvas.report("Somebody else changed this image; look at it, then press again.")
        return
    state.choose_image(next((one for one in to_come if one != image_id), None))


def _is_removed(known: ImageRecord) -> bool:
    seen = {known.image_id: known.revision}
    told = remove_images(services.store(), state.scope(), seen)
    if told.changed:
        name = widgets.short_name(known.file_name)
        state.say(f"Removed {name} with {widgets.plural(told.boxes, 'box')}.")
        state.forget_shown(seen)
    return bool(told.changed)

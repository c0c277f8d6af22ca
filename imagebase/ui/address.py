"""Where one is, in the page's address: a reload or a bookmark comes back to it."""

from typing import Final

import streamlit as st

from imagebase.ui import backend, state

_DATASET: Final = "dataset"
_IMAGE: Final = "image"
_DIGITS: Final = 12


def restore() -> None:
    """Take up the address where this session has not chosen for itself yet.

    Only what this visitor may see is taken up; the rest of an address is left alone.
    """
    if state.has_chosen():
        return
    wanted = st.query_params.get(_DATASET, "")
    image = st.query_params.get(_IMAGE, "")
    for one in state.datasets():
        if wanted and one.dataset_id.startswith(wanted):
            state.choose_dataset(one.dataset_id)
    if image:
        known = backend.store().image_ids(state.scope())
        state.choose_image(next((one for one in known if one.startswith(image)), None))


def note(*, image_id: str | None = None) -> None:
    """Write the dataset, and the image where one is shown, into the address."""
    place = {_DATASET: state.scope().dataset_id[:_DIGITS]}
    if image_id:
        place[_IMAGE] = image_id[:_DIGITS]
    if st.query_params.to_dict() != place:
        st.query_params.from_dict(place)

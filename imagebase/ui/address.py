"""The page's address: names dataset and image, for reload, Back and bookmarks."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import time
from typing import Final

import streamlit as st

from imagebase.settings import ASSETS_FOLDER
from imagebase.ui import services, state

_DATASET: Final = "dataset"
_IMAGE: Final = "image"
_DIGITS: Final = 12
_LEFT_ALONE: Final = "imagebase.address.left_alone"
_WRITTEN: Final = "imagebase.address.written"
_SCRIPT: Final = ASSETS_FOLDER / "address.js"
# Key of the container of the address component; it takes no space on the page.
KEY: Final = "address.place"


def restore() -> None:
    """Open dataset and image of the address in a session that has chosen none yet.

    Only those that this visitor may see; the rest of an address is ignored.
    """
    if state.has_chosen():
        return
    wanted = st.query_params.get(_DATASET, "")
    image = st.query_params.get(_IMAGE, "")
    for dataset in state.datasets():
        if wanted and dataset.dataset_id.startswith(wanted):
            state.choose_dataset(dataset.dataset_id)
    if image:
        known = services.store().image_ids(state.scope())
        state.choose_image(
            next((image_id for image_id in known if image_id.startswith(image)), None)
        )


@contextmanager
def leave_alone() -> Iterator[None]:
    """Run a page whose address may name another image than it shows.

    After Back the editor asks for that image in a moment; or the browser does not yet
    have the session's new address.
    """
    wanted = st.query_params.get(_IMAGE)
    st.session_state[_LEFT_ALONE] = wanted
    try:
        yield
    finally:
        st.session_state[_LEFT_ALONE] = None


def note(*, image_id: str | None = None) -> None:
    """Write the dataset, and the image where one is shown, into the address.

    By Streamlit, which opens this address again after a broken connection; until a
    first run has come to its end by `address.js`, which keeps the history short from
    then on: the browser may not have that script where a click cut the run short.
    """
    place = {_DATASET: state.scope().dataset_id[:_DIGITS]}
    if image_id:
        place[_IMAGE] = image_id[:_DIGITS]
    if image_id and st.session_state.get(_LEFT_ALONE):
        place[_IMAGE] = st.session_state[_LEFT_ALONE]
    is_known = st.session_state.get(_WRITTEN, False)
    with st.container(key=KEY):
        write = st.components.v2.component(
            "imagebase_address", js=_SCRIPT.read_text("utf-8")
        )
        # The browser calls the script again for what has changed alone.
        write(key="address", data={} if is_known else {"place": place, "at": time()})
    if is_known and st.query_params.to_dict() != place:
        st.query_params.from_dict(place)


def end_run() -> None:
    """Note that a page has run to its end, and so that the browser has `address.js`."""
    st.session_state[_WRITTEN] = True

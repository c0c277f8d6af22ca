"""ImageBase: page configuration, navigation, run."""

from typing import TYPE_CHECKING

import streamlit as st
from streamlit import runtime

from imagebase.ui import frame, warm_up
from imagebase.ui.web import server

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage


def _go_to_upload() -> None:
    """Redirect /upload to the first page, whose address is the root."""
    st.switch_page(_pages()[0])


def _pages() -> "list[StreamlitPage]":
    return [
        st.Page("pages/upload.py", title="Upload", url_path="first", default=True),
        st.Page(_go_to_upload, url_path="upload", visibility="hidden"),
        st.Page("pages/annotate.py", title="Annotate"),
        st.Page("pages/edit.py", title="Edit"),
        st.Page("pages/review.py", title="Review"),
        st.Page("pages/export.py", title="Export"),
        st.Page("pages/models.py", title="Models"),
        st.Page("pages/evaluate.py", title="Evaluate"),
        st.Page("pages/train.py", title="Train"),
    ]


if runtime.exists():
    page = st.navigation(_pages(), position="top")
    frame.configure(folds_sidebar=page.title == "Edit")
    frame.run(page)
else:
    # `streamlit run` finds this and imports the file once, before it serves requests.
    app = st.App(
        __file__,
        lifespan=warm_up.warmed,
        middleware=server.middleware(),
        routes=server.routes(),
    )

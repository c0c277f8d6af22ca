"""ImageBase: page configuration, navigation, run."""

import streamlit as st

from imagebase.ui import frame


def _go_to_upload() -> None:
    """Open the first page, whose address is the root, for who asks for it by name."""
    st.switch_page(pages[0])


pages = [
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
page = st.navigation(pages, position="top")
frame.configure(folds_sidebar=page.title == "Edit")
frame.run(page)

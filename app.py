"""ImageBase: page configuration, navigation, run."""

import streamlit as st

from imagebase.ui import frame

pages = [
    st.Page("pages/upload.py", title="Upload", default=True),
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

"""Upload page: images into the dataset, and what is wrong with them."""

import streamlit as st

from imagebase.ui import frame, state
from imagebase.ui.upload import page

frame.enter()

st.title("Upload")

left, right = st.columns([5, 2], gap="medium", vertical_alignment="bottom")
with left:
    page.drop_zone()
with right:
    st.button(
        "Try the sample photographs",
        key="upload.samples",
        icon=":material/photo_library:",
        on_click=page.add_samples,
        width="stretch",
    )
    st.caption(page.limits_in_words())

# Each in a place of its own: what comes or goes above moves nothing below.
with st.container():
    page.show_report()
with st.container():
    page.tools()

if not state.has_images():
    st.info("Drop images above, or click **Try the sample photographs**.")
    st.stop()

with st.container(horizontal=True, vertical_alignment="center"):
    shown = page.choose_shown()
    st.page_link(
        "pages/annotate.py",
        label="**Annotate them**",
        icon=":material/arrow_forward:",
    )
page.thumbnails(shown)

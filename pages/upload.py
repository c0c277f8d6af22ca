"""Upload page: add images to the dataset and check their quality."""

import streamlit as st

from imagebase.ui import frame, state
from imagebase.ui.upload import page, video_panel

frame.enter()

st.title("Upload")

left, right = st.columns([5, 2], gap="medium", vertical_alignment="bottom")
with left:
    page.drop_zone()
with right:
    st.button(
        "Add sample images",
        key="upload.samples",
        icon=":material/photo_library:",
        on_click=page.add_samples,
        width="stretch",
    )
    st.caption(page.limits_in_words())

# One container each, so that a message above does not remount what is below.
with st.container():
    page.show_report()
with st.container():
    video_panel.section()
with st.container():
    page.tools()

if not state.has_images():
    st.info("Drop images above, or click **Add sample images**.")
    st.stop()

with st.container(horizontal=True, vertical_alignment="center"):
    shown = page.choose_shown()
    st.page_link(
        "pages/annotate.py",
        label="**Annotate**",
        icon=":material/arrow_forward:",
    )
page.thumbnails(shown)

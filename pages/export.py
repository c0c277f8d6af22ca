"""Export page: one format, one click, one zip that was read back and compared."""

import streamlit as st

from imagebase.ui import frame, widgets
from imagebase.ui.export import options, page

frame.enter()

st.title("Export")
widgets.needs_images()

choice = options.choose()
# Each in a place of its own: what comes or goes above moves nothing below.
with st.container():
    page.say_unsaved_suggestions()
with st.container():
    page.build(choice)
with st.container():
    is_built = page.offer(choice)
with st.container():
    page.preview(choice, with_variants=not is_built)

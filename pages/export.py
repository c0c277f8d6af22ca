"""Export page: one format, one click, one zip that was read back and compared."""

import streamlit as st

from imagebase.ui import frame, widgets
from imagebase.ui.export import export_choices, export_preview, exporting

frame.enter()

st.title("Export")
widgets.needs_images()

choice = export_choices.choose()
# Each in a place of its own: what comes or goes above moves nothing below.
with st.container():
    exporting.say_what_is_not_saved()
with st.container():
    exporting.build(choice)
with st.container():
    is_built = exporting.offer(choice)
with st.container():
    export_preview.show(choice, with_variants=not is_built)

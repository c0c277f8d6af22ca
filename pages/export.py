"""Export page: one format, one click, one zip that was read back and compared."""

import streamlit as st

from imagebase.ui import exporting, frame, jobs, widgets

frame.enter()

st.title("Export")
widgets.needs_images()

choice = exporting.choose()
exporting.build(choice)
jobs.show("export")
exporting.offer(choice)

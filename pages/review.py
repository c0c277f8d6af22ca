"""Review page: every label in a table; approve, reject, relabel, delete."""

import streamlit as st

from imagebase.ui import frame, reviewing, widgets

frame.enter()

st.title("Review")
widgets.needs_images()

view = reviewing.choose_view()
if view == reviewing.LABELS:
    reviewing.label_table()
else:
    reviewing.image_table()

"""Annotate page: run a model, tune what becomes a box, keep the boxes."""

import streamlit as st

from imagebase.ui import frame, job_progress, widgets
from imagebase.ui.annotate import annotating

frame.enter()

st.title("Annotate")
widgets.needs_images()

choice = annotating.toolbar()
job_progress.show("annotate")
job_progress.show("keep")
annotating.results(choice)

"""Annotate page: run a model, set thresholds, save the boxes."""

import streamlit as st

from imagebase.ui import frame, job_progress, widgets
from imagebase.ui.annotate import page

frame.enter()

st.title("Annotate")
widgets.needs_images()

choice = page.toolbar()
job_progress.show("annotate")
job_progress.show("keep")
page.results(choice)

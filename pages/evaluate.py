"""Evaluate page: models judged by what people approved, and where they fail."""

import streamlit as st

from imagebase.ui import frame, job_progress, widgets
from imagebase.ui.evaluate import evaluating

frame.enter()

st.title("Evaluate")
widgets.needs_images()

evaluating.toolbar()
job_progress.show("evaluate")
evaluating.results()

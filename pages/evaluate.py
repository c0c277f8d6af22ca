"""Evaluate page: models judged by what people approved, and where they fail."""

import streamlit as st

from imagebase.ui import frame, job_progress, widgets
from imagebase.ui.evaluate import page

frame.enter()

st.title("Evaluate")
widgets.needs_images()

page.toolbar()
job_progress.show("evaluate")
page.results()

"""Evaluate page: models judged by what people approved, and where they fail."""

import streamlit as st

from imagebase.ui import evaluating, frame, jobs, widgets

frame.enter()

st.title("Evaluate")
widgets.needs_images()

evaluating.toolbar()
jobs.show("evaluate")
evaluating.results()

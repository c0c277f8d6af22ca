"""Models page: which models there are, and a way in for one's own."""

import streamlit as st

from imagebase.ui import frame, models, models_adding

frame.enter()

st.title("Models")

models_adding.drop_zone()
models.cards()

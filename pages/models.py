"""Models page: which models there are, and a way in for one's own."""

import streamlit as st

from imagebase.ui import frame
from imagebase.ui.models import models, models_adding

frame.enter()

st.title("Models")

# Each in a place of its own: the cards stay still while files are examined above.
with st.container():
    models_adding.drop_zone()
with st.container():
    models.cards()

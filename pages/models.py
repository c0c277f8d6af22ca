"""Models page: which models there are, and a way in for one's own."""

import streamlit as st

from imagebase.ui import frame
from imagebase.ui.models import add_model, page

frame.enter()

st.title("Models")

# Each in a place of its own: the cards stay still while files are examined above.
with st.container():
    add_model.drop_zone()
with st.container():
    page.cards()

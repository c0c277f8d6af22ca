"""Export page: one format, one click, one zip that was read back and compared."""

import streamlit as st

from imagebase.ui import frame, widgets
from imagebase.ui.export import export_choices, export_preview, exporting

frame.enter()

st.title("Export")
widgets.needs_images()

choice = export_choices.choose()
exporting.build(choice)
is_built = exporting.offer(choice)
export_preview.show(choice, with_variants=not is_built)

"""All that knows Streamlit: state, caches, the canvas, widgets."""

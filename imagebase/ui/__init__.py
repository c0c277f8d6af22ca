"""All that knows Streamlit: state, caches, the canvas, widgets."""

import logging


def _is_about_the_app(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("No runtime found")


# The app is imported before the server runs, and Streamlit warns of each cache in it.
logging.getLogger("streamlit.runtime.caching.cache_data_api").addFilter(
    _is_about_the_app
)

"""The Streamlit app: pages, session state, caches, canvas, widgets."""

import logging


def _is_about_the_app(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("No runtime found")


# The app is imported before the server runs; Streamlit would warn about every cache.
logging.getLogger("streamlit.runtime.caching.cache_data_api").addFilter(
    _is_about_the_app
)

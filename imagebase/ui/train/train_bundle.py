"""For those who train elsewhere: the Darknet bundle, and the notebook for a GPU."""

from pathlib import Path
from typing import Any, Final

import streamlit as st

from imagebase.settings import PROJECT_ROOT
from imagebase.store import JobState
from imagebase.tasks.training_bundle import KIND, request
from imagebase.ui import backend, jobs, state, widgets

NOTEBOOK: Final = PROJECT_ROOT / "notebooks" / "train_custom_model.ipynb"


def offer() -> None:
    """Draw the two ways, with their downloads."""
    st.markdown(
        "**With Darknet**: approved images in its folders, split, with the cfg, the "
        "first 29 layers' weights and a README that has the one command."
    )
    _bundle()
    st.markdown(
        "**On a GPU notebook**: the same training, from a CSV or a Darknet export."
    )
    if NOTEBOOK.is_file():
        st.download_button(
            "Download the notebook",
            NOTEBOOK.read_bytes(),
            file_name=NOTEBOOK.name,
            mime="application/x-ipynb+json",
            key="train.notebook",
            icon=":material/download:",
            on_click="ignore",
        )


def _bundle() -> None:
    job = jobs.latest(KIND)
    if job is not None and jobs.is_active(job):
        jobs.show(KIND)
        return
    if job is not None and job.state is JobState.FAILED:
        st.error(widgets.escape(job.error or ""))
    wanted = _wanted()
    result = (job.result or {}) if job is not None else {}
    path = Path(result.get("path", "missing"))
    if job is not None and job.parameters == wanted and path.is_file():
        with path.open("rb") as content:
            st.download_button(
                f"Download training bundle · {widgets.megabytes(result['byte_count'])}",
                content,
                file_name=result["file_name"],
                mime="application/zip",
                key="train.bundle.download",
                type="primary",
                icon=":material/download:",
                on_click="ignore",
            )
        return
    st.button(
        "Build the training bundle",
        key="train.bundle.build",
        icon=":material/inventory_2:",
        on_click=jobs.start,
        args=(KIND, wanted),
    )


def _wanted() -> dict[str, Any]:
    """Return the job for the dataset as it is; a changed one needs another zip."""
    version = backend.store().version(state.scope())
    return request() | {"name": state.dataset().name, "version": version}

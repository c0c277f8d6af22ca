"""For those who train elsewhere: the Darknet bundle, and the notebook for a GPU."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import streamlit as st

from imagebase.jobs.training_bundle import BUNDLE_KIND, request
from imagebase.settings import PROJECT_ROOT
from imagebase.store import JobState
from imagebase.ui import job_progress, services, state, widgets

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
    job = job_progress.latest(BUNDLE_KIND)
    if job is not None and job_progress.is_active(job):
        job_progress.show(BUNDLE_KIND)
        return
    if job is not None and job.state is JobState.FAILED:
        st.error(widgets.escape(job.error or ""))
    wanted = _wanted()
    zips = (job.result or {}).get("zips", []) if job is not None else []
    is_there = bool(zips) and all(Path(one["path"]).is_file() for one in zips)
    if job is not None and job.parameters == wanted and is_there:
        _download(zips)
        return
    st.button(
        "Build the training bundle",
        key="train.bundle.build",
        icon=":material/inventory_2:",
        on_click=job_progress.start,
        args=(BUNDLE_KIND, wanted),
    )


def _download(zips: Sequence[Mapping[str, Any]]) -> None:
    chosen = zips[0]
    if len(zips) > 1:
        st.caption(
            f"The images are in {len(zips)} zips, each with all that Darknet needs to "
            "learn from its share: unpack each into a folder of its own."
        )
        chosen = zips[widgets.page_number(len(zips), key="train.bundle.zip") - 1]
    st.download_button(
        f"Download training bundle · {widgets.megabytes(chosen['byte_count'])}",
        # Not in memory before it is pressed.
        partial(Path(chosen["path"]).open, "rb"),
        file_name=chosen["file_name"],
        mime="application/zip",
        key="train.bundle.download",
        type="primary",
        icon=":material/download:",
        on_click="ignore",
    )


def _wanted() -> dict[str, Any]:
    """Return the job for the dataset as it is; a changed one needs another zip."""
    version = services.store().version(state.scope())
    return request() | {"name": state.dataset().name, "version": version}

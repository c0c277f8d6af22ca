"""The Export page's parts: what to export, building it, the checked zip."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import streamlit as st

from imagebase.annotation import ReviewStatus
from imagebase.exporting.request import ALL, APPROVED, REVIEWED, STATUSES
from imagebase.store import JobInfo, JobState
from imagebase.ui import backend, exported, jobs, state, widgets

FORMATS: Final = {
    "coco": "COCO",
    "yolo": "Ultralytics YOLO",
    "darknet": "Darknet",
    "voc": "Pascal VOC",
    "csv": "CSV",
    "folders": "Folder per label",
}
_ABOUT: Final = {
    "coco": "One annotations.json beside the images, as pycocotools reads it.",
    "yolo": "data.yaml, images/ and labels/, as Ultralytics trains from.",
    "darknet": "obj.data, obj.names, obj.cfg and one .txt beside each image.",
    "voc": "One XML file an image, as in the Pascal VOC challenge.",
    "csv": "One row a box: filename, width, height, class and corners.",
    "folders": "A folder for each label with the images that hold it.",
}
_SCOPES: Final = {
    APPROVED: "approved",
    REVIEWED: "edited and approved",
    ALL: "all, unreviewed too",
}
# One that was interrupted can go on instead.
_ENDED: Final = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
# A set of this size is built while one looks; a larger one waits for the button.
BUILT_AT_ONCE: Final = 300


@dataclass(frozen=True, slots=True)
class ExportChoice:
    """What the zip is to hold; version: of the dataset it would be built from."""

    format: str
    images: str
    with_images: bool
    without_metadata: bool
    with_empty: bool
    name: str
    version: str

    def parameters(self) -> dict[str, Any]:
        return asdict(self)


def choose() -> ExportChoice:
    """Draw format and scope; return what is chosen."""
    format_name = st.segmented_control(
        "Format",
        list(FORMATS),
        default="coco",
        required=True,
        format_func=FORMATS.__getitem__,
        key="export.format",
        persist_state="session",
    )
    st.caption(_ABOUT[format_name])
    counts = backend.store().progress(state.scope())
    totals = {
        name: sum(counts.get(status, 0) for status in statuses)
        for name, statuses in STATUSES.items()
    }
    images = st.segmented_control(
        "Images",
        list(_SCOPES),
        default=APPROVED if counts.get(ReviewStatus.APPROVED) else ALL,
        required=True,
        format_func=lambda name: f"{_SCOPES[name]} {totals[name]:,}",
        key=f"export.images.{bool(counts.get(ReviewStatus.APPROVED))}",
        persist_state="session",
    )
    with st.container(horizontal=True):
        with_images = st.checkbox(
            "With the images",
            value=True,
            key="export.with_images",
            persist_state="session",
        )
        without_metadata = st.checkbox(
            "Without metadata (place, camera, time)",
            disabled=not with_images,
            key="export.without_metadata",
            persist_state="session",
        )
        with_empty = st.checkbox(
            "With images confirmed to be empty",
            value=True,
            key="export.with_empty",
            persist_state="session",
        )
    return ExportChoice(
        format_name,
        images,
        with_images,
        without_metadata,
        with_empty,
        state.dataset().name,
        backend.store().version(state.scope()),
    )


def build(choice: ExportChoice) -> None:
    """Build the zip: at once where it is small, else at the press of a button."""
    job = jobs.latest("export")
    if jobs.is_active(job) or _fits(job, choice):
        return
    counts = backend.store().progress(state.scope())
    total = sum(counts.get(status, 0) for status in STATUSES[choice.images])
    if not total:
        st.info("No image is approved yet. Approve some on **Review**, or export all.")
    elif total <= BUILT_AT_ONCE:
        jobs.start("export", choice.parameters())
    else:
        st.button(
            f"Build the zip of {widgets.plural(total, 'image')}",
            key="export.build",
            type="primary",
            icon=":material/inventory_2:",
            on_click=jobs.start,
            args=("export", choice.parameters()),
        )


def _fits(job: JobInfo | None, choice: ExportChoice) -> bool:
    """Say whether a job was about just this choice, whatever came of it."""
    return job is not None and job.parameters == choice.parameters()


def offer(choice: ExportChoice) -> None:
    """Draw the download and the checks of this choice's zip, or build it again."""
    job = jobs.latest("export")
    if job is None or job.state not in _ENDED or not _fits(job, choice):
        return
    result = job.result or {}
    path = Path(result.get("path", ""))
    if not path.is_file():
        st.button(
            "Build it again",
            key="export.again",
            on_click=jobs.start,
            args=("export", choice.parameters()),
        )
        return
    with path.open("rb") as content:
        st.download_button(
            f"Download {widgets.escape(result['file_name'])} · "
            f"{widgets.megabytes(result['byte_count'])}",
            content,
            file_name=result["file_name"],
            mime="application/zip",
            key="export.download",
            type="primary",
            icon=":material/download:",
            on_click="ignore",
        )
    _checks(result)
    if choice.with_images and result["images"] <= exported.MOST_IMAGES:
        exported.show_pictures(path, choice.format)


def _checks(result: Mapping[str, Any]) -> None:
    compared = (
        f"**{result['boxes_equal']:,} of {result['boxes']:,} boxes equal**"
        if result["boxes"]
        else "**no box in it yet**"
    )
    st.markdown(
        f":material/verified: Read back and compared: {compared} · "
        f"{widgets.plural(result['images'], 'image')} · "
        f"{widgets.plural(result['labels'], 'label')}"
    )
    for warning in result["warnings"]:
        st.warning(widgets.escape(warning), icon=":material/warning:")
    if result["left_out"]:
        with st.expander(f"Left out: {widgets.plural(len(result['left_out']), 'box')}"):
            st.dataframe({"why": result["left_out"]}, hide_index=True)

"""The report of a kept evaluation, made when it is asked for."""

from functools import partial

import streamlit as st

from imagebase.evaluation.evaluate_files import made_in_words, small_picture
from imagebase.evaluation.report import About, report
from imagebase.evaluation.storage import RunInfo
from imagebase.images.decode import RgbArray
from imagebase.jobs.exports import safe_stem
from imagebase.store import Scope
from imagebase.ui import services, state
from imagebase.ui.evaluate import evaluation_data


def offer(info: RunInfo, threshold: float) -> None:
    """Draw the button that downloads the report of a run as one HTML file."""
    name = state.dataset().name
    st.download_button(
        "Report",
        partial(_make, state.scope(), name, info, threshold),
        file_name=f"{safe_stem(name)}-evaluation.html",
        mime="text/html",
        key=f"evaluate.report.{info.run_id}",
        icon=":material/download:",
        help="One file with all figures, curves and the worst images, to read offline "
        "or print.",
        on_click="ignore",
        width="stretch",
    )


def _make(scope: Scope, name: str, info: RunInfo, threshold: float) -> bytes:
    run = evaluation_data.load_of(scope, info.run_id)
    fared = evaluation_data.standings_of(scope, info.run_id, threshold)
    limits = services.limits()

    def picture_of(image: int) -> RgbArray | None:
        one = run.truth.images[image]
        read = partial(services.store().image_bytes, scope, one.image_id)
        return small_picture(one.name, read, limits)

    about = About(
        f"{name}: how good are these models?", made_in_words(info.made_at), run.notes
    )
    return report(about, fared, picture_of).encode("utf-8")

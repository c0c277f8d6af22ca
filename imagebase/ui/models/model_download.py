"""A model as a download: its files, ONNX too, and what its training told."""

from functools import partial
from typing import Literal

import streamlit as st

from imagebase.detection.model_archive import model_zip
from imagebase.detection.model_files import Model


def button(
    model: Model, *, key: str, width: Literal["content", "stretch"] = "content"
) -> None:
    """Draw the button; the zip is made when it is pressed."""
    st.download_button(
        "Download",
        partial(model_zip, model),
        file_name=f"{model.name}.zip",
        mime="application/zip",
        key=key,
        icon=":material/download:",
        width=width,
        on_click="ignore",
        help="A zip: obj.cfg, obj.weights, obj.names and the same as ONNX."
        if model.is_darknet
        else "A zip: the .onnx file and its labels.",
    )

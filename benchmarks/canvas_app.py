"""A page with nothing on it but a canvas and the number of its boxes.

CANVAS_BOXES says how many there are at first; CANVAS_KIND is `drawable` for
streamlit-drawable-canvas and `own` for the editor of ImageBase.
"""

import os
from typing import Final

import streamlit as st

from benchmarks.canvases import PHOTOGRAPH, grid
from imagebase.annotation import Annotation, Box, ImageRecord, LabelSet, Size
from imagebase.ui.edit import canvas
from imagebase.ui.edit.canvas_state import RecordAccess

SIZE: Final = Size(640, 480)
_RECORD: Final = "record"


def first_boxes() -> list[Box]:
    return grid(int(os.environ["CANVAS_BOXES"]))


def own() -> int:
    """Draw our editor; return how many boxes the record has."""

    def load(image_id: str) -> ImageRecord:
        record: ImageRecord = st.session_state[_RECORD]
        return record

    def save(record: ImageRecord) -> ImageRecord:
        st.session_state[_RECORD] = record
        return record

    boxes = tuple(Annotation(box, "thing") for box in first_boxes())
    st.session_state.setdefault(_RECORD, ImageRecord("a", PHOTOGRAPH.name, SIZE, boxes))
    canvas.settle()
    canvas.draw_editor(
        load("a"),
        picture=PHOTOGRAPH.read_bytes(),
        labels=LabelSet.of(["thing"]),
        current_label="thing",
        key_labels=["thing"],
        access=RecordAccess(load, save, who="ann"),
        on_action=lambda action: None,
        detail=lambda region: b"",
    )
    return len(load("a").annotations)


def drawable() -> int:
    """Draw the other canvas; return how many boxes its last message had."""
    import streamlit_drawable_canvas as other  # it registers itself in a run only

    first = [
        {
            "label": "thing",
            "left": box.x_min,
            "top": box.y_min,
            "width": box.width,
            "height": box.height,
        }
        for box in first_boxes()
    ]
    result = other.st_canvas(
        background_image=PHOTOGRAPH.read_bytes(),
        width=SIZE.width,
        height=SIZE.height,
        drawing_mode="labeled_rect",
        label="thing",
        stroke_width=2,
        initial_drawing=other.boxes_to_drawing(first),
        key="drawable",
    )
    drawing = result.json_data
    return len(drawing["objects"]) if drawing else len(first)


@st.fragment
def page() -> None:
    count = own() if os.environ["CANVAS_KIND"] == "own" else drawable()
    st.caption(f"Saved {count}")


if __name__ == "__main__":
    st.set_page_config(layout="wide")
    page()

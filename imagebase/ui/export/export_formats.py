"""The formats as the Export page shows them: those that most people want in front."""

from typing import Final

import streamlit as st

FRONT: Final = {
    "coco": "COCO",
    "yolo": "Ultralytics YOLO",
    "darknet": "Darknet",
    "voc": "Pascal VOC",
    "csv": "CSV",
    "folders": "Folder per label",
}
MORE: Final = {
    "createml": "CreateML",
    "labelme": "LabelMe",
    "cvat": "CVAT",
    "labelstudio": "Label Studio",
    "openimages": "Open Images",
    "classification": "Image classification",
}
_ABOUT: Final = {
    "coco": "annotations/instances_*.json and images/, as CVAT reads it.",
    "yolo": "data.yaml, images/ and labels/, as Ultralytics trains from.",
    "darknet": "obj.data, obj.names, obj.cfg and one .txt beside each image.",
    "voc": "One XML file an image, as in the Pascal VOC challenge.",
    "csv": "One row a box: filename, width, height, class and corners.",
    "folders": "A folder for each label with the images that hold it.",
    "createml": "One annotations.json with centres in pixels, for Apple's Create ML.",
    "labelme": "One JSON file an image, which LabelMe opens.",
    "cvat": "One annotations.xml, CVAT for images 1.1.",
    "labelstudio": "Tasks with percentages, and the labelling config to go with them.",
    "openimages": "Box rows in the Open Images order, relative.",
    "classification": "Whole images in a folder for each label: no boxes.",
}
_OTHERS: Final = "more"
_CROPS: Final = {
    False: "images by their tags",
    True: "what is in each box, cut out",
}


def choose() -> tuple[str, bool]:
    """Draw the formats; return the chosen one, and whether boxes are cut out for it."""
    shown = FRONT | {_OTHERS: "more …"}
    name: str = st.segmented_control(
        "Format",
        list(shown),
        default="coco",
        required=True,
        format_func=shown.__getitem__,
        key="export.format",
        persist_state="session",
    )
    if name == _OTHERS:
        name = st.segmented_control(
            "More formats",
            list(MORE),
            default="createml",
            required=True,
            format_func=MORE.__getitem__,
            key="export.format.more",
            label_visibility="collapsed",
            persist_state="session",
        )
    st.caption(_ABOUT[name])
    return name, name == "classification" and _crops()


def _crops() -> bool:
    chosen: bool = st.segmented_control(
        "Pictures",
        list(_CROPS),
        default=False,
        required=True,
        format_func=_CROPS.__getitem__,
        key="export.crops",
        persist_state="session",
    )
    return chosen

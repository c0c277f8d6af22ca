"""The editor alone, over two photographs and a store that is one file.

CANVAS_APP_FOLDER holds `images/`, and `records.pickle` once something was saved.
"""

import os
import pickle
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import streamlit as st
from cv2.typing import MatLike

from imagebase.annotation import Annotation, Box, ImageRecord, LabelSet, Size, Source
from imagebase.editing import records as editing
from imagebase.images.decode import detail_jpeg, display_jpeg
from imagebase.ui.edit import canvas, table
from imagebase.ui.edit.canvas_messages import Action
from imagebase.ui.edit.canvas_state import RecordAccess

FOLDER = Path(os.environ["CANVAS_APP_FOLDER"])
IMAGES = sorted((FOLDER / "images").iterdir())
RECORDS = FOLDER / "records.pickle"
LABELS = LabelSet.of(["person", "car", "dog"])


def read(path: Path) -> MatLike:
    image = cv2.imread(str(path))
    assert image is not None
    return image


def first_records() -> dict[str, ImageRecord]:
    model_box = Annotation(
        Box(40.125, 50.0625, 200.33334, 180.77777),
        "person",
        annotation_id="model-box",
        source=Source.MODEL,
        confidence=0.93,
        model_id="net",
    )
    human_box = Annotation(
        Box(300.1, 100.2, 420.3, 300.4), "car", annotation_id="human-box"
    )
    many = int(os.environ.get("CANVAS_APP_BOXES", "0"))
    more = [
        Annotation(
            Box(
                x := 10.5 + 60 * (i % 10), y := 200.25 + 50 * (i // 10), x + 25, y + 25
            ),
            "dog",
            annotation_id=f"more-{i}",
        )
        for i in range(many)
    ]
    records = {}
    for path in IMAGES:
        height, width = read(path).shape[:2]
        records[path.stem] = ImageRecord(
            path.stem, path.name, Size(width, height), (model_box, human_box, *more)
        )
    return records


def records() -> dict[str, ImageRecord]:
    if not RECORDS.exists():
        write(first_records())
    loaded: dict[str, ImageRecord] = pickle.loads(RECORDS.read_bytes())
    return loaded


def write(saved: dict[str, ImageRecord]) -> None:
    part = RECORDS.with_suffix(".part")
    part.write_bytes(pickle.dumps(saved))
    part.rename(RECORDS)


def load(image_id: str) -> ImageRecord:
    return records()[image_id]


def save(record: ImageRecord) -> ImageRecord:
    saved = replace(record, revision=record.revision + 1)
    write(records() | {record.image_id: saved})
    with (FOLDER / "saves.txt").open("a", encoding="utf-8") as log:
        log.write(f"{time.time():.4f}\n")
    return saved


ACCESS = RecordAccess(load=load, save=save, who="Ada")


def current() -> str:
    return str(st.session_state.setdefault("app.image", IMAGES[0].stem))


def act(asked: Action) -> None:
    canvas.settle()
    action = asked.name
    if asked.image_id not in ("", current()) and not action.startswith("label:"):
        return
    with (FOLDER / "actions.txt").open("a", encoding="utf-8") as log:
        log.write(f"{action}\n")
    names = [path.stem for path in IMAGES]
    if action.startswith("label:"):
        st.session_state["app.label"] = action[6:]
    elif action in ("next", "previous", "approve"):
        if action == "approve":
            save(editing.approve(load(current()), who="Ada"))
        st.session_state["app.image"] = names[names.index(current()) - 1]
    elif action == "accept":
        save(editing.accept_all(load(current()), who="Ada"))
    elif action == "undo":
        save(replace(first_records()[current()], revision=load(current()).revision))


def image_bytes(image_id: str) -> bytes:
    return next(path for path in IMAGES if path.stem == image_id).read_bytes()


@st.cache_data
def picture(image_id: str) -> bytes:
    return display_jpeg(
        image_bytes(image_id), file_name="a", max_pixels=10**8, longest_side=1600
    )


@st.cache_data
def detail(image_id: str, region: Box) -> bytes:
    return detail_jpeg(
        image_bytes(image_id),
        region,
        file_name="a",
        max_pixels=10**8,
        longest_side=1600,
    )


@st.fragment
def editor() -> None:
    canvas.settle()
    record = load(current())
    label = str(st.session_state.setdefault("app.label", "person"))
    bar = st.columns([4, 2, 2, 2], vertical_alignment="center")
    bar[0].text(f"{record.file_name} {record.status} r{record.revision} {label}")
    bar[1].button("Next", key="app.next", on_click=act, args=(Action(0, "next"),))
    if bar[2].toggle("Note", key="app.note"):
        st.write("An element above the canvas, which makes the browser build it anew.")
    bar[3].text_input("Words", key="app.words", label_visibility="collapsed")
    left, right = st.columns([3, 2])
    with left.container():
        canvas.draw_editor(
            record,
            picture=picture(record.image_id),
            labels=LABELS.with_label(label),
            current_label=label,
            key_labels=LABELS.names,
            access=ACCESS,
            on_action=act,
            detail=partial(detail, record.image_id),
            offered_labels=("orange", "dog"),
        )
    with right:
        table.draw_table(record, labels=LABELS, access=ACCESS, height=400)
        if problem := canvas.take_problem():
            st.error(problem)
    st.session_state["app.runs"] = st.session_state.get("app.runs", 0) + 1
    st.caption(f"run {st.session_state['app.runs']}")


def other() -> None:
    st.write("Another page.")


def begin() -> None:
    """Forget all that was done, as soon as the page is opened."""
    RECORDS.unlink(missing_ok=True)
    (FOLDER / "actions.txt").unlink(missing_ok=True)
    for name in ("app.image", "app.label", "app.note"):
        st.session_state.pop(name, None)
    st.write("Nothing has been done.")


st.set_page_config(layout="wide")
st.navigation(
    [
        st.Page(editor, title="Edit", url_path="edit", default=True),
        st.Page(other, title="Other", url_path="other"),
        st.Page(begin, title="Begin again", url_path="begin"),
    ],
    position="top",
).run()

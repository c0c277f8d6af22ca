"""The editor and the table on a page, as far as it goes without a browser."""

from types import SimpleNamespace
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from imagebase.annotation import ImageRecord, Size
from imagebase.store import Scope
from imagebase.ui import services, state
from imagebase.ui.edit import canvas, changes, label_picker


def editor_page() -> None:
    import streamlit as st

    from imagebase.annotation import Annotation, Box, ImageRecord, LabelSet, Size
    from imagebase.ui.edit import canvas, table
    from imagebase.ui.edit.canvas_state import RecordAccess

    def load(image_id: str) -> ImageRecord:
        box = Annotation(Box(1, 2, 30, 40), "person", "h")
        first = ImageRecord(image_id, "a.jpg", Size(64, 48), (box,))
        found: ImageRecord = st.session_state.get("record", first)
        return found

    def save(record: ImageRecord) -> ImageRecord:
        st.session_state["record"] = record
        return record

    access = RecordAccess(load, save, who="Ada")
    labels = LabelSet.of(["person", "car"])
    canvas.settle()
    record = load("a")
    canvas.draw_editor(
        record,
        picture=b"\xff\xd8\xff",
        labels=labels,
        current_label="car",
        key_labels=labels.names,
        access=access,
        on_action=print,
        detail=lambda region: b"",
    )
    table.draw_table(record, labels=labels, access=access)
    st.session_state["tags"] = [
        *st.session_state.get("tags", []),
        st.session_state["imagebase.editor.edit.canvas"].tag,
    ]


def test_canvas_that_has_not_spoken_changes_nothing() -> None:
    app = AppTest.from_function(editor_page, default_timeout=60).run().run()
    assert not app.exception
    assert "record" not in app.session_state


def test_rerun_does_not_refill_the_canvas() -> None:
    app = AppTest.from_function(editor_page, default_timeout=60).run().run().run()
    assert len(set(app.session_state["tags"])) == 1


def test_problem_is_shown_once() -> None:
    def page() -> None:
        import streamlit as st

        from imagebase.ui.edit import canvas

        canvas.report("That did not work.")
        st.text(canvas.take_problem())
        st.text(canvas.take_problem() or "nothing")

    app = AppTest.from_function(page, default_timeout=60).run()
    assert [text.value for text in app.text] == ["That did not work.", "nothing"]


def test_after_an_image_that_is_gone_the_one_on_screen_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = ["first", "next"]
    store = SimpleNamespace(
        image_ids=lambda _: known,
        image_or_first=lambda _, chosen: chosen if chosen in known else "first",
    )
    monkeypatch.setattr(st, "session_state", {})
    monkeypatch.setattr(services, "store", lambda: store)
    monkeypatch.setattr(state, "scope", lambda: Scope("owner", "one", "ann"))
    done: list[str] = []
    state.choose_image("gone")  # someone else has deleted it since
    changes.on_screen("gone", lambda: done.append("approved"), then="next")
    assert state.image_id() == "next"
    changes.on_screen("next", lambda: done.append("next"))
    assert done == ["next"]


@pytest.fixture
def field(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Session state; the canvas has nothing to say."""
    fields: dict[str, Any] = {}
    monkeypatch.setattr(st, "session_state", fields)
    monkeypatch.setattr(canvas, "settle", lambda: None)
    monkeypatch.setattr(
        label_picker, "give_next", lambda name: fields.update(next=name)
    )
    return fields


def test_pills_of_a_page_before_choose_no_label(field: dict[str, Any]) -> None:
    field["pills"] = "bottle"  # as they were drawn; meanwhile a key chose another
    label_picker._choose("pills", "bottle")
    assert "next" not in field
    field["pills"] = "cup"
    label_picker._choose("pills", "bottle")
    assert field["next"] == "cup"


def test_tags_of_a_page_before_take_no_newer_ones_away(
    field: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = ImageRecord("a", "a.jpg", Size(9, 9), tags=("street",))
    made: list[ImageRecord] = []
    monkeypatch.setattr(changes, "on_screen", lambda _, work: work())
    monkeypatch.setattr(changes, "change", lambda make: made.append(make(record, "")))
    field["tags"] = []  # as drawn, before "street" was taken
    changes._apply("tags", "a", ())
    assert not made
    field["tags"] = ["night"]
    changes._apply("tags", "a", ())
    assert [*made[-1].tags] == ["street", "night"]
    field["tags"] = []
    changes._apply("tags", "a", ("street",))
    assert not made[-1].tags

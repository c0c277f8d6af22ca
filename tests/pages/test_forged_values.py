"""A browser may send any text for a choice: only what was offered counts."""

from pathlib import Path

import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1.element_tree import Multiselect, Widget

from imagebase.store import JobState
from tests.app_fixtures import Tab, store, the_scope
from tests.detection.darknet.darknet_models import write_one_box_model


def forge(element: Widget, *texts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a widget send these texts with the next run, as a websocket client could."""
    kind, sent = type(element), WidgetState(id=element.id)
    if isinstance(element, Multiselect):
        sent.string_array_value.data[:] = texts
    else:
        sent.string_value = texts[0]
    usual = kind.__dict__["_widget_state"].fget

    def forged(widget: Widget) -> WidgetState:
        state: WidgetState = usual(widget)
        return sent if widget.id == element.id else state

    monkeypatch.setattr(kind, "_widget_state", property(forged))


def test_forged_ensemble_member_is_not_run(
    filled: Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(write_one_box_model(tmp_path / "pets"))
    filled.open("annotate")
    voters = filled.app.multiselect(key="annotate.vote.yolov4-tiny")
    forge(voters, folder, monkeypatch=monkeypatch)
    filled.press("annotate.run")
    assert filled.wait("annotate").state is JobState.DONE
    (job,) = store().jobs(the_scope())
    assert job.parameters["other_models"] == []


def test_forged_model_is_not_run(
    filled: Tab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(write_one_box_model(tmp_path / "pets"))
    filled.open("annotate")
    chosen = filled.app.selectbox(key="annotate.model")
    forge(chosen, folder, monkeypatch=monkeypatch)
    filled.press("annotate.run")
    assert filled.wait("annotate").state is JobState.DONE
    (job,) = store().jobs(the_scope())
    assert job.parameters["model"] == "yolov4-tiny"


def test_forged_dataset_is_not_shown(
    filled: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = the_scope().dataset_id
    filled.open("review")
    switch = next(
        box
        for box in filled.app.selectbox
        if str(box.key).startswith("sidebar.dataset")
    )
    forge(switch, "0" * 32, monkeypatch=monkeypatch)
    filled.app.run()
    assert not filled.app.exception
    assert filled.app.session_state["imagebase.dataset"] in (None, before)

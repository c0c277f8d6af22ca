"""Label manager: each change is stored and can be undone."""

import pytest
import streamlit as st
from streamlit.components.v2.component_manager import BidiComponentManager
from streamlit.testing.v1 import AppTest

from imagebase.ui import label_manager
from tests.app_fixtures import Tab, records, store, the_scope

BOTTLE, CUP, BEAR = range(3)


def script() -> None:
    from imagebase.ui import label_manager

    label_manager.draw()


@pytest.fixture
def manager(labelled: Tab, components: BidiComponentManager) -> Tab:
    """What is in the dialog, as a page of its own: bottle, cup and bear, a box each."""
    app = AppTest.from_function(script, default_timeout=60)
    app._bidi_component_manager = components
    app.run()
    return Tab(app)


def shown() -> list[str]:
    return list(store().labels(the_scope()).shown_names)


def labels_of_boxes() -> list[str]:
    return [box.label for record in records() for box in record.annotations]


def rename(tab: Tab, class_id: int, name: str) -> None:
    start = f"labels.name.{class_id}."
    field = next(
        field
        for field in tab.app.text_input
        if field.key and field.key.startswith(start)
    )
    field.input(name).run()


def choose_target(tab: Tab, class_id: int, target: int) -> None:
    start = f"labels.into.{class_id}."
    field = next(
        field
        for field in tab.app.selectbox
        if field.key and field.key.startswith(start)
    )
    field.set_value(target).run()


def test_label_is_added_at_the_end(manager: Tab) -> None:
    manager.submit("labels.add", " zebra *")
    assert shown() == ["bottle", "cup", "bear", "zebra *"]
    assert r"zebra \* added" in manager.words()


def test_label_is_renamed_on_its_boxes(manager: Tab) -> None:
    rename(manager, BOTTLE, "flask")
    assert shown() == ["flask", "cup", "bear"]
    assert labels_of_boxes() == ["flask", "cup", "bear"]
    assert r"renamed to flask \(1 box\)" in manager.words()
    manager.press("labels.undo")
    assert labels_of_boxes() == ["bottle", "cup", "bear"]
    manager.press("labels.redo")
    assert labels_of_boxes() == ["flask", "cup", "bear"]


def test_field_of_a_page_before_takes_no_newer_name_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[object] = []
    monkeypatch.setattr(label_manager, "act", lambda *call, **_: done.append(call))
    fields = {"name": "bottle", "colour": "#000000"}
    monkeypatch.setattr(st, "session_state", fields)
    label_manager.rename(BOTTLE, "name", "bottle")  # another person has renamed it
    label_manager.recolour(BOTTLE, "colour", "#000000")
    assert not done


def test_name_that_another_label_has_is_refused_and_merging_offered(
    manager: Tab,
) -> None:
    rename(manager, CUP, "bottle")
    assert len(manager.app.error) == 1
    assert labels_of_boxes() == ["bottle", "cup", "bear"]
    manager.press("labels.merge_instead")
    assert labels_of_boxes() == ["bottle", "bottle", "bear"]
    assert shown() == ["bottle", "bear"]


def test_label_gets_another_colour(manager: Tab) -> None:
    before = store().labels(the_scope()).colour_of("cup")
    picker = next(
        picker
        for picker in manager.app.color_picker
        if picker.key and picker.key.startswith(f"labels.colour.{CUP}.")
    )
    picker.set_value("#123456").run()
    assert store().labels(the_scope()).colour_of("cup") == "#123456" != before


def test_order_on_screen_leaves_class_numbers_alone(manager: Tab) -> None:
    manager.press(f"labels.up.{BEAR}")
    assert shown() == ["bottle", "bear", "cup"]
    manager.app.number_input(key=f"labels.place.{CUP}.2").set_value(1).run()
    manager.press(f"labels.move.{CUP}")
    assert shown() == ["cup", "bottle", "bear"]
    assert store().labels(the_scope()).names == ("bottle", "cup", "bear")


def test_each_move_is_called_by_its_label(manager: Tab) -> None:
    rename(manager, CUP, "cup *")
    ups = [
        button
        for button in manager.app.button
        if (button.key or "").startswith("labels.up")
    ]
    assert [up.label for up in ups] == [
        "Move bottle up",
        r"Move cup \* up",
        "Move bear up",
    ]


def test_merging_moves_the_boxes_and_undo_moves_them_back(manager: Tab) -> None:
    choose_target(manager, CUP, BEAR)
    manager.press(f"labels.merge.{CUP}")
    assert labels_of_boxes() == ["bottle", "bear", "bear"]
    assert store().labels(the_scope()).class_id("bear") == BEAR
    manager.press("labels.undo")
    assert labels_of_boxes() == ["bottle", "cup", "bear"]


def test_deleted_label_says_how_many_boxes_go_and_gives_them_back(
    manager: Tab,
) -> None:
    delete = manager.app.button(key=f"labels.delete.{CUP}")
    assert delete.label == "Delete label and its 1 box"
    manager.press(f"labels.delete.{CUP}")
    assert labels_of_boxes() == ["bottle", "bear"]
    assert shown() == ["bottle", "bear"]
    assert store().labels(the_scope()).class_id("bear") == BEAR
    manager.press("labels.undo")
    assert labels_of_boxes() == ["bottle", "cup", "bear"]


@pytest.mark.parametrize("name", ["", "\0"], ids=["empty", "nul"])
def test_label_without_a_name_is_refused_in_a_sentence(manager: Tab, name: str) -> None:
    manager.submit("labels.add", name)
    assert len(manager.app.error) == 1
    assert not manager.app.exception
    assert shown() == ["bottle", "cup", "bear"]

"""Find more like this: asked on Edit, shown on Review, undone in one step."""

from imagebase.annotation import Annotation, Box, ImageRecord
from imagebase.store import JobState
from tests.app_fixtures import Tab, put, records, store, the_scope

LABEL = "thing"


def taught_on_edit(tab: Tab) -> ImageRecord:
    """Draw one box on the first image, and find more like it."""
    store().add_labels(the_scope(), [LABEL])
    put(records()[0], Annotation(Box(40, 40, 200, 200), LABEL))
    first = records()[0]
    tab.open("edit")
    assert f"Draw every **{LABEL}** on this image, then click." in tab.words()
    tab.press(f"edit.find.{first.image_id}.ask")
    job = tab.wait("teach")
    assert job.state is JobState.DONE, job.error
    return first


def test_a_click_on_edit_teaches_the_label_of_the_image(filled: Tab) -> None:
    first = taught_on_edit(filled)
    row = store().taught_row(the_scope())
    assert row is not None
    assert (row.labels, row.examples) == ((LABEL,), (first.image_id,))
    filled.open("review")
    assert f"Taught so far: **{LABEL}, 1 image**" in filled.words().replace("\\", "")
    assert filled.app.slider(key="review.find.confidence").value == 0.25


def test_all_that_is_found_is_accepted_undone_and_taught_again(filled: Tab) -> None:
    taught_on_edit(filled)
    filled.open("review")
    filled.app.slider(key="review.find.confidence").set_value(0.05).run()
    button = filled.app.button(key="review.find.accept")
    assert not button.disabled
    count = int(button.label.split()[1])
    filled.press("review.find.accept")
    accepted = [box for one in records() for box in one.annotations if box.accepted]
    assert len(accepted) == count
    filled.wait("teach")
    filled.press("review.find.undo")
    assert not [box for one in records() for box in one.annotations if box.accepted]


def test_without_a_label_it_says_what_to_draw(filled: Tab) -> None:
    filled.open("review")
    filled.app.session_state["review.view"] = "Find more"
    filled.app.run()
    assert "Draw a box around every object of one label" in filled.words()


def test_what_was_not_taught_is_said(filled: Tab) -> None:
    store().add_labels(the_scope(), [LABEL])
    filled.open("review")
    filled.app.session_state["review.view"] = "Find more"
    filled.app.run()
    assert f"Nothing was taught about {LABEL} yet." in filled.words()
    filled.press("review.find.ask")
    job = filled.wait("teach")
    assert job.state is JobState.FAILED
    assert "Draw all of them on one image" in str(job.error)

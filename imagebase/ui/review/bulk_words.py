"""What came of a change of many images, in a sentence."""

from imagebase.review.bulk_edits import BulkReport
from imagebase.ui import state, widgets


def report(done: str, told: BulkReport) -> None:
    """Say what came of a change, and what it left alone because others had been there.

    done: begins the sentence, such as `Approved 3 images`.
    """
    message = f"{done}."
    if told.conflicts:
        message += (
            f" {widgets.plural(told.conflicts, 'image')} had been changed by "
            "somebody else meanwhile and stay as they are."
        )
    if told.missing:
        message += f" {widgets.plural(told.missing, 'image')} had been removed."
    state.say(message)


def boxes_on(told: BulkReport) -> str:
    """Return how many boxes on how many images a change was about."""
    boxes = widgets.plural(told.boxes, "box")
    return f"{boxes} on {widgets.plural(told.changed, 'image')}"

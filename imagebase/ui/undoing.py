"""Undo and redo of a change of any size: with a bar where it takes seconds."""

from imagebase.store import UndoResult
from imagebase.store.undo import OnProgress
from imagebase.ui import backend, long_work, state


@state.told
def undo() -> None:
    """Take back this visitor's last change in this dataset."""
    scope, store = state.scope(), backend.store()

    def work(tell: OnProgress) -> UndoResult:
        return store.undo(scope, on_progress=tell)

    images = store.undo_size(scope)
    long_work.begin("Taking back", work, then=state.note_step, images=images)


@state.told
def redo() -> None:
    """Do the change again that was taken back last."""
    scope, store = state.scope(), backend.store()

    def work(tell: OnProgress) -> UndoResult:
        return store.redo(scope, on_progress=tell)

    images = store.redo_size(scope)
    long_work.begin("Doing again", work, then=state.note_step, images=images)

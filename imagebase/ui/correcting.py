"""The Edit page's parts: where one is, the canvas, the table, what to do with both."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final

import streamlit as st

from imagebase.annotation import Box, ImageRecord, LabelSet, ReviewStatus, utc_now
from imagebase.editing import accept_all, approve, confirm_empty, copy_boxes, reject
from imagebase.errors import ImageBaseError, NotFoundError, RevisionConflictError
from imagebase.ui import address, backend, cache, canvas, keys, state, widgets
from imagebase.ui.box_table import draw_table
from imagebase.ui.editor import RecordAccess

_ROW_PX: Final = 33
_TABLE_PX: Final = 440
_SHARES: Final = (67, 43)
_SAVED_AT: Final = "imagebase.edit.saved_at"
_LABEL: Final = "imagebase.edit.label"
_HELP: Final = "imagebase.edit.help"
_SHORT_LIST: Final = 9
_FIRST_LABEL: Final = "object"
_UNREVIEWED: Final = (ReviewStatus.NEW, ReviewStatus.AUTO, ReviewStatus.EDITED)


@st.fragment
@widgets.guarded
def editor() -> None:
    """Draw the editor; what a person does in it reruns nothing but itself."""
    canvas.settle()
    state.leave_deleted_dataset()
    if state.image_id() is None:
        st.rerun()  # the page says what to do
    record = _record()
    labels = backend.store().labels(state.scope())
    _header(record)
    label = _label_choice(labels)
    left, right = st.columns(_SHARES, gap="small")
    with left:
        _canvas(record, labels, label)
        _actions(record)
    with right:
        _side(record, labels)


def _record() -> ImageRecord:
    """Return the image to draw, and remember what of it is on screen."""
    record = _unnoted_record()
    state.note_revision(record)
    state.note_shown(record)
    address.note(image_id=record.image_id)
    return record


def _unnoted_record() -> ImageRecord:
    image_id = state.image_id()
    if image_id is None:
        raise NotFoundError("This image is not there any more; choose another dataset.")
    return backend.store().record(state.scope(), image_id)


def _access() -> RecordAccess:
    scope, store = state.scope(), backend.store()

    def save(record: ImageRecord) -> ImageRecord:
        saved = store.save(scope, record)
        state.note_revision(saved)
        state.note_shown(saved)
        st.session_state[_SAVED_AT] = utc_now()
        return saved

    def load(image_id: str) -> ImageRecord:
        return state.shown(image_id) or store.record(scope, image_id)

    return RecordAccess(load, save, scope.who, scope.dataset_id)


def _header(record: ImageRecord) -> None:
    known = backend.store().image_ids(state.scope())
    place = known.index(record.image_id)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Previous",
            key="edit.previous",
            icon=":material/chevron_left:",
            disabled=place == 0,
            on_click=_go,
            args=(-1,),
        )
        st.markdown(f"**{place + 1:,}** / {len(known):,}", width="content")
        st.button(
            "Next",
            key="edit.next",
            icon=":material/chevron_right:",
            disabled=place == len(known) - 1,
            on_click=_go,
            args=(1,),
        )
        st.markdown(
            f"{widgets.STATUS_ICONS[record.status]} "
            f"{widgets.escape(widgets.short_name(record.file_name, longest=40))} · "
            f"{widgets.STATUS_WORDS[record.status]}"
        )
        st.button(
            "Undo",
            key="edit.undo",
            icon=":material/undo:",
            on_click=_step,
            args=(state.undo,),
            disabled=not backend.store().can_undo(state.scope()),
        )
        st.button(
            "Redo",
            key="edit.redo",
            icon=":material/redo:",
            on_click=_step,
            args=(state.redo,),
            disabled=not backend.store().can_redo(state.scope()),
        )
        st.caption(_saved_mark(), width="content")
        st.button(
            "Keys",
            key="edit.help",
            icon=":material/keyboard:",
            type="tertiary",
            on_click=_show_help,
            help="Lists the keys, as ? does.",
        )


def _saved_mark() -> str:
    saved_at = st.session_state.get(_SAVED_AT)
    if saved_at is None:
        return "All changes are saved"
    local = saved_at - timedelta(minutes=st.context.timezone_offset or 0)
    return f"Saved {local:%H:%M:%S}"


def _label_choice(labels: LabelSet) -> str:
    """Draw the labels to choose from; return the one that the next box gets."""
    names = labels.names or (_FIRST_LABEL,)
    current = st.session_state.get(_LABEL)
    if current not in names:
        current = names[0]
    short = list(names[:_SHORT_LIST])
    if current not in short:
        short.append(current)
    with st.container(horizontal=True, vertical_alignment="center"):
        key = f"edit.label.{hash((tuple(short), current))}"
        st.pills(
            "Label of the next box",
            short,
            default=current,
            required=True,
            format_func=lambda name: f"{short.index(name) + 1} {widgets.escape(name)}",
            key=key,
            label_visibility="collapsed",
            on_change=_choose_label,
            args=(key,),
        )
        with st.popover("More", icon=":material/add:"):
            more_key = f"edit.more_labels.{hash(names)}"
            st.selectbox(
                "Choose a label, or type a new one",
                names,
                index=None,
                accept_new_options=True,
                key=more_key,
                on_change=_choose_label,
                args=(more_key,),
            )
    return current


def _choose_label(key: str) -> None:
    canvas.settle()
    _set_label(st.session_state[key])


def _set_label(name: str) -> None:
    """Give the next box this label, which may be a new one."""
    if not name:
        return
    try:
        backend.store().add_labels(state.scope(), [name])
    except ImageBaseError as error:
        canvas.report(str(error))
        return
    st.session_state[_LABEL] = name


def _canvas(record: ImageRecord, labels: LabelSet, label: str) -> None:
    scope = state.scope()
    where = (scope.owner_id, scope.dataset_id, record.image_id)

    def detail(region: Box) -> bytes:
        return cache.detail_picture(*where, region)

    canvas.draw_editor(
        record,
        picture=cache.display_picture(*where),
        labels=labels.with_label(label),
        current_label=label,
        key_labels=labels.names[:_SHORT_LIST],
        access=_access(),
        on_action=_act,
        detail=detail,
    )


def _side(record: ImageRecord, labels: LabelSet) -> None:
    problem = state.lasting_problem(canvas.take_problem(), record.image_id)
    if problem:
        st.error(widgets.escape(problem))
    if record.status is ReviewStatus.REJECTED and record.comment:
        st.warning(widgets.escape(record.comment), icon=":material/comment:")
    untouched = sum(one.is_untouched for one in record.annotations)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{widgets.plural(len(record.annotations), 'box')}**")
        st.button(
            f"Accept {untouched}" if untouched else "All accepted",
            key="edit.accept",
            icon=":material/done_all:",
            disabled=not untouched,
            on_click=_change,
            args=(lambda one, who: accept_all(one, who=who),),
            help="Counts the model's boxes as yours: no model changes them again.",
        )
    rows = len(record.annotations) + 2
    height = min(_ROW_PX * rows + 4, _TABLE_PX)
    draw_table(record, labels=labels, access=_access(), height=height)
    if st.session_state.get(_HELP):
        _help()


def _help() -> None:
    """List the keys."""
    rows = [
        f"**{widgets.escape(one.shown)}** {widgets.escape(one.words)}"
        for one in keys.KEYS
    ]
    st.markdown("  \n".join(rows))


def _actions(record: ImageRecord) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button(
            "Copy previous",
            key="edit.copy",
            icon=":material/content_copy:",
            on_click=_copy_previous,
            help="Adds the boxes of the image before this one.",
        )
        st.button(
            "Nothing here",
            key="edit.empty",
            icon=":material/block:",
            on_click=_change_and_go,
            args=(lambda one, who: confirm_empty(one),),
            help="Deletes the boxes and approves the image as empty.",
        )
        with st.popover("Reject", icon=":material/close:"):
            comment = st.text_area("What is wrong?", key=f"edit.why.{record.image_id}")
            st.button(
                "Reject and next",
                key="edit.reject",
                type="primary",
                on_click=_change_and_go,
                args=(lambda one, who: reject(one, comment=comment),),
            )
        st.button(
            "Approve and next",
            key="edit.approve",
            type="primary",
            icon=":material/check:",
            on_click=_change_and_go,
            args=(lambda one, who: approve(one, who=who),),
        )


@state.told
def _go(step: int) -> None:
    canvas.settle()
    known = backend.store().image_ids(state.scope())
    image_id = state.image_id()
    if image_id in known:
        place = min(max(known.index(image_id) + step, 0), len(known) - 1)
        state.choose_image(known[place])


def _act(action: str) -> None:
    """Do what a key asks for."""
    if action.startswith("label:"):
        _set_label(action.removeprefix("label:"))
    elif action in _KEYS:
        _KEYS[action]()


def _step(step: Callable[[], None]) -> None:
    canvas.settle()
    step()


Change = Callable[[ImageRecord, str], ImageRecord]


def _change(change: Change) -> None:
    _has_changed(change)


def _has_changed(change: Change) -> bool:
    """Save a change of the image on screen; return whether that went well."""
    canvas.settle()
    try:
        access = _access()
        record = _unnoted_record()
        if state.is_news(record):
            # What nobody has looked at is neither approved nor deleted by a press.
            canvas.report(
                "Somebody else changed this image; look at it, then press again."
            )
            return False
        changed = change(record, access.who)
        if changed is not record:
            access.save(changed)
    except RevisionConflictError:
        canvas.report(
            "Somebody saved this image a moment ago; look at it and try again."
        )
        return False
    except ImageBaseError as error:
        canvas.report(str(error))
        return False
    return True


@state.told
def _change_and_go(change: Change) -> None:
    """Save a change, then show the next image that nobody has reviewed."""
    if not _has_changed(change):
        return
    scope, store = state.scope(), backend.store()
    known = store.image_ids(scope)
    waiting = set(store.image_ids(scope, statuses=_UNREVIEWED))
    if not known:
        return
    place = known.index(state.image_id() or known[0])
    following = [*known[place + 1 :], *known[:place]]
    state.choose_image(next((one for one in following if one in waiting), known[place]))


@state.told
def _copy_previous() -> None:
    known = backend.store().image_ids(state.scope())
    place = known.index(state.image_id() or known[0])
    if place == 0:
        canvas.report("This is the first image: there is none before it.")
        return
    previous = backend.store().record(state.scope(), known[place - 1])
    _change(lambda one, who: copy_boxes(previous, one, who=who))


def _show_help() -> None:
    st.session_state[_HELP] = not st.session_state.get(_HELP, False)


_KEYS: Final[dict[str, Callable[[], object]]] = {
    "next": partial(_go, 1),
    "previous": partial(_go, -1),
    "approve": partial(_change_and_go, lambda one, who: approve(one, who=who)),
    "accept": partial(_change, lambda one, who: accept_all(one, who=who)),
    "undo": partial(_step, state.undo),
    "redo": partial(_step, state.redo),
    "copy": _copy_previous,
    "empty": partial(_change_and_go, lambda one, who: confirm_empty(one)),
    "help": _show_help,
}

"""Edit page: header, canvas, table, and the actions on an image."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from imagebase.annotation import Annotation, Box, ImageRecord, LabelSet
from imagebase.annotation.areas import Shape
from imagebase.detection.merge import add_suggestions, still_suggested
from imagebase.editing.records import accept_all, approve, confirm_empty, reject
from imagebase.errors import ImageBaseError, ImageFileError
from imagebase.ui import (
    address,
    bulk_progress,
    cache,
    drawing_dialogs,
    find_more,
    frame,
    learned_boxes,
    likeness,
    proposed_tags,
    services,
    similar_offer,
    state,
    suggested_boxes,
    widgets,
)
from imagebase.ui.edit import (
    canvas,
    changes,
    copy_on,
    digits,
    interpolation,
    keys,
    label_guesses,
    label_picker,
    learning,
    navigation,
)
from imagebase.ui.edit.canvas_messages import Action
from imagebase.ui.edit.label_picker import LabelChoice
from imagebase.ui.edit.sightings import Sight
from imagebase.ui.edit.table import draw_attributes, draw_table
from imagebase.ui.train import setup

_ROW_PX: Final = 33
_TABLE_PX: Final = 334
_SHARES: Final = (68, 42)
_NAME_LETTERS: Final = 28
_STRANGE: Final = "The connection was lost. Check this image, then try again."


@st.fragment
@widgets.guarded
def editor() -> None:
    """Draw the editor, a fragment that reruns alone."""
    canvas.settle()
    find_more.go_on()
    state.leave_deleted_dataset()
    bulk_progress.leave_fragment()
    if state.image_id() is None:
        st.rerun()  # the page shows the empty state
    record = changes.record()
    conflict = state.conflict(record.image_id)
    pending = changes.newest(conflict) if conflict else None
    _header(record, is_disputed=pending is not None)
    if pending:
        changes.choose(pending)
    else:
        _edit(record)
    frame.show_message()


def _edit(record: ImageRecord) -> None:
    is_news = state.is_news(record)
    state.note_revision(record)
    state.note_shown(record)
    labels = services.store().labels(state.scope())
    learning.follow(record)
    suggested = suggested_boxes.of_record(record)
    names = dict.fromkeys(box.label for box in suggested)
    choice = label_picker.choose(labels, record.image_id, tuple(names))
    left, right = st.columns(_SHARES, gap="small")
    with left:
        shown = labels.with_labels(names)
        places = _canvas(record, shown, choice, suggested, is_news=is_news)
        _actions(record)
    with right, st.container(key="edit.side"):
        _side(record, labels, choice, len(suggested))
    if places:
        # What is wrong with an image is said once it is on screen.
        with suppress(ImageBaseError):
            _send_ahead(record, labels, places)


def _header(record: ImageRecord, *, is_disputed: bool) -> None:
    address.note(image_id=record.image_id)
    with st.container(
        key="edit.header", horizontal=True, vertical_alignment="center", wrap=False
    ):
        _place(record)
        name = widgets.short_name(record.file_name, longest=_NAME_LETTERS)
        st.markdown(
            f"{widgets.STATUS_ICONS[record.status]} **{widgets.escape(name)}** · "
            f"{widgets.STATUS_WORDS[record.status]}",
            width="content",
            wrap=False,
        )
        st.space("stretch")
        _saved_mark(is_disputed=is_disputed)
        _undo_buttons()


def _saved_mark(*, is_disputed: bool) -> None:
    """Draw the time of the last save; the editor hides it while a change is unsaved."""
    mark = "Not saved yet" if is_disputed else state.saved_mark()
    with st.container(key="edit.saved", width="content"):
        # Escaped, as Streamlit would load its emoji font for the colons.
        st.caption(widgets.escape(mark), width="content", wrap=False)


def _place(record: ImageRecord) -> None:
    ids = navigation.images()
    before, after = navigation.neighbours(ids, record.image_id)
    widgets.icon_button(
        "Previous image",
        key="edit.previous",
        icon=":material/chevron_left:",
        hint=keys.hint("Previous image", "previous"),
        disabled=before is None,
        on_click=changes.on_screen,
        args=(record.image_id, _KEYS["previous"]),
    )
    is_among = record.image_id in ids
    place = f"**{ids.index(record.image_id) + 1:,}**" if is_among else "–"
    st.markdown(f"{place} / {len(ids):,}", width="content", wrap=False)
    widgets.icon_button(
        "Next image",
        key="edit.next",
        icon=":material/chevron_right:",
        hint=keys.hint("Next image", "next"),
        disabled=after is None,
        on_click=changes.on_screen,
        args=(record.image_id, _KEYS["next"]),
    )
    navigation.choose()


def _undo_buttons() -> None:
    scope, store = state.scope(), services.store()
    widgets.icon_button(
        "Undo",
        key="edit.undo",
        icon=":material/undo:",
        hint=keys.hint("Undo", "undo"),
        on_click=_step,
        args=(bulk_progress.undo,),
        disabled=not store.can_undo(scope),
    )
    widgets.icon_button(
        "Redo",
        key="edit.redo",
        icon=":material/redo:",
        hint=keys.hint("Redo", "redo"),
        on_click=_step,
        args=(bulk_progress.redo,),
        disabled=not store.can_redo(scope),
    )


def _step(step: Callable[[], None]) -> None:
    canvas.settle()
    step()


def _canvas(
    record: ImageRecord,
    labels: LabelSet,
    choice: LabelChoice,
    suggested: Sequence[Annotation],
    *,
    is_news: bool,
) -> Sequence[DeltaGenerator]:
    scope = state.scope()
    where = (scope.owner_id, scope.dataset_id, record.image_id)

    def detail(region: Box) -> bytes:
        return cache.detail_picture(*where, region)

    try:
        picture = cache.display_picture(*where)
    except ImageFileError as error:
        widgets.show_error(error)
        st.image(cache.no_picture(record), width="stretch", alt=record.file_name)
        return ()
    return canvas.draw_editor(
        record,
        picture=picture,
        labels=labels.with_label(choice.label),
        current_label=choice.label,
        key_labels=choice.keys,
        access=changes.access(),
        on_action=_act,
        detail=detail,
        sight=Sight(
            version=str(hash((scope.dataset_id, labels.shown_names, record.ignored))),
            known=lambda: cache.point_candidates(*where),
            closer=lambda point: cache.closer_candidates(*where, point),
            labels=cache.assist_labels,
        ),
        guess=partial(label_guesses.offer, record, labels),
        suggested=suggested,
        learned=learned_boxes.name_of(record.image_id),
        offered_labels=choice.offered,
        pills=choice.pills,
        pinned=digits.pinned(),
        labels_chosen=choice.times_chosen,
        marks=drawing_dialogs.open_marks(record.image_id),
        is_news=is_news,
    )


def _send_ahead(
    record: ImageRecord, labels: LabelSet, places: Sequence[DeltaGenerator]
) -> None:
    """Send the next images to the browser, as they would be drawn now."""
    ways = navigation.ways_on(record.image_id, most=canvas.MOST_AHEAD)
    ahead = [image_id for image_id in ways if image_id != record.image_id]
    records = [
        services.store().record(state.scope(), image_id)
        for image_id in ahead
        if state.conflict(image_id) is None
    ]
    learned_boxes.show_ahead(ahead)
    suggested = suggested_boxes.of_records(records)
    canvas.draw_ahead(
        places,
        [
            canvas.AheadImage(
                each,
                suggested[each.image_id],
                picture,
                learned_boxes.name_of(each.image_id),
            )
            for each in records
            if (picture := _picture_of(each.image_id))
        ],
        following={
            image_id: {
                "next": way.by_next or "",
                "approve": way.by_decision or "",
                "empty": way.by_decision or "",
            }
            for image_id, way in ways.items()
        },
        labels=labels,
    )


def _picture_of(image_id: str) -> bytes:
    scope = state.scope()
    with suppress(ImageBaseError):
        return cache.display_picture(scope.owner_id, scope.dataset_id, image_id)
    return b""


def _side(
    record: ImageRecord, labels: LabelSet, choice: LabelChoice, suggestions: int
) -> None:
    problem = state.lasting_problem(canvas.take_problem(), record.image_id)
    if problem:
        st.error(widgets.escape(problem))
    else:
        st.empty()
    untouched = (
        sum(annotation.is_untouched for annotation in record.annotations) + suggestions
    )
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"
    ):
        st.markdown(
            f"**{widgets.plural(len(record.annotations), 'box')}**", width="content"
        )
        st.button(
            f"Accept {untouched}" if untouched else "All accepted",
            key="edit.accept",
            icon=":material/done_all:",
            disabled=not untouched,
            on_click=changes.on_screen,
            args=(record.image_id, _KEYS["accept"]),
            help=keys.hint(
                "Accepted model boxes count as yours. Models no longer change them.",
                "accept",
            ),
        )
    # On a busy server the browser may miss that a fragment's run has ended, and then
    # keeps what it drew no more: a button that does nothing. What takes the place of a
    # container takes that away too.
    if suggestions:
        with st.container():
            _offer_to_save(record, suggestions)
    else:
        st.empty()
    rows = len(record.annotations) + 2
    height = min(_ROW_PX * rows + 4, _TABLE_PX)
    draw_table(
        record,
        labels=labels,
        access=changes.access(),
        offered_labels=choice.offered,
        height=height,
    )
    draw_attributes(record)
    likeliest = [choice.label] if choice.label in record.labels else []
    find_more.popover(
        list(dict.fromkeys([*likeliest, *record.labels])),
        [record.image_id],
        key=f"edit.find.{record.image_id}",
        before=canvas.settle,
    )
    similar_offer.follow(record)
    changes.draw_tags(record)
    proposed_tags.draw(record, changes.on_screen)
    changes.draw_comments(record.image_id, actions=partial(_image_actions, record))
    learning.draw(record)
    setup.offer()


def _offer_to_save(record: ImageRecord, suggestions: int) -> None:
    words = widgets.plural(suggestions, "suggestion")
    st.button(
        f"Save {words}",
        key="edit.save_suggestions",
        type="primary",
        icon=":material/check:",
        width="stretch",
        on_click=changes.on_screen,
        args=(record.image_id, partial(changes.change, _with_suggestions)),
        help="Suggestions are drawn dashed. Editing one saves it as yours; approving "
        "the image saves all of them.",
    )


def _image_actions(record: ImageRecord) -> None:
    drawing_dialogs.ignore_areas_button(record, key="edit.areas")
    likeness.similar_button(record.image_id, key="edit.similar")
    interpolation.button(record)
    changes.draw_deletion(record)


def _actions(record: ImageRecord) -> None:
    # On a narrow screen the frame's style wraps the row, most used buttons first.
    with st.container(
        key="edit.actions", horizontal=True, vertical_alignment="bottom", wrap=False
    ):
        st.button(
            "Copy previous",
            key="edit.copy",
            icon=":material/content_copy:",
            on_click=changes.on_screen,
            args=(record.image_id, _KEYS["copy"]),
            help=keys.hint("Copies the boxes of the previous image.", "copy"),
        )
        copy_on.draw_button(record)
        st.button(
            "Mark as empty",
            key="edit.empty",
            icon=":material/block:",
            on_click=changes.on_screen,
            args=(record.image_id, _KEYS["empty"]),
            help=keys.hint(
                "Deletes all boxes and approves the image as empty.", "empty"
            ),
        )
        st.space("stretch")
        # Keyed by image, so that it closes on the next one and below the dialog.
        popover = f"edit.rejecting.{record.image_id}"
        with st.popover(
            "Reject", icon=":material/close:", key=popover, on_change="rerun"
        ):
            why = f"edit.why.{record.image_id}"
            st.text_area("What is wrong?", key=why)
            st.button(
                "Reject and next",
                key="edit.reject",
                type="primary",
                on_click=changes.on_screen,
                args=(record.image_id, partial(_reject, why)),
            )
            drawing_dialogs.marks_button(
                record,
                key="edit.mark",
                comment=st.session_state.get(why, ""),
                on_reject=partial(_reject_marked, record.image_id),
                on_open=partial(st.session_state.update, {popover: False}),
            )
        st.button(
            "Approve and next",
            key="edit.approve",
            type="primary",
            icon=":material/check:",
            on_click=changes.on_screen,
            args=(record.image_id, _KEYS["approve"]),
            help=keys.hint("Approves the boxes and opens the next image.", "approve"),
        )


def _act(action: Action) -> None:
    """Run the action of a key or button on the image that it was meant for."""
    kind, _, argument = action.name.partition(":")
    if kind == "label":
        label_picker.give_next(argument)
    elif kind == "pins":
        digits.pin(argument)
    elif kind == "keys":
        keys.keep(argument)
    elif kind == "show":
        navigation.show(argument)
    elif kind == "stay":
        learned_boxes.stay(action.image_id, argument)
    elif (work := _work_of(action)) is not None:
        changes.on_screen(action.image_id, work, then=action.then)


def _work_of(action: Action) -> Callable[[], object] | None:
    if canvas.is_of_other(action.tag, state.scope().dataset_id):
        return None  # the dataset was changed since; it may have the same image
    if action.name in _DECISIONS and canvas.is_outdated(action.tag):
        return changes.refuse
    if action.name in _DECISIONS and canvas.is_strange(action.tag):
        return partial(canvas.report, _STRANGE)
    approved = partial(_approved, tag=action.tag)
    accepted = partial(_accepted, tag=action.tag)
    then = action.then
    on_this_tag: dict[str, Callable[[], object]] = {
        "approve": partial(changes.change_and_go_next, approved, then=then),
        "empty": partial(changes.change_and_go_next, _empty, then=then),
        "accept": partial(changes.change, accepted),
        "next": partial(navigation.go, 1, then=then),
    }
    return on_this_tag.get(action.name) or _KEYS.get(action.name)


def _reject(why: str) -> None:
    changes.change_and_go_next(partial(_rejected, why))


def _reject_marked(image_id: str, comment: str, marks: tuple[Shape, ...]) -> None:
    def rejected(record: ImageRecord, who: str) -> ImageRecord:
        return reject(record, comment=comment, marks=marks)

    changes.on_screen(image_id, partial(changes.change_and_go_next, rejected))


def _with_suggestions(record: ImageRecord, _who: str, tag: str = "") -> ImageRecord:
    return add_suggestions(record, _suggested(record, tag))


def _suggested(record: ImageRecord, tag: str) -> tuple[Annotation, ...]:
    """Return the suggestions that the editor showed under a tag."""
    # More may have been found or learned since, which the person has not seen.
    seen = canvas.suggested_under(tag, record.image_id)
    if seen is None:
        return suggested_boxes.of_record(record)
    return still_suggested(record, seen)


def _accepted(record: ImageRecord, who: str, tag: str = "") -> ImageRecord:
    return accept_all(_with_suggestions(record, who, tag), who=who)


def _approved(record: ImageRecord, who: str, tag: str = "") -> ImageRecord:
    # The suggestions on screen are approved too.
    return approve(_with_suggestions(record, who, tag), who=who)


def _rejected(why: str, record: ImageRecord, who: str) -> ImageRecord:
    # The text may arrive with the click, after the button was drawn.
    return reject(record, comment=st.session_state[why])


def _empty(record: ImageRecord, who: str) -> ImageRecord:
    return confirm_empty(record)


_DECISIONS: Final = ("approve", "accept", "empty")
_KEYS: Final[dict[str, Callable[[], object]]] = {
    "next": partial(navigation.go, 1),
    "previous": partial(navigation.go, -1),
    "doubtful": navigation.next_doubtful,
    "approve": partial(changes.change_and_go_next, _approved),
    "accept": partial(changes.change, _accepted),
    "undo": partial(_step, bulk_progress.undo),
    "redo": partial(_step, bulk_progress.redo),
    "copy": changes.copy_previous,
    "copy-on": copy_on.ask,
    "empty": partial(changes.change_and_go_next, _empty),
}

"""Actions on selected boxes and images, each with one undo."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

import streamlit as st

from imagebase.annotation.areas import Shape
from imagebase.errors import EditError
from imagebase.review import bulk_edits
from imagebase.review.bulk_edits import (
    BulkReport,
    ShownImage,
    accept_boxes,
    approve_as_shown,
    approve_images,
    delete_boxes,
    reject_images,
    relabel_boxes,
    remove_images,
)
from imagebase.store import (
    AcceptCounts,
    AnnotationFilter,
    AnnotationRow,
    ImageRow,
    Scope,
    Store,
)
from imagebase.ui import (
    bulk_progress,
    services,
    similar_offer,
    state,
    suggested_boxes,
    widgets,
)
from imagebase.ui.bulk_progress import boxes_on, report
from imagebase.ui.review import filters

# Image ids with the revisions on screen.
Seen = Mapping[str, int]


_ACTS: Final = "imagebase.review.acts"


class _Change(Protocol):
    """A change to many images."""

    def __call__(
        self,
        store: Store,
        scope: Scope,
        image_ids: Iterable[str],
        *,
        seen: Seen,
        on_progress: bulk_progress.OnProgress,
    ) -> BulkReport: ...


def acts() -> int:
    """Return how many changes this session made; each one clears the selection."""
    count: int = st.session_state.get(_ACTS, 0)
    return count


def act_on_boxes(chosen: Sequence[AnnotationRow], *, key: str) -> None:
    """Draw the actions on these boxes, and on the images they are on."""
    images = {row.image_id: row.revision for row in chosen}
    untouched = [row for row in chosen if row.annotation.is_untouched]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _relabelling(chosen, key)
        st.button(
            "Delete",
            key=f"{key}.delete",
            icon=":material/delete:",
            type="primary",
            disabled=not chosen,
            on_click=_delete,
            args=(chosen,),
            help="Deletes the selected boxes. Undo restores them in one step.",
        )
        st.button(
            "Accept",
            key=f"{key}.accept",
            icon=":material/done_all:",
            disabled=not untouched,
            on_click=_accept,
            args=(untouched,),
            help="Accepts the selected model boxes. Later runs keep them unchanged.",
        )
        act_on_images(images, key=key, is_main=False)
        draw_undo(key=key)


def act_on_images(images: Seen, *, key: str, is_main: bool = True) -> None:
    """Draw the buttons that approve and reject images.

    is_main: whether approving is the main action here.
    """
    st.button(
        "Approve images",
        key=f"{key}.approve",
        icon=":material/check:",
        type="primary" if is_main else "secondary",
        disabled=not images,
        on_click=_approve,
        args=(images, _on_screen(images)),
        help="Marks the images as correct. Saves their suggestions and resolves open "
        "comments.",
    )
    with st.popover(
        "Reject",
        icon=":material/close:",
        disabled=not images,
        key=f"{key}.rejecting",
    ):
        st.text_area(
            "What is wrong?", key=f"{key}.comment", placeholder="The wheel is cut off."
        )
        st.button(
            f"Reject {widgets.plural(len(images), 'image')}",
            key=f"{key}.reject",
            type="primary",
            on_click=_reject,
            args=(images, f"{key}.comment"),
        )


def draw_undo(*, key: str, on_click: Callable[[], None] = bulk_progress.undo) -> None:
    """Draw the button that undoes the last change."""
    st.button(
        "Undo",
        key=f"{key}.undo",
        icon=":material/undo:",
        disabled=not services.store().can_undo(state.scope()),
        on_click=on_click,
        help="Undoes your last change on all its images.",
    )


def open_button(image_id: str, *, key: str) -> None:
    """Draw the button that opens this image in the editor."""
    st.button(
        "Open in the editor",
        key=key,
        icon=":material/edit:",
        on_click=widgets.open_in_editor,
        args=(image_id,),
    )


def say_selected(chosen: Sequence[AnnotationRow], *, hint: str) -> None:
    """Draw how many boxes are selected, or the hint."""
    images = {row.image_id for row in chosen}
    st.caption(
        f"{widgets.plural(len(chosen), 'box')} on "
        f"{widgets.plural(len(images), 'image')} selected"
        if chosen
        else hint,
        width="content",
    )


def _relabelling(chosen: Sequence[AnnotationRow], key: str) -> None:
    with st.popover(
        "Relabel",
        icon=":material/label:",
        type="primary",
        disabled=not chosen,
        key=f"{key}.relabelling",
    ):
        label = st.selectbox(
            "New label",
            services.store().labels(state.scope()).shown_names,
            accept_new_options=True,
            key=f"{key}.relabel.to",
        )
        st.button(
            f"Relabel {widgets.plural(len(chosen), 'box')}",
            key=f"{key}.relabel",
            disabled=not label,
            on_click=_relabel,
            args=(chosen, f"{key}.relabel.to"),
            type="primary",
        )


def _ids(chosen: Sequence[AnnotationRow]) -> list[tuple[str, str]]:
    return [(row.image_id, row.annotation.annotation_id) for row in chosen]


def _seen(chosen: Sequence[AnnotationRow]) -> Seen:
    return {row.image_id: row.revision for row in chosen}


def _on_screen(seen: Seen) -> Mapping[str, ShownImage] | None:
    """Return images with their suggestions of now; None where they are too many."""
    if len(seen) > bulk_progress.AT_ONCE:
        return None
    records = services.store().records(state.scope(), image_ids=list(seen))
    suggested = suggested_boxes.of_records(records)
    return {
        image_id: ShownImage(revision, tuple(suggested.get(image_id, ())))
        for image_id, revision in seen.items()
    }


@state.reports_errors
def _approve(seen: Seen, shown: Mapping[str, ShownImage] | None) -> None:
    # Unsaved suggestions are approved too: those there were when the button was drawn.
    if shown is None:
        approve = partial(approve_images, suggested=suggested_boxes.of_records)
        _change(seen, approve, "Approving", "Approved")
        return
    result = approve_as_shown(services.store(), state.scope(), shown)
    _report_change(f"Approved {widgets.plural(result.changed, 'image')}", result)


@state.reports_errors
def _reject(seen: Seen, key: str) -> None:
    # The current text: it may have come with the click.
    reject = partial(reject_images, comment=st.session_state[key])
    _change(seen, reject, "Rejecting", "Rejected")


@state.reports_errors
def reject_marked(
    image_id: str, revision: int, comment: str, marks: Sequence[Shape]
) -> None:
    """Reject one image at the revision on screen, with the marks drawn on it."""
    drawn = {image_id: marks}
    reject = partial(reject_images, comment=comment, marks=drawn)
    _change({image_id: revision}, reject, "Rejecting", "Rejected")


@state.reports_errors
def reject_all(seen: Seen, *, comment: str) -> None:
    """Reject images at the revisions on screen, with the same comment."""
    _change(seen, partial(reject_images, comment=comment), "Rejecting", "Rejected")


def _change(seen: Seen, change: _Change, doing: str, done: str) -> None:
    """Change images at the revisions on screen, with a progress bar for many."""
    store, scope = services.store(), state.scope()

    def work(on_progress: bulk_progress.OnProgress) -> BulkReport:
        return change(store, scope, seen, seen=seen, on_progress=on_progress)

    def finish(result: BulkReport) -> None:
        _report_change(f"{done} {widgets.plural(result.changed, 'image')}", result)

    bulk_progress.run_or_schedule(doing, work, then=finish, images=len(seen))


@state.reports_errors
def _relabel(chosen: Sequence[AnnotationRow], key: str) -> None:
    # The current label: it may have come with the click.
    label = st.session_state[key]
    if not label:
        raise EditError("Select a new label first.")
    result = relabel_boxes(
        services.store(), state.scope(), _ids(chosen), label=label, seen=_seen(chosen)
    )
    _report_change(f"Relabelled {boxes_on(result)}", result)
    if result.changed:
        similar_offer.note_rows(chosen, became=label)


@state.reports_errors
def _delete(chosen: Sequence[AnnotationRow]) -> None:
    result = delete_boxes(
        services.store(), state.scope(), _ids(chosen), seen=_seen(chosen)
    )
    _report_change(f"Deleted {boxes_on(result)}", result)
    if result.changed:
        similar_offer.note_rows(chosen, became=None)


@state.reports_errors
def _accept(chosen: Sequence[AnnotationRow]) -> None:
    result = accept_boxes(
        services.store(), state.scope(), _ids(chosen), seen=_seen(chosen)
    )
    _report_change(f"Accepted {boxes_on(result)}", result)


def _report_change(done: str, result: BulkReport) -> None:
    """Report a change; the selection stays where nothing changed."""
    if result.changed:
        st.session_state[_ACTS] = acts() + 1
    report(done, result)


def remove(
    chosen: Sequence[ImageRow], *, key: str, words: str = "Delete images"
) -> None:
    """Draw the button that deletes images, with a confirmation; words: on it."""
    seen = {row.image_id: row.revision for row in chosen}
    with st.popover(
        words, icon=":material/delete:", disabled=not chosen, key=f"{key}.deleting"
    ):
        what = widgets.ImagesToDelete(
            len(chosen),
            sum(row.box_count for row in chosen),
            sum(row.open_comments for row in chosen),
        )
        widgets.confirm_deletion(
            what,
            version=str(hash(tuple(seen.items()))),
            key=key,
            on_confirm=partial(_remove, seen),
        )


@state.reports_errors
def _remove(seen: Seen) -> None:
    # What the button named: a selection that came with the click changes nothing.
    store, scope = services.store(), state.scope()

    def work(on_progress: bulk_progress.OnProgress) -> BulkReport:
        return remove_images(store, scope, seen, on_progress=on_progress)

    def finish(result: BulkReport) -> None:
        state.forget_shown(seen)
        images = widgets.plural(result.changed, "image")
        report(f"Deleted {images} with {widgets.plural(result.boxes, 'box')}", result)

    bulk_progress.run_or_schedule("Deleting", work, then=finish, images=len(seen))


_USUAL: Final = 0.8


def accept_above(wanted: AnnotationFilter) -> None:
    """Draw the button that accepts all boxes above a confidence, with their count.

    wanted: the filters of the page; its labels are selected at first.
    """
    with st.popover("Accept above …", icon=":material/done_all:", key="accept.above"):
        labels = _choose_labels(wanted)
        least = st.slider(
            "Minimum confidence", 0.0, 1.0, _USUAL, 0.01, key="accept.least"
        )
        counts = filters.acceptable(tuple(labels), least)
        st.markdown(_acceptable_in_words(counts))
        st.caption(
            "Accepts model boxes on images that are not approved or rejected. "
            "You can undo this in one step."
        )
        st.button(
            f"Accept {widgets.plural(counts.boxes, 'box')}",
            key="accept.apply",
            type="primary",
            disabled=not counts.boxes,
            on_click=_accept_above,
            args=(labels, least, counts.images),
        )


def _choose_labels(wanted: AnnotationFilter) -> list[str]:
    labels = list(wanted.labels or ())
    return st.multiselect(
        "Labels",
        list(
            dict.fromkeys(
                [*labels, *services.store().labels(state.scope()).shown_names]
            )
        ),
        default=labels,
        key=f"accept.labels.{hash(tuple(labels))}",
        placeholder="all labels",
        select_all=False,
    )


def _acceptable_in_words(counts: AcceptCounts) -> str:
    if not counts.boxes:
        return "No unaccepted box is that confident."
    boxes = widgets.plural(counts.boxes, "box")
    images = widgets.plural(counts.images, "image")
    labels = f" of {counts.labels} labels" if counts.labels > 1 else ""
    return f"**{boxes}**{labels} on {images} would be accepted."


@state.reports_errors
def _accept_above(labels: list[str], least: float, images: int) -> None:
    store, scope = services.store(), state.scope()

    def work(on_progress: bulk_progress.OnProgress) -> BulkReport:
        return bulk_edits.accept_above(
            store,
            scope,
            labels=labels or None,
            min_confidence=least,
            on_progress=on_progress,
        )

    def finish(result: BulkReport) -> None:
        report(f"Accepted {boxes_on(result)}", result)

    bulk_progress.run_or_schedule("Accepting", work, then=finish, images=images)

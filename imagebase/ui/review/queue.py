"""Review queue: the most uncertain images first, and why."""

from collections.abc import Sequence
from typing import Final

import streamlit as st

from imagebase.annotation import (
    Annotation,
    ImageRecord,
    Label,
    LabelSet,
    ReviewStatus,
    Source,
)
from imagebase.errors import StoreError
from imagebase.jobs.scoring import ModelInUse, model_in_use, score_images, stale_images
from imagebase.review.bulk_edits import ShownImage, approve_as_shown
from imagebase.review.uncertainty import add_missed
from imagebase.store import DoubtCounts, DoubtRow, JobState
from imagebase.store.uncertainty import DoubtKind, MissedObject
from imagebase.ui import (
    cache,
    job_progress,
    likeness,
    services,
    state,
    suggested_boxes,
    widgets,
)
from imagebase.ui.edit import navigation
from imagebase.ui.evaluate import gallery, run_data
from imagebase.ui.review import filters
from imagebase.wording import percent


def label_errors() -> None:
    """Draw the likely label errors found by the newest evaluation."""
    runs = run_data.runs()
    if not runs:
        st.info(
            "Run a model on **Evaluate** first. Labels that disagree with its "
            "confident detections are listed here, most likely errors first."
        )
        st.page_link(
            "pages/evaluate.py", label="**Evaluate**", icon=":material/analytics:"
        )
        return
    gallery.draw_label_errors(runs[0].run_id)


PAGE_SIZE: Final = 12
COLUMNS: Final = 3
# Up to this many are scored at once; more are a job with progress.
JUDGED_AT_ONCE: Final = 500
_UNCERTAIN, _NEXT = "Most uncertain", "What to label next"
KIND_WORDS: Final = {
    DoubtKind.MISSED: "possibly missed",
    DoubtKind.ONE_WAY: "mirror mismatch",
    DoubtKind.OVERLAP: "overlaps",
    DoubtKind.NEAR: "near threshold",
    DoubtKind.RARE: "rare label",
}
_ICONS: Final = {
    DoubtKind.MISSED: ":material/search:",
    DoubtKind.ONE_WAY: ":material/flip:",
    DoubtKind.OVERLAP: ":material/join:",
    DoubtKind.NEAR: ":material/tune:",
    DoubtKind.RARE: ":material/diamond:",
}
# In no palette, and rare in photographs.
_MISSED_COLOUR: Final = "#FF00E6"
_MOST_OFFERED: Final = 3
_NONE_OF_KIND: Final = "No images with this reason. Click it again to show all."
_NAME_LETTERS: Final = 24


def queue() -> None:
    """Draw the images to review, most uncertain first, with their actions."""
    scope, store = state.scope(), services.store()
    in_use = model_in_use(store, scope)
    _score_changed(in_use)
    if _choose_order() == _NEXT:
        _next_images()
        return
    counts = store.doubt_counts(scope)
    left, right = st.columns([3, 1], vertical_alignment="top")
    with left:
        kind = _choose_kind(counts) if counts.images else None
    with right:
        _mirrored_check(in_use)
    job_progress.show("doubt")
    if not counts.images:
        _say_why_empty(in_use)
        return
    if filters.chosen_images() is None:
        _every_card(counts, kind)
        return
    chosen = _chosen(store.doubtful_ids(scope, kind=kind))
    if chosen is None:
        return
    if not chosen:
        st.info(_NONE_OF_KIND)
        return
    page = widgets.page_of(chosen, page_size=PAGE_SIZE, key="queue.page")
    _cards(store.queue_rows(scope, page))


def _every_card(counts: DoubtCounts, kind: DoubtKind | None) -> None:
    """Draw a page of the queue, of which no more is read."""
    total = counts.images if kind is None else counts.by_kind[kind]
    if not total:
        st.info(_NONE_OF_KIND)
        return
    pages = -(-total // PAGE_SIZE)
    number = widgets.page_number(pages, key="queue.page") if pages > 1 else 1
    rows = services.store().doubtful_images(
        state.scope(), kind=kind, offset=(number - 1) * PAGE_SIZE, limit=PAGE_SIZE
    )
    _cards(rows)


def _choose_order() -> str:
    order: str = st.segmented_control(
        "Sort by",
        [_UNCERTAIN, _NEXT],
        default=_UNCERTAIN,
        required=True,
        key="queue.order",
        label_visibility="collapsed",
        persist_state="session",
    )
    return order


def _next_images() -> None:
    """Draw the images that nobody has decided on, what to label next first."""
    scope, store = state.scope(), services.store()
    st.caption(likeness.NEXT_IN_WORDS)
    likeness.draw_progress()
    chosen = _chosen(likeness.next_order())
    if chosen is None:
        return
    if not chosen:
        st.success("All images are reviewed. Nothing is left to label.")
        return
    st.button(
        "Label in this order",
        key="queue.label_next",
        type="primary",
        icon=":material/edit:",
        help="Opens the first one in the editor; Next and Approve then follow this "
        "order.",
        on_click=_label_next,
        args=(chosen[0],),
    )
    page = widgets.page_of(chosen, page_size=PAGE_SIZE, key="queue.next.page")
    _cards(store.queue_rows(scope, page))


def _label_next(image_id: str) -> None:
    navigation.follow_next()
    widgets.open_in_editor(image_id)


def _chosen(image_ids: Sequence[str]) -> list[str] | None:
    """Return those of these images that are filtered to; None where none is left."""
    chosen = filters.chosen_images()
    if chosen is None:
        return list(image_ids)
    with filters.bar():
        filters.draw_images_chip()
    wanted = set(chosen.image_ids)
    left = [image_id for image_id in image_ids if image_id in wanted]
    if not left and image_ids:
        st.info("None of the selected images are in this queue. Clear the filter.")
        return None
    return left


def first_view() -> str:
    """Return the view to open with: the queue, if it has images."""
    images = services.store().doubtful_images(state.scope(), limit=1)
    return filters.QUEUE if images else filters.BOXES


def _score_changed(in_use: ModelInUse | None) -> None:
    scope, store = state.scope(), services.store()
    stale = stale_images(store, scope, in_use)
    if not stale:
        return
    job = job_progress.latest("doubt")
    if len(stale) <= JUDGED_AT_ONCE:
        score_images(store, scope, stale, in_use)
    elif job is None or job.state is JobState.DONE:
        job_progress.start("doubt", {"mirrored": False})
    elif not job_progress.is_active(job):
        st.button(
            f"Update {widgets.plural(len(stale), 'changed image')}",
            key="queue.judge",
            icon=":material/sort:",
            on_click=job_progress.start,
            args=("doubt", {"mirrored": False}),
        )


def _choose_kind(counts: DoubtCounts) -> DoubtKind | None:
    st.markdown(
        f"**{widgets.plural(counts.images, 'image')}** to review, most uncertain "
        "first. Click a reason to filter by it."
    )
    kind: DoubtKind | None = st.pills(
        "Reason",
        list(DoubtKind),
        format_func=lambda name: f"{KIND_WORDS[name]} {counts.by_kind[name]:,}",
        key="queue.kind",
        label_visibility="collapsed",
        persist_state="session",
    )
    return kind


def _mirrored_check(in_use: ModelInUse | None) -> None:
    if in_use is None:
        return
    count = services.store().count_seen_once(
        state.scope(), in_use.plain_key, in_use.mirrored_key
    )
    st.button(
        "Check mirrored images",
        key="queue.look_again",
        icon=":material/flip:",
        width="stretch",
        disabled=not count or job_progress.is_active(job_progress.latest("doubt")),
        help="Runs the model on each image mirrored left to right. Objects found in "
        "only one of the two runs are uncertain; those without a box may be missed.",
        on_click=job_progress.start,
        args=("doubt", {"mirrored": True}),
    )
    st.caption(
        f"Finds missed objects on {widgets.plural(count, 'image')}"
        f"{_estimated_time(count)}."
        if count
        else "All images have had the mirrored check."
    )


def _estimated_time(count: int) -> str:
    for job in services.store().jobs(state.scope()):
        result = job.result or {}
        if job.kind in ("annotate", "doubt") and result.get("images"):
            seconds = count * result["seconds"] / result["images"]
            if seconds < 1:
                return ", in about a second"
            minutes, rest = divmod(round(seconds), 60)
            return (
                f", in about {minutes}:{rest:02d} min"
                if minutes
                else (f", in about {rest} s")
            )
    return ""


def _say_why_empty(in_use: ModelInUse | None) -> None:
    if job_progress.is_active(job_progress.latest("doubt")):
        return
    by_status = services.store().progress(state.scope())
    total, approved = sum(by_status.values()), by_status.get(ReviewStatus.APPROVED, 0)
    if approved == total:
        st.success("All images are approved. Nothing is left to review.")
        st.page_link("pages/export.py", label="**Export**", icon=":material/download:")
    elif in_use is None and by_status.get(ReviewStatus.NEW, 0):
        _send_to_annotate(
            "No model has run on these images yet. Run one on **Annotate**: the images "
            "it is least sure about are listed first here."
        )
    elif by_status.get(ReviewStatus.NEW, 0) == total - approved:
        _send_to_annotate(
            "The model's boxes are not saved yet. Save them on **Annotate**: the "
            "uncertain ones are listed first here."
        )
    else:
        st.success(
            "No uncertain images: no box is near the threshold, no label is rare, no "
            "boxes overlap, and no object seems to be missed."
        )


def _send_to_annotate(words: str) -> None:
    st.info(words)
    st.page_link(
        "pages/annotate.py", label="**Annotate**", icon=":material/auto_awesome:"
    )


def _cards(rows: Sequence[DoubtRow]) -> None:
    scope, store = state.scope(), services.store()
    records = {
        record.image_id: record
        for record in store.records(scope, image_ids=[row.image_id for row in rows])
    }
    suggested = suggested_boxes.of_records(list(records.values()))
    labels = store.labels(scope).with_labels(
        box.label for boxes in suggested.values() for box in boxes
    )
    for start in range(0, len(rows), COLUMNS):
        cells = st.columns(COLUMNS, gap="small")
        for cell, row in zip(cells, rows[start : start + COLUMNS], strict=False):
            if row.image_id in records:
                with cell.container(border=True, gap="xsmall"):
                    record = records[row.image_id]
                    _card(row, record, labels, suggested[row.image_id])


def _card(
    row: DoubtRow,
    record: ImageRecord,
    labels: LabelSet,
    suggested: Sequence[Annotation],
) -> None:
    missed = (
        row.reasons[DoubtKind.MISSED].found if DoubtKind.MISSED in row.reasons else ()
    )
    # Possibly missed objects are suggestions too, and have their own buttons.
    shown = () if missed else suggested
    view = record.with_annotations([*record.annotations, *shown])
    st.image(_picture(view, labels, missed), width="stretch", alt=row.file_name)
    has_work = bool(view.annotations) or record.status is not ReviewStatus.NEW
    _name_and_approval(row, shown, may_approve=has_work)
    if shown:
        st.caption(widgets.with_suggestions("", len(shown)))
    if not row.reasons:
        return
    st.progress(row.score, text=f"uncertainty {percent(row.score)}")
    st.caption(
        "  \n".join(
            f"{_ICONS[kind]} {widgets.escape(reason.text)}"
            for kind, reason in row.reasons.items()
        )
    )
    if missed:
        _offers(row, missed)


def _name_and_approval(
    row: DoubtRow, shown: Sequence[Annotation], *, may_approve: bool
) -> None:
    """Draw the name and Approve, which an image that nothing has run on lacks."""
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.button(
            widgets.escape(widgets.short_name(row.file_name, longest=_NAME_LETTERS)),
            key=f"queue.open.{row.image_id}",
            type="tertiary",
            icon=widgets.STATUS_ICONS[row.status],
            help=f"{widgets.escape(row.file_name)}: open in the editor",
            on_click=widgets.open_in_editor,
            args=(row.image_id,),
        )
        if may_approve:
            st.button(
                "Approve",
                key=f"queue.approve.{row.image_id}",
                icon=":material/check:",
                help="Marks this image as correct.",
                on_click=_approve,
                args=(row.image_id, ShownImage(row.revision, tuple(shown))),
            )


def _offers(row: DoubtRow, missed: Sequence[MissedObject]) -> None:
    with st.container(horizontal=True, gap="xsmall"):
        for place, missed_object in enumerate(missed[:_MOST_OFFERED]):
            st.button(
                f"Add {widgets.escape(widgets.short_name(missed_object.label))} "
                f"{percent(missed_object.confidence)}",
                key=f"queue.add.{row.image_id}.{place}",
                icon=":material/add:",
                help="Adds the dashed object as a box. You can undo this.",
                on_click=_add,
                args=(row.image_id, row.revision, missed_object),
            )


def _picture(
    record: ImageRecord, labels: LabelSet, missed: Sequence[MissedObject]
) -> str:
    asked = [
        Annotation(
            box=candidate.box,
            label=f"{candidate.label}?",
            source=Source.MODEL,
            confidence=candidate.confidence,
        )
        for candidate in missed
    ]
    with_asked = LabelSet(
        (*labels, *(Label(box.label, _MISSED_COLOUR) for box in asked))
    )
    return cache.labelled_tile(
        state.scope(),
        record,
        with_asked,
        [*record.annotations, *asked],
        highlighted=frozenset(box.annotation_id for box in asked),
    )


@state.reports_errors
def _approve(image_id: str, shown: ShownImage) -> None:
    # What was on the card, which others may have got more suggestions for since.
    store, scope = services.store(), state.scope()
    report = approve_as_shown(store, scope, {image_id: shown})
    if not report.changed:
        record = services.store().record(state.scope(), image_id)
        if record.status is ReviewStatus.APPROVED:
            return  # a second click
        raise StoreError(_CHANGED)
    state.say("Approved 1 image.")


@state.reports_errors
def _add(image_id: str, revision: int, missed_object: MissedObject) -> None:
    scope = state.scope()
    record = services.store().record(scope, image_id)
    if record.revision != revision:
        raise StoreError(_CHANGED)
    state.save(add_missed(record, missed_object, who=scope.who))
    state.say(f"Added 1 box to {record.file_name}.")


_CHANGED: Final = "This image has changed in the meantime. Check it again."

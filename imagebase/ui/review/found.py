"""Find more: what the dataset's taught model found, to accept or reject by crops."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
import streamlit as st

from imagebase.annotation import Annotation
from imagebase.detection.candidate_pool import CandidatePool
from imagebase.detection.detector import Detector
from imagebase.detection.factory import ModelConfig
from imagebase.detection.merge import SAME_OBJECT_IOU
from imagebase.detection.selection_rule import SelectionRule
from imagebase.geometry import as_xyxy, pairwise_iou
from imagebase.learning.found_boxes import (
    Coverage,
    FoundBox,
    by_image,
    coverage,
    found_boxes,
)
from imagebase.learning.taught_models import TaughtModelInfo, taught_model
from imagebase.review.bulk_edits import (
    BulkReport,
    accept_suggestions,
    reject_suggestions,
)
from imagebase.store import Scope, Store
from imagebase.ui import (
    bulk_progress,
    cache,
    find_more,
    job_progress,
    services,
    state,
    suggested_boxes,
    widgets,
)
from imagebase.ui.bulk_progress import boxes_on, report
from imagebase.ui.contact_sheet import (
    Place,
    Tile,
    crop_urls,
    draw_sheet,
    parse_selected,
)
from imagebase.ui.review import actions
from imagebase.wording import percent

PAGE_SIZE: Final = 40
_SHEET: Final = "imagebase.review.found"


class _Change(Protocol):
    """A change to suggestions on many images."""

    def __call__(
        self,
        store: Store,
        scope: Scope,
        suggested: Mapping[str, Sequence[Annotation]],
        *,
        seen: Mapping[str, int],
        on_progress: bulk_progress.OnProgress,
    ) -> BulkReport: ...


@dataclass(slots=True)
class _Sheet:
    """What was found of a label, and what a person thinks of it.

    label: with the dataset. of: what the boxes were found by. off: deselected boxes;
    those of an earlier model count for what overlaps them. done: ids of boxes that were
    accepted or rejected. shown: the tiles of the page, by component key and version.
    """

    label: tuple[str, str]
    of: tuple[str, str] = ("", "")
    boxes: list[FoundBox] = field(default_factory=list)
    coverage: Coverage | None = None
    off: dict[str, FoundBox] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    shown: tuple[str, str, list[Tile]] = ("", "", [])

    def above(self, confidence: float) -> list[FoundBox]:
        """Return the boxes to show, the likeliest first."""
        return [
            found
            for found in self.boxes
            if found.confidence >= confidence
            and found.annotation.annotation_id not in self.done
        ]


def view() -> None:
    """Draw the label, the button that finds more, and what was found."""
    find_more.go_on()
    names = services.store().labels(state.scope()).shown_names
    if not names:
        st.info("Draw a box around every object of one label on an image first.")
        return
    taught = taught_model(services.store(), state.scope())
    label = _choose_label(names, taught)
    job_progress.show("teach")
    _found(label, services.store().version(state.scope()))


def _choose_label(names: Sequence[str], taught: TaughtModelInfo | None) -> str:
    usual = next((name for name in names if taught and name in taught.labels), names[0])
    if st.session_state.get(find_more.LABEL_KEY) not in names:
        st.session_state[find_more.LABEL_KEY] = usual
    left, middle, right = st.columns([3, 2, 7], vertical_alignment="bottom")
    label: str = left.selectbox(
        "Label", names, key=find_more.LABEL_KEY, persist_state="session"
    )
    middle.button(
        "Find more",
        key="review.find.ask",
        icon=find_more.ICON,
        width="stretch",
        disabled=find_more.is_at_work(),
        on_click=_ask,
        help="Learns from approved images with this label, and from images that you "
        "chose with Find more like this.",
    )
    name = f" Taught so far: **{widgets.escape(taught.title)}**." if taught else ""
    right.caption(
        f"Draw every {widgets.escape(label)} on one to ten images and approve them, "
        f"then click.{name}"
    )
    return label


@state.reports_errors
def _ask() -> None:
    find_more.ask(st.session_state[find_more.LABEL_KEY])


@st.fragment
@widgets.guarded
def _found(label: str, version: str) -> None:
    """Draw what was found of a label, and what to do with it.

    version: of the dataset, as the rest of the page shows it.
    """
    widgets.go_on()
    bulk_progress.leave_fragment()
    state.leave_deleted_dataset()
    if services.store().version(state.scope()) != version:
        st.rerun()  # the counts around the sheet have to follow, and the model
    taught = taught_model(services.store(), state.scope())
    if taught is None or label not in _names(taught):
        if not find_more.is_at_work():
            st.info(f"Nothing was taught about {widgets.escape(label)} yet.")
        return
    sheet = _sheet(label, taught, version)
    _say_coverage(sheet.coverage, label)
    left, right = st.columns([2, 5], vertical_alignment="bottom")
    confidence = left.slider(
        "Confidence",
        suggested_boxes.FLOOR,
        0.95,
        find_more.LIKELY,
        0.01,
        key=find_more.CONFIDENCE,
        persist_state="session",
        help="Boxes below this confidence are hidden.",
    )
    boxes = sheet.above(confidence)
    head = right.container(
        horizontal=True, vertical_alignment="center", key="review.find.acts"
    )
    if boxes:
        _draw(sheet, boxes)
    with head:
        _act(sheet, boxes)


def _names(taught: TaughtModelInfo) -> list[str]:
    """Return what the model's labels are called in the dataset today."""
    former = services.store().former_label_names(state.scope())
    return [former.get(label, label) for label in taught.labels]


def _sheet(label: str, taught: TaughtModelInfo, version: str) -> _Sheet:
    """Return what was found; while the model is taught again, what was found before."""
    about = (state.scope().dataset_id, label)
    sheet: _Sheet | None = st.session_state.get(_SHEET)
    is_same = sheet is not None and sheet.label == about
    if sheet is not None and is_same and find_more.is_at_work():
        return sheet
    detector = cache.detector(ModelConfig((taught.name,)))
    pool = suggested_boxes.pool_of(detector)
    of = (f"{detector.sha256} {len(pool.image_ids)}", version)
    if sheet is None or not is_same or sheet.of != of:
        sheet = _fresh(about, of, detector, pool, sheet if is_same else None)
        st.session_state[_SHEET] = sheet
    return sheet


def _fresh(
    about: tuple[str, str],
    of: tuple[str, str],
    detector: Detector,
    pool: CandidatePool,
    before: _Sheet | None,
) -> _Sheet:
    store, scope, label = services.store(), state.scope(), about[1]
    rule = SelectionRule(
        suggested_boxes.FLOOR,
        find_more.NMS_IOU,
        mapping=suggested_boxes.mapping_of(detector),
    )
    boxes = found_boxes(store, scope, detector, pool, rule, label=label)
    off = list(before.off.values()) if before else []
    return _Sheet(
        about,
        of,
        boxes,
        coverage(store, scope, pool, label=label),
        off={
            found.annotation.annotation_id: found
            for found in boxes
            if _overlaps(found, off)
        },
    )


def _overlaps(found: FoundBox, others: Sequence[FoundBox]) -> bool:
    there = [one.annotation.box for one in others if one.image_id == found.image_id]
    if not there:
        return False
    iou = pairwise_iou(as_xyxy([found.annotation.box]), as_xyxy(there))
    return bool(np.max(iou) >= SAME_OBJECT_IOU)


def _say_coverage(covered: Coverage | None, label: str) -> None:
    with st.container():
        if covered is not None and covered.is_poor:
            boxes = widgets.plural(covered.boxes, "box")
            st.warning(
                f"Only {covered.found:,} of {boxes} of {widgets.escape(label)} that "
                "people drew or accepted are found again: many others will be missing "
                "here. Draw these by hand."
            )


def _draw(sheet: _Sheet, boxes: Sequence[FoundBox]) -> None:
    shown = widgets.page_of(boxes, page_size=PAGE_SIZE, key="review.find.page")
    tiles = _tiles(shown)
    version = str(hash((tuple(tile.id for tile in tiles), sheet.of)))
    key = "review.find.sheet"
    off = set(sheet.off)
    draw_sheet(
        tiles,
        key=key,
        selected={tile.id for tile in tiles} - off,
        version=version,
    )
    sheet.shown = (key, version, tiles)
    _note_selection(sheet)


def _note_selection(sheet: _Sheet) -> None:
    """Take over what the browser says is selected on the page."""
    key, version, tiles = sheet.shown
    value = (st.session_state.get(key) or {}).get("selected")
    here = {tile.id for tile in tiles}
    selected = parse_selected(value, version, tiles, otherwise=here - set(sheet.off))
    known = {found.annotation.annotation_id: found for found in sheet.boxes}
    for tile_id in here & known.keys():
        if tile_id in selected:
            sheet.off.pop(tile_id, None)
        else:
            sheet.off[tile_id] = known[tile_id]


def _tiles(boxes: Sequence[FoundBox]) -> list[Tile]:
    scope = state.scope()
    labels = services.store().labels(scope)
    places = [
        Place(found.image_id, found.size, found.annotation.box) for found in boxes
    ]
    return [
        Tile(
            found.annotation.annotation_id,
            url,
            name=found.annotation.label,
            colour=labels.colour_of(found.annotation.label),
            value=percent(found.confidence),
            title=found.file_name,
        )
        for found, url in zip(boxes, crop_urls(scope, places), strict=True)
    ]


def _act(sheet: _Sheet, boxes: Sequence[FoundBox]) -> None:
    selected = [
        found for found in boxes if found.annotation.annotation_id not in sheet.off
    ]
    rejected = len(boxes) - len(selected)
    images = len({found.image_id for found in boxes})
    st.button(
        f"Accept {widgets.plural(len(selected), 'box')}",
        key="review.find.accept",
        type="primary",
        icon=":material/done_all:",
        disabled=not selected,
        on_click=_accept,
        help="Saves the selected boxes, on every page, as accepted ones. You can undo "
        "this in one step.",
    )
    st.button(
        f"Reject {rejected:,}" if rejected else "Reject",
        key="review.find.reject",
        icon=":material/close:",
        disabled=not rejected,
        on_click=_reject,
        help="Rejects the boxes that you deselected by a click. They are not suggested "
        "again, and the model learns from them.",
    )
    actions.draw_undo(key="review.find", on_click=_undo)
    st.caption(
        f"{widgets.plural(len(boxes), 'box')} on {widgets.plural(images, 'image')}. "
        "Click a crop to deselect it."
        if boxes
        else "Nothing more is found at this confidence.",
        width="content",
    )


@state.reports_errors
def _accept() -> None:
    _change(accept_suggestions, "Accepting", "Accepted", is_off=False)


@state.reports_errors
def _reject() -> None:
    _change(reject_suggestions, "Rejecting", "Rejected", is_off=True)


def _change(change: _Change, doing: str, done: str, *, is_off: bool) -> None:
    """Change the boxes that are selected now, or deselected; then teach again."""
    store, scope = services.store(), state.scope()
    sheet: _Sheet = st.session_state[_SHEET]
    # A click on a crop may have come with this one.
    _note_selection(sheet)
    chosen = [
        found
        for found in sheet.above(_confidence())
        if (found.annotation.annotation_id in sheet.off) is is_off
    ]
    seen = {found.image_id: found.revision for found in chosen}

    def work(on_progress: bulk_progress.OnProgress) -> BulkReport:
        boxes = by_image(chosen)
        return change(store, scope, boxes, seen=seen, on_progress=on_progress)

    def finish(result: BulkReport) -> None:
        ids = {found.annotation.annotation_id for found in chosen}
        sheet.done |= ids
        for annotation_id in ids:
            sheet.off.pop(annotation_id, None)
        report(f"{done} {boxes_on(result)}", result)
        if result.changed:
            find_more.refit()

    bulk_progress.run_or_schedule(doing, work, then=finish, images=len(seen))


def _confidence() -> float:
    least: float = st.session_state.get(find_more.CONFIDENCE, find_more.LIKELY)
    return least


@state.reports_errors
def _undo() -> None:
    bulk_progress.undo()
    find_more.refit()

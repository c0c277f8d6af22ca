"""Compare two versions of the labels: summary, tables, images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import streamlit as st

from imagebase.annotation import Annotation, ImageRecord, LabelSet, new_id
from imagebase.annotation.attributes import in_words
from imagebase.errors import ImageBaseError
from imagebase.formats.compare import (
    BoxChange,
    ImageDiff,
    LabelSetDiff,
    LabelSetSide,
    What,
    compare,
    side_of_records,
)
from imagebase.formats.image_index import NameIndex
from imagebase.formats.registry import read, readable_format, recognise
from imagebase.ingest.label_files import DroppedFiles, keep_files
from imagebase.jobs.temporary_files import dropped, forget_dropped, make_room
from imagebase.settings import Limits
from imagebase.store import Scope
from imagebase.ui import cache, services, state, widgets
from imagebase.ui.web import uploads

_SIDES: Final = "imagebase.compare.sides"
_GENERATION: Final = "imagebase.compare.generation"
_BEFORE: Final = "Before"
_AFTER: Final = "After"
_HERE: Final = "This dataset"
_FILES: Final = "Label files"
_RECORDS_AT_ONCE: Final = 500
_PAGE_SIZE: Final = 4
_ICONS: Final = {
    What.ADDED: ":material/add:",
    What.REMOVED: ":material/remove:",
    What.MOVED: ":material/open_with:",
    What.RELABELLED: ":material/label:",
    What.DESCRIBED: ":material/sell:",
}


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of the comparison; upload_id: of dropped files, empty: the dataset."""

    dataset_id: str
    upload_id: str
    name: str


def section() -> None:
    """Draw the choice of the two sides, then their differences."""
    left, right = st.columns(2, gap="large")
    with left:
        before = _choose(_BEFORE, default=_FILES)
    with right:
        after = _choose(_AFTER, default=_HERE)
    if before is None or after is None:
        st.caption(
            "Drop another version of the labels to see which boxes were added, "
            "deleted, moved, relabelled or have other attributes, and which class IDs "
            "changed. The dataset is not changed."
        )
    else:
        _show(before, after)


def _dropped_sides() -> dict[str, _Side]:
    sides: dict[str, _Side] = st.session_state.setdefault(_SIDES, {})
    here = state.scope().dataset_id
    return {name: side for name, side in sides.items() if side.dataset_id == here}


def _choose(title: str, *, default: str) -> _Side | None:
    kind = st.segmented_control(
        title,
        [_FILES, _HERE],
        default=default,
        required=True,
        key=f"compare.kind.{title}",
    )
    here = state.dataset()
    if kind == _HERE:
        return _Side(here.dataset_id, "", here.name)
    side = _dropped_sides().get(title)
    if side is None:
        _drop_zone(title)
        return None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f":material/description: {widgets.escape(side.name)}", width="content"
        )
        st.button(
            "Change files",
            key=f"compare.forget.{title}",
            type="tertiary",
            icon=":material/close:",
            on_click=_forget,
            args=(title,),
        )
    return side


def _forget(title: str) -> None:
    side: _Side | None = st.session_state.get(_SIDES, {}).pop(title, None)
    if side is not None:
        forget_dropped(state.scope(), side.upload_id)


def _drop_zone(title: str) -> None:
    generation = st.session_state.get(_GENERATION, 0)
    files = st.file_uploader(
        f"{title}: files or a zip",
        accept_multiple_files=True,
        max_upload_size=max(services.limits().max_file_bytes // 1_000_000, 1),
        key=f"compare.files.{title}.{generation}",
        label_visibility="collapsed",
    )
    if not files:
        return
    st.session_state[_GENERATION] = generation + 1
    scope, upload_id = state.scope(), new_id()
    make_room(scope, services.limits())
    named = [(file.name, file) for file in files]
    try:
        keep_files(named, dropped(scope, upload_id), services.limits())
    finally:
        uploads.free(files)
    more = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
    side = _Side(scope.dataset_id, upload_id, files[0].name + more)
    st.session_state.setdefault(_SIDES, {})[title] = side
    st.rerun()


@st.fragment
@widgets.guarded
def _show(before: _Side, after: _Side) -> None:
    state.leave_deleted_dataset()
    scope = state.scope()
    try:
        diff = _diff(
            scope.owner_id,
            scope.dataset_id,
            before.upload_id,
            after.upload_id,
            services.store().version(scope),
            services.limits(),
        )
    except ImageBaseError as error:
        st.warning(widgets.escape(str(error)))
        return
    _summarise(diff)
    changes = sum(diff.counts.values())
    boxes, images, numbers = st.tabs(
        [
            f"Boxes {changes:,}",
            f"Images {len(diff.images):,}",
            f"Class IDs {len(diff.labels):,}",
        ]
    )
    with boxes:
        _draw_boxes(diff)
    with images:
        _draw_images(diff)
    with numbers:
        _draw_numbers(diff)


@st.cache_resource(max_entries=8, show_spinner="Comparing …")
def _diff(
    owner_id: str,
    dataset_id: str,
    before: str,
    after: str,
    version: str,
    _limits: Limits,
) -> LabelSetDiff:
    """version: of the dataset, in case it is one of the sides."""
    scope = Scope(owner_id, dataset_id, "")
    return compare(_side(scope, before, _limits), _side(scope, after, _limits))


def _side(scope: Scope, upload_id: str, limits: Limits) -> LabelSetSide:
    if not upload_id:
        labels = services.store().labels(scope).names
        return side_of_records(labels, _records(scope))
    tree = DroppedFiles(dropped(scope, upload_id), limits)
    name = recognise(tree)
    result = read(tree, name)
    holds = readable_format(name).holds
    return LabelSetSide(result.labels.names, result.images, holds)


def _records(scope: Scope) -> Iterator[ImageRecord]:
    store = services.store()
    ids = store.image_ids(scope)
    for start in range(0, len(ids), _RECORDS_AT_ONCE):
        chunk = ids[start : start + _RECORDS_AT_ONCE]
        yield from store.records(scope, image_ids=chunk)


def _summarise(diff: LabelSetDiff) -> None:
    words = [
        f"{_ICONS[what]} **{count:,}** {what.value}"
        for what, count in diff.counts.items()
        if count
    ]
    words.append(f"{widgets.plural(diff.same_boxes, 'box')} unchanged")
    compared = widgets.plural(diff.compared_images, "image")
    st.markdown(f"{' · '.join(words)} · on {compared} in both")
    sides = [(diff.only_before, "Before"), (diff.only_after, "After")]
    only_one = [
        f"{widgets.plural(len(n), 'image')} only in {when}" for n, when in sides if n
    ]
    if only_one:
        st.caption(" · ".join(only_one))
    if diff.shifted:
        shown = ", ".join(
            f"{change.label} {change.before} → {change.after}"
            for change in diff.shifted[:6]
        )
        more = len(diff.shifted) - 6
        st.warning(
            f"**Class IDs changed**: {widgets.escape(shown)}"
            f"{f' and {more:,} more' if more > 0 else ''}. A model trained on "
            "one version misreads the other.",
            icon=":material/warning:",
        )


def _draw_boxes(diff: LabelSetDiff) -> None:
    rows = [(image.name, change) for image in diff.images for change in image.changes]
    if not rows:
        st.caption("No boxes differ.")
        return
    widgets.table(
        rows,
        {
            "image": lambda row: row[0],
            "change": lambda row: row[1].what.value,
            "before": lambda row: _in_words(row[1].before),
            "after": lambda row: _in_words(row[1].after),
            "overlap": lambda row: row[1].iou or None,
        },
        config={"overlap": st.column_config.NumberColumn(format="%.2f", width="small")},
    )


def _in_words(annotation: Annotation | None) -> str:
    if annotation is None:
        return ""
    box, attributes = annotation.box, in_words(annotation.attributes)
    place = f"{box.x_min:.0f}, {box.y_min:.0f}  {box.width:.0f} × {box.height:.0f}"
    return f"{annotation.label}  {place}{f'  {attributes}' if attributes else ''}"


def _draw_numbers(diff: LabelSetDiff) -> None:
    if not diff.labels:
        st.caption("Neither version has labels.")
        return
    widgets.table(
        sorted(diff.labels, key=lambda label: not label.is_shifted),
        {
            "label": lambda label: label.label,
            "ID before": lambda label: label.before,
            "ID after": lambda label: label.after,
            "change": lambda label: _number_words(label.before, label.after),
        },
    )


def _number_words(before: int | None, after: int | None) -> str:
    if before is None:
        return "new"
    if after is None:
        return "deleted"
    return "unchanged" if before == after else "changed"


def _draw_images(diff: LabelSetDiff) -> None:
    """Draw the differing images of this dataset, before and after side by side."""
    scope, store = state.scope(), services.store()
    names = {
        summary.file_name: summary.image_id for summary in store.image_summaries(scope)
    }
    index = NameIndex(names)
    here = [
        (image, names[name])
        for image in diff.images
        if (name := index.find(image.name)) is not None
    ]
    if not here:
        st.caption("None of the differing images is in this dataset.")
        return
    page = widgets.page_of(here, page_size=_PAGE_SIZE, key=f"compare.page.{len(here)}")
    records = {
        record.image_id: record
        for record in store.records(scope, image_ids=[image_id for _, image_id in page])
    }
    for start in range(0, len(page), 2):
        cells = st.columns(2, gap="medium")
        for cell, (image, image_id) in zip(
            cells, page[start : start + 2], strict=False
        ):
            if image_id in records:
                with cell:
                    _draw_pair(scope, image, records[image_id])


def _draw_pair(scope: Scope, image: ImageDiff, record: ImageRecord) -> None:
    st.caption(f"{widgets.escape(widgets.short_name(image.name, longest=40))}")
    shown = replace(record, size=image.size or record.size)
    pairs = (
        (_BEFORE, [change.before for change in image.changes]),
        (_AFTER, [change.after for change in image.changes]),
    )
    for cell, (title, boxes) in zip(st.columns(2, gap="small"), pairs, strict=True):
        drawn = [box for box in boxes if box is not None]
        url = cache.labelled_tile(scope, shown, _labels(scope, image.changes), drawn)
        cell.image(url, width="stretch", alt=f"{title}: {image.name}")
        verb = "differs" if len(drawn) == 1 else "differ"
        cell.caption(f"{title}: {widgets.plural(len(drawn), 'box')} {verb}")


def _labels(scope: Scope, changes: Sequence[BoxChange]) -> LabelSet:
    both = [
        annotation for change in changes for annotation in (change.before, change.after)
    ]
    names = dict.fromkeys(
        annotation.label for annotation in both if annotation is not None
    )
    return services.store().labels(scope).with_labels(names)

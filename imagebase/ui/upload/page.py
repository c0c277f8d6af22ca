"""Upload page: drop zone, upload report, quality filter, thumbnails, tools."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import chain
from typing import BinaryIO, Final, NamedTuple

import streamlit as st

from imagebase.annotation import Annotation, ImageRecord
from imagebase.images.archives import is_clutter
from imagebase.images.file_types import formats_in_words
from imagebase.images.quality import (
    WARNINGS_IN_WORDS,
    near_duplicates,
    warnings_in_words,
)
from imagebase.images.scan import unpack_uploads
from imagebase.images.skipped_files import SkippedFiles
from imagebase.images.video import frame_time, is_video_name, time_in_words
from imagebase.ingest.add_images import AdmissionReport, admit
from imagebase.store import ImageFilter, ImageRow, Scope
from imagebase.ui import cache, services, state, suggested_boxes, widgets
from imagebase.ui.state import undisturbed
from imagebase.ui.upload import (
    backup_panel,
    compare_panel,
    import_panel,
    video_panel,
)
from imagebase.ui.web import uploads

PAGE_SIZE: Final = 24
COLUMNS: Final = 6
_SHORT_LIST: Final = 8
_LONGEST_LIST: Final = 500
_LIST_PX: Final = 260
_ALL: Final = "all"
_DUPLICATES: Final = "near-duplicates"
_WARNINGS: Final = ("blurred", "dark", "bright", "flat", "tiny")
_MEANINGS: Final = {
    _DUPLICATES: "Images that look almost the same as another one in this dataset."
} | {
    f"{warning}?": f"Each image {WARNINGS_IN_WORDS[warning]}." for warning in _WARNINGS
}
IMPORT: Final = ":material/new_label: Import labels"
COMPARE: Final = ":material/compare_arrows: Compare labels"
_TOOLS: Final[Mapping[str, Callable[[], None]]] = {
    IMPORT: import_panel.section,
    COMPARE: compare_panel.section,
    state.BACK_UP: backup_panel.section,
}


def limits_in_words() -> str:
    """Return the upload limits and file types as a sentence."""
    limits = services.limits()
    return (
        f"{formats_in_words('or')}, a zip of them, or a video. Up to "
        f"{limits.max_file_bytes // 1_000_000:,} MB per file, "
        f"{limits.max_image_pixels // 1_000_000:,} megapixels per image, "
        f"{limits.max_dataset_images:,} images per dataset."
    )


def drop_zone() -> None:
    """Draw the file uploader and add the dropped files."""
    files = widgets.drop_zone(
        "Drop images, a folder or a zip",
        kinds=("Images or zip", "Folder"),
        key="upload",
        generation=state.uploader_generation(),
    )
    if files:
        # Leaving the page meanwhile must not lose half of the files.
        interruptions: list[BaseException] = []
        report = _add(files, interruptions)
        undisturbed(partial(state.keep_upload_report, report), interruptions)
        undisturbed(partial(uploads.free, [file for _, file in files]), interruptions)
        if interruptions:
            raise interruptions[-1]
        st.rerun()


@state.reports_errors
def add_samples() -> None:
    """Add the sample photographs to this dataset."""
    state.keep_upload_report(state.add_samples(state.scope()))


def _add(
    files: Sequence[tuple[str, BinaryIO]], interruptions: list[BaseException]
) -> AdmissionReport:
    bar = st.progress(0.0, text="Adding images …")
    has_zip = any(name.lower().endswith(".zip") for name, _ in files)
    seen = 0

    def on_item(name: str) -> None:
        nonlocal seen
        seen += 1
        text = f"Adding images: {seen:,} · {widgets.escape(name)}"
        # The number of images in a zip is not known yet: a caption instead of a bar.
        show = partial(bar.caption, text)
        if not has_zip:
            show = partial(bar.progress, min(seen / len(files), 1.0), text=text)
        undisturbed(show, interruptions)

    limits = services.limits()
    videos = [file for file in files if _is_video(file[0])]
    images = [file for file in files if not _is_video(file[0])]
    passed_over = SkippedFiles()
    incoming = unpack_uploads(images, limits, passed_over=passed_over)
    report = admit(
        services.store(), state.scope(), incoming, limits=limits, on_item=on_item
    )
    refused = video_panel.keep(videos, on_item, interruptions)
    return replace(
        report,
        refused=(*report.refused, *refused),
        passed_over=tuple(passed_over.sentences()),
        names_passed_over=tuple(passed_over.files),
    )


def _is_video(name: str) -> bool:
    return is_video_name(name) and not is_clutter(name)


def show_report() -> None:
    """Show the result of the last upload, with the refused files."""
    report = state.upload_report()
    if report is None or report == AdmissionReport():
        return
    parts = [f"**{widgets.plural(len(report.added), 'image')} added**"]
    if report.present:
        parts.append(f"{len(report.present):,} already in the dataset")
    if report.refused:
        parts.append(f"{len(report.refused):,} refused")
    show = st.success if report.added or not report.refused else st.warning
    show(" · ".join(parts))
    for sentence in report.passed_over:
        st.caption(widgets.escape(sentence))
    if report.names_passed_over:
        st.caption("To import label files, use **Import labels** below.")
        if any(map(is_video_name, report.names_passed_over)):
            st.caption("To add frames of a video, drop it by itself, not in a zip.")
        count = len(report.names_passed_over)
        with st.expander(f"Skipped: {widgets.plural(count, 'file')}"):
            _bulleted(report.names_passed_over)
    if report.refused:
        with st.expander(f"Refused: {widgets.plural(len(report.refused), 'file')}"):
            _bulleted(_reasons(report))


def _reasons(report: AdmissionReport) -> list[str]:
    return [
        file.reason
        if file.file_name in file.reason
        else f"{file.file_name}: {file.reason}"
        for file in report.refused
    ]


def _bulleted(texts: Sequence[str]) -> None:
    """Draw untrusted texts as a list, at most the first 500."""
    with st.container(height="content" if len(texts) <= _SHORT_LIST else _LIST_PX):
        shown = map(widgets.escape, texts[:_LONGEST_LIST])
        st.markdown("\n".join(f"- {reason}" for reason in shown))
    if len(texts) > _LONGEST_LIST:
        st.caption(f"and {len(texts) - _LONGEST_LIST:,} more")


class Shown(NamedTuple):
    """The images that the filter shows, in upload order; None is all of them."""

    image_ids: Sequence[str] | None
    total: int


def choose_shown() -> Shown:
    """Draw the filter by quality warning; return the matching images."""
    scope, store = state.scope(), services.store()
    groups = _groups(scope.owner_id, scope.dataset_id, store.images_mark(scope))
    counts = {_ALL: store.count_images(scope)}
    counts |= {name: len(image_ids) for name, image_ids in groups.items()}
    chosen = st.pills(
        "Show",
        [name for name, count in counts.items() if count],
        default=_ALL,
        required=True,
        format_func=lambda name: f"{name.capitalize()} {counts[name]:,}",
        key=f"upload.shown.{hash(tuple(counts.items()))}",
        label_visibility="collapsed",
    )
    with st.container(width="content"):
        if chosen in _MEANINGS:
            st.caption(_MEANINGS[chosen])
    return Shown(groups.get(chosen), counts[chosen])


@lru_cache(maxsize=4)
def _groups(owner_id: str, dataset_id: str, mark: str) -> dict[str, list[str]]:
    """Return the images that have each warning, and near-duplicates.

    mark: changes when images are added or removed.
    """
    notes = services.store().quality_notes(Scope(owner_id, dataset_id, ""))
    groups = {
        f"{warning}?": [note.image_id for note in notes if warning in note.warnings]
        for warning in _WARNINGS
    }
    hashes = {
        note.image_id: note.difference_hash for note in notes if note.difference_hash
    }
    doubles = set(chain.from_iterable(near_duplicates(hashes)))
    groups[_DUPLICATES] = [n.image_id for n in notes if n.image_id in doubles]
    return groups


def thumbnails(shown: Shown) -> None:
    """Draw one page of thumbnails; a click opens the editor."""
    page = _page(shown)
    scope = state.scope()
    records = services.store().records(scope, image_ids=[row.image_id for row in page])
    suggested = suggested_boxes.of_records(records)
    suggesting = {
        record.image_id: _suggesting_tile(record, boxes)
        for record in records
        if (boxes := suggested[record.image_id])
    }
    widgets.picture_grid(
        [
            widgets.Picture(
                row.image_id,
                suggesting.get(row.image_id)
                or cache.plain_tile(scope, row.image_id, row.file_name),
                row.file_name,
                line=widgets.with_suggestions(
                    _line(row),
                    len(suggested.get(row.image_id, ())),
                ),
                hint=" and ".join(warnings_in_words(row.quality))
                if row.quality
                else "",
                icon=widgets.STATUS_ICONS[row.status],
            )
            for row in page
        ],
        columns=COLUMNS,
        key="upload.grid",
    )


def _page(shown: Shown) -> Sequence[ImageRow]:
    pages = -(-shown.total // PAGE_SIZE)
    number = widgets.page_number(pages, key="upload.page") if pages > 1 else 1
    first, scope, store = (number - 1) * PAGE_SIZE, state.scope(), services.store()
    if shown.image_ids is None:
        return store.image_rows(scope, offset=first, limit=PAGE_SIZE)
    some = shown.image_ids[first : first + PAGE_SIZE]
    return store.image_rows(scope, ImageFilter(image_ids=some))


def _line(row: ImageRow) -> str:
    """Return a frame's time in its video, and the quality warnings."""
    time = frame_time(row.file_name)
    parts = [time_in_words(time.milliseconds / 1000)] if time else []
    return ", ".join([*parts, *(row.quality.warnings if row.quality else ())])


def _suggesting_tile(record: ImageRecord, boxes: Sequence[Annotation]) -> str:
    scope = state.scope()
    labels = services.store().labels(scope).with_labels(box.label for box in boxes)
    return cache.labelled_tile(scope, record, labels, [*record.annotations, *boxes])


def tools() -> None:
    """Draw the tools of the page; the chosen one stays open until clicked again."""
    chosen = st.pills(
        "More",
        list(_TOOLS),
        key=state.UPLOAD_TOOL,
        label_visibility="collapsed",
        persist_state="session",
    )
    if chosen is not None:
        with st.container(border=True):
            _TOOLS[chosen]()

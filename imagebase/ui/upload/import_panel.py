"""Import labels: drop files, preview the result, confirm, import."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import streamlit as st

from imagebase.annotation import new_id
from imagebase.errors import AnnotationFileError
from imagebase.formats.base import ReadResult, Remark
from imagebase.formats.registry import read, readable_formats, recognise
from imagebase.formats.text_files import csv_cell
from imagebase.images.skipped_files import EARLIER
from imagebase.ingest.box_merging import ImportChoice
from imagebase.ingest.image_matching import DroppedImage, look_at_images
from imagebase.ingest.import_plan import ImportedLabel, ImportPlan, dry_run, label_rows
from imagebase.ingest.label_files import DroppedFiles, keep_files
from imagebase.jobs.temporary_files import dropped, forget_dropped, make_room
from imagebase.settings import Limits
from imagebase.store import JobState, Scope
from imagebase.ui import job_progress, services, state, widgets
from imagebase.ui.upload import import_preview
from imagebase.ui.web import uploads

_UPLOAD: Final = "imagebase.import.upload"
_STARTED: Final = "imagebase.import.started"
_GENERATION: Final = "imagebase.import.generation"


@dataclass(frozen=True, slots=True)
class _Upload:
    """Files dropped for a dataset; format: as recognised, or empty."""

    upload_id: str
    dataset_id: str
    format: str
    problem: str = ""


def section() -> None:
    """Draw the uploader for label files, or the preview of the dropped ones."""
    upload, job = _upload(), job_progress.latest("import")
    if job_progress.is_active(job):
        job_progress.show("import")
    elif upload is not None:
        _preview(upload)
    else:
        if _is_started() or (job is not None and job.state is JobState.INTERRUPTED):
            _show_outcome()
        _drop_zone()


def _upload() -> _Upload | None:
    upload: _Upload | None = st.session_state.get(_UPLOAD)
    here = state.scope().dataset_id
    return upload if upload is not None and upload.dataset_id == here else None


def _is_started() -> bool:
    return bool(st.session_state.get(_STARTED) == state.scope().dataset_id)


def _drop_zone() -> None:
    generation = st.session_state.get(_GENERATION, 0)
    files = widgets.drop_zone(
        "Label files, with or without their images",
        kinds=("Files or zip", "Folder"),
        key="import",
        generation=generation,
    )
    titles = ", ".join(reader.title for reader in readable_formats().values())
    st.caption(
        f"{widgets.escape(titles)}; with or without the images. "
        "Nothing is imported before you confirm the preview."
    )
    if files:
        st.session_state[_GENERATION] = generation + 1
        try:
            _keep(files)
        finally:
            uploads.free([file for _, file in files])
        st.rerun()


def _keep(files: Sequence[tuple[str, Any]]) -> None:
    """Keep the dropped files on disk until they are imported, at most an hour."""
    scope, upload_id = state.scope(), new_id()
    make_room(scope, services.limits())
    folder = dropped(scope, upload_id)
    keep_files(files, folder, services.limits())
    try:
        name, problem = recognise(DroppedFiles(folder, services.limits())), ""
    except AnnotationFileError as error:
        name, problem = "", str(error)
    st.session_state[_UPLOAD] = _Upload(upload_id, scope.dataset_id, name, problem)
    st.session_state.pop(_STARTED, None)


@st.fragment
@widgets.guarded
def _preview(upload: _Upload) -> None:
    state.leave_deleted_dataset()
    if _upload() is None or job_progress.is_active(job_progress.latest("import")):
        st.rerun()  # discarded here, or another import is running
    left, right = st.columns([4, 1.3])
    with right:
        format_name = _choose_format(upload)
    summary = left.container()
    if not format_name:
        summary.warning(widgets.escape(upload.problem))
        _buttons(None, {})
        return
    try:
        result, own_images = _read(*_key(upload), format_name, services.limits())
    except AnnotationFileError as error:
        summary.warning(widgets.escape(str(error)))
        _buttons(None, {})
        return
    scope, limits = state.scope(), services.limits()
    choice = import_preview.choose(upload.upload_id, own_images)
    buttons, details = st.container(), st.container()
    rows = _rows(scope, result)
    with details:
        labels, images, remarks = st.tabs(import_preview.titles(result))
        with labels:
            choice = import_preview.with_names(choice, rows, upload.upload_id)
        preview = _dry_run(
            scope, result, own_images, choice, limits, upload, format_name
        )
        with images:
            import_preview.draw_images(preview.matches)
        with remarks:
            import_preview.draw_remarks(result)
    with summary:
        import_preview.summarise(preview, result)
        import_preview.warn(preview)
    parameters = asdict(choice) | {
        "upload": upload.upload_id,
        "format": format_name,
        "limits": asdict(limits),
    }
    with buttons:
        _buttons(preview, parameters)


def _choose_format(upload: _Upload) -> str:
    formats = readable_formats()
    names = list(formats)
    chosen: str | None = st.selectbox(
        "Format",
        names,
        index=names.index(upload.format) if upload.format else None,
        format_func=lambda name: formats[name].title,
        placeholder="Choose a format",
        key=f"import.format.{upload.upload_id}",
    )
    return chosen or ""


def _key(upload: _Upload) -> tuple[str, str, str]:
    scope = state.scope()
    return scope.owner_id, scope.dataset_id, upload.upload_id


@st.cache_resource(max_entries=2, show_spinner="Reading labels …")
def _read(
    owner_id: str, dataset_id: str, upload_id: str, format_name: str, _limits: Limits
) -> tuple[ReadResult, dict[str, DroppedImage]]:
    folder = dropped(Scope(owner_id, dataset_id, ""), upload_id)
    tree = DroppedFiles(folder, _limits)
    own_images = look_at_images(tree, max_pixels=_limits.max_image_pixels)
    result = read(tree, format_name)
    exports = [Remark(export, "", EARLIER) for export in tree.exports]
    skipped = (*exports, *result.report.skipped)
    report = replace(result.report, skipped=skipped)
    return replace(result, report=report), own_images


def _rows(scope: Scope, result: ReadResult) -> list[ImportedLabel]:
    store = services.store()
    former = store.former_label_names(scope)
    return label_rows(result.labels, result.images, store.labels(scope), former)


def _dry_run(
    scope: Scope,
    result: ReadResult,
    own_images: Mapping[str, DroppedImage],
    choice: ImportChoice,
    limits: Limits,
    upload: _Upload,
    format_name: str,
) -> ImportPlan:
    names = tuple(sorted(choice.names.items(), key=str))
    seen = (upload.upload_id, format_name, services.store().version(scope), names)
    options = (choice.replacing.value, choice.takes_new, choice.takes_approved)
    return _dry_run_once(
        str((*seen, *options)), scope, result, own_images, choice, limits
    )


@st.cache_resource(max_entries=16, show_spinner="Preparing the preview …")
def _dry_run_once(
    key: str,
    _scope: Scope,
    _result: ReadResult,
    _own_images: Mapping[str, DroppedImage],
    _choice: ImportChoice,
    _limits: Limits,
) -> ImportPlan:
    """key: everything that the result depends on."""
    store = services.store()
    return dry_run(store, _scope, _result, _own_images, _choice, limits=_limits)


def _buttons(preview: ImportPlan | None, parameters: dict[str, Any]) -> None:
    with st.container(horizontal=True):
        if preview is not None:
            st.button(
                import_preview.verb(preview),
                key="import.agree",
                type="primary",
                icon=":material/check:",
                disabled=preview.changes_nothing,
                on_click=_start,
                args=(parameters,),
            )
        st.button("Cancel", key="import.forget", on_click=_discard)


@state.reports_errors
def _start(parameters: dict[str, Any]) -> None:
    """Start the confirmed import; where it is refused, the dropped files are kept."""
    job_progress.begin("import", parameters)
    st.session_state[_STARTED] = state.scope().dataset_id
    st.session_state.pop(_UPLOAD, None)


@state.reports_errors
def _discard() -> None:
    upload: _Upload | None = st.session_state.pop(_UPLOAD, None)
    if upload is not None:
        forget_dropped(state.scope(), upload.upload_id)


def _show_outcome() -> None:
    job = job_progress.latest("import")
    if job is None or job.state is not JobState.DONE:
        job_progress.show("import")
        return
    result = job.result or {}
    parts = [f"**{widgets.plural(result['boxes'], 'box')}** imported"]
    if result["tags"]:
        parts.append(widgets.plural(result["tags"], "tag"))
    if result.get("areas"):
        parts.append(widgets.plural(result["areas"], "ignore area"))
    parts[-1] += f" on **{widgets.plural(result['images'], 'image')}**"
    if result["images_added"]:
        parts.append(f"{widgets.plural(result['images_added'], 'image')} added")
    if result.get("areas_left_out"):
        left = widgets.plural(result["areas_left_out"], "ignore area")
        parts.append(f"{left} not imported")
    if result["conflicts"]:
        parts.append(
            f"{result['conflicts']:,} skipped, changed by someone else meanwhile"
        )
    st.success(f"{' · '.join(parts)}. To remove the labels, click Undo in the sidebar.")
    with st.container(horizontal=True, vertical_alignment="center"):
        if result["left_out"]:
            with st.popover(
                f"Not imported: {len(result['left_out']):,}", key="import.left_out"
            ):
                reasons = list(map(csv_cell, result["left_out"]))
                st.dataframe({"reason": reasons}, hide_index=True)
        st.page_link(
            "pages/review.py", label="**Review**", icon=":material/arrow_forward:"
        )

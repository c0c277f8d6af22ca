"""Labels that exist already: dropped, looked at, agreed to, and only then stored."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import pandas as pd
import streamlit as st

from imagebase.annotation import MAX_LABEL_LENGTH, clean_label, new_id
from imagebase.errors import AnnotationFileError
from imagebase.formats.label_set_files import ReadResult
from imagebase.formats.registry import FORMATS, read, recognise
from imagebase.importing.dry_run import DryRun, LabelRow, dry_run, label_rows
from imagebase.importing.files import DroppedFiles, keep_files
from imagebase.importing.matching import DroppedImage, How, Match, look_at_images
from imagebase.importing.merging import ImportChoice, Replacing
from imagebase.settings import Limits
from imagebase.store import JobState, Scope
from imagebase.tasks.export import delete_old_exports
from imagebase.tasks.importing import dropped_folder
from imagebase.ui import backend, jobs, state, widgets

_UPLOAD: Final = "imagebase.import.upload"
_STARTED: Final = "imagebase.import.started"
_GENERATION: Final = "imagebase.import.generation"
_FILES: Final = "Files or a zip"
_FOLDER: Final = "A folder"
_MOST_ROWS: Final = 2_000
_TABLE_PX: Final = 260
_REPLACING: Final = {
    Replacing.NOTHING: "Keep them",
    Replacing.MODEL_BOXES: "Replace model boxes",
    Replacing.ALL_BOXES: "Replace all",
}
_MEANINGS: Final = {
    Replacing.NOTHING: "Every box that is here stays; the labels come beside it.",
    Replacing.MODEL_BOXES: "On these images, model boxes that nobody touched go.",
    Replacing.ALL_BOXES: "On these images all boxes go, those of people too.",
}


@dataclass(frozen=True, slots=True)
class _Upload:
    """Files that were dropped for a dataset; format: as recognised, or empty."""

    upload_id: str
    dataset_id: str
    format: str
    problem: str = ""


def section() -> None:
    """Draw the field for label files, or what importing the dropped ones would do."""
    upload, job = _upload(), jobs.latest("import")
    is_told = _is_started() or (job is not None and job.state is JobState.INTERRUPTED)
    is_told = is_told or jobs.is_active(job)
    with st.expander(
        "Import labels that exist already",
        icon=":material/new_label:",
        expanded=upload is not None or is_told,
    ):
        if jobs.is_active(job):
            jobs.show("import")
        elif upload is not None:
            _look(upload)
        else:
            if is_told:
                _show_outcome()
            _drop_zone()


def _upload() -> _Upload | None:
    """Return what was dropped for the dataset that is on screen."""
    upload: _Upload | None = st.session_state.get(_UPLOAD)
    here = state.dataset().dataset_id
    return upload if upload is not None and upload.dataset_id == here else None


def _is_started() -> bool:
    """Say whether this session began the last import of this dataset."""
    return bool(st.session_state.get(_STARTED) == state.dataset().dataset_id)


def _drop_zone() -> None:
    kind = st.segmented_control(
        "What to drop",
        [_FILES, _FOLDER],
        default=_FILES,
        required=True,
        key="import.kind",
        label_visibility="collapsed",
    )
    generation = st.session_state.get(_GENERATION, 0)
    files = st.file_uploader(
        "Label files, with or without their images",
        accept_multiple_files="directory" if kind == _FOLDER else True,
        max_upload_size=max(backend.limits().max_file_bytes // 1_000_000, 1),
        key=f"import.files.{kind == _FOLDER}.{generation}",
        label_visibility="collapsed",
    )
    titles = ", ".join(one.title for one in FORMATS.values())
    st.caption(
        f"{widgets.escape(titles)}; with or without the images. "
        "You see what would come in before anything is stored."
    )
    if files:
        st.session_state[_GENERATION] = generation + 1
        _keep([(file.name, file) for file in files])
        st.rerun()


def _keep(files: Sequence[tuple[str, Any]]) -> None:
    """Keep the dropped files on disk until they are imported, or an hour."""
    delete_old_exports()
    scope, upload_id = state.scope(), new_id()
    folder = dropped_folder(scope, upload_id)
    keep_files(files, folder, backend.limits())
    try:
        name, problem = recognise(DroppedFiles(folder, backend.limits())), ""
    except AnnotationFileError as error:
        name, problem = "", str(error)
    st.session_state[_UPLOAD] = _Upload(upload_id, scope.dataset_id, name, problem)
    st.session_state.pop(_STARTED, None)


@st.fragment
@widgets.guarded
def _look(upload: _Upload) -> None:
    """Draw what an import would do, how it may be done, and the two ways out."""
    state.leave_deleted_dataset()
    if _upload() is None:
        st.rerun()  # a press in here has ended it
    left, right = st.columns([4, 1.3], vertical_alignment="bottom")
    with right:
        format_name = _choose_format(upload)
    summary = left.container()
    if not format_name:
        summary.warning(widgets.escape(upload.problem))
        _buttons(None, {})
        return
    try:
        result, dropped = _read(*_key(upload), format_name, backend.limits())
    except AnnotationFileError as error:
        summary.warning(widgets.escape(str(error)))
        _buttons(None, {})
        return
    scope, limits = state.scope(), backend.limits()
    choice = _choose(upload, dropped)
    presses, details = st.container(), st.container()
    rows = _rows(scope, result)
    with details:
        labels, images, remarks = st.tabs(_titles(result))
        with labels:
            choice = _with_names(choice, rows, upload)
        told = _dry_run(scope, result, dropped, choice, limits, upload, format_name)
        with images:
            _draw_images(told.matches)
        with remarks:
            _draw_remarks(result)
    with summary:
        _summarise(told, result)
        _warn(told)
    parameters = asdict(choice) | {
        "upload": upload.upload_id,
        "format": format_name,
        "limits": asdict(limits),
    }
    with presses:
        _buttons(told, parameters)


def _choose_format(upload: _Upload) -> str:
    names = list(FORMATS)
    chosen: str | None = st.selectbox(
        "Format",
        names,
        index=names.index(upload.format) if upload.format else None,
        format_func=lambda name: FORMATS[name].title,
        placeholder="Choose the format",
        key=f"import.format.{upload.upload_id}",
    )
    return chosen or ""


def _key(upload: _Upload) -> tuple[str, str, str]:
    scope = state.scope()
    return scope.owner_id, scope.dataset_id, upload.upload_id


@st.cache_resource(max_entries=4, show_spinner="Reading the labels …")
def _read(
    owner_id: str, dataset_id: str, upload_id: str, format_name: str, _limits: Limits
) -> tuple[ReadResult, dict[str, DroppedImage]]:
    folder = dropped_folder(Scope(owner_id, dataset_id, ""), upload_id)
    tree = DroppedFiles(folder, _limits)
    dropped = look_at_images(tree, max_pixels=_limits.max_image_pixels)
    return read(tree, format_name), dropped


def _rows(scope: Scope, result: ReadResult) -> list[LabelRow]:
    store = backend.store()
    return label_rows(result, store.labels(scope), store.former_label_names(scope))


def _dry_run(
    scope: Scope,
    result: ReadResult,
    dropped: Mapping[str, DroppedImage],
    choice: ImportChoice,
    limits: Limits,
    upload: _Upload,
    format_name: str,
) -> DryRun:
    names = tuple(sorted(choice.names.items(), key=str))
    seen = (upload.upload_id, format_name, backend.store().version(scope), names)
    options = (choice.replacing.value, choice.takes_new, choice.takes_approved)
    return _dry_run_once(str((*seen, *options)), scope, result, dropped, choice, limits)


@st.cache_resource(max_entries=16, show_spinner="Looking at what would come in …")
def _dry_run_once(
    key: str,
    _scope: Scope,
    _result: ReadResult,
    _dropped: Mapping[str, DroppedImage],
    _choice: ImportChoice,
    _limits: Limits,
) -> DryRun:
    """key: holds everything that the answer depends on."""
    store = backend.store()
    return dry_run(store, _scope, _result, _dropped, _choice, limits=_limits)


def _choose(upload: _Upload, dropped: Mapping[str, DroppedImage]) -> ImportChoice:
    left, right = st.columns([1, 1], vertical_alignment="top")
    with left:
        replacing = st.segmented_control(
            "Boxes that are here already",
            list(_REPLACING),
            default=Replacing.NOTHING,
            required=True,
            format_func=_REPLACING.__getitem__,
            key=f"import.replacing.{upload.upload_id}",
        )
        st.caption(_MEANINGS[replacing])
    with right:
        takes_new = bool(dropped) and st.checkbox(
            f"Add the images that came with them ({len(dropped):,})",
            value=True,
            key=f"import.new.{upload.upload_id}",
        )
        takes_approved = st.checkbox(
            "Change approved images too",
            key=f"import.approved.{upload.upload_id}",
            help="Otherwise what is approved stays as it is.",
        )
    return ImportChoice(replacing, takes_new=takes_new, takes_approved=takes_approved)


def _titles(result: ReadResult) -> list[str]:
    remarks = len(result.report.skipped) + len(result.report.changed)
    return [
        f"Labels {len(result.labels):,}",
        f"Images {len(result.images):,}",
        f"Left out or changed {remarks:,}",
    ]


def _with_names(
    choice: ImportChoice, rows: Sequence[LabelRow], upload: _Upload
) -> ImportChoice:
    """Draw the labels with what each is called here; return the choice with that."""
    st.caption(
        "What each label is called in this dataset. Change a name, or clear it to "
        "leave that label out."
    )
    table = pd.DataFrame(
        [(one.number, one.name, one.uses, one.here, one.how) for one in rows],
        columns=["number", "name", "uses", "here", "how"],
    ).astype({"here": "object"})
    edited = st.data_editor(
        table,
        hide_index=True,
        height="content" if len(rows) <= 6 else _TABLE_PX,
        disabled=["number", "name", "uses", "how"],
        column_config={
            "number": st.column_config.NumberColumn("No.", width="small"),
            "name": st.column_config.TextColumn("In the files"),
            "uses": st.column_config.NumberColumn("Boxes", width="small"),
            "here": st.column_config.TextColumn(
                "Called here", max_chars=MAX_LABEL_LENGTH
            ),
            "how": st.column_config.TextColumn("Why"),
        },
        key=f"import.labels.{upload.upload_id}.{hash(tuple(rows))}",
    )
    called = [_cleaned(value) for value in edited["here"]]
    names = {row.name: name for row, name in zip(rows, called, strict=True)}
    return ImportChoice(
        choice.replacing, names, choice.takes_new, choice.takes_approved
    )


def _cleaned(value: object) -> str | None:
    """Return a typed name as a label, or None for an empty cell."""
    if not isinstance(value, str):
        return None
    try:
        return clean_label(value)
    except ValueError:
        return None


def _draw_images(matches: Sequence[Match]) -> None:
    ordered = sorted(matches, key=lambda one: (not one.problem, not one.note))
    shown = ordered[:_MOST_ROWS]
    st.dataframe(
        {
            "in the labels": [one.name for one in shown],
            "the image": [one.file_name for one in shown],
            "found by": [one.how.value for one in shown],
            "what differs": [one.problem or one.note for one in shown],
            "comes in": [not one.problem for one in shown],
        },
        hide_index=True,
        height="content" if len(shown) <= 6 else _TABLE_PX,
        column_config={"comes in": st.column_config.CheckboxColumn(width="small")},
    )
    if len(ordered) > len(shown):
        st.caption(f"and {len(ordered) - len(shown):,} more")


def _draw_remarks(result: ReadResult) -> None:
    report = result.report
    remarks = [(one, "left out") for one in report.skipped]
    remarks += [(one, "changed") for one in report.changed]
    if not remarks:
        st.caption("Everything in the files can be read as it stands.")
        return
    shown = remarks[:_MOST_ROWS]
    st.dataframe(
        {
            "file": [one.file for one, _ in shown],
            "where": [one.at for one, _ in shown],
            "what": [one.reason for one, _ in shown],
            "so it is": [verb for _, verb in shown],
        },
        hide_index=True,
        height="content" if len(shown) <= 6 else _TABLE_PX,
    )
    if len(remarks) > len(shown):
        st.caption(f"and {len(remarks) - len(shown):,} more")


def _summarise(told: DryRun, result: ReadResult) -> None:
    """Say what would come in, and what would not."""
    effect = told.effect
    brings = [f"**{widgets.plural(effect.boxes, 'box')}**"]
    if effect.tags:
        brings.append(f"**{widgets.plural(effect.tags, 'tag')}**")
    st.markdown(
        f":material/input: {' and '.join(brings)} would come in on "
        f"**{widgets.plural(effect.images, 'image')}** · {_found(told)}"
    )
    if told.new_images:
        st.markdown(
            ":material/add_photo_alternate: "
            f"**{widgets.plural(told.new_images, 'image')}** would be added · "
            f"{widgets.megabytes(told.new_bytes)}"
        )
    stays_out = [
        (
            sum(bool(one.problem) for one in told.matches),
            "image",
            "not found or not fitting",
        ),
        (effect.approved, "image", "approved and left alone"),
        (effect.full, "image", "full"),
        (effect.present, "box", "here already"),
        (effect.unwanted, "box", "with a label that is left out"),
        (effect.outside, "box", "outside the image"),
        (len(result.report.skipped), "item", "in the files that cannot come in"),
    ]
    words = [f"{widgets.plural(n, noun)} {why}" for n, noun, why in stays_out if n]
    if words:
        st.markdown(f":material/block: Not: {' · '.join(words)}")


def _found(told: DryRun) -> str:
    """Return how many images of the labels were found, and how."""
    counts = Counter(one.how for one in told.matches if not one.problem)
    ways = {
        How.CONTENT: "by their content",
        How.NAME: "by their name",
        How.NEW: "that came with the labels",
    }
    words = [f"{counts[how]:,} {way}" for how, way in ways.items() if counts[how]]
    total = widgets.plural(len(told.matches), "image")
    return f"{counts.total():,} of {total} found" + (
        f": {', '.join(words)}" if words else ""
    )


def _warn(told: DryRun) -> None:
    """Say which boxes would go."""
    taken = [
        (told.effect.replaced_model, "model box", "model boxes"),
        (told.effect.replaced, "box of people's", "boxes of people's"),
    ]
    away = [f"**{n:,} {one if n == 1 else many}**" for n, one, many in taken if n]
    if away:
        st.warning(f"{' and '.join(away)} would go.", icon=":material/delete:")


def _buttons(told: DryRun | None, parameters: dict[str, Any]) -> None:
    with st.container(horizontal=True):
        if told is not None:
            st.button(
                _verb(told),
                key="import.agree",
                type="primary",
                icon=":material/check:",
                disabled=told.changes_nothing,
                on_click=_start,
                args=(parameters,),
            )
        st.button("Do not import", key="import.forget", on_click=_forget)


def _verb(told: DryRun) -> str:
    effect = told.effect
    if effect.boxes:
        return f"Import {widgets.plural(effect.boxes, 'box')}"
    if effect.tags:
        return f"Import {widgets.plural(effect.tags, 'tag')}"
    if told.new_images:
        return f"Add {widgets.plural(told.new_images, 'image')}"
    return "Import these labels"


def _start(parameters: dict[str, Any]) -> None:
    """Begin what a person agreed to."""
    jobs.start("import", parameters)
    st.session_state[_STARTED] = state.dataset().dataset_id
    st.session_state.pop(_UPLOAD, None)


def _forget() -> None:
    st.session_state.pop(_UPLOAD, None)


def _show_outcome() -> None:
    """Say what the last import came to."""
    job = jobs.latest("import")
    if job is None or job.state is not JobState.DONE:
        jobs.show("import")
        return
    result = job.result or {}
    parts = [f"**{widgets.plural(result['boxes'], 'box')}** came in"]
    if result["tags"]:
        parts.append(widgets.plural(result["tags"], "tag"))
    parts[-1] += f" on **{widgets.plural(result['images'], 'image')}**"
    if result["images_added"]:
        parts.append(f"{widgets.plural(result['images_added'], 'image')} added")
    if result["conflicts"]:
        parts.append(f"{result['conflicts']:,} changed by someone else meanwhile")
    st.success(f"{' · '.join(parts)}. Undo in the sidebar takes the labels back.")
    with st.container(horizontal=True, vertical_alignment="center"):
        if result["left_out"]:
            with st.popover(f"Left out {len(result['left_out']):,}"):
                st.dataframe({"why": result["left_out"]}, hide_index=True)
        st.page_link(
            "pages/review.py", label="**Review them**", icon=":material/arrow_forward:"
        )

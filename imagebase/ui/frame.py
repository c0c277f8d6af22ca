"""Frame of every page: logo, sidebar with datasets and progress, error messages."""

import logging
import runpy
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

import streamlit as st

from imagebase.annotation.states import GROUPS, group_counts
from imagebase.disk_space import free_bytes
from imagebase.errors import ImageBaseError
from imagebase.settings import ASSETS_FOLDER, PROJECT_ROOT, Mode, settings
from imagebase.ui import (
    address,
    bulk_progress,
    job_progress,
    learning_switch,
    services,
    state,
    widgets,
)
from imagebase.ui.identity import (
    has_login,
    logout_button,
    name_input,
    visitor,
    welcome,
)

if TYPE_CHECKING:
    from streamlit.navigation.page import StreamlitPage

SIDEBAR_PX: Final = 240
# Icons' names and some headings are hidden on screen but not from screen readers, as
# `display: none` would. Streamlit's captions and, in dark, white on a light blue have
# too little contrast.
_STYLE: Final = f"""<style>
[class*="st-key-{widgets.ICON_ONLY}-"] button [data-testid="stMarkdownContainer"],
.st-key-frame-heading {{
  position: absolute;
  width: 1px;
  height: 1px;
  overflow: hidden;
  clip-path: inset(50%);
  white-space: nowrap;
}}
[data-testid="stLayoutWrapper"]:has(> .st-key-{address.KEY.replace(".", "-")}),
[data-testid="stLayoutWrapper"]:has(> .st-key-frame-clicks),
[data-testid="stLayoutWrapper"]:has(> .st-key-frame-heading) {{
  position: absolute;
}}
.stApp [data-testid="stCaptionContainer"] {{
  opacity: 0.75;
}}
.stApp [kind^="primary"]:not(:disabled), .stApp [data-tag] {{
  color: light-dark(#ffffff, #05101f);
}}
@media (max-width: 640px) {{
  .st-key-edit-header, .st-key-edit-actions {{
    flex-wrap: wrap;
  }}
  .st-key-edit-actions > :has([data-testid="stPopover"]) {{
    order: -1;
  }}
  .st-key-edit-actions > .st-key-edit-approve {{
    order: -2;
  }}
}}
</style>"""
# Pages whose height is for images: only a screen reader says where one is.
_WITHOUT_TITLE: Final = ("Edit", "Review")
_NEW_DATASET: Final = "sidebar.new_dataset"
_RENAME: Final = "sidebar.rename"
_SURE: Final = "sidebar.sure"

_is_inside: Final[ContextVar[bool]] = ContextVar("imagebase.frame", default=False)
_log = logging.getLogger(__name__)


def configure(*, folds_sidebar: bool) -> None:
    """Set title, icon, layout and style."""
    st.set_page_config(
        page_title="ImageBase",
        page_icon=str(ASSETS_FOLDER / "icon.png"),
        layout="wide",
        initial_sidebar_state="collapsed" if folds_sidebar else SIDEBAR_PX,
    )
    st.logo(str(ASSETS_FOLDER / "logo.svg"), icon_image=str(ASSETS_FOLDER / "icon.png"))
    st.html(_STYLE)


def enter() -> None:
    """Make sure that a page runs inside the frame; the first line of every page.

    On the first visit after a start, Streamlit may run a page's script alone, without
    login and navigation.
    """
    if not _is_inside.get():
        runpy.run_path(str(PROJECT_ROOT / "app.py"))
        st.stop()


def run(page: "StreamlitPage") -> None:
    """Run a page inside the frame; an error is shown as one message."""
    inside = _is_inside.set(True)
    state.note_dialog(is_open=False)
    state.note_page()
    try:
        with st.container():
            welcome()
        address.restore()
        with st.sidebar:
            _sidebar()
        _drop_blind_clicks()
        if page.title in _WITHOUT_TITLE:
            st.container(key="frame.heading").title(page.title)
        show_message()
        with st.container():
            _warn_of_full_disk()
        with st.container():
            job_progress.interruptions()
        with st.container():
            bulk_progress.run_scheduled()
        with widgets.drawing(f"pages/{page.title.lower()}.py"):
            if page.title != "Edit":  # Edit notes its image as well
                address.note()
            with address.leave_alone():
                page.run()
        address.end_run()
    except ImageBaseError as error:
        _log.warning("Page %s stopped", page.title, exc_info=True)
        widgets.show_error(error)
    finally:
        _is_inside.reset(inside)


def _warn_of_full_disk() -> None:
    free = free_bytes(settings().home)
    if free < services.limits().min_free_bytes:
        st.warning(
            f"The server's disk is nearly full ({widgets.megabytes(free)} free). You "
            "can still see, edit and download; uploads and exports need more space.",
            icon=":material/hard_drive:",
        )


def _drop_blind_clicks() -> None:
    """Ignore clicks on a button that appeared under the pointer a moment ago."""
    script = widgets.asset("clicks.js")
    with st.container(key="frame.clicks"):
        st.components.v2.component("imagebase_clicks", js=script)(key="clicks")


def show_message() -> None:
    """Show the message of the last click once; for the frame and fragments."""
    message = state.message()
    if message:
        # Another run may end this one at either line: better twice than never.
        st.toast(widgets.escape(message))
        state.forget_message()


def _sidebar() -> None:
    parts = (
        _dataset_switch,
        progress_strip,
        job_progress.running_strip,
        _undo_buttons,
        _who,
    )
    for draw in parts:
        # One container each, so that a change in one does not remount the others.
        with st.container():
            draw()


def _who() -> None:
    if services.mode() is Mode.DEMO:
        st.caption(
            "Demo: only this browser can see your images. They are deleted one hour "
            "after your last click. **Export** to keep your work."
        )
    elif has_login():
        with st.popover(
            widgets.escape(visitor().who),
            icon=":material/person:",
            width="stretch",
            key="sidebar.who",
        ):
            st.caption("Logged in as")
            st.text(visitor().who)
            logout_button()
    else:
        with st.popover(
            widgets.escape(visitor().who),
            icon=":material/person:",
            width="stretch",
            key="sidebar.who",
        ):
            name_input()
            st.caption("Not verified, because this server has no login.")


def _dataset_switch() -> None:
    listed = state.datasets()
    if not state.has_dataset(listed):
        state.choose_dataset(listed[0].dataset_id)
        _reset_confirmation()
    known = _distinct({dataset.dataset_id: dataset.name for dataset in listed})
    current = state.scope().dataset_id
    st.selectbox(
        "Dataset",
        list(known),
        index=list(known).index(current),
        format_func=known.__getitem__,
        key=f"sidebar.dataset.{current}.{len(known)}",
        on_change=_choose,
        args=(f"sidebar.dataset.{current}.{len(known)}", current),
    )
    with st.popover(
        "Manage", icon=":material/folder_open:", width="stretch", key="sidebar.manage"
    ):
        _manage(known[current])


def _distinct(names: Mapping[str, str]) -> dict[str, str]:
    """Return names by id, numbered where several are the same."""
    distinct: dict[str, str] = {}
    for key, name in names.items():
        number, unused = 1, name
        while unused in distinct.values():
            number += 1
            unused = f"{name} ({number})"
        distinct[key] = unused
    return distinct


@state.reports_errors
def _choose(key: str, before: str) -> None:
    known = {dataset.dataset_id for dataset in state.datasets()}
    chosen = widgets.offered(key, known, before)
    # A browser that has not heard of a newer choice may send the field as it was.
    if chosen != before:
        state.choose_dataset(chosen)
        _reset_confirmation()


def _backup_button() -> None:
    st.button(
        "Back up or restore",
        key="sidebar.backup",
        icon=":material/archive:",
        on_click=_open_backup,
    )


def _open_backup() -> None:
    st.session_state[state.UPLOAD_TOOL] = state.BACK_UP
    widgets.go_to("pages/upload.py")


def _manage(name: str) -> None:
    _name_form("New dataset", _NEW_DATASET, "Create", on_submit=_create)
    _name_form("Rename this dataset", _RENAME, "Rename", on_submit=_rename, shown=name)
    learning_switch.switch("sidebar.learning")
    _backup_button()
    is_sure = st.checkbox("Delete this dataset with all images and labels", key=_SURE)
    st.button(
        "Delete permanently",
        key="sidebar.delete",
        icon=":material/delete:",
        disabled=not is_sure,
        on_click=_delete,
    )


def _name_form(
    title: str, key: str, verb: str, *, on_submit: Callable[[], None], shown: str = ""
) -> None:
    # Without a form, a field may send its text twice: at Enter and on leaving it.
    with st.form(f"{key}.form", clear_on_submit=True, border=False):
        st.text_input(title, key=key, placeholder=shown, max_chars=100)
        st.form_submit_button(verb, key=f"{key}.submit", on_click=on_submit)


@state.reports_errors
def _create() -> None:
    name = st.session_state[_NEW_DATASET].strip()
    if name:
        state.create_dataset(name)
        _reset_confirmation()


@state.reports_errors
def _rename() -> None:
    name = st.session_state[_RENAME].strip()
    if name:
        state.rename_dataset(name)


@state.reports_errors
def _delete() -> None:
    state.delete_dataset()
    _reset_confirmation()


def _reset_confirmation() -> None:
    """Clear the checkbox: it was meant for another dataset."""
    st.session_state[_SURE] = False


def progress_strip() -> None:
    """Draw the progress of the dataset: a bar, and image counts by status."""
    counts = services.store().progress(state.scope())
    total = sum(counts.values())
    if not total:
        st.caption("No images yet.")
        return
    groups = group_counts(counts)
    approved = groups["approved"]
    st.progress(
        approved / total,
        text=f"**{approved:,}** of {widgets.plural(total, 'image')} approved",
    )
    st.caption(
        " · ".join(_counted(groups, ("to review", "rejected", "new"))),
        help="To review: "
        + (", ".join(_counted(groups, GROUPS["to review"])) or "none")
        + ".",
    )


def _counted(groups: Mapping[str, int], names: Iterable[str]) -> list[str]:
    return [f"{groups[name]:,} {name}" for name in names if groups[name]]


def _undo_buttons() -> None:
    scope, store = state.scope(), services.store()
    with st.container(horizontal=True):
        st.button(
            "Undo",
            key="sidebar.undo",
            icon=":material/undo:",
            disabled=not store.can_undo(scope),
            on_click=bulk_progress.undo,
        )
        st.button(
            "Redo",
            key="sidebar.redo",
            icon=":material/redo:",
            disabled=not store.can_redo(scope),
            on_click=bulk_progress.redo,
        )

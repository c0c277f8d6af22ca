"""Widgets shared by pages: tables, image grids, status icons, uploads, deletion."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import Any, BinaryIO, Final, NamedTuple, ParamSpec, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import RerunException

from imagebase.annotation import ReviewStatus
from imagebase.errors import (
    DatabaseUnreachableError,
    ImageBaseError,
    StorageUnreachableError,
)
from imagebase.images.thumbnails import NO_FILE, NO_FILE_ADVICE, is_placeholder
from imagebase.settings import ASSETS_FOLDER
from imagebase.ui import services, state
from imagebase.wording import plural as plural

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)

EDIT_PAGE: Final = "pages/edit.py"
_MOST_ROWS: Final = 2_000
_TABLE_PX: Final = 260
_GOING: Final = "imagebase.going"
_here: ContextVar[str] = ContextVar("here", default="")  # the page that is being drawn
_MOST_PAGE_NUMBERS: Final = 7
_PAGE_NUMBER_PX: Final = 40
# A narrower row hides numbers even for two or three pages.
_LEAST_PAGES_PX: Final = 280
# Total length of the names in one row at 1280 px without a second line.
_NAME_LETTERS_IN_A_ROW: Final = 96

_MOST_NAMED: Final = 3
WAIT_SECONDS: Final = 2.0

ICON_ONLY: Final = "icon-only"

STATUS_ICONS: Final = {
    ReviewStatus.NEW: ":material/radio_button_unchecked:",
    ReviewStatus.SUGGESTED: ":material/smart_toy:",
    ReviewStatus.IMPORTED: ":material/input:",
    ReviewStatus.EDITED: ":material/edit:",
    ReviewStatus.APPROVED: ":material/check_circle:",
    ReviewStatus.REJECTED: ":material/cancel:",
}
STATUS_WORDS: Final = {
    ReviewStatus.NEW: "new",
    ReviewStatus.SUGGESTED: "suggested",
    ReviewStatus.IMPORTED: "imported",
    ReviewStatus.EDITED: "edited",
    ReviewStatus.APPROVED: "approved",
    ReviewStatus.REJECTED: "rejected",
}
_POPOVER_PX: Final = 360


@dataclass(frozen=True, slots=True)
class Picture:
    """One tile of an image grid: image URL, file name, and a line below it."""

    image_id: str
    url: str
    file_name: str
    line: str = ""
    icon: str | None = None
    hint: str = ""


def guarded(draw: Callable[P, None]) -> Callable[P, None]:
    """Return a fragment's body that shows its errors in its place.

    When a fragment runs alone, the frame does not catch them.
    """

    @wraps(draw)
    def guard(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            draw(*args, **kwargs)
        except ImageBaseError as error:
            _log.warning("A part of a page stopped", exc_info=True)
            show_error(error)

    return guard


def show_error(error: ImageBaseError) -> None:
    """Show an error; where a server does not answer, wait for it and draw again."""
    if isinstance(error, DatabaseUnreachableError):
        _wait("The database does not answer; trying again …")
    elif isinstance(error, StorageUnreachableError):
        _wait("The image storage does not answer; trying again …")
    else:
        st.error(escape(str(error)))


@st.fragment(run_every=WAIT_SECONDS)
def _wait(sentence: str) -> None:
    st.warning(sentence, icon=":material/sync:")
    if services.is_reachable():
        st.rerun()


def in_dialog(draw: Callable[P, None]) -> Callable[P, None]:
    """Return a dialog's body that shows its errors and stays open when a job ends.

    The dialog needs `on_dismiss="rerun"`, to show the ended jobs afterwards.
    """
    guard = guarded(draw)

    @wraps(draw)
    def body(*args: P.args, **kwargs: P.kwargs) -> None:
        state.note_dialog(is_open=True)
        guard(*args, **kwargs)

    return body


def offered(key: str, options: Collection[T], default: T) -> T:
    """Return what a widget holds if it was offered there, else the default.

    For callbacks and for values of widgets that are drawn later: a browser may send any
    text, which Streamlit checks only when it draws the widget.
    """
    value: T | None = st.session_state.get(key)
    return default if value is None or value not in options else value


def all_offered(key: str, options: Collection[T]) -> list[T]:
    """Return what a widget of several values holds of what was offered there."""
    values = st.session_state.get(key) or ()
    return [value for value in values if value in options]


def icon_button(
    name: str,
    *,
    key: str,
    icon: str,
    on_click: Callable[..., None],
    args: tuple[object, ...] = (),
    hint: str = "",
    disabled: bool = False,
    is_plain: bool = False,
) -> None:
    """Draw a button with an icon only; screen readers read its name.

    name: plain text. hint: tooltip, by default the name. is_plain: without a border.
    """
    # The frame's style hides button names in such a container.
    with st.container(key=f"{ICON_ONLY}.{key}", width="content"):
        st.button(
            escape(name),
            key=key,
            icon=icon,
            type="tertiary" if is_plain else "secondary",
            help=hint or escape(name),
            disabled=disabled,
            on_click=on_click,
            args=args,
        )


def page_of(items: Sequence[T], *, page_size: int, key: str) -> Sequence[T]:
    """Return the current page of a list; draw page numbers if there are several."""
    pages = -(-len(items) // page_size)
    if pages <= 1:
        return items
    number = page_number(pages, key=key)
    return items[(number - 1) * page_size : number * page_size]


def page_number(pages: int, *, key: str) -> int:
    """Draw page numbers; return the chosen one, from 1."""
    # Next to other widgets they would shrink to the current number.
    wanted = _PAGE_NUMBER_PX * (min(pages, _MOST_PAGE_NUMBERS) + 2)
    width = max(wanted, _LEAST_PAGES_PX)
    with st.container(width=width):
        number: int = st.pagination(
            pages, key=key, max_visible_pages=_MOST_PAGE_NUMBERS, width=width
        )
    return number


def table(
    rows: Sequence[T],
    columns: Mapping[str, Callable[[T], object]],
    *,
    config: Mapping[str, Any] | None = None,
) -> None:
    """Draw the first 2,000 rows as a table, and the number of the others.

    columns: by title, the cell of a row. config: of columns, as Streamlit takes it.
    """
    shown = rows[:_MOST_ROWS]
    st.dataframe(
        {title: [cell(row) for row in shown] for title, cell in columns.items()},
        hide_index=True,
        height="content" if len(shown) <= 6 else _TABLE_PX,
        column_config=config,
    )
    if len(rows) > len(shown):
        st.caption(f"and {len(rows) - len(shown):,} more")


def drop_zone(
    label: str, *, kinds: tuple[str, str], key: str, generation: int
) -> list[tuple[str, BinaryIO]]:
    """Draw a field for files, or for a folder; return the dropped files, by name.

    kinds: the names of both choices. generation: another number empties the field.
    """
    files, folder = kinds
    kind = st.segmented_control(
        "Upload",
        kinds,
        default=files,
        required=True,
        key=f"{key}.kind",
        label_visibility="collapsed",
    )
    is_folder = kind == folder
    dropped = st.file_uploader(
        label,
        accept_multiple_files="directory" if is_folder else True,
        max_upload_size=max(services.limits().max_file_bytes // 1_000_000, 1),
        key=f"{key}.files.{is_folder}.{generation}",
        label_visibility="collapsed",
    )
    return [(file.name, file) for file in dropped]


def picture_grid(
    pictures: Sequence[Picture],
    *,
    columns: int,
    key: str,
    letters: int = _NAME_LETTERS_IN_A_ROW,
) -> None:
    """Draw images in rows; the name below each opens it in the editor.

    letters: of the names that a row has room for.
    """
    for start in range(0, len(pictures), columns):
        row = pictures[start : start + columns]
        cells = st.columns(columns, gap="small")
        for cell, picture in zip(cells, row, strict=False):
            with cell.container(gap=None):
                _tile(picture, key, longest=letters // columns)


def _tile(picture: Picture, key: str, *, longest: int) -> None:
    st.image(picture.url, width="stretch", alt=picture.file_name)
    st.button(
        escape(short_name(picture.file_name, longest=longest)),
        key=f"{key}.{picture.image_id}",
        type="tertiary",
        icon=picture.icon,
        help=f"{escape(picture.file_name)}"
        f"{' ' + escape(picture.hint) if picture.hint else ''}: open in the editor",
        on_click=open_in_editor,
        args=(picture.image_id,),
    )
    if is_placeholder(picture.url):
        st.caption(f":material/broken_image: {NO_FILE} {NO_FILE_ADVICE}")
    if picture.line:
        st.caption(escape(picture.line))


def open_in_editor(image_id: str) -> None:
    """Open the editor with this image at the next run of the page or fragment.

    For a callback: the button may not be drawn again.
    """
    state.choose_image(image_id)
    go_to(EDIT_PAGE)


def go_to(page: str) -> None:
    """Open a page at the next run of this page or fragment; for a callback."""
    st.session_state[_GOING] = page


def go_on() -> None:
    """Switch to the page that a click asked for; call it first in a fragment."""
    page = st.session_state.get(_GOING, "")
    if page and page != _here.get():
        st.switch_page(page)


@contextmanager
def drawing(page: str) -> Iterator[None]:
    """Go on, or draw this page: only a page that is drawn to its end ends the going.

    Another run may end this one before the browser has heard of the page.
    """
    here = _here.set(page)
    is_cut_off = False
    try:
        go_on()
        yield
    except RerunException:
        is_cut_off = True
        raise
    finally:
        _here.reset(here)
        if not is_cut_off and st.session_state.get(_GOING) == page:
            st.session_state[_GOING] = ""


def asset(file_name: str) -> str:
    """Return the text of a file among the assets: HTML, CSS or JavaScript."""
    return (ASSETS_FOLDER / file_name).read_text(encoding="utf-8")


def short_name(file_name: str, *, longest: int = 18) -> str:
    """Return the last part of a path, shortened in the middle if it is long."""
    name = file_name.rsplit("/", 1)[-1]
    if len(name) <= longest:
        return name
    return f"{name[: longest - 9]}…{name[-8:]}"


def named(file_names: Sequence[str], *, most: int = _MOST_NAMED) -> str:
    """Return the first file names, and how many more there are."""
    first = [short_name(name) for name in file_names[:most]]
    more = len(file_names) - len(first)
    return ", ".join([*first, *([f"{more:,} more"] if more else [])])


def escape(text: str) -> str:
    """Return untrusted text escaped for Markdown."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]<>()#+-.!|~:$&" else c for c in text)


def with_suggestions(words: str, suggestions: int) -> str:
    """Return a line about an image, with its number of unsaved suggestions."""
    if not suggestions:
        return words
    unsaved = f"{plural(suggestions, 'suggestion')} not saved"
    return f"{words} · {unsaved}" if words else unsaved


def megabytes(byte_count: int) -> str:
    """Return a file size as text: 14 MB, 0.3 MB."""
    value = byte_count / 1_000_000
    return f"{value:.0f} MB" if value >= 10 else f"{value:.1f} MB"


def needs_images() -> None:
    """Stop the page with a link to Upload if the dataset has no images."""
    if state.has_images():
        return
    st.info("This dataset has no images yet. Upload some first.")
    st.page_link("pages/upload.py", label="**Upload images**", icon=":material/upload:")
    st.stop()


class ImagesToDelete(NamedTuple):
    """Number of images, their boxes and their open comments."""

    images: int
    boxes: int
    comments: int = 0


def confirm_deletion(
    what: ImagesToDelete, *, version: str, key: str, on_confirm: Callable[[], None]
) -> None:
    """Draw the images to delete, a checkbox, and the button that the checkbox enables.

    version: of these images; another version clears the checkbox.
    """
    images = plural(what.images, "image")
    it, files = ("it", "file") if what.images == 1 else ("them", "files")
    with st.container(width=_POPOVER_PX):
        st.markdown(f"**Delete {images} from this dataset**")
        st.markdown(
            f"The image {files} will be deleted{_contents(what)}. This cannot be "
            f"undone, nor can earlier changes to {it}. To keep a copy, back up the "
            "dataset first (**Manage**, **Back up or restore**)."
        )
        is_sure = st.checkbox(
            f"Delete {images}{_contents(what)}", key=f"{key}.sure.{version}"
        )
        st.button(
            "Delete permanently",
            key=f"{key}.remove",
            icon=":material/delete:",
            disabled=not is_sure,
            on_click=on_confirm,
        )


def _contents(what: ImagesToDelete) -> str:
    counts = [(what.boxes, "box"), (what.comments, "open comment")]
    parts = [plural(count, noun) for count, noun in counts if count]
    return f" with {' and '.join(parts)}" if parts else ""

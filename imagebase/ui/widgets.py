"""Widgets shared by pages: image grids, status icons, deletion, empty states."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Final, NamedTuple, ParamSpec, TypeVar

import streamlit as st

from imagebase.annotation import ReviewStatus
from imagebase.errors import ImageBaseError
from imagebase.images.thumbnails import NO_FILE, NO_FILE_ADVICE, is_placeholder
from imagebase.ui import state
from imagebase.wording import plural as plural

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger(__name__)

EDIT_PAGE: Final = "pages/edit.py"
_GOING: Final = "imagebase.going_to_editor"
_MOST_PAGE_NUMBERS: Final = 7
_PAGE_NUMBER_PX: Final = 40
# Of two or three pages a narrower row leaves numbers out.
_LEAST_PAGES_PX: Final = 280
# What fits beside each other at 1280 pixels without a second line.
_NAME_LETTERS_IN_A_ROW: Final = 96

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


@dataclass(frozen=True, slots=True)
class Picture:
    """One tile of a grid: the picture, what it is called, and a line below it."""

    image_id: str
    url: str
    file_name: str
    line: str = ""
    icon: str | None = None
    hint: str = ""


def guarded(draw: Callable[P, None]) -> Callable[P, None]:
    """Return a fragment's body whose errors are a sentence in its place.

    When a fragment runs alone, the frame around the page is not there to catch them.
    """

    @wraps(draw)
    def guard(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            draw(*args, **kwargs)
        except ImageBaseError as error:
            _log.warning("A part of a page stopped", exc_info=True)
            st.error(escape(str(error)))

    return guard


def in_dialog(draw: Callable[P, None]) -> Callable[P, None]:
    """Return a dialog's body whose errors are a sentence, and that nothing closes.

    The dialog needs `on_dismiss="rerun"`: no end of background work is shown meanwhile.
    """
    guard = guarded(draw)

    @wraps(draw)
    def body(*args: P.args, **kwargs: P.kwargs) -> None:
        state.note_dialog(is_open=True)
        guard(*args, **kwargs)

    return body


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
    """Draw a button that shows its icon alone; its name is read out.

    name: text, as it is. hint: what is shown over it; the name where there is none.
    is_plain: without a border.
    """
    # The frame's style hides the name of what is in such a container.
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
    """Return one page of a long list, and draw the numbers to turn to where needed."""
    pages = -(-len(items) // page_size)
    if pages <= 1:
        return items
    number = page_number(pages, key=key)
    return items[(number - 1) * page_size : number * page_size]


def page_number(pages: int, *, key: str) -> int:
    """Draw the numbers to turn to; return the chosen one, from 1."""
    # Beside other widgets they would shrink to the current number alone.
    wanted = _PAGE_NUMBER_PX * (min(pages, _MOST_PAGE_NUMBERS) + 2)
    width = max(wanted, _LEAST_PAGES_PX)
    number: int = st.pagination(
        pages, key=key, max_visible_pages=_MOST_PAGE_NUMBERS, width=width
    )
    return number


def picture_grid(pictures: Sequence[Picture], *, columns: int, key: str) -> None:
    """Draw pictures in rows; the name below each opens it in the editor."""
    for start in range(0, len(pictures), columns):
        row = pictures[start : start + columns]
        cells = st.columns(columns, gap="small")
        for cell, picture in zip(cells, row, strict=False):
            with cell.container(gap=None):
                _tile(picture, key, longest=_NAME_LETTERS_IN_A_ROW // columns)


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
    """Go to the editor with this image, once the page or a fragment is drawn again.

    For a callback: where the button was drawn there may be none any more.
    """
    state.choose_image(image_id)
    st.session_state[_GOING] = True


def go_to_editor() -> None:
    """Go to the editor if a press asked for it; a fragment begins with this."""
    if st.session_state.pop(_GOING, False):
        st.switch_page(EDIT_PAGE)


def short_name(file_name: str, *, longest: int = 18) -> str:
    """Return the last part of a path, its middle left out where it is long."""
    name = file_name.rsplit("/", 1)[-1]
    if len(name) <= longest:
        return name
    return f"{name[: longest - 9]}…{name[-8:]}"


def escape(text: str) -> str:
    """Return text of a stranger's so that Markdown shows it as it is."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]<>()#+-.!|~:$&" else c for c in text)


def with_suggestions(words: str, suggestions: int) -> str:
    """Return a line about an image, with how many suggestions it has besides."""
    if not suggestions:
        return words
    said = f"{plural(suggestions, 'suggestion')} not saved"
    return f"{words} · {said}" if words else said


def megabytes(byte_count: int) -> str:
    """Return a size for people: 14 MB, 0.3 MB."""
    value = byte_count / 1_000_000
    return f"{value:.0f} MB" if value >= 10 else f"{value:.1f} MB"


def needs_images() -> None:
    """Stop the page with the way out where the dataset holds no image."""
    if state.has_images():
        return
    st.info("This dataset has no images yet. Upload some first.")
    st.page_link("pages/upload.py", label="**Upload images**", icon=":material/upload:")
    st.stop()


_POPOVER_PX: Final = 360


class ImagesToDelete(NamedTuple):
    """Number of images, their boxes and their open comments."""

    images: int
    boxes: int
    comments: int = 0


def confirm_deletion(
    what: ImagesToDelete, *, version: str, key: str, on_confirm: Callable[[], None]
) -> None:
    """Draw what is deleted, a checkbox, and the button that the checkbox enables.

    version: stands for these images as they are now; another one clears the checkbox.
    """
    images = plural(what.images, "image")
    it, its = ("it", "its") if what.images == 1 else ("them", "their")
    with st.container(width=_POPOVER_PX):
        st.markdown(f"**Delete {images} from this dataset**")
        st.markdown(
            f"This deletes {its} image files, {_contents(what)}. It cannot be undone, "
            f"nor can earlier changes to {it}. To keep a copy, back up the dataset "
            "first (**Manage**, **Back up or restore**)."
        )
        is_sure = st.checkbox(
            f"Delete {images} with {_contents(what)}", key=f"{key}.sure.{version}"
        )
        st.button(
            "Delete permanently",
            key=f"{key}.remove",
            icon=":material/delete:",
            disabled=not is_sure,
            on_click=on_confirm,
        )


def _contents(what: ImagesToDelete) -> str:
    boxes = plural(what.boxes, "box") if what.boxes else "no boxes"
    if not what.comments:
        return boxes
    return f"{boxes} and {plural(what.comments, 'open comment')}"

"""Before images are removed: what goes with them, and whether one is sure."""

from collections.abc import Callable
from typing import Final, NamedTuple

import streamlit as st

from imagebase.ui import widgets

_WIDTH_PX: Final = 360


class Going(NamedTuple):
    """What would be removed. comments: those that are open."""

    images: int
    boxes: int
    comments: int = 0


def confirm(going: Going, *, about: str, key: str, on_sure: Callable[[], None]) -> None:
    """Draw what goes, a tick, and the button that the tick makes work.

    about: stands for these images as they are now; a tick for others is none for them.
    """
    image = widgets.plural(going.images, "image")
    with st.container(width=_WIDTH_PX):
        st.markdown(f"**Remove {image} from this dataset**")
        st.markdown(_words(going))
        asked = f"Remove {image} with {_what(going)}"
        sure = st.checkbox(asked, key=f"{key}.sure.{about}")
        st.button(
            "Remove for good",
            key=f"{key}.remove",
            icon=":material/delete:",
            disabled=not sure,
            on_click=on_sure,
        )


def _words(going: Going) -> str:
    is_one = going.images == 1
    file, them = ("Its file goes", "it") if is_one else ("Their files go", "them")
    return (
        f"{file}, with {_what(going)}. This cannot be undone, nor can earlier changes "
        f"that touched {them}. A backup (**Manage**, **Back up or restore**) keeps "
        f"{them}."
    )


def _what(going: Going) -> str:
    boxes = widgets.plural(going.boxes, "box") if going.boxes else "no boxes"
    if not going.comments:
        return boxes
    return f"{boxes} and {widgets.plural(going.comments, 'open comment')}"

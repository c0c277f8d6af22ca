"""Before images are removed: what goes with them, and whether one is sure."""

from collections.abc import Callable
from typing import NamedTuple

import streamlit as st

from imagebase.ui import widgets


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
    st.markdown(f"**Remove {image} from this dataset**")
    file = "Its file goes" if going.images == 1 else "Their files go"
    st.markdown(
        f"{file}, with {_what(going)}. This cannot be undone, nor can earlier changes "
        "that touched them. A backup (**Manage**, **Back up or restore**) keeps them."
    )
    sure = st.checkbox(f"Remove {image} with {_what(going)}", key=f"{key}.sure.{about}")
    st.button(
        "Remove for good",
        key=f"{key}.remove",
        icon=":material/delete:",
        disabled=not sure,
        on_click=on_sure,
    )


def _what(going: Going) -> str:
    boxes = widgets.plural(going.boxes, "box")
    if not going.comments:
        return boxes
    return f"{boxes} and {widgets.plural(going.comments, 'open comment')}"

"""Cookies in the visitor's browser, written by a component without anything to see."""

from typing import Final
from urllib.parse import quote, unquote

import streamlit as st

_SCRIPT: Final = """
export default function({ data }) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie =
    `${data.name}=${data.value}; path=/; SameSite=Strict${secure}${data.age}`;
}
"""

_MEASURE: Final = """
export default function({ data, parentElement, setStateValue }) {
  const width = Math.floor(parentElement.getBoundingClientRect().width);
  if (width > 0 && width !== data.width) setStateValue("width", width);
}
"""

_YEAR_SECONDS: Final = 365 * 24 * 3600


def cookie(name: str) -> str:
    """Return a cookie's value as the session began; empty where there is none."""
    return st.context.cookies.get(name, "")


def set_cookie(name: str, value: str, *, keep: bool = False) -> None:
    """Write a cookie; it ends with the browser session unless it is to be kept.

    The value has to be plain ASCII without separators: see `encode`. The next session
    of this browser reads it with `cookie`; this one does not.
    """
    age = f"; max-age={_YEAR_SECONDS}" if keep else ""
    writer = st.components.v2.component("imagebase_cookie", js=_SCRIPT)
    writer(key=f"cookie.{name}", data={"name": name, "value": value, "age": age})


def room_width(key: str) -> int | None:
    """Return how wide the container is that this is called in, in CSS pixels.

    None until the browser has said so, which takes one more run.
    """
    known = (st.session_state.get(key) or {}).get("width")
    ruler = st.components.v2.component(
        "imagebase_ruler", js=_MEASURE, isolate_styles=False
    )
    ruler(
        key=key,
        data={"width": known},
        on_width_change=lambda: None,
        width="stretch",
        height=1,
    )
    return known if isinstance(known, int) and known > 0 else None


def encode(text: str) -> str:
    """Return any text as a cookie may hold it."""
    return quote(text, safe="")


def decode(value: str) -> str:
    """Return the text of an encoded cookie."""
    return unquote(value)

"""Identity of a visitor: their cookie, their datasets, their display name."""

import getpass
import hashlib
import re
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import quote, unquote

import streamlit as st

from imagebase.annotation import clean_text, utc_now
from imagebase.settings import TEAM_OWNER as TEAM_OWNER
from imagebase.settings import Mode, is_loopback
from imagebase.ui import services

_SCRIPT: Final = """
export default function({ data }) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie =
    `${data.name}=${data.value}; path=/; SameSite=Strict${secure}${data.age}`;
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


def encode(text: str) -> str:
    """Return any text as a cookie may hold it."""
    return quote(text, safe="")


def decode(value: str) -> str:
    """Return the text of an encoded cookie."""
    return unquote(value)


_TOKEN_COOKIE: Final = "imagebase_visitor"
_NAME_COOKIE: Final = "imagebase_name"
_TOKEN: Final = "imagebase.visitor.token"
_NAME: Final = "imagebase.visitor.name"
_SEEN: Final = "imagebase.visitor.seen"
_NAME_INPUT: Final = "visitor.name"
_MAX_NAME_LENGTH: Final = 60
_SEEN_EVERY_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Visitor:
    """owner_id: whose datasets are shown. who: the name changes bear."""

    owner_id: str
    who: str
    is_verified: bool


def visitor() -> Visitor:
    """Return who this session is; `welcome` has seen to it that this is known.

    Whoever asks is here: callbacks and fragments do not pass `welcome` on their way.
    """
    found = _visitor()
    _mark_as_seen(found.owner_id)
    return found


def _visitor() -> Visitor:
    if services.mode() is Mode.DEMO:
        # Only the token's hash is stored: who has not the token cannot name the owner.
        digest = hashlib.sha256(_token().encode()).hexdigest()
        return Visitor(digest, who="visitor", is_verified=False)
    if has_login():
        claims = st.user.to_dict()
        who = claims.get("email") or claims.get("name") or claims.get("sub") or ""
        return Visitor(TEAM_OWNER, who=clean_text(str(who)), is_verified=True)
    return Visitor(TEAM_OWNER, who=_name(), is_verified=False)


def welcome() -> None:
    """Let the visitor in: once in each run, before anything else is drawn.

    Stops the page where they have to log in or to say their name first.
    """
    if services.mode() is Mode.DEMO:
        if cookie(_TOKEN_COOKIE) != _token():
            set_cookie(_TOKEN_COOKIE, _token())
    elif has_login():
        if not st.user.is_logged_in:
            _ask_to_log_in()
    elif not _name():
        _ask_for_name()
    elif st.session_state.get(_NAME):
        value = encode(st.session_state[_NAME])
        set_cookie(_NAME_COOKIE, value, keep=True)


def has_login() -> bool:
    """Say whether the operator set up a login, in secrets.toml under [auth]."""
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False


def name_input() -> None:
    """Draw the field for the name; it is kept for this browser."""
    st.text_input(
        "Your name",
        key=_NAME_INPUT,
        max_chars=_MAX_NAME_LENGTH,
        on_change=_keep_name,
        placeholder="Ada",
        help="It stands beside your changes. Nobody checks it.",
    )


def _token() -> str:
    """Return the secret of 256 bits that only this browser has."""
    token = st.session_state.get(_TOKEN) or cookie(_TOKEN_COOKIE)
    if not re.fullmatch(r"[0-9a-f]{64}", token):
        token = secrets.token_hex(32)
    st.session_state[_TOKEN] = token
    return str(token)


def _mark_as_seen(owner_id: str) -> None:
    """Put off the day a demo visitor's data are deleted, at most twice a minute."""
    now, seconds = time.monotonic(), services.limits().session_seconds
    pause = min(_SEEN_EVERY_SECONDS, seconds / 4) if seconds else _SEEN_EVERY_SECONDS
    if now - st.session_state.get(_SEEN, -pause) >= pause:
        keep_owner(owner_id)


def keep_owner(owner_id: str) -> None:
    """Make an owner where there is none; a demo visitor's expires in an hour."""
    seconds = services.limits().session_seconds
    expires_at = utc_now() + timedelta(seconds=seconds) if seconds else None
    services.store().ensure_owner(owner_id, expires_at=expires_at)
    st.session_state[_SEEN] = time.monotonic()


def _name() -> str:
    """Return the name this browser was told; on one's own machine, the user's."""
    kept = st.session_state.get(_NAME) or decode(cookie(_NAME_COOKIE))
    if kept or not is_loopback(st.get_option("server.address")):
        return clean_text(str(kept))[:_MAX_NAME_LENGTH]
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "someone"


def _ask_to_log_in() -> None:
    st.title("ImageBase")
    st.write("Log in to see the team's datasets.")
    st.button("Log in", key="visitor.login", type="primary", on_click=st.login)
    st.stop()


def _ask_for_name() -> None:
    st.title("ImageBase")
    st.write("Who are you? Your name stands beside the changes you make.")
    name_input()
    st.stop()


def _keep_name() -> None:
    st.session_state[_NAME] = clean_text(st.session_state[_NAME_INPUT]).strip()

"""Identity of a visitor: their cookie, their datasets, their display name."""

import getpass
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote, unquote

import streamlit as st

from imagebase.annotation import clean_text, utc_now
from imagebase.errors import DatabaseUnreachableError, LoginError, StoreError
from imagebase.settings import TEAM_OWNER as TEAM_OWNER
from imagebase.settings import Mode, is_loopback, settings
from imagebase.ui import services
from imagebase.ui.web import cookies

_log: Final = logging.getLogger(__name__)

_SCRIPT: Final = """
export default function({ data }) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie =
    `${data.name}=${data.value}; path=/; SameSite=Strict${secure}${data.age}`;
}
"""

_YEAR_SECONDS: Final = 365 * 24 * 3600
_NAME_COOKIE: Final = "imagebase_name"
_TOKEN: Final = "imagebase.visitor.token"
_NAME: Final = "imagebase.visitor.name"
_SEEN: Final = "imagebase.visitor.seen"
_LOGGED_IN: Final = "imagebase.visitor.logged_in"
_NAME_INPUT: Final = "visitor.name"
_MAX_NAME_LENGTH: Final = 60
_SEEN_EVERY_SECONDS: Final = 30


def cookie(name: str) -> str:
    """Return a cookie's value at the start of the session; empty if there is none."""
    return st.context.cookies.get(name, "")


def set_cookie(name: str, value: str, *, keep: bool = False) -> None:
    """Write a cookie, for the browser session or, with `keep`, for a year.

    The value has to be plain ASCII without separators: see `encode`. Only the next
    session of this browser reads it with `cookie`.
    """
    age = f"; max-age={_YEAR_SECONDS}" if keep else ""
    writer = st.components.v2.component("imagebase_cookie", js=_SCRIPT)
    writer(key=f"cookie.{name}", data={"name": name, "value": value, "age": age})


def encode(text: str) -> str:
    """Return text encoded for a cookie."""
    return quote(text, safe="")


def decode(value: str) -> str:
    """Return the text of an encoded cookie."""
    return unquote(value)


@dataclass(frozen=True, slots=True)
class Visitor:
    """owner_id: owner of the datasets. who: the name recorded with changes."""

    owner_id: str
    who: str
    is_verified: bool


def visitor() -> Visitor:
    """Return the visitor of this session, which `welcome` has identified.

    Marks the visitor as active: callbacks and fragments do not pass `welcome`.
    """
    current = _visitor()
    _mark_as_seen(current.owner_id)
    return current


def _visitor() -> Visitor:
    if services.mode() is Mode.DEMO:
        return Visitor(cookies.owner_of(token()), who="visitor", is_verified=False)
    if has_login():
        claims = st.user.to_dict()
        _require_login(claims)
        return Visitor(TEAM_OWNER, who=_name_in(claims), is_verified=True)
    return Visitor(TEAM_OWNER, who=_name(), is_verified=False)


def welcome() -> None:
    """Identify the visitor, once per run and before anything else is drawn.

    Stops the page where they have to log in or enter a name first.
    """
    if services.mode() is Mode.DEMO:
        return
    if has_login():
        _welcome_with_login()
    elif not _name():
        _ask_for_name()
    elif st.session_state.get(_NAME):
        value = encode(st.session_state[_NAME])
        set_cookie(_NAME_COOKIE, value, keep=True)


def _welcome_with_login() -> None:
    try:
        _require_login(st.user.to_dict())
    except LoginError as error:
        _ask_to_log_in(str(error))


def _require_login(claims: Mapping[str, Any]) -> None:
    """Check the claims of the login provider.

    Raises:
        LoginError: nobody is logged in, it was too long ago, or they are not allowed.
    """
    if not claims.get("is_logged_in"):
        raise LoginError("Log in to see the team's datasets.")
    if _login_end(claims) < time.time():
        raise LoginError("Your login has expired. Log in again.")
    allowed = settings().allowed_users
    if not allowed:
        return
    email = str(claims.get("email") or "").lower()
    if not email or claims.get("email_verified") is not True:
        raise LoginError(
            "Your login provider did not confirm an e-mail address, so you cannot use "
            "this server."
        )
    if email not in allowed and f"@{email.rpartition('@')[2]}" not in allowed:
        raise LoginError(
            f"{email} may not use this server. Log in with another account, or ask "
            "the operator to allow this address."
        )


def _login_end(claims: Mapping[str, Any]) -> float:
    """Return when a login ends, in seconds since 1970 (OpenID Connect's `iat`)."""
    began = claims.get("iat") or st.session_state.setdefault(_LOGGED_IN, time.time())
    return float(began) + services.limits().login_seconds


def _name_in(claims: Mapping[str, Any]) -> str:
    """Return the name of a person who is logged in; no address that is unconfirmed."""
    is_refuted = claims.get("email_verified") is False
    email = None if is_refuted else claims.get("email")
    return clean_text(str(email or claims.get("name") or claims.get("sub") or ""))


def login_ends_at() -> float | None:
    """Return when this person has to log in again, in seconds since 1970.

    None where there is no login.
    """
    if services.mode() is Mode.DEMO or not has_login():
        return None
    return _login_end(st.user.to_dict())


def has_login() -> bool:
    """Say whether a login is set up, in secrets.toml under [auth]."""
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False


def is_own_server() -> bool:
    """Say whether this server is the visitor's own: no other machine reaches it.

    Behind a proxy, which a login or further host names tell of, it is not.
    """
    return (
        services.mode() is Mode.TEAM
        and is_loopback(st.get_option("server.address"))
        and not settings().allowed_hosts
        and not has_login()
    )


def name_input() -> None:
    """Draw the field for the display name, which this browser keeps."""
    st.text_input(
        "Display name",
        key=_NAME_INPUT,
        max_chars=_MAX_NAME_LENGTH,
        on_change=_keep_name,
        placeholder="Ada",
        help="Shown next to your changes. Not verified.",
    )


def token() -> str:
    """Return the secret that only this browser has: its cookie's.

    A browser without cookies has one for this session.
    """
    known = st.session_state.get(_TOKEN) or cookies.token_in(cookie(cookies.NAME))
    st.session_state[_TOKEN] = known or cookies.new_token()
    return str(st.session_state[_TOKEN])


def _mark_as_seen(owner_id: str) -> None:
    """Postpone the deletion of a demo visitor's data, at most twice a minute."""
    now, seconds = time.monotonic(), services.limits().session_seconds
    pause = min(_SEEN_EVERY_SECONDS, seconds / 4) if seconds else _SEEN_EVERY_SECONDS
    if now - st.session_state.get(_SEEN, -pause) < pause:
        return
    try:
        keep_owner(owner_id)
    except DatabaseUnreachableError:
        raise
    except StoreError:
        # On a full disk, too, a person may see and download what is there.
        _log.warning("A visit could not be noted", exc_info=True)
        st.session_state[_SEEN] = time.monotonic()


def keep_owner(owner_id: str) -> None:
    """Create the owner if missing; a demo visitor's expires in an hour."""
    limits = services.limits()
    seconds = limits.session_seconds
    expires_at = utc_now() + timedelta(seconds=seconds) if seconds else None
    most = limits.max_visitors if seconds else None
    services.store().ensure_owner(owner_id, expires_at=expires_at, most=most)
    st.session_state[_SEEN] = time.monotonic()


def _name() -> str:
    """Return the display name of this browser; on a local server, the user's name."""
    name = st.session_state.get(_NAME) or decode(cookie(_NAME_COOKIE))
    if name or not is_loopback(st.get_option("server.address")):
        return clean_text(str(name))[:_MAX_NAME_LENGTH]
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "someone"


def _ask_to_log_in(reason: str) -> None:
    st.title("ImageBase")
    st.text(reason)
    with st.container(horizontal=True):
        st.button("Log in", key="visitor.login", type="primary", on_click=st.login)
        if st.user.is_logged_in:
            logout_button()
    st.stop()


def logout_button() -> None:
    """Draw the button that logs out of this server, and of the provider if it can."""
    st.button(
        "Log out", key="visitor.logout", icon=":material/logout:", on_click=st.logout
    )


def _ask_for_name() -> None:
    st.title("ImageBase")
    st.write("Enter a display name. It is shown next to your changes.")
    name_input()
    st.stop()


def _keep_name() -> None:
    st.session_state[_NAME] = clean_text(st.session_state[_NAME_INPUT]).strip()

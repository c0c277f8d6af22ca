"""What every request passes: host and origin, closed addresses, headers, the cookie."""

import asyncio
import base64
import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imagebase.errors import SettingsError
from imagebase.settings import Mode, is_loopback, settings
from imagebase.ui.web import cookies

# They show how much memory what takes, run scripts, or drive the app without a browser.
_CLOSED: Final = ("_stcore/metrics", "_stcore/script-health-check", "_stcore/agent")
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_INLINE: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_LOGOUT: Final = "/auth/logout"
_LOGIN_COOKIES: Final = "_streamlit_user"
_MAX_AGE: Final = re.compile(r"Max-Age=(\d+)")
_POLICY_VIOLATION: Final = 1008

_log: Final = logging.getLogger(__name__)

TOKEN: Final = "imagebase.token"
"""Key of a request's scope: the visitor's token, empty where there is no cookie."""


class Gate:
    """ASGI middleware: refuse foreign hosts, close debugging routes, set the cookie."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            reason = refusal(scope, headers)
        except SettingsError as error:  # nothing is open while it is unclear what is
            reason = str(error)
        if reason:
            _log.info("Refused: %s", reason)
            await _refuse(scope, receive, send, PlainTextResponse(reason, 403))
            return
        if is_closed(scope["path"]):
            await _refuse(scope, receive, send, PlainTextResponse("Not found", 404))
            return
        value = cookies.read(headers.get("cookie", "")).get(cookies.NAME, "")
        scope[TOKEN] = await asyncio.to_thread(cookies.token_in, value)
        if scope["type"] == "http":
            send = _finished(scope, value, send)
        await self._app(scope, receive, send)


def refusal(scope: Mapping[str, object], headers: Headers) -> str:
    """Return why a request is refused: its host or origin; empty if it is not."""
    host, origin = headers.get("host", ""), headers.get("origin")
    name = host_name(f"//{host}")
    if not is_allowed(name):
        return (
            f"This server does not answer to the name {name!r}. Start it with "
            "--allowed-host NAME, or set IMAGEBASE_ALLOWED_HOSTS."
        )
    is_reading = scope["type"] == "http" and scope["method"] in _READING
    if origin is None or is_reading or _place(origin) == host.lower():
        return ""
    if host_name(origin) in settings().allowed_hosts:
        return ""
    return (
        f"A page of {origin!r} may not use this server, which was called {host!r}. If "
        "a proxy lies between, start it with --allowed-host NAME, or set "
        "IMAGEBASE_ALLOWED_HOSTS."
    )


def is_allowed(name: str) -> bool:
    """Say whether this server answers to a host's name.

    A loopback server answers to loopback names and those that were allowed: a name that
    another site points at this machine must not reach it. Other servers answer to any
    name until some are allowed.
    """
    allowed = settings().allowed_hosts
    if not allowed and not is_loopback(st.get_option("server.address")):
        return True
    return _is_loopback_name(name) or name in allowed


def _is_loopback_name(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def host_name(url: str) -> str:
    """Return the host's name in a URL, in small letters; empty if there is none."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _place(origin: str) -> str:
    """Return host and port of an origin; empty if it has none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def is_closed(path: str) -> bool:
    """Say whether an address of Streamlit's is not for visitors."""
    inner = "/".join(part for part in path.split("/") if part)
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    inner = inner.removeprefix(f"{base}/") if base else inner
    return any(inner == one or inner.startswith(f"{one}/") for one in _CLOSED)


async def _refuse(
    scope: Scope, receive: Receive, send: Send, response: PlainTextResponse
) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        return
    await response(scope, receive, _with_headers(send))


def _finished(scope: Scope, value: str, send: Send) -> Send:
    """Return a `send` that adds headers, and the visitor's cookie to a page.

    A page that the browser has in its cache comes without a type (304).
    """
    is_secure = scope["scheme"] == "https"
    asks_for_page = "text/html" in Headers(scope=scope).get("accept", "")

    async def finish(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            is_page = headers.get("content-type", "").startswith("text/html")
            if scope["path"].endswith(_LOGOUT):
                _give_cookie(headers, "", value)  # addresses of downloads end as well
            elif is_page or asks_for_page:
                _give_cookie(headers, scope[TOKEN], value)
            _shorten_login(headers)
            if is_secure:
                _secure(headers)
        await send(message)

    return _with_headers(finish)


def _give_cookie(headers: MutableHeaders, token: str, value: str) -> None:
    """Set the cookie of a new visitor, or of one with a cookie without signature."""
    wanted = cookies.value_of(token or cookies.new_token())
    if value != wanted:
        headers.append(
            "set-cookie", f"{cookies.NAME}={wanted}; Path=/; HttpOnly; SameSite=Lax"
        )


def _shorten_login(headers: MutableHeaders) -> None:
    """Have Streamlit's cookies end with the login: it would keep them for a month."""
    most = settings().limits_for(Mode.TEAM).login_seconds

    def shorter(header: str) -> str:
        if not header.startswith(_LOGIN_COOKIES):
            return header
        return _MAX_AGE.sub(lambda age: f"Max-Age={min(int(age[1]), most)}", header)

    _change_cookies(headers, shorter)


def _secure(headers: MutableHeaders) -> None:
    """Have browsers send every cookie over TLS only."""

    def secured(header: str) -> str:
        is_marked = "secure" in (part.strip().lower() for part in header.split(";"))
        return header if is_marked else f"{header}; Secure"

    _change_cookies(headers, secured)


def _change_cookies(headers: MutableHeaders, change: Callable[[str], str]) -> None:
    before = headers.getlist("set-cookie")
    del headers["set-cookie"]
    for header in before:
        headers.append("set-cookie", change(header))


def _with_headers(send: Send) -> Send:
    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in security_headers().items():
                headers[name] = value
        await send(message)

    return add


@cache
def security_headers() -> dict[str, str]:
    """Return the headers of every answer."""
    return {
        "Content-Security-Policy": "; ".join(_policy()),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "SAMEORIGIN",
    }


def _policy() -> Iterable[str]:
    """Yield the content security policy.

    Streamlit writes its styles into the page, and starts the scripts of components from
    blobs.
    """
    scripts = " ".join(_inline_scripts())
    yield "default-src 'self'"
    yield f"script-src 'self' blob: {scripts}".rstrip()
    yield "style-src 'self' 'unsafe-inline'"
    yield "img-src 'self' data: blob:"
    yield "font-src 'self' data:"
    yield "media-src 'self' data: blob:"
    yield "connect-src 'self' data: blob:"
    yield "worker-src 'self' blob:"
    yield "frame-src 'self'"
    yield "frame-ancestors 'self'"
    yield "object-src 'none'"
    yield "base-uri 'self'"
    yield "form-action 'self'"


def _inline_scripts() -> Iterable[str]:
    """Yield the hash of each script that stands in Streamlit's page."""
    page = Path(st.__file__).parent / "static" / "index.html"
    for script in _INLINE.findall(page.read_text(encoding="utf-8")):
        digest = hashlib.sha256(script.encode()).digest()
        yield f"'sha256-{base64.b64encode(digest).decode()}'"

"""Sessions belong to the browser that began them: an id alone opens none."""

import threading
import time
from dataclasses import dataclass
from typing import Final

import streamlit as st
from google.protobuf.message import DecodeError
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from imagebase.ui.web import cookies
from imagebase.ui.web.gate import TOKEN

_PROTOCOLS: Final = "sec-websocket-protocol"
_SESSION: Final = 2  # its place among the protocols, after name and XSRF token
_LATE_SECONDS: Final = 60.0


@dataclass(slots=True)
class _Session:
    """owner_id: of the browser. closed_at: when the last connection ended.

    connections: a browser that comes back may do so before its old one has ended.
    """

    owner_id: str
    connections: int = 0
    closed_at: float = 0.0


_lock: Final = threading.Lock()
_sessions: Final[dict[str, _Session]] = {}


def belongs_to(session_id: str, token: str) -> bool:
    """Say whether a session was begun by the browser with this token."""
    with _lock:
        session = _sessions.get(session_id)
    return (
        bool(token)
        and session is not None
        and session.owner_id == cookies.owner_of(token)
    )


def forget_ended() -> list[str]:
    """Forget the sessions that can no longer be resumed, and return their ids."""
    kept_seconds = float(st.get_option("server.disconnectedSessionTTL") or 0)
    oldest = time.monotonic() - kept_seconds - _LATE_SECONDS
    with _lock:
        ended = [
            session_id
            for session_id, one in _sessions.items()
            if not one.connections and one.closed_at < oldest
        ]
        for session_id in ended:
            del _sessions[session_id]
    return ended


def _note(session_id: str, token: str) -> None:
    with _lock:
        owner_id = cookies.owner_of(token)
        session = _sessions.setdefault(session_id, _Session(owner_id))
        session.connections += 1


def _close(session_id: str) -> None:
    with _lock:
        if session := _sessions.get(session_id):
            session.connections -= 1
            session.closed_at = time.monotonic()


class Sessions:
    """ASGI middleware: a websocket resumes a session of its own browser only."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a connection on, without a session id that is not its own."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        token: str = scope[TOKEN]
        _drop_foreign_session(scope, token)
        session_id = ""

        async def watch(message: Message) -> None:
            nonlocal session_id
            if not session_id and (content := message.get("bytes")):
                session_id = _session_in(content)
                if session_id:
                    _note(session_id, token)
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            _close(session_id)


def _drop_foreign_session(scope: Scope, token: str) -> None:
    """Take the session id off a connection unless its browser began that session."""
    protocols = [
        one.strip() for one in Headers(scope=scope).get(_PROTOCOLS, "").split(",")
    ]
    if len(protocols) <= _SESSION or belongs_to(protocols[_SESSION], token):
        return
    scope["headers"] = list(scope["headers"])
    MutableHeaders(scope=scope)[_PROTOCOLS] = ", ".join(protocols[:_SESSION])


def _session_in(content: bytes) -> str:
    """Return the id of the session that a message to the browser begins."""
    try:
        message = ForwardMsg.FromString(content)
    except DecodeError:
        return ""
    return str(message.new_session.initialize.session_id)

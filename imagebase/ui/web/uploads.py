"""The upload endpoint: who may upload, how much, and when it is freed."""

import asyncio
import logging
import re
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO, Final, NamedTuple

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFile

from imagebase.ui import services
from imagebase.ui.web import cookies, sessions
from imagebase.ui.web.gate import TOKEN

_ADDRESS: Final = re.compile(r".*/_stcore/upload_file/([^/]+)/([^/]+)")
# A file comes with a few lines around it, and counts for no less than these.
_FRAME_BYTES: Final = 64 * 1024
_WAIT_SECONDS: Final = 60.0
_SWEEP_SECONDS: Final = 30.0
# An upload that brings less in this time is ended: it keeps others out.
_PACE_BYTES: Final = 100_000
_PACE_SECONDS: Final = 30.0
_END: Final = {"type": "http.request", "body": b"", "more_body": False}

_log: Final = logging.getLogger(__name__)


class Uploads:
    """ASGI middleware: check an upload before Streamlit reads it into memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._room = asyncio.Condition()
        self._uploading = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on an upload of the session's own browser, within the limits."""
        match = _ADDRESS.fullmatch(scope.get("path", ""))
        if scope["type"] != "http" or match is None or scope["method"] == "OPTIONS":
            await self._app(scope, receive, send)
            return
        key = _Key(*match.groups())
        if not sessions.belongs_to(key.session_id, scope[TOKEN]):
            await _answer(404, "Not found", scope, receive, send)
            return
        if scope["method"] != "PUT":
            await self._app(scope, receive, send)
            return
        size = _size_of(scope)
        if refusal := _claim(key, cookies.owner_of(scope[TOKEN]), size):
            await _answer(*refusal, scope, receive, send)
            return
        try:
            await self._take_in(size, scope, receive, send)
        finally:
            _settle(key)

    async def _take_in(
        self, size: int, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            await self._enter(size)
        except TimeoutError:
            reason = "Too many uploads are under way. Try again in a minute."
            await _answer(503, reason, scope, receive, send)
            return
        try:
            await self._app(scope, _limited(receive, size), send)
        finally:
            await self._leave(size)

    async def _enter(self, size: int) -> None:
        """Wait until there is room for another upload.

        Raises:
            TimeoutError: there was none for a minute.
        """
        most = services.limits().max_uploading_bytes

        def has_room() -> bool:
            return not self._uploading or self._uploading + size <= most

        async with asyncio.timeout(_WAIT_SECONDS), self._room:
            await self._room.wait_for(has_room)
            self._uploading += size

    async def _leave(self, size: int) -> None:
        async with self._room:
            self._uploading -= size
            self._room.notify_all()


def _size_of(scope: Scope) -> int:
    """Return the bytes that an upload announces, or else the most it may have."""
    announced = Headers(scope=scope).get("content-length", "")
    if announced.isdecimal():
        return int(announced)
    return services.limits().max_file_bytes + _FRAME_BYTES


def _limited(receive: Receive, size: int) -> Receive:
    """Return a `receive` that ends an upload longer than announced, or far too slow.

    Streamlit finds a form that is cut off, and refuses it.
    """
    received = in_time = 0
    deadline = asyncio.get_running_loop().time() + _PACE_SECONDS

    async def limited() -> Message:
        nonlocal received, in_time, deadline
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            return _END
        received += len(message.get("body", b""))
        if received - in_time >= _PACE_BYTES:
            in_time = received
            deadline = asyncio.get_running_loop().time() + _PACE_SECONDS
        return _END if received > size else message

    return limited


async def _answer(
    status: int, reason: str, scope: Scope, receive: Receive, send: Send
) -> None:
    await PlainTextResponse(reason, status)(scope, receive, send)


class _Key(NamedTuple):
    session_id: str
    file_id: str


@dataclass(slots=True)
class _Upload:
    """owner_id: of the browser. size: in bytes, as announced until it has arrived."""

    owner_id: str
    size: int
    has_arrived: bool = False


_lock: Final = threading.RLock()
# What is under way, or in memory until it is stored.
_uploads: Final[dict[_Key, _Upload]] = {}
_bytes_of: Final[Counter[str]] = Counter()


def _claim(key: _Key, owner_id: str, size: int) -> tuple[int, str] | None:
    """Count an upload from now on, or return status and reason of its refusal."""
    size = max(size, _FRAME_BYTES)
    with _lock:
        refusal = _refusal(owner_id, size)
        if refusal:
            _drop_removed()
            refusal = _refusal(owner_id, size)
        if not refusal:
            _forget(key)
            _uploads[key] = _Upload(owner_id, size)
            _bytes_of[owner_id] += size
    return refusal


def _refusal(owner_id: str, size: int) -> tuple[int, str] | None:
    limits = services.limits()
    if size > limits.max_file_bytes + _FRAME_BYTES:
        most = limits.max_file_bytes // 1_000_000
        return 413, f"A file may have {most:,} MB at most."
    if _bytes_of[owner_id] + size > limits.max_uploaded_bytes + _FRAME_BYTES:
        return 413, (
            f"This browser has uploaded {limits.max_uploaded_bytes // 1_000_000:,} MB "
            "that are not added yet. Add or remove them first."
        )
    if _bytes_of.total() + size > limits.max_held_bytes:
        return 503, "The server is full of uploads. Try again in a few minutes."
    return None


def _settle(key: _Key) -> None:
    """Count what has arrived of an upload, which may be nothing."""
    with _lock:
        upload = _uploads.get(key)
        files = runtime.get_instance().uploaded_file_mgr.get_files(*_asked(key))
        if upload is None or not files:
            _forget(key)
            return
        size = max(len(files[0].data), _FRAME_BYTES)
        _bytes_of[upload.owner_id] += size - upload.size
        upload.size, upload.has_arrived = size, True


def _drop_removed() -> None:
    """Forget the uploads that were removed without our knowledge."""
    files = runtime.get_instance().uploaded_file_mgr
    arrived = [key for key, one in _uploads.items() if one.has_arrived]
    for key in arrived:
        if not files.get_files(*_asked(key)):
            _forget(key)


def _asked(key: _Key) -> tuple[str, list[str]]:
    return key.session_id, [key.file_id]


def _forget(key: _Key) -> None:
    upload = _uploads.pop(key, None)
    if upload:
        _bytes_of[upload.owner_id] -= upload.size
        if _bytes_of[upload.owner_id] <= 0:
            del _bytes_of[upload.owner_id]


def free(stored: Iterable[BinaryIO]) -> None:
    """Free stored uploads; Streamlit keeps them until the tab is closed."""
    file_ids = {file.file_id for file in stored if isinstance(file, UploadedFile)}
    files = runtime.get_instance().uploaded_file_mgr if runtime.exists() else None
    if not isinstance(files, MemoryUploadedFileManager):
        return
    with _lock:
        for key in [key for key in _uploads if key.file_id in file_ids]:
            files.remove_file(*key)
            _forget(key)


def free_orphans() -> None:
    """Free the uploads of sessions that have ended and can no longer be resumed."""
    files = runtime.get_instance().uploaded_file_mgr
    ended = set(sessions.forget_ended())
    for session_id in ended:
        files.remove_session_files(session_id)
    with _lock:
        for key in [key for key in _uploads if key.session_id in ended]:
            _forget(key)


async def sweep() -> None:
    """Free orphaned uploads twice a minute until cancelled."""
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        free_orphans()

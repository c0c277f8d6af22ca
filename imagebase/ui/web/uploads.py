"""The upload endpoint: who may upload, how much, and when it is freed."""

import asyncio
import logging
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import BinaryIO, Final

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFile

from imagebase.ui import services
from imagebase.ui.web import sessions
from imagebase.ui.web.gate import TOKEN

_ADDRESS: Final = re.compile(r".*/_stcore/upload_file/([^/]+)/([^/]+)")
# A file comes with a few lines around it.
_FRAME_BYTES: Final = 64 * 1024
_WAIT_SECONDS: Final = 60.0
_SWEEP_SECONDS: Final = 30.0

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
        session_id, file_id = match.groups()
        if not sessions.belongs_to(session_id, scope[TOKEN]):
            await _answer(404, "Not found", scope, receive, send)
            return
        if scope["method"] != "PUT":
            await self._app(scope, receive, send)
            return
        size = _size_of(scope)
        if reason := _refusal(session_id, size):
            await _answer(413, reason, scope, receive, send)
            return
        try:
            await self._enter(size)
        except TimeoutError:
            reason = "Too many uploads are under way. Try again in a minute."
            await _answer(503, reason, scope, receive, send)
            return
        try:
            _files[session_id].add(file_id)
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


def _refusal(session_id: str, size: int) -> str:
    limits = services.limits()
    if size > limits.max_file_bytes + _FRAME_BYTES:
        return f"A file may have {limits.max_file_bytes // 1_000_000:,} MB at most."
    if held_bytes(session_id) + size > limits.max_uploaded_bytes + _FRAME_BYTES:
        return (
            f"This tab has uploaded {limits.max_uploaded_bytes // 1_000_000:,} MB that "
            "are not added yet. Add or remove them first."
        )
    return ""


def _limited(receive: Receive, size: int) -> Receive:
    """Return a `receive` that ends an upload which is longer than announced."""
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > size:
            # Streamlit finds a form that is cut off, and refuses it.
            return {"type": "http.request", "body": b"", "more_body": False}
        return message

    return limited


async def _answer(
    status: int, reason: str, scope: Scope, receive: Receive, send: Send
) -> None:
    await PlainTextResponse(reason, status)(scope, receive, send)


# By session, the files that were uploaded and may still be in memory.
_files: Final[defaultdict[str, set[str]]] = defaultdict(set)


def held_bytes(session_id: str) -> int:
    """Return the bytes of a session's uploads in memory."""
    files = runtime.get_instance().uploaded_file_mgr
    held = files.get_files(session_id, list(_files.get(session_id, ())))
    _files[session_id] = {one.file_id for one in held}
    return sum(len(one.data) for one in held)


def free(stored: Iterable[BinaryIO]) -> None:
    """Free stored uploads; Streamlit keeps them until the tab is closed."""
    file_ids = [file.file_id for file in stored if isinstance(file, UploadedFile)]
    files = runtime.get_instance().uploaded_file_mgr if runtime.exists() else None
    if not isinstance(files, MemoryUploadedFileManager):
        return
    for session_id, known in list(_files.items()):
        for file_id in known.intersection(file_ids):
            files.remove_file(session_id=session_id, file_id=file_id)
            known.discard(file_id)


def free_orphans() -> None:
    """Free the uploads of sessions that have ended and can no longer be resumed."""
    files = runtime.get_instance().uploaded_file_mgr
    for session_id in sessions.forget_ended():
        files.remove_session_files(session_id)
        _files.pop(session_id, None)


async def sweep() -> None:
    """Free orphaned uploads twice a minute until cancelled."""
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        free_orphans()

"""What the upload endpoint takes in: from one browser, from all, and at which pace."""

import asyncio
import io
from collections.abc import Awaitable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send
from streamlit import runtime
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

from imagebase.ui.web import sessions, uploads
from imagebase.ui.web.gate import TOKEN
from imagebase.ui.web.uploads import Uploads
from tests.app_fixtures import Configure

MB = 1_000_000


class Server:
    """The middleware, before an app that keeps what arrives as Streamlit does."""

    def __init__(self) -> None:
        self.files = MemoryUploadedFileManager("/_stcore/upload_file")
        self.middleware = Uploads(self._store)

    async def _store(self, scope: Scope, receive: Receive, send: Send) -> None:
        content = b""
        while message := await receive():
            content += message["body"]
            if not message["more_body"]:
                break
        session_id, file_id = scope["path"].split("/")[-2:]
        self.files.add_file(session_id, UploadedFileRec(file_id, "x", "", content))
        await send({"type": "http.response.start", "status": 204, "headers": []})

    def remove(self, file_id: str, session_id: str = "tab") -> None:
        self.files.remove_file(session_id, file_id)

    def kept(self) -> list[str]:
        return sorted(one.file_id for one in self.files.get_files("tab", list("abc")))

    async def put(
        self,
        file_id: str,
        size: int = MB,
        *,
        session_id: str = "tab",
        token: str = "ann",
        body: Awaitable[bytes] | None = None,
    ) -> int:
        """Upload so many bytes, or what `body` gives, and return the status."""
        sent: list[Message] = []

        async def receive() -> Message:
            await asyncio.sleep(0)
            content = await body if body else bytes(size)
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        scope: dict[str, Any] = {
            "type": "http",
            "method": "PUT",
            "path": f"/_stcore/upload_file/{session_id}/{file_id}",
            "headers": [(b"content-length", b"%d" % size)],
            TOKEN: token,
        }
        await self.middleware(scope, receive, send)
        return int(sent[0]["status"])


@pytest.fixture
def server(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    limits = {"FILE": 2 * MB, "UPLOADED": 3 * MB, "HELD": 5 * MB}
    configure(**{f"MAX_{name}_BYTES": str(value) for name, value in limits.items()})
    made = Server()
    instance = SimpleNamespace(uploaded_file_mgr=made.files)
    monkeypatch.setattr(runtime, "get_instance", lambda: instance)
    monkeypatch.setattr(sessions, "belongs_to", lambda *_: True)
    yield made
    uploads._uploads.clear()
    uploads._bytes_of.clear()


def test_uploads_at_once_are_counted_together(server: Server) -> None:
    async def all_at_once() -> list[int]:
        return await asyncio.gather(*(server.put(str(at)) for at in range(6)))

    assert sorted(asyncio.run(all_at_once())) == [204] * 3 + [413] * 3


def test_tabs_of_a_browser_are_counted_together(server: Server) -> None:
    statuses = [asyncio.run(server.put("a", session_id=f"tab {at}")) for at in range(4)]
    assert statuses == [204, 204, 204, 413]


def test_browsers_are_counted_together(server: Server) -> None:
    for file_id, token in (("a", "ann"), ("b", "ann"), ("c", "bob"), ("d", "bob")):
        assert asyncio.run(server.put(file_id, token=token)) == 204
    assert asyncio.run(server.put("e", 2 * MB, token="carl")) == 503


def test_empty_files_count_too(server: Server) -> None:
    statuses = [asyncio.run(server.put(str(at), 0)) for at in range(60)]
    assert statuses.count(413) > 10


def test_removed_upload_leaves_room(server: Server) -> None:
    for file_id in "abc":
        asyncio.run(server.put(file_id))
    assert asyncio.run(server.put("d")) == 413
    server.remove("a")
    assert asyncio.run(server.put("d")) == 204


def test_upload_that_brings_nothing_is_ended(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "_PACE_SECONDS", 0.05)

    async def hang() -> bytes:
        await asyncio.sleep(60)
        return b""

    async def within_seconds() -> None:
        async with asyncio.timeout(10):
            await server.put("a", body=hang())

    asyncio.run(within_seconds())
    assert [len(file.data) for file in server.files.get_files("tab", ["a"])] == [0]


def test_stored_uploads_are_freed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "exists", lambda: True)
    for file_id in "abc":
        asyncio.run(server.put(file_id))
    (record,) = server.files.get_files("tab", ["a"])
    uploads.free([UploadedFile(record, FileURLs(file_id="a")), io.BytesIO(b"other")])
    assert server.kept() == ["b", "c"]
    assert asyncio.run(server.put("d")) == 204


def test_uploads_of_an_ended_session_are_freed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "forget_ended", lambda: ["another tab"])
    for file_id in "abc":
        asyncio.run(server.put(file_id))
    uploads.free_orphans()
    assert server.kept() == ["a", "b", "c"]
    monkeypatch.setattr(sessions, "forget_ended", lambda: ["tab"])
    uploads.free_orphans()
    assert server.kept() == []
    assert asyncio.run(server.put("d")) == 204

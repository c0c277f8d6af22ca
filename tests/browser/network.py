"""A network between the browser and the app: slow, cut off, and mended again."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Final

_CHUNK: Final = 65536


class Network:
    """A proxy on a port of its own; `delay` is added to each direction, in seconds."""

    def __init__(self, target: int, *, delay: float = 0.0) -> None:
        self.delay = delay
        self._target = target
        self._is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        start = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Break every connection, and let no new one in."""
        self._call(self._cut)

    def mend(self) -> None:
        """Let connections in again."""
        self._call(self._mend)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._call(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _call(self, work: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(work)

    async def _end(self) -> None:
        self._cut()
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _cut(self) -> None:
        self._is_cut = True
        for writer in list(self._writers):
            writer.transport.abort()

    def _mend(self) -> None:
        self._is_cut = False

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            if self._is_cut:
                raise OSError
            far = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far[1]}
        try:
            await asyncio.gather(self._pump(reader, far[1]), self._pump(far[0], writer))
        finally:
            self._writers -= {writer, far[1]}

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        sender = asyncio.create_task(self._send(queue, writer))
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await queue.put((time.monotonic(), data))
        await queue.put((time.monotonic(), b""))
        await sender

    async def _send(
        self,
        queue: asyncio.Queue[tuple[float, bytes]],
        writer: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                came, data = await queue.get()
                await asyncio.sleep(max(0.0, came + self.delay - time.monotonic()))
                if not data:
                    break
                writer.write(data)
                await writer.drain()
        writer.close()

"""The worker process itself: run as a module, it serves tasks until its pipe ends."""

import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, Final

from imagebase.workers import sandbox

if TYPE_CHECKING:
    from imagebase.workers.channel import Answer

MEMORY: Final = "memory"
FAILED: Final = "failed"


def main() -> None:
    """Serve the process that started this one.

    The first argument is JSON: `parent` its process id, `limits` those of
    `WorkerLimits`, `keys` the shared blocks, the last of which is the setup's.
    """
    asked = json.loads(sys.argv[1])
    sandbox.die_with(asked["parent"])
    # What a library prints must not reach the pipe.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    in_force = sandbox.enter(sandbox.WorkerLimits(**asked["limits"]))
    _Served(sys.stdin.buffer, answers, asked["keys"]).run(in_force)
    os._exit(0)


class _Served:
    """One pipe to the parent, and one shared block a slot."""

    def __init__(
        self, requests: IO[bytes], answers: IO[bytes], keys: list[int | str]
    ) -> None:
        from imagebase.workers import channel

        self._channel = channel
        self._requests, self._answers = requests, answers
        self._writing = threading.Lock()
        self._blocks = [channel.SharedBlock(key) for key in keys]
        self._held: dict[int, channel.Answer] = {}

    def run(self, in_force: tuple[str, ...]) -> None:
        """Serve until the parent closes the pipe or is gone."""
        self._say({"slot": len(self._blocks) - 1, "in_force": in_force})
        with ThreadPoolExecutor(len(self._blocks)) as pool:
            while message := self._channel.read_message(self._requests):
                slot = message["slot"]
                block = self._blocks[slot]
                if message.get("closed"):
                    block.close()
                    continue
                block.key = message["key"]
                block.map(message["size"])
                if "task" in message:
                    pool.submit(self._serve, slot, message)
                else:
                    self._give(slot, self._held.pop(slot))
            # A task that still runs is of no use to anyone.
            os._exit(0)

    def _serve(self, slot: int, message: dict[str, Any]) -> None:
        sandbox.allow_cpu_seconds(message["cpu_seconds"])
        try:
            arrays = self._blocks[slot].read(message["arrays"])
            answer = _task(message["task"])(message["values"], arrays)
            self._give(slot, answer)
        except MemoryError:
            self._say({"slot": slot, "error": MEMORY, "text": ""})
        except Exception as error:
            self._say({"slot": slot, **_in_words(error)})

    def _give(self, slot: int, answer: "Answer") -> None:
        needed = self._channel.bytes_of(answer.arrays)
        if needed > self._blocks[slot].size:
            self._held[slot] = answer
            self._say({"slot": slot, "needed": needed})
            return
        layout = self._blocks[slot].write(answer.arrays)
        self._say({"slot": slot, "values": answer.values, "arrays": layout})

    def _say(self, message: dict[str, Any]) -> None:
        with self._writing:
            self._channel.write_message(self._answers, message)


def _task(name: str) -> Callable[..., "Answer"]:
    module, _, function = name.partition(":")
    task: Callable[..., Answer] = getattr(import_module(module), function)
    return task


def _in_words(error: Exception) -> dict[str, str]:
    from imagebase.errors import ImageBaseError

    if isinstance(error, ImageBaseError):
        return {"error": type(error).__name__, "text": str(error)}
    return {"error": FAILED, "text": traceback.format_exc()[-4_000:]}


if __name__ == "__main__":
    main()

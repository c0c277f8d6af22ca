"""Messages and arrays between this process and a worker; nothing is ever unpickled.

A message is JSON behind its length, over a pipe. Arrays lie in shared memory that only
the parent makes larger, and that no one can make smaller under the other's reads.
"""

import json
import math
import mmap
import os
import struct
import sys
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = dict[str, Any]
Array = NDArray[Any]
# dtype and shape of an array, as in a message.
Layout = Sequence[tuple[str, Sequence[int]]]

_LENGTH: Final = struct.Struct("<I")
MAX_MESSAGE_BYTES: Final = 16_000_000
_MAX_ARRAYS: Final = 100
_MAX_SIDES: Final = 8
_ALIGNMENT: Final = 64
_KINDS: Final = frozenset("buif")


class MessageError(Exception):
    """The other side sent something that is no message."""


class Answer(NamedTuple):
    """What a task returns: values that JSON can hold, and arrays of numbers."""

    values: Values
    arrays: Sequence[Array] = ()


def write_message(stream: IO[bytes], message: Mapping[str, Any]) -> None:
    """Write a message and flush it.

    Raises:
        MessageError: it is too long. OSError: the other side is gone.
    """
    body = json.dumps(message).encode()
    if len(body) > MAX_MESSAGE_BYTES:
        raise MessageError(f"a message of {len(body)} bytes")
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def read_message(stream: IO[bytes]) -> Values | None:
    """Return the next message; None at the end.

    Raises:
        MessageError: the bytes are no message.
    """
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > MAX_MESSAGE_BYTES:
        raise MessageError(f"a message of {length} bytes")
    body = stream.read(length)
    if len(body) < length:
        return None
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MessageError("not JSON") from error
    if not isinstance(message, dict):
        raise MessageError("not an object")
    return message


class SharedBlock:
    """Memory that two processes share; it grows, and never shrinks.

    Args:
        key: of a block that the parent made: a file descriptor, on Windows a name;
            None makes one. Its file has no name, so nothing stays when both are gone.
    """

    def __init__(self, key: int | str | None = None) -> None:
        self.key = _new_key() if key is None else key
        self._memory: mmap.mmap | None = None
        # Not before its last use: the number may then be another file's.
        self._close = (
            weakref.finalize(self, os.close, self.key)
            if isinstance(self.key, int)
            else None
        )

    @property
    def size(self) -> int:
        """Return how many bytes of it are mapped here."""
        return len(self._memory) if self._memory else 0

    def grow(self, byte_count: int) -> None:
        """Make room for this many bytes; only the parent does."""
        if byte_count <= self.size:
            return
        whole = math.ceil(byte_count / mmap.PAGESIZE) * mmap.PAGESIZE
        if isinstance(self.key, int):
            os.ftruncate(self.key, whole)
        else:
            self.key = _new_key()
        self.map(whole)

    def map(self, byte_count: int) -> None:
        """Map as much as the parent says there is."""
        if byte_count == self.size:
            return
        if isinstance(self.key, int):
            self._memory = mmap.mmap(self.key, byte_count)
        elif sys.platform == "win32":
            self._memory = mmap.mmap(-1, byte_count, tagname=self.key)

    def write(self, arrays: Sequence[Array]) -> Layout:
        """Copy arrays in; there has to be room for them."""
        layout = []
        at = 0
        for array in arrays:
            layout.append((array.dtype.str, list(array.shape)))
            if array.size and self._memory:
                view = np.frombuffer(self._memory, np.uint8, array.nbytes, at)
                view.view(array.dtype).reshape(array.shape)[...] = array
            at += _padded(array.nbytes)
        return layout

    def read(self, layout: object) -> list[Array]:
        """Return the arrays of a layout as views.

        Raises:
            MessageError: there are no such arrays in here.
        """
        arrays: list[Array] = []
        at = 0
        for dtype, shape in _checked(layout):
            byte_count = dtype.itemsize * math.prod(shape)
            if at + byte_count > self.size:
                raise MessageError("an array outside the shared memory")
            if byte_count and self._memory:
                raw = np.frombuffer(self._memory, np.uint8, byte_count, at)
                arrays.append(raw.view(dtype).reshape(shape))
            else:
                arrays.append(np.zeros(shape, dtype))
            at += _padded(byte_count)
        return arrays

    def close(self) -> None:
        """Give the memory back once no array refers to it; no call may follow."""
        self._memory = None
        if self._close:
            self._close()


def bytes_of(arrays: Sequence[Array]) -> int:
    """Return how much room arrays take in a block."""
    return sum(_padded(array.nbytes) for array in arrays)


def _padded(byte_count: int) -> int:
    return -(-byte_count // _ALIGNMENT) * _ALIGNMENT


def _checked(layout: object) -> list[tuple[np.dtype[Any], tuple[int, ...]]]:
    """Return a layout that came in a message; it may say anything."""
    try:
        pairs: list[tuple[object, Sequence[int]]] = list(layout)  # type: ignore[call-overload]
        parts = [(np.dtype(str(dtype)), tuple(shape)) for dtype, shape in pairs]
    except (TypeError, ValueError) as error:
        raise MessageError("a layout of arrays that cannot be read") from error
    for dtype, shape in parts:
        is_sound = all(type(side) is int and side >= 0 for side in shape)
        if dtype.kind not in _KINDS or not is_sound or len(shape) > _MAX_SIDES:
            raise MessageError("an array of another kind")
    if len(parts) > _MAX_ARRAYS:
        raise MessageError(f"{len(parts)} arrays")
    return parts


def _new_key() -> int | str:
    if sys.platform == "win32":
        return f"imagebase-{os.urandom(16).hex()}"
    if sys.platform != "linux":
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    import fcntl

    fd = os.memfd_create("imagebase", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    # Reads beyond a file that became shorter would end this process.
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return fd

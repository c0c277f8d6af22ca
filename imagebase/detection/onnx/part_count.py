"""Count the parts of an ONNX file before it is parsed, by protobuf's wire format.

Parsed, an empty node of two bytes takes 160: 20 MB of them would take 1.6 GB and hold
the server for seconds.
"""

from collections.abc import Mapping
from typing import Final

from imagebase.errors import ModelLoadError

# The largest detectors have some 100,000.
MAX_PARTS: Final = 300_000
# Whole numbers of a byte each that become eight count as much as this many.
_PACKED_IN_A_PART: Final = 20

# The messages of onnx.proto by field number: those within them, by theirs.
_Fields = Mapping[int, str]
_MESSAGES: Final[Mapping[str, _Fields]] = {
    "model": {7: "graph", 8: "entry", 14: "entry", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph", 3: "entry", 4: "entry"},
    "function": {7: "node", 9: "entry", 11: "attribute", 12: "value", 14: "entry"},
    "graph": {
        **{1: "node", 5: "tensor", 11: "value", 12: "value", 13: "value"},
        **{14: "quantisation", 15: "sparse", 16: "entry"},
    },
    "quantisation": {2: "entry"},
    "node": {5: "attribute", 9: "entry"},
    "attribute": {
        **{5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 14: "type", 15: "type"},
        **{22: "sparse", 23: "sparse"},
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry", 16: "entry"},
    "value": {2: "type", 4: "entry"},
    "type": {
        1: "tensor type",
        4: "sequence",
        5: "map",
        8: "tensor type",
        9: "sequence",
    },
    "sequence": {1: "type"},
    "map": {2: "type"},
    "tensor type": {2: "shape"},
    "shape": {1: "entry"},
    "entry": {},
}
# Fields of whole numbers, one byte each or more.
_PACKED: Final[Mapping[str, frozenset[int]]] = {
    "tensor": frozenset({1, 5, 7, 11}),
    "attribute": frozenset({8}),
    "sparse": frozenset({3}),
}
_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


def check_parts(content: bytes) -> None:
    """Let pass a file that takes not much more memory than it has bytes.

    Raises:
        ModelLoadError: it has too many parts, or is no ONNX model.
    """
    waiting = [("model", 0, len(content))]
    count = 0
    while waiting:
        message, at, end = waiting.pop()
        inner, packed = _MESSAGES[message], _PACKED.get(message, frozenset())
        while at < end:
            tag, at = _number(content, at)
            field, length = tag >> 3, 0
            if tag & 7 == _BYTES:
                length, at = _number(content, at)
                if field in packed:
                    count += length // _PACKED_IN_A_PART
                elif field in inner:
                    waiting.append((inner[field], at, min(at + length, end)))
            elif tag & 7 == _VARINT:
                _, at = _number(content, at)
            else:
                length = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}.get(tag & 7, 0)
                if not length:
                    raise ModelLoadError("The file is not an ONNX model.")
            at += length
            count += 1
            if count > MAX_PARTS:
                raise ModelLoadError(
                    f"This ONNX model has more than {MAX_PARTS} parts; detectors have "
                    "far fewer."
                )


def _number(content: bytes, at: int) -> tuple[int, int]:
    """Return a varint and where it ends."""
    value = shift = 0
    while True:
        if at >= len(content) or shift > 63:
            raise ModelLoadError("The file is not an ONNX model.")
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7

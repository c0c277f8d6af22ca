"""Values of rows as a copy of a dataset has them, in JSON, and back."""

import base64
import binascii
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, LargeBinary

from imagebase.store.columns import CleanJson, CleanText, UtcTime

_MAX_INTEGER: Final = 2**63 - 1
_MAX_NUMBER: Final = sys.float_info.max


def value_json(value: object) -> Any:  # noqa: ANN401
    """Return a value of a row as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value


def value_of_json(column: Column[Any], value: object) -> object:
    """Return a value as a column takes it.

    Raises:
        ValueError: the column cannot have it.
    """
    if value is None:
        if not column.nullable:
            raise ValueError(f"{column.name} is missing")
        return None
    for kind, convert in _CONVERTERS.items():
        if isinstance(column.type, kind):
            return convert(column.name, value)
    raise TypeError(f"{column.type!r} has no way out of JSON")


def text_of_json(name: str, value: object) -> str:
    """Return a text; ValueError where it is none."""
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")
    return value


def _integer(name: str, value: object) -> int:
    if type(value) is not int or abs(value) > _MAX_INTEGER:
        raise ValueError(f"{name} is no whole number")
    return value


def _number(name: str, value: object) -> float:
    if type(value) not in (int, float) or not abs(value) <= _MAX_NUMBER:  # type: ignore[arg-type]
        raise ValueError(f"{name} is no number")
    return float(value)  # type: ignore[arg-type]


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is neither true nor false")
    return value


def _moment(name: str, value: object) -> datetime:
    moment = datetime.fromisoformat(text_of_json(name, value))
    if moment.tzinfo is None:
        raise ValueError(f"{name} has no time zone")
    return moment


def _bytes(name: str, value: object) -> bytes:
    try:
        return base64.b64decode(text_of_json(name, value), validate=True)
    except binascii.Error as error:
        raise ValueError(f"{name} cannot be decoded") from error


def _json(name: str, value: object) -> object:
    return value


# Texts come before the types that they are made of.
_CONVERTERS: Final[Mapping[type[Any], Callable[[str, object], object]]] = {
    CleanText: text_of_json,
    CleanJson: _json,
    UtcTime: _moment,
    LargeBinary: _bytes,
    Boolean: _flag,
    Double: _number,
    BigInteger: _integer,
    Integer: _integer,
}

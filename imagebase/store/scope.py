"""Whose and which dataset a query is about; there is no query without it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from sqlalchemy import Connection, select

from imagebase.errors import NotFoundError
from imagebase.store.tables import datasets

_Item = TypeVar("_Item")

# More would pass the number of parameters that a statement may have somewhere.
CHUNK: Final = 500

OWNER_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True, slots=True)
class Scope:
    """owner_id: whose datasets. dataset_id: which one. who: the name changes bear."""

    owner_id: str
    dataset_id: str
    who: str


def check_owner_id(owner_id: str) -> str:
    """Return an owner id that may be part of a path.

    Raises:
        ValueError: it has other characters than letters, digits, `-` and `_`.
    """
    if not OWNER_ID.fullmatch(owner_id):
        raise ValueError(f"{owner_id!r} cannot be an owner's id")
    return owner_id


def require_dataset(connection: Connection, scope: Scope) -> None:
    """Let pass only a dataset that is this owner's.

    Raises:
        NotFoundError: there is none, or it is another owner's; the error is the same.
    """
    dataset_id = connection.scalar(
        select(datasets.c.dataset_id).where(
            datasets.c.dataset_id == scope.dataset_id,
            datasets.c.owner_id == scope.owner_id,
        )
    )
    if dataset_id is None:
        raise NotFoundError("This dataset no longer exists; choose another one.")


def chunks(items: Iterable[_Item], *, size: int = CHUNK) -> Iterator[Sequence[_Item]]:
    """Yield the items in lists of at most this size."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk

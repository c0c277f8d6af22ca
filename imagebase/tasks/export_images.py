"""A dataset of the store, as an export asks for it."""

from collections.abc import Callable, Collection, Iterable
from typing import Final

from imagebase.annotation import ImageRecord, LabelSet, ReviewStatus
from imagebase.store import Scope, Store
from imagebase.store.image_rows import ImageContents
from imagebase.store.scope import chunks

_CHUNK: Final = 500


class StoreImages:
    """Images of a dataset, fetched piece by piece.

    check: called before each piece; it may raise to stop.
    """

    def __init__(
        self,
        store: Store,
        scope: Scope,
        *,
        statuses: Collection[ReviewStatus],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._scope = scope
        self._statuses = statuses
        self._check = check

    def contents(self) -> list[ImageContents]:
        return self._store.image_contents(self._scope, statuses=self._statuses)

    def records(self, image_ids: Iterable[str]) -> Iterable[ImageRecord]:
        for chunk in chunks(image_ids, size=_CHUNK):
            self._check()
            yield from self._store.records(self._scope, image_ids=chunk)

    def record(self, image_id: str) -> ImageRecord:
        self._check()
        return self._store.record(self._scope, image_id)

    def bytes_of(self, image_id: str) -> bytes:
        self._check()
        return self._store.image_bytes(self._scope, image_id)

    def labels(self) -> LabelSet:
        return self._store.labels(self._scope)

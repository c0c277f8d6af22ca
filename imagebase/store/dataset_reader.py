"""Read a dataset of the app from a script: its images, boxes and labels."""

from collections.abc import Iterable, Iterator
from typing import Self

from imagebase.annotation import ImageRecord, LabelSet, ReviewStatus
from imagebase.errors import AmbiguousDatasetError, NotFoundError
from imagebase.images.decode import RgbArray, load_image
from imagebase.settings import TEAM_OWNER, Mode, settings
from imagebase.store.scope import Scope, chunks
from imagebase.store.store import Store, open_store

_AT_ONCE = 200


class Dataset:
    """A dataset of the app, opened for reading; close it, or use `with`.

    `open_dataset` makes one. Each access reads the present state.

    name: as the app shows it. store, scope: for all else that the store offers.
    """

    def __init__(self, name: str, store: Store, scope: Scope) -> None:
        self.name = name
        self.store = store
        self.scope = scope

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.store.usage(self.scope).images

    def __iter__(self) -> Iterator[ImageRecord]:
        return self.images()

    @property
    def labels(self) -> LabelSet:
        """The label list; a class id is a position in it."""
        return self.store.labels(self.scope)

    def images(
        self, statuses: Iterable[ReviewStatus | str] | None = None
    ) -> Iterator[ImageRecord]:
        """Yield the images in upload order, boxes in pixels of the upright image.

        statuses: only images of these, such as `approved`; None yields all.
        """
        wanted = None if statuses is None else [*map(ReviewStatus, statuses)]
        image_ids = self.store.image_ids(self.scope, statuses=wanted)
        for chunk in chunks(image_ids, size=_AT_ONCE):
            yield from self.store.records(self.scope, image_ids=chunk)

    def pixels(self, image: ImageRecord) -> RgbArray:
        """Return an image's upright pixels: (H, W, 3), uint8, RGB, read-only.

        Raises:
            ImageFileError, ImageReadError: its file is missing or damaged.
        """
        data = self.store.image_bytes(self.scope, image.image_id)
        most = settings().limits_for(Mode.TEAM).max_image_pixels
        return load_image(data, file_name=image.file_name, max_pixels=most).rgb

    def close(self) -> None:
        """Close the database."""
        self.store.close()


def open_dataset(name: str, *, who: str = "") -> Dataset:
    """Open a dataset that the app holds in IMAGEBASE_HOME (or the database it names).

    Args:
        name: as the app shows it.
        who: the name that changes made through `store` carry.

    Raises:
        NotFoundError: there is no such dataset; the message lists those there are.
        AmbiguousDatasetError: there are several of this name.
        StoreError: the store cannot be opened.

    >>> import imagebase
    >>> with imagebase.open_dataset("My images") as dataset:
    ...     for image in dataset:
    ...         print(image.file_name, [box.label for box in image.annotations])
    bear.jpg ['bear']
    """
    store = open_store(settings())
    try:
        datasets = store.datasets(TEAM_OWNER)
        named = [dataset for dataset in datasets if dataset.name == name]
        if not named:
            known = ", ".join(dataset.name for dataset in datasets) or "none"
            raise NotFoundError(f"There is no dataset {name}; there are: {known}.")
        if len(named) > 1:
            raise AmbiguousDatasetError(
                f"There are {len(named)} datasets {name}; rename one first."
            )
    except BaseException:
        store.close()
        raise
    return Dataset(name, store, Scope(TEAM_OWNER, named[0].dataset_id, who))

"""What the assistant's nets see in the images of a dataset, computed once and stored.

A scene lies beside the image's thumbnail, belongs to the same owner, and goes with the
image. It is not in backups: where it is missing, damaged or made by other nets, the
nets run again.
"""

import threading
from collections import OrderedDict
from typing import Final

from imagebase.detection.taught.described_image import DescribedImage
from imagebase.detection.taught.packing import packed_vector, vector_bytes
from imagebase.detection.taught.taught_detector import WANTED
from imagebase.disk_space import check_room
from imagebase.errors import (
    ImageFileError,
    ImageReadError,
    LimitError,
    NotFoundError,
)
from imagebase.geometry import FloatArray
from imagebase.images.decode import load_image
from imagebase.settings import Mode, settings
from imagebase.store.scope import Scope
from imagebase.store.store import Store

# What is raised for an image that cannot be used; the others can.
UNREADABLE: Final = (ImageFileError, ImageReadError, LimitError, NotFoundError)
# About 5 MB each.
_MOST_IN_MEMORY: Final = 8

_Key = tuple[str, str, str]


class _Recent:
    """The scenes that were used last; threads may share it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._scenes: OrderedDict[_Key, DescribedImage] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: _Key) -> DescribedImage | None:
        with self._lock:
            if key in self._scenes:
                self._scenes.move_to_end(key)
            return self._scenes.get(key)

    def put(self, key: _Key, scene: DescribedImage) -> None:
        with self._lock:
            self._scenes[key] = scene
            self._scenes.move_to_end(key)
            while len(self._scenes) > self._most:
                self._scenes.popitem(last=False)

    def drop(self, owner_id: str, dataset_id: str) -> None:
        with self._lock:
            for key in [
                key for key in self._scenes if key[:2] == (owner_id, dataset_id)
            ]:
                del self._scenes[key]


_recent: Final = _Recent(_MOST_IN_MEMORY)


def scene_of(
    store: Store, scope: Scope, image_id: str, *, max_pixels: int
) -> DescribedImage:
    """Return what the nets see in an image; they run where it is not stored yet.

    It is the same whether it was stored or not. Threads may call it at once.

    Args:
        max_pixels: of the full image, as in `load_image`.

    Raises:
        NotFoundError: the dataset has no such image.
        ImageFileError, ImageReadError, LimitError: the image cannot be used.
    """
    key = (scope.owner_id, scope.dataset_id, image_id)
    scene = _recent.get(key)
    if scene is not None:
        store.require_image(scope, image_id)
        return scene
    content = store.stored_scene(scope, image_id)
    scene = None if content is None else DescribedImage.unpack(content)
    if scene is None:
        scene = _made(store, scope, image_id, max_pixels)
    _recent.put(key, scene)
    return scene


def forget_scenes(scope: Scope) -> None:
    """Keep no scene of a deleted dataset in memory."""
    _recent.drop(scope.owner_id, scope.dataset_id)


def image_vector(scene: DescribedImage) -> FloatArray:
    """Return a unit vector that describes the whole image, shape (1728,), float32.

    The product of two says how alike images are: copies of one photograph, brighter,
    smaller or compressed again, have more than 0.96; others of one subject less. For a
    map take the mean of all vectors away first.
    """
    return scene.vector()


def vector_of(
    store: Store, scope: Scope, image_id: str, *, max_pixels: int
) -> FloatArray:
    """Return the `image_vector` of an image; of a stored scene 3 kB are read.

    Arguments and errors are those of `scene_of`.
    """
    content = store.stored_scene(scope, image_id, first=vector_bytes())
    vector = None if content is None else packed_vector(content)
    if vector is not None:
        return vector
    return image_vector(scene_of(store, scope, image_id, max_pixels=max_pixels))


def _made(store: Store, scope: Scope, image_id: str, max_pixels: int) -> DescribedImage:
    loaded = load_image(
        store.image_bytes(scope, image_id),
        file_name=store.require_image(scope, image_id),
        max_pixels=max_pixels,
        wanted=WANTED,
    )
    scene = DescribedImage.of(loaded.rgb, loaded.size)
    content = scene.pack()
    if _is_room_for(len(content)):
        store.keep_scene(scope, image_id, content)
    return DescribedImage.unpack(content) or scene


def _is_room_for(byte_count: int) -> bool:
    current = settings()
    try:
        check_room(current.limits_for(current.mode or Mode.TEAM), wanted=byte_count)
    except LimitError:
        return False
    return True

"""A short vector of every image of a dataset, to tell which images are alike.

The vector of a scene (`scenes.image_vector`, 1,728 numbers) is projected on 512 random
directions, which keeps the products of unit vectors near 1 (Johnson and Lindenstrauss,
1984; measured: by .003 at .96), and kept in 8 bits: 512 bytes an image.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from imagebase.detection.detector import sha256_of_model
from imagebase.detection.library import find_model
from imagebase.detection.taught.feature_net import FEATURE_MODEL, feature_net
from imagebase.detection.taught.packing import packed_vector, vector_bytes, vector_of
from imagebase.detection.taught.taught_detector import WANTED
from imagebase.geometry import FloatArray
from imagebase.images.decode import load_image
from imagebase.learning.scenes import UNREADABLE
from imagebase.store import CandidatesKey, Scope, Store
from imagebase.store.candidates import IMAGE_VECTORS
from imagebase.store.scope import CHUNK, chunks

LENGTH: Final = 512
_STEPS: Final = 127
_THREADS: Final = 2
_IMAGES_IN_A_STEP: Final = 16

OnProgress = Callable[[int], bool]


@dataclass(frozen=True, slots=True, eq=False)
class ImageVectors:
    """Images in upload order, and a unit vector of each, shape (N, 512), float32."""

    image_ids: tuple[str, ...]
    vectors: FloatArray

    def __len__(self) -> int:
        return len(self.image_ids)

    def by_image(self) -> dict[str, FloatArray]:
        """Return the vector of each image, by id."""
        return dict(zip(self.image_ids, self.vectors, strict=True))

    def nearest(self, image_id: str, count: int) -> list[tuple[str, float]]:
        """Return the images most like one, and how alike they are, at most 1.

        None of an image without a vector.
        """
        if image_id not in self.image_ids:
            return []
        own = self.image_ids.index(image_id)
        alike = self.vectors @ self.vectors[own]
        order = np.argsort(-alike, kind="stable")
        chosen = [int(place) for place in order[: count + 1] if place != own][:count]
        return [(self.image_ids[place], float(alike[place])) for place in chosen]


def image_vectors(store: Store, scope: Scope) -> ImageVectors:
    """Return the vectors of the dataset's images that have one."""
    stored = [
        (name, blob)
        for some in store.each_candidates(scope, _key())
        for name, blob in some
        if len(blob) == LENGTH
    ]
    # Of 100,000 images they are 200 MB: not twice at the same time.
    vectors = np.empty((len(stored), LENGTH), np.float32)
    for first in range(0, len(stored), CHUNK):
        some = [blob for _, blob in stored[first : first + CHUNK]]
        vectors[first : first + CHUNK] = unpacked(some)
    return ImageVectors(tuple(name for name, _ in stored), vectors)


def vectors_version(store: Store, scope: Scope) -> str:
    """Return a text that is another one after vectors were added."""
    return store.candidates_version(scope, _key())


def without_vector(store: Store, scope: Scope) -> list[str]:
    """Return the ids of the images that have no vector yet, in upload order."""
    known = store.has_candidates(scope, _key())
    return [image_id for image_id in store.image_ids(scope) if image_id not in known]


def count_without_vector(store: Store, scope: Scope) -> int:
    """Return how many images have no vector yet."""
    return store.count_unanswered(scope, _key())


def make_vectors(
    store: Store,
    scope: Scope,
    image_ids: Sequence[str],
    *,
    max_pixels: int,
    on_progress: OnProgress = lambda done: True,
) -> int:
    """Make and keep the vectors of images; return how many cannot be read.

    Args:
        max_pixels: of an image that may be decoded.
        on_progress: called with the number of images done; returns whether to go on.
    """
    done = unread = 0
    for step in _steps(store, scope, image_ids, max_pixels):
        made = {name: vector for name, vector in step.items() if vector is not None}
        store.put_many(scope, _key(), {name: pack(v) for name, v in made.items()})
        done += len(step)
        unread += len(step) - len(made)
        if not on_progress(done):
            break
    return unread


def pack(vector: FloatArray) -> bytes:
    """Return a scene's vector, shape (1728,), as it is kept: 512 bytes."""
    short = vector @ _directions(len(vector))
    scale = _STEPS / max(float(np.abs(short).max()), 1e-9)
    return np.round(short * scale).astype(np.int8).tobytes()


def unpacked(blobs: Sequence[bytes]) -> FloatArray:
    """Return the vectors that were packed, of length 1, shape (N, 512), float32."""
    rows = np.frombuffer(b"".join(blobs), np.int8).reshape(-1, LENGTH)
    return _unit(rows.astype(np.float32))


def _steps(
    store: Store, scope: Scope, image_ids: Sequence[str], max_pixels: int
) -> Iterator[dict[str, FloatArray | None]]:
    def look(image_id: str) -> FloatArray | None:
        try:
            return _scene_vector(store, scope, image_id, max_pixels)
        except UNREADABLE:
            return None

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="image-vectors") as pool:
        for step in chunks(image_ids, size=_IMAGES_IN_A_STEP):
            yield dict(zip(step, pool.map(look, step), strict=True))


def _scene_vector(
    store: Store, scope: Scope, image_id: str, max_pixels: int
) -> FloatArray:
    """Return the vector of a stored scene; else of one net, which takes a third."""
    content = store.stored_scene(scope, image_id, first=vector_bytes())
    vector = None if content is None else packed_vector(content)
    if vector is not None:
        return vector
    loaded = load_image(
        store.image_bytes(scope, image_id),
        file_name=image_id,
        max_pixels=max_pixels,
        wanted=WANTED,
    )
    _, maps = feature_net().run(loaded.rgb, size=loaded.size, floor=1.0)
    return vector_of(maps, loaded.size)


@cache
def _directions(length: int) -> FloatArray:
    random = np.random.default_rng(0)
    return random.standard_normal((length, LENGTH)).astype(np.float32)


@cache
def _key() -> CandidatesKey:
    sha256 = sha256_of_model(find_model(FEATURE_MODEL))
    # The size of the net's input follows from the model.
    return CandidatesKey(sha256, input_size=0, precision="f32", passes=IMAGE_VECTORS)


def _unit(vectors: FloatArray) -> FloatArray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: FloatArray = (vectors / np.maximum(length, 1e-9)).astype(np.float32)
    return scaled

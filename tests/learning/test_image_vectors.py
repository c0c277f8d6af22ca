"""Vectors of images: made once, kept in the store, compared."""

import numpy as np
import pytest

from imagebase.annotation import Size
from imagebase.images.decode import encode_png, resized
from imagebase.learning import image_vectors as module
from imagebase.learning.image_vectors import (
    LENGTH,
    image_vectors,
    make_vectors,
    pack,
    unpacked,
    vectors_version,
    without_vector,
)
from imagebase.learning.scenes import scene_of
from imagebase.store import Scope, Store
from tests.detection.taught.test_teach import scene
from tests.learning.conftest import SIZE, add_scene

MOST: int = 10**9


def make_all(store: Store, scope: Scope) -> int:
    return make_vectors(store, scope, without_vector(store, scope), max_pixels=MOST)


def test_products_survive_packing() -> None:
    random = np.random.default_rng(0)
    base = random.standard_normal(1728)
    pairs = [base, base + 0.2 * random.standard_normal(1728)]
    vectors = [(v / np.linalg.norm(v)).astype(np.float32) for v in pairs]
    short = unpacked([pack(vector) for vector in vectors])
    assert len(pack(vectors[0])) == LENGTH == 512
    assert abs(float(short[0] @ short[1]) - float(vectors[0] @ vectors[1])) < 0.01
    np.testing.assert_allclose(np.linalg.norm(short, axis=1), 1, atol=1e-5)


def test_vectors_are_made_once_and_in_upload_order(store: Store, scope: Scope) -> None:
    first = [add_scene(store, scope, seed).image_id for seed in range(3)]
    assert make_all(store, scope) == 0
    version = vectors_version(store, scope)
    added = add_scene(store, scope, 3).image_id
    assert without_vector(store, scope) == [added]
    make_all(store, scope)
    known = image_vectors(store, scope)
    assert known.image_ids == (*first, added)
    assert known.vectors.shape == (4, LENGTH)
    assert vectors_version(store, scope) != version


def test_a_stored_scene_gives_the_same_vector(
    store: Store, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = add_scene(store, scope, 0).image_id
    make_all(store, scope)
    (before,) = image_vectors(store, scope).vectors
    scene_of(store, scope, image_id, max_pixels=MOST)
    monkeypatch.setattr(module, "feature_net", None)
    make_vectors(store, scope, [image_id], max_pixels=MOST)
    (after,) = image_vectors(store, scope).vectors
    assert float(before @ after) > 0.999


def test_a_smaller_copy_is_nearest(store: Store, scope: Scope) -> None:
    original, other = (add_scene(store, scope, seed).image_id for seed in range(2))
    rgb, _ = scene(seed=0)
    small = Size(SIZE.width // 2, SIZE.height // 2)
    copy = store.add_image(
        scope,
        encode_png(resized(rgb, small)),
        file_name="copy.png",
        size=small,
        quality=None,
    ).record.image_id
    make_all(store, scope)
    found = image_vectors(store, scope).nearest(original, 5)
    assert [image_id for image_id, _ in found] == [copy, other]
    assert found[0][1] > 0.9
    assert image_vectors(store, scope).nearest("unknown", 5) == []


def test_unreadable_images_are_counted_and_stop_nothing(
    store: Store, scope: Scope
) -> None:
    good = add_scene(store, scope, 0).image_id
    bad = store.add_image(
        scope, b"nothing", file_name="bad.png", size=SIZE, quality=None
    ).record.image_id
    assert make_all(store, scope) == 1
    assert image_vectors(store, scope).image_ids == (good,)
    assert without_vector(store, scope) == [bad]


def test_stops_where_it_is_told_to(
    store: Store, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IMAGES_IN_A_STEP", 1)
    ids = [add_scene(store, scope, seed).image_id for seed in range(2)]
    seen: list[int] = []

    def stop(done: int) -> bool:
        seen.append(done)
        return False

    make_vectors(store, scope, ids, max_pixels=MOST, on_progress=stop)
    assert seen == [1]
    assert without_vector(store, scope) == ids[1:]


def test_no_images_have_no_vectors(store: Store, scope: Scope) -> None:
    assert len(image_vectors(store, scope)) == 0
    assert image_vectors(store, scope).vectors.shape == (0, LENGTH)

"""Stored scenes: what nets see is computed once, kept with the image, and checked."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from imagebase.annotation import Size
from imagebase.detection.taught.described_image import DescribedImage
from imagebase.errors import NotFoundError
from imagebase.images.decode import load_image
from imagebase.learning import scenes
from imagebase.learning.scenes import image_vector, scene_of, vector_of
from imagebase.settings import SAMPLES_FOLDER, Settings
from imagebase.store import Scope, Store, open_store
from tests.store.fixtures import add_image, scope_of, sqlite_settings

MOST_PIXELS = 50_000_000
BEAR = (SAMPLES_FOLDER / "bear.jpg").read_bytes()


@pytest.fixture
def settings_here(tmp_path: Path, migrated_sqlite: Path) -> Settings:
    shutil.copy(migrated_sqlite, tmp_path / "imagebase.db")
    return sqlite_settings(tmp_path)


@pytest.fixture
def here(
    settings_here: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Store, Scope]]:
    """A store with no scenes in memory."""
    monkeypatch.setattr(scenes, "_recent", scenes._Recent(8))
    monkeypatch.setattr(scenes, "settings", lambda: settings_here)
    store = open_store(settings_here)
    yield store, scope_of(store, "team", who="ann")
    store.close()


def runs(monkeypatch: pytest.MonkeyPatch) -> list[Size]:
    """Return a list that grows by a size whenever the nets run."""
    seen: list[Size] = []
    real = DescribedImage.of

    def counted(rgb: np.ndarray, size: Size) -> DescribedImage:
        seen.append(size)
        return real(rgb, size)

    monkeypatch.setattr(DescribedImage, "of", counted)
    return seen


def stored_file(folder: Settings, image_id: str, owner: str = "team") -> Path:
    return Path(folder.storage_url) / owner / "scenes" / image_id[:2] / image_id


def same(a: DescribedImage, b: DescribedImage) -> bool:
    return (
        np.array_equal(a.candidates, b.candidates)
        and np.array_equal(a.confidence, b.confidence)
        and all(map(np.array_equal, a.maps.levels, b.maps.levels))
        and np.array_equal(a.loaded.rgb, b.loaded.rgb)
        and a.loaded.size == b.loaded.size
    )


def test_the_nets_run_once(
    here: tuple[Store, Scope], monkeypatch: pytest.MonkeyPatch, settings_here: Settings
) -> None:
    store, scope = here
    image_id = add_image(store, scope, data=BEAR).image_id
    seen = runs(monkeypatch)
    first = scene_of(store, scope, image_id, max_pixels=MOST_PIXELS)
    assert scene_of(store, scope, image_id, max_pixels=MOST_PIXELS) is first
    monkeypatch.setattr(scenes, "_recent", scenes._Recent(8))
    again = scene_of(store, scope, image_id, max_pixels=MOST_PIXELS)
    assert len(seen) == 1
    assert same(again, first)
    assert stored_file(settings_here, image_id).stat().st_size < 400_000


def test_a_stored_scene_tells_what_a_fresh_one_does() -> None:
    loaded = load_image(BEAR, file_name="bear.jpg", max_pixels=MOST_PIXELS)
    fresh = DescribedImage.of(loaded.rgb, loaded.size)
    stored = DescribedImage.unpack(fresh.pack())
    assert stored is not None
    assert stored.loaded.size == fresh.loaded.size
    assert np.abs(stored.candidates - fresh.candidates).max() < 0.1
    assert np.abs(stored.confidence - fresh.confidence).max() < 0.001
    for before, after in zip(fresh.maps.levels, stored.maps.levels, strict=True):
        assert np.abs(before - after).max() <= before.std(axis=(0, 1)).max()
    looks = stored.looks(fresh.candidates), fresh.looks(fresh.candidates)
    assert (looks[0] * looks[1]).sum(axis=1).min() > 0.95


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\x01" * 500,
        pytest.param(None, id="cut"),
        pytest.param(7, id="another net"),
        pytest.param(9_000, id="a changed byte"),
    ],
)
def test_a_damaged_scene_is_made_again(
    here: tuple[Store, Scope],
    monkeypatch: pytest.MonkeyPatch,
    settings_here: Settings,
    damaged: bytes | int | None,
) -> None:
    store, scope = here
    image_id = add_image(store, scope, data=BEAR).image_id
    first = scene_of(store, scope, image_id, max_pixels=MOST_PIXELS)
    file = stored_file(settings_here, image_id)
    content = bytearray(file.read_bytes())
    if isinstance(damaged, int):
        content[damaged] ^= 0xFF
    file.write_bytes(
        damaged if isinstance(damaged, bytes) else content[: None if damaged else 9000]
    )
    monkeypatch.setattr(scenes, "_recent", scenes._Recent(8))
    seen = runs(monkeypatch)
    assert same(scene_of(store, scope, image_id, max_pixels=MOST_PIXELS), first)
    assert len(seen) == 1
    assert DescribedImage.unpack(file.read_bytes()) is not None


def test_a_scene_goes_with_its_image(
    here: tuple[Store, Scope], settings_here: Settings
) -> None:
    store, scope = here
    image_id = add_image(store, scope, data=BEAR).image_id
    scene_of(store, scope, image_id, max_pixels=MOST_PIXELS)
    assert stored_file(settings_here, image_id).exists()
    store.remove_images(scope, [image_id])
    assert not stored_file(settings_here, image_id).exists()
    with pytest.raises(NotFoundError):
        scene_of(store, scope, image_id, max_pixels=MOST_PIXELS)
    with pytest.raises(NotFoundError):
        store.keep_scene(scope, image_id, b"late")
    assert not stored_file(settings_here, image_id).exists()


def test_an_owner_has_no_scene_of_another(
    here: tuple[Store, Scope], settings_here: Settings
) -> None:
    store, scope = here
    visitor = scope_of(store, "visitor-" + "a" * 24, who="bob")
    image_id = add_image(store, scope, data=BEAR).image_id
    scene_of(store, scope, image_id, max_pixels=MOST_PIXELS)
    for ask in (scene_of, vector_of):
        with pytest.raises(NotFoundError):
            ask(store, visitor, image_id, max_pixels=MOST_PIXELS)


def test_a_full_disk_keeps_nothing(
    here: tuple[Store, Scope], monkeypatch: pytest.MonkeyPatch, settings_here: Settings
) -> None:
    store, scope = here
    image_id = add_image(store, scope, data=BEAR).image_id
    monkeypatch.setattr("imagebase.disk_space.free_bytes", lambda folder: 1000)
    scene_of(store, scope, image_id, max_pixels=MOST_PIXELS)
    assert not stored_file(settings_here, image_id).exists()


def test_copies_of_a_photograph_are_near_each_other() -> None:
    vectors: list[np.ndarray] = []
    copies: list[np.ndarray] = []
    for path in sorted(SAMPLES_FOLDER.glob("*.jpg"))[:6]:
        rgb = load_image(path.read_bytes(), file_name="a", max_pixels=MOST_PIXELS).rgb
        brighter = np.clip(rgb * 1.15 + 8, 0, 255).astype(np.uint8)
        smaller = np.asarray(cv2.resize(brighter, None, fx=0.8, fy=0.8), np.uint8)
        for image, into in ((rgb, vectors), (smaller, copies)):
            size = Size(image.shape[1], image.shape[0])
            into.append(image_vector(DescribedImage.of(image, size)))
    like = np.array(vectors) @ np.array(copies).T
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert np.diag(like).min() > 0.96
    assert (like - 2 * np.eye(len(like))).max() < 0.94


def test_a_vector_is_read_without_the_scene(
    here: tuple[Store, Scope], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, scope = here
    image_id = add_image(store, scope, data=BEAR).image_id
    made = vector_of(store, scope, image_id, max_pixels=MOST_PIXELS)
    seen = runs(monkeypatch)
    monkeypatch.setattr(DescribedImage, "unpack", None)
    read = vector_of(store, scope, image_id, max_pixels=MOST_PIXELS)
    assert read.shape == (1728,)
    assert float(made @ read) > 0.999
    assert seen == []

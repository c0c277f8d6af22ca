"""Image files on a real S3 server that goes away and comes back."""

from dataclasses import replace
from pathlib import Path

import pytest

from imagebase.errors import StorageUnreachableError, StoreError
from imagebase.settings import TEAM_OWNER, Settings
from imagebase.store import open_store
from imagebase.store.image_files import ImageFiles
from tests.s3_server import environment, free_port, make_bucket, moto, s3_server
from tests.store.fixtures import add_image, scope_of, sqlite_settings

s3fs = pytest.importorskip("s3fs", reason="the extra s3 is not installed")


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def settings(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A store whose images are in a bucket of a server that does not run yet."""
    for name, value in environment(port).items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    here = sqlite_settings(tmp_path)
    return Settings(tmp_path, here.database_url, "s3://photos/images")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_errors_of_s3_are_sentences_and_end_with_the_outage(
    settings: Settings, port: int
) -> None:
    server = moto(port)
    server.start()
    make_bucket("photos")
    store = open_store(settings)
    store.check_writable()
    scope = scope_of(store, TEAM_OWNER, who="ann")
    image_id = add_image(store, scope, "a.jpg").image_id
    assert store.image_bytes(scope, image_id) == b"a.jpg"
    server.stop()
    with pytest.raises(StorageUnreachableError, match=r"a\.jpg cannot be read"):
        store.image_bytes(scope, image_id)
    with pytest.raises(StoreError, match="could not be written"):
        add_image(store, scope, "b.jpg")
    with pytest.raises(StoreError, match="cannot be listed"):
        store.check_reachable()
    assert [one.file_name for one in store.records(scope)] == ["a.jpg"]
    store.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_bucket_that_is_not_there_is_found_before_the_app_starts(
    settings: Settings, port: int
) -> None:
    server = moto(port)
    server.start()
    store = open_store(replace(settings, storage_url="s3://missing/images"))
    with pytest.raises(StoreError, match="IMAGEBASE_STORAGE_URL"):
        store.check_writable()
    store.close()
    server.stop()


def test_bucket_with_credentials_is_refused_without_them() -> None:
    with pytest.raises(StoreError, match="takes no credentials") as refused:
        ImageFiles("s3://AKEY:hunter22@photos/images")
    assert "hunter22" not in str(refused.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_whole_life_of_images_in_a_bucket(tmp_path: Path) -> None:
    with s3_server("photos"):
        here = sqlite_settings(tmp_path)
        place = Settings(tmp_path, here.database_url, "s3://photos/images")
        store, files = open_store(place), ImageFiles(place.storage_url)
        scope = scope_of(store, TEAM_OWNER, who="ann")
        other = scope_of(store, TEAM_OWNER, who="ann", name="Other")
        ids = [add_image(store, scope, f"{n}.jpg").image_id for n in range(12)]
        add_image(store, other, "0.jpg")
        store.thumbnail(scope, ids[1], lambda data: data[::-1])
        assert store.thumbnail(scope, ids[1], lambda data: b"") == b"1.jpg"[::-1]
        # Another process deletes a file; this one stores the image again.
        files.delete(TEAM_OWNER, ids[2])
        add_image(store, scope, "2.jpg")
        assert store.image_bytes(scope, ids[2]) == b"2.jpg"
        files.write(TEAM_OWNER, "f" * 64, b"of no row")
        assert store.sweep_files() == 0
        assert len(list(files.stored(TEAM_OWNER))) == 13
        assert store.remove_images(scope, ids) == 12
        assert [image_id for image_id, _ in files.stored(TEAM_OWNER)] == [
            *([ids[0], "f" * 64] if ids[0] < "f" * 64 else ["f" * 64, ids[0]])
        ]
        assert files.made(TEAM_OWNER, ids[1], "thumbnails") is None
        store.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_added_image_is_read_by_no_request_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server("photos"):
        here = sqlite_settings(tmp_path)
        place = Settings(tmp_path, here.database_url, "s3://photos/images")
        store = open_store(place)
        scope = scope_of(store, TEAM_OWNER, who="ann")
        asked: list[str] = []
        call = s3fs.S3FileSystem._call_s3

        def counted(
            files: object, method: str, *args: object, **more: object
        ) -> object:
            asked.append(method)
            return call(files, method, *args, **more)

        monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
        ids = [add_image(store, scope, f"{n}.jpg").image_id for n in range(20)]
        assert "get_object" not in asked
        assert asked.count("put_object") == 20
        asked.clear()
        store.remove_images(scope, ids)
        assert asked == ["delete_objects"]
        store.close()

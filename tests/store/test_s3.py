"""Image files on a real S3 server that goes away and comes back."""

from dataclasses import replace
from pathlib import Path

import pytest

from imagebase.errors import StorageUnreachableError, StoreError
from imagebase.settings import TEAM_OWNER, Settings
from imagebase.store import open_store
from tests.s3_server import environment, free_port, make_bucket, moto
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

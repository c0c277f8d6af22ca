"""The migrations make exactly the tables that the code speaks of."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from imagebase.errors import StoreError
from imagebase.settings import Settings
from imagebase.store import open_store
from imagebase.store.database import Database
from imagebase.store.schema import MIGRATIONS, bring_up_to_date
from imagebase.store.tables import SCHEMA_REVISION, metadata
from tests.store.fixtures import PostgresServer, sqlite_settings

_OPEN = """
import sys
from pathlib import Path
from imagebase.settings import Settings
from imagebase.store import open_store
store = open_store(Settings(Path(sys.argv[2]), sys.argv[1], sys.argv[2]))
print(store.create_dataset("team", "Street", who="ann").name)
"""


def test_migrated_schema_equals_the_tables(store_settings: Settings) -> None:
    database = Database(store_settings.database_url)
    bring_up_to_date(database)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    database.close()


def test_tables_name_the_last_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == SCHEMA_REVISION


def test_database_of_a_newer_imagebase_is_left_alone(tmp_path: Path) -> None:
    store_settings = sqlite_settings(tmp_path)
    open_store(store_settings).close()
    database = Database(store_settings.database_url)
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(StoreError, match="newer ImageBase"):
        open_store(store_settings)


def _open_three_times(database_url: str, folder: Path) -> list[str]:
    command = [sys.executable, "-c", _OPEN, database_url, str(folder)]
    opening = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    return [process.communicate(timeout=60)[0].strip() for process in opening]


def test_processes_that_open_at_once_make_the_schema_once(tmp_path: Path) -> None:
    url = sqlite_settings(tmp_path).database_url
    assert _open_three_times(url, tmp_path) == ["Street"] * 3


@pytest.mark.postgres
def test_processes_that_open_at_once_on_a_server(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    postgres.execute("CREATE DATABASE opened_at_once")
    url = postgres.url("opened_at_once")
    assert _open_three_times(url, tmp_path) == ["Street"] * 3

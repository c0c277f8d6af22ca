"""What every test may use."""

from pathlib import Path

import pytest

pytest_plugins = ["tests.store.fixtures", "tests.app_fixtures"]

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs and files; skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"{SHARED_DATA} is absent: it holds the real data of this test")
    return SHARED_DATA

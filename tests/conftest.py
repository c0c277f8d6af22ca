"""What every test may use."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.store.fixtures", "tests.app_fixtures"]

# No example is a failure for being slow: a machine may have other things to do.
settings.register_profile(
    "all", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("few", settings.get_profile("all"), max_examples=20)
settings.load_profile("few")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Undo what a command that runs in this process sets for the whole of it."""
    root, ours, pillow = map(logging.getLogger, (None, "imagebase", "PIL"))
    handlers, level, propagate = list(root.handlers), ours.level, pillow.propagate
    yield
    root.handlers[:] = handlers
    ours.setLevel(level)
    pillow.propagate = propagate


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs and files; skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"{SHARED_DATA} is absent: it holds the real data of this test")
    return SHARED_DATA


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave PostgreSQL to `make test-all`, but for what differs by database."""
    for item in items:
        if item.get_closest_marker("postgres") and not item.get_closest_marker(
            "dialect"
        ):
            item.add_marker(pytest.mark.long)

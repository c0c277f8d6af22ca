import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from imagebase.cli import app
from imagebase.cli.serve import _allow, check, url_of
from imagebase.errors import ImageBaseError, SettingsError, StoreError
from imagebase.settings import ALLOWED_HOSTS, PROJECT_ROOT, settings

LOOPBACK = "127.0.0.1"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder that does not exist yet, for settings read again."""
    for name in [name for name in os.environ if name.startswith("IMAGEBASE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("IMAGEBASE_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def test_everything_in_order_is_said_line_by_line(home: Path) -> None:
    port = free_port()
    model, data, mode, start = check(LOOPBACK, port)
    assert model.startswith("Model: yolov4-tiny on ")
    assert data == f"Data: {home}"
    assert mode.startswith("Mode: team, everyone who reaches it")
    assert start == "Starting …"
    assert (home / "imagebase.db").is_file()


def test_address_that_others_reach_is_a_demo_unless_it_is_set() -> None:
    port = free_port()
    *_, mode, _ = check("0.0.0.0", port)
    assert mode.startswith("Mode: demo, each browser has a private dataset")


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("0.0.0.0", "http://localhost:8501"),
        ("127.0.0.1", "http://127.0.0.1:8501"),
        ("::1", "http://[::1]:8501"),
    ],
)
def test_address_is_written_as_browsers_take_it(address: str, url: str) -> None:
    assert url_of(address, 8501) == url


def test_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"Port {port} on .* --port"):
            list(check(LOOPBACK, port))


def test_address_of_another_machine_is_named() -> None:
    with pytest.raises(SettingsError, match=r"192\.0\.2\.1"):
        list(check("192.0.2.1", free_port()))


def test_data_folder_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("IMAGEBASE_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(StoreError, match=r"file/home cannot be made .* IMAGEBASE_HOME"):
        list(check(LOOPBACK, free_port()))


def test_broken_database_is_found_before_the_app_starts(home: Path) -> None:
    home.mkdir()
    (home / "imagebase.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(ImageBaseError):
        list(check(LOOPBACK, free_port()))


def test_mode_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEBASE_MODE", "open")
    with pytest.raises(SettingsError, match="IMAGEBASE_MODE is 'open'"):
        list(check(LOOPBACK, free_port()))


def status_of(port: int) -> int | None:
    with contextlib.closing(http.client.HTTPConnection(LOOPBACK, port)) as connection:
        try:
            connection.request("GET", "/_stcore/health")
            return connection.getresponse().status
        except OSError:
            return None


def test_serve_starts_an_app_that_answers(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "imagebase", "serve", "--headless"]
    with (tmp_path / "printed.txt").open("w+") as printed:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=PROJECT_ROOT,
            env=os.environ | {"IMAGEBASE_LOG": "json"},
            stdout=printed,
            stderr=printed,
        )
        try:
            give_up = time.monotonic() + 60
            while status_of(port) != 200 and time.monotonic() < give_up:
                assert process.poll() is None, (tmp_path / "printed.txt").read_text()
                time.sleep(0.1)
            assert status_of(port) == 200
            place = f"Open: http://{LOOPBACK}:{port} (Ctrl + C ends it)"
            while place not in (tmp_path / "printed.txt").read_text():
                assert time.monotonic() < give_up
                time.sleep(0.1)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    all_printed = (tmp_path / "printed.txt").read_text()
    assert "Mode: team" in all_printed
    assert "No runtime found" not in all_printed
    logged = [json.loads(line) for line in all_printed.splitlines() if line[0] == "{"]
    assert "The app started" in [entry["message"] for entry in logged]


def streamlit_config() -> dict[str, Any]:
    return tomllib.loads(
        (PROJECT_ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8")
    )


def test_streamlit_lays_no_notice_of_its_own_over_the_page() -> None:
    assert streamlit_config()["logger"]["hideWelcomeMessage"] is True


def test_unexpected_error_of_a_page_goes_to_the_log_alone() -> None:
    config = streamlit_config()
    assert config["logger"]["enableRich"] is False
    assert config["client"]["showErrorDetails"] == "none"
    assert config["client"]["showErrorLinks"] is False


def test_allowed_host_is_added_to_those_that_are_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ALLOWED_HOSTS, "one.example")
    _allow(["two.example", "Three.example"])
    expected = {"one.example", "two.example", "three.example"}
    assert settings().allowed_hosts == expected
    settings.cache_clear()


def test_allowed_host_with_a_port_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ALLOWED_HOSTS, "")
    with pytest.raises(SettingsError, match="without http:// and port"):
        _allow(["images.example.org:8501"])
    settings.cache_clear()


def test_serve_on_a_taken_port_ends_with_1_and_a_sentence() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["serve", "--port", port])
    assert result.exit_code == 1
    assert result.stdout.startswith("Model: ")
    assert result.stderr.endswith("give another one with --port.\n")
    assert result.stderr.count("\n") == 1

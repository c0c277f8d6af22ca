"""The compose files, and their proxy, which keeps each browser at one app."""

import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
import yaml

from imagebase.settings import PROJECT_ROOT, read_settings
from tests.s3_server import free_port

FILES = ("compose.yaml", "compose.postgres.yaml", "compose.team.yaml")


class Loader(yaml.SafeLoader):
    """Takes compose's own tags."""


Loader.add_constructor("!reset", lambda loader, node: [])


def compose(name: str) -> dict[str, Any]:
    with (PROJECT_ROOT / name).open(encoding="utf-8") as file:
        found: dict[str, Any] = yaml.load(file, Loader)
    return found


@pytest.mark.parametrize("name", FILES)
def test_services_name_only_what_is_there(name: str) -> None:
    known = [compose(file) for file in FILES]
    services = {key for file in known for key in file["services"]}
    volumes = {key for file in known for key in file.get("volumes", {})}
    for service in compose(name)["services"].values():
        assert set(service.get("depends_on", {})) <= services
        assert {v.split(":")[0] for v in service.get("volumes", [])} <= volumes
        assert not {c["source"] for c in service.get("configs", [])} - {"proxy"}


def test_two_apps_share_everything_and_only_the_proxy_is_reached() -> None:
    services = compose("compose.team.yaml")["services"]
    assert services["app"] == services["app2"]
    assert services["app"]["ports"] == []
    assert services["app"]["volumes"] == ["data:/data"]
    read = read_settings(
        {
            name: str(value).replace(":?give PostgreSQL a password", "")
            for name, value in services["app"]["environment"].items()
            if name == "IMAGEBASE_DATABASE_URL"
        }
    )
    assert read.database_url.startswith("postgresql://imagebase:")


class App:
    """Stands for an app: answers with its number."""

    def __init__(self, number: int) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(str(number).encode())

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def apps() -> Iterator[list[App]]:
    started = [App(1), App(2)]
    yield started
    for app in started:
        app.stop()


@pytest.fixture
def proxy(apps: list[App], tmp_path: Path) -> Iterator[str]:
    """The address of a real nginx with the configuration of the compose file."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    port = free_port()
    text = compose("compose.team.yaml")["configs"]["proxy"]["content"]
    text = text.replace("$$", "$").replace("listen 80;", f"listen 127.0.0.1:{port};")
    for name, app in zip(("app", "app2"), apps, strict=True):
        text = text.replace(f"server {name}:8501", f"server 127.0.0.1:{app.port}")
    places = "\n".join(
        f"{kind}_temp_path {tmp_path}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/log;\n"
        f"events {{}}\nhttp {{ access_log off;\n{places}\n{text} }}"
    )
    process = subprocess.Popen(
        ["nginx", "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "log")]
    )
    address = f"http://127.0.0.1:{port}/"
    _wait_for(address, process)
    yield address
    process.terminate()
    process.wait(10)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None
        try:
            urlopen(address).close()
        except URLError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("nginx does not answer")


def ask(address: str, cookie: str = "") -> tuple[str, str]:
    """Return the app that answers, and the cookie that the browser then has."""
    with urlopen(Request(address, headers={"Cookie": cookie})) as answer:
        return answer.read().decode(), answer.headers["Set-Cookie"].split(";")[0]


def test_browser_stays_at_its_app_and_moves_when_that_is_down(
    proxy: str, apps: list[App]
) -> None:
    browsers = [ask(proxy) for _ in range(40)]
    assert {app for app, _ in browsers} == {"1", "2"}
    for app, cookie in browsers:
        assert [ask(proxy, cookie) for _ in range(3)] == [(app, cookie)] * 3
    apps[0].stop()
    assert {ask(proxy, cookie)[0] for _, cookie in browsers} == {"2"}

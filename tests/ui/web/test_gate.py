"""What every request passes: host, origin, closed addresses, headers, the cookie."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from imagebase.ui import services
from imagebase.ui.web import cookies
from imagebase.ui.web.gate import TOKEN, Gate, is_closed
from tests.app_fixtures import Configure

NETWORK = "0.0.0.0"


async def _page(scope: Scope, receive: Receive, send: Send) -> None:
    is_cached = scope["path"] == "/not-modified"
    kind = PlainTextResponse if is_cached else HTMLResponse
    await kind(scope[TOKEN])(scope, receive, send)


def ask(
    path: str = "/",
    *,
    host: str = "localhost:8501",
    method: str = "GET",
    kind: str = "http",
    scheme: str = "http",
    **headers: str,
) -> tuple[int, MutableHeaders, str]:
    """Return status, headers and body of what the gate answers."""
    sent: list[Message] = []
    named = {"host": host, **headers}
    scope: dict[str, Any] = {
        "type": kind,
        "path": path,
        "method": method,
        "scheme": scheme,
        "headers": [(k.encode(), v.encode()) for k, v in named.items()],
    }

    async def receive() -> Message:
        return {"type": f"{kind}.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(Gate(_page)(scope, receive, send))
    if kind == "websocket":
        return int(sent[0]["code"]), MutableHeaders(), ""
    return (
        sent[0]["status"],
        MutableHeaders(raw=list(sent[0]["headers"])),
        sent[1]["body"].decode(),
    )


@pytest.fixture(autouse=True)
def home(configure: Configure) -> None:
    configure()


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1:8501", "[::1]:8501", "a.localhost", "LOCALHOST."]
)
def test_loopback_server_answers_to_loopback_names(host: str) -> None:
    assert ask(host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "@", "[", "10.0.0.1:8501"]
)
def test_loopback_server_answers_to_no_other_name(host: str) -> None:
    status, _, body = ask(host=host)
    assert status == 403
    assert "--allowed-host" in body
    assert ask(host=host, kind="websocket")[0] == 1008


def test_allowed_name_is_answered(configure: Configure) -> None:
    configure(ALLOWED_HOSTS="images.example.org, Other.example.org")
    for host in ("images.example.org", "other.example.org:443", "localhost"):
        assert ask(host=host)[0] == 200
    assert ask(host="example.org")[0] == 403


def test_server_on_the_network_answers_to_any_name_until_some_are_allowed(
    configure: Configure,
) -> None:
    configure(address=NETWORK)
    assert ask(host="anything.example")[0] == 200
    configure(address=NETWORK, ALLOWED_HOSTS="images.example.org")
    assert ask(host="anything.example")[0] == 403


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        *(("http://localhost:8501", 200), ("HTTP://LOCALHOST:8501", 200)),
        *(("http://localhost:99", 403), ("null", 403), ("http://[", 403), ("", 403)),
    ],
)
def test_change_comes_from_the_servers_own_page(origin: str, status: int) -> None:
    assert ask(method="PUT", origin=origin)[0] == status


def test_websocket_of_another_sites_page_is_refused() -> None:
    assert ask(kind="websocket", origin="https://evil.example")[0] == 1008


def test_log_says_which_name_a_proxy_lacks(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    ask(kind="websocket", origin="https://images.example.org")
    assert "'https://images.example.org'" in caplog.text
    assert "--allowed-host" in caplog.text


def test_origin_of_an_allowed_name_is_accepted(configure: Configure) -> None:
    configure(ALLOWED_HOSTS="images.example.org")
    assert ask(method="PUT", origin="https://images.example.org")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/_stcore/metrics",
        "//_stcore//metrics/",
        "/_stcore/script-health-check",
        "/_stcore/agent/interact",
        "/_stcore/agent/openapi.json",
        "/_stcore/agent/mcp",
    ],
)
def test_addresses_for_debugging_are_closed(path: str) -> None:
    assert ask(path)[0] == 404


@pytest.fixture
def below_a_path() -> Iterator[None]:
    st.config.set_option("server.baseUrlPath", "images")
    yield
    st.config.set_option("server.baseUrlPath", "")


@pytest.mark.usefixtures("below_a_path")
def test_addresses_are_closed_below_a_path_too() -> None:
    assert is_closed("/images/_stcore/metrics")
    assert not is_closed("/images/_stcore/health")


def test_new_browser_gets_a_cookie_that_scripts_cannot_read() -> None:
    cookie = ask()[1]["set-cookie"]
    value, *attributes = cookie.removeprefix("imagebase_visitor=").split("; ")
    assert cookies.token_in(value)
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Lax"]


def test_cookie_is_for_tls_only_behind_tls() -> None:
    assert ask(scheme="https")[1]["set-cookie"].endswith("; Secure")


def test_known_browser_keeps_its_cookie() -> None:
    value = cookies.value_of(cookies.new_token())
    _, headers, body = ask(cookie=f"{cookies.NAME}={value}")
    assert "set-cookie" not in headers
    assert body == cookies.token_in(value)


def test_cookie_of_an_earlier_version_is_replaced_by_a_signed_one() -> None:
    token = cookies.new_token()
    services.store().ensure_owner(cookies.owner_of(token), expires_at=None)
    _, headers, body = ask(cookie=f"{cookies.NAME}={token}")
    assert body == token
    assert cookies.value_of(token) in headers["set-cookie"]


def test_logging_out_makes_another_visitor() -> None:
    value = cookies.value_of(cookies.new_token())
    _, headers, _ = ask("/auth/logout", cookie=f"{cookies.NAME}={value}")
    assert value not in headers["set-cookie"]


def test_page_from_the_browsers_cache_brings_a_cookie_too() -> None:
    assert "set-cookie" in ask("/not-modified", accept="text/html,*/*")[1]
    assert "set-cookie" not in ask("/not-modified", accept="*/*")[1]


@pytest.mark.parametrize("forged", ["0" * 64, f"{'0' * 64}.{'0' * 64}", "team"])
def test_forged_cookie_gives_a_new_identity(forged: str) -> None:
    _, headers, body = ask(cookie=f"{cookies.NAME}={forged}")
    assert body == ""
    assert forged[:64] not in headers["set-cookie"]


def test_every_answer_has_the_headers() -> None:
    for _, headers, _ in (ask(), ask(host="evil.example"), ask("/_stcore/metrics")):
        assert "frame-ancestors 'self'" in headers["content-security-policy"]
        assert "'unsafe-inline'" not in headers["content-security-policy"].split(";")[1]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["x-frame-options"] == "SAMEORIGIN"

"""Log in with OpenID Connect, over HTTPS through nginx: real tokens, a real browser."""

import datetime
import shutil
import subprocess
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from playwright.sync_api import Browser, BrowserContext, Page, expect

from imagebase.ui.web import cookies
from tests.browser.conftest import APP, SCREEN, Server, free_port
from tests.browser.oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider

NGINX: Final = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
ADA: Final = {"sub": "1", "email": "ada@example.org", "email_verified": True}
PAGES: Final = (
    "",
    "annotate",
    "edit",
    "review",
    "export",
    "models",
    "evaluate",
    "train",
)
CONFIGURATION: Final = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/certificate.pem;
    ssl_certificate_key {folder}/key.pem;
    client_max_body_size 200m;
    location / {{
      proxy_pass {app};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_read_timeout 1h;
    }}
  }}
}}
"""

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


class Team(NamedTuple):
    """A team's server behind TLS, and its login provider."""

    url: str
    provider: Provider


def write_certificate(folder: Path) -> None:
    """Write a certificate for localhost that it has signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
    )
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def write_secrets(home: Path, url: str, provider: Provider) -> None:
    folder = home / ".streamlit"
    folder.mkdir()
    (folder / "secrets.toml").write_text(
        f"""[auth]
redirect_uri = "{url}/oauth2callback"
cookie_secret = "{"x" * 40}"
client_id = "{CLIENT_ID}"
client_secret = "{CLIENT_SECRET}"
server_metadata_url = "{provider.metadata_url}"
"""
    )


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    home, folder = (tmp_path_factory.mktemp(name) for name in ("team", "nginx"))
    port, provider = free_port(), Provider()
    url = f"https://localhost:{port}"
    write_secrets(home, url, provider)
    write_certificate(folder)
    environ = {
        "IMAGEBASE_MODE": "team",
        "IMAGEBASE_SAMPLES": "1",
        "IMAGEBASE_ALLOWED_USERS": "ada@example.org, @team.example",
        "IMAGEBASE_LOGIN_SECONDS": "3600",
        "OMP_NUM_THREADS": "1",
    }
    server = Server(APP, home, environ)
    server.start()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(folder=folder, port=port, app=server.url)
    )
    nginx = subprocess.Popen([str(NGINX), "-p", str(folder), "-c", str(configuration)])
    yield Team(url, provider)
    nginx.terminate()
    nginx.wait(timeout=20)
    server.stop()
    provider.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context(viewport=SCREEN, ignore_https_errors=True)
    yield context
    context.close()


def log_in(context: BrowserContext, team: Team, **claims: Any) -> Page:  # noqa: ANN401
    """Log in as a person with these claims, and return the page that follows."""
    team.provider.claims = claims
    page = context.new_page()
    page.goto(team.url)
    expect(page.get_by_text("Log in to see the team's datasets.")).to_be_visible(
        timeout=60_000
    )
    with page.expect_response(lambda answer: "/oauth2callback?" in answer.url):
        page.get_by_role("button", name="Log in").click()
    return page


def test_member_works_and_logs_out(team: Team, context: BrowserContext) -> None:
    page = log_in(context, team, **ADA)
    who = page.get_by_test_id("stSidebar").get_by_text("ada@example.org")
    who.wait_for(state="attached", timeout=60_000)
    for path in PAGES:
        page.goto(f"{team.url}/{path}")
        who.wait_for(state="attached", timeout=60_000)
    page.goto(f"{team.url}/export")
    link = page.get_by_role("link", name="Download")
    with page.expect_download(timeout=60_000) as download:
        link.click()
    assert download.value.suggested_filename.endswith(".zip")
    address = f"{team.url}{link.get_attribute('href')}"
    page.get_by_test_id("stSidebar").get_by_text("ada@example.org").click()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("Log in to see the team's datasets.")).to_be_visible(
        timeout=60_000
    )
    assert context.request.get(address).status == 404


def test_cookies_are_for_tls_and_end_with_the_login(
    team: Team, context: BrowserContext
) -> None:
    page = log_in(context, team, **ADA)
    expect(page.get_by_text("ada@example.org").first).to_be_attached(timeout=60_000)
    found = {one["name"]: one for one in context.cookies(team.url)}
    assert [name for name, one in found.items() if not one["secure"]] == []
    assert found[cookies.NAME]["httpOnly"]
    assert found["_streamlit_user"]["httpOnly"]
    assert found["_streamlit_user"]["expires"] <= time.time() + 3600


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({**ADA, "email_verified": False}, "did not confirm an e-mail address"),
        ({"sub": "1", "name": "Ada"}, "did not confirm an e-mail address"),
        (
            {**ADA, "email": "eve@example.org"},
            "eve@example.org may not use this server",
        ),
        ({**ADA, "email": "ada@example.org.evil.example"}, "may not use this server"),
        ({**ADA, "iat": int(time.time()) - 7200}, "Your login has expired"),
    ],
    ids=["unverified", "no address", "not listed", "longer domain", "expired"],
)
def test_others_see_nothing(
    team: Team, context: BrowserContext, claims: dict[str, Any], reason: str
) -> None:
    page = log_in(context, team, **claims)
    expect(page.get_by_text(reason)).to_be_visible(timeout=60_000)
    assert page.get_by_test_id("stFileUploader").count() == 0
    assert page.get_by_test_id("stSidebar").count() == 0
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


def test_everyone_of_an_allowed_domain_may_log_in(
    team: Team, context: BrowserContext
) -> None:
    page = log_in(context, team, sub="2", email="Bob@Team.Example", email_verified=True)
    expect(page.get_by_text("Bob@Team.Example").first).to_be_attached(timeout=60_000)

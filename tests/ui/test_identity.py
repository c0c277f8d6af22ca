"""Identity of the visitor, in both modes, with and without a login."""

import getpass
import hashlib
from datetime import timedelta

import pytest

from imagebase.annotation import utc_now
from imagebase.settings import settings
from imagebase.ui import services
from imagebase.ui.identity import TEAM_OWNER
from tests.app_fixtures import (
    Configure,
    NewTab,
    Tab,
    records,
    started,
    store,
    the_scope,
)

COOKIE = "imagebase_visitor"
AUTH = {"auth": {"redirect_uri": "http://localhost:8501/oauth2callback"}}


def owners() -> list[str]:
    """Return every demo owner there is, by what is going to expire."""
    return store().expired_owners(utc_now() + timedelta(days=1))


@pytest.fixture
def demo(configure: Configure, two_samples: None) -> None:
    configure(MODE="demo")


def add_dataset(tab: Tab, name: str) -> None:
    tab.submit("sidebar.new_dataset", name)


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1"])
def test_server_that_only_this_machine_reaches_is_a_teams(
    configure: Configure, address: str
) -> None:
    configure(address=address)
    assert services.mode() == "team"


@pytest.mark.parametrize("address", [None, "0.0.0.0", "192.168.1.5", "example.org"])
def test_server_that_others_reach_is_a_demo(
    configure: Configure, address: str | None
) -> None:
    configure(address=address)
    assert services.mode() == "demo"


def test_mode_that_is_set_counts_whatever_the_address(configure: Configure) -> None:
    configure(address="0.0.0.0", MODE="team")
    assert services.mode() == "team"


@pytest.mark.usefixtures("demo")
def test_demo_visitor_begins_with_the_samples(new_tab: NewTab) -> None:
    visitor = started(new_tab)
    (owner,) = owners()
    assert sum(store().progress(the_scope(owner)).values()) == 2
    assert "deleted one hour after" in visitor.words()


@pytest.mark.usefixtures("demo")
def test_demo_visitors_of_two_browsers_have_different_owners(
    new_tab: NewTab, cookies: dict[str, str]
) -> None:
    started(new_tab)
    cookies.clear()
    started(new_tab)
    assert len(owners()) == 2


@pytest.mark.usefixtures("demo")
def test_demo_visitor_returns_to_the_same_images(new_tab: NewTab) -> None:
    add_dataset(started(new_tab), "Mine")
    second = started(new_tab)
    assert len(owners()) == 1
    assert "Mine" in second.app.selectbox[0].options


@pytest.mark.usefixtures("demo")
def test_owner_is_not_the_secret_of_the_cookie(
    new_tab: NewTab, cookies: dict[str, str]
) -> None:
    started(new_tab)
    token, _, _ = cookies[COOKIE].partition(".")
    assert owners() == [hashlib.sha256(token.encode()).hexdigest()]


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize(
    "forged", ["team", "../team", "é" * 64, "0" * 64, f"{'0' * 64}.{'0' * 64}", ""]
)
def test_cookie_that_is_no_token_is_replaced(
    new_tab: NewTab, cookies: dict[str, str], forged: str
) -> None:
    cookies[COOKIE] = forged
    started(new_tab)
    assert cookies[COOKIE] != forged
    assert owners() != [hashlib.sha256(forged[:64].encode()).hexdigest()]
    assert not store().datasets(TEAM_OWNER)


@pytest.mark.usefixtures("demo")
def test_cookie_of_an_earlier_version_counts_while_its_owner_is_known(
    new_tab: NewTab, cookies: dict[str, str]
) -> None:
    add_dataset(started(new_tab), "Mine")
    (owner,) = owners()
    cookies[COOKIE], _, _ = cookies[COOKIE].partition(".")
    second = started(new_tab)
    assert "Mine" in second.app.selectbox[0].options
    assert owners() == [owner]


@pytest.mark.usefixtures("demo")
def test_expired_visitor_vanishes_with_images_and_exports(new_tab: NewTab) -> None:
    visitor = started(new_tab)
    (owner,) = owners()
    visitor.open("export")
    visitor.wait("export", owner)
    home = settings().home
    assert [*home.glob(f"exports/{owner}/**/*.zip")]
    assert [*home.glob(f"images/**/{owner}")]
    expire(owner)
    services.sweep()
    assert not owners()
    assert not [path for path in home.rglob(owner) if any(path.rglob("*.*"))]


def expire(owner: str) -> None:
    store().touch(owner, expires_at=utc_now() - timedelta(seconds=1))


@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize("page", ["upload", "annotate", "edit", "review", "export"])
def test_tab_of_an_expired_visitor_starts_over(new_tab: NewTab, page: str) -> None:
    visitor = started(new_tab)
    visitor.open(page)
    (owner,) = owners()
    expire(owner)
    services.sweep()
    visitor.app.run()
    assert not visitor.app.exception
    assert not visitor.app.error
    assert owners() == [owner]
    assert sum(store().progress(the_scope(owner)).values()) == 2


@pytest.mark.usefixtures("demo")
def test_click_in_a_tab_of_an_expired_visitor_leaves_expiring_data(
    new_tab: NewTab,
) -> None:
    visitor = started(new_tab)
    (owner,) = owners()
    expire(owner)
    services.sweep()
    visitor.press("upload.samples")
    assert not visitor.app.error
    assert owners() == [owner]


def test_name_on_ones_own_machine_is_the_users(tab: Tab) -> None:
    assert getpass.getuser() in tab.popovers()


def test_stranger_says_a_name_before_seeing_anything(
    configure: Configure, new_tab: NewTab
) -> None:
    configure(address="0.0.0.0", MODE="team")
    stranger = started(new_tab)
    assert "Enter a display name" in stranger.words()
    assert not stranger.app.file_uploader
    assert not stranger.app.sidebar


@pytest.mark.usefixtures("two_samples")
def test_name_is_kept_for_the_browser_and_recorded_with_changes(
    configure: Configure, new_tab: NewTab
) -> None:
    configure(address="0.0.0.0", MODE="team")
    started(new_tab).app.text_input(key="visitor.name").input("Ada <b>;\u00e9").run()
    second = started(new_tab)
    second.press("upload.samples")
    second.open("edit")
    second.press("edit.approve")
    (event,) = store().history(the_scope(), records()[0].image_id)
    assert event.who == "Ada <b>;é"


def test_login_is_asked_for_before_anything_is_seen(
    configure: Configure, new_tab: NewTab
) -> None:
    configure(address="0.0.0.0", MODE="team")
    stranger = new_tab()
    stranger.app.secrets = AUTH
    stranger.app.user = {"is_logged_in": False}
    stranger.app.run()
    assert [button.label for button in stranger.app.button] == ["Log in"]
    assert not stranger.app.sidebar
    assert not stranger.app.file_uploader


@pytest.mark.usefixtures("two_samples")
def test_verified_name_is_recorded_with_changes(
    configure: Configure, new_tab: NewTab
) -> None:
    configure(address="0.0.0.0", MODE="team")
    member = new_tab()
    member.app.secrets = AUTH
    member.app.user = {"is_logged_in": True, "email": "ada@example.org"}
    member.app.run()
    member.press("upload.samples")
    member.open("edit")
    member.press("edit.approve")
    (event,) = store().history(the_scope(), records()[0].image_id)
    assert event.who == "ada@example.org"

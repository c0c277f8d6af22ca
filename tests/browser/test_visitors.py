"""Visitors of a demo server: nothing of one is within reach of another."""

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

from imagebase.annotation import utc_now
from imagebase.settings import SAMPLES_FOLDER, read_settings
from imagebase.store import Store, open_store
from imagebase.ui.web import cookies
from tests.browser.conftest import APP, SCREEN, Serve
from tests.streamlit_client import Client

PAGES = ("", "annotate", "edit", "review", "export", "models", "evaluate", "train")
SAME = "bear.jpg"
SECRET_NAME = "zebrasecret"
# What a client sees that still sends while it is refused.
HUNG_UP = (0, b"")


class Demo(NamedTuple):
    """A demo server, and its store."""

    url: str
    store: Store


@pytest.fixture(scope="module")
def demo(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    home = str(tmp_path_factory.mktemp("demo") / "home")
    environ = {
        "IMAGEBASE_HOME": home,
        "IMAGEBASE_MODE": "demo",
        "IMAGEBASE_MAX_FILE_BYTES": "2000000",
        "IMAGEBASE_MAX_UPLOADED_BYTES": "5000000",
        "OMP_NUM_THREADS": "1",
    }
    store = open_store(read_settings(environ))
    yield Demo(serve(APP, environ), store)
    store.close()


def visitor(demo: Demo) -> Client:
    """Return a new visitor's browser with a tab on an empty dataset of their own."""
    client = Client(demo.url)
    client.visit()
    client.connect()
    client.run("")
    client.set("sidebar.new_dataset", string_value="Mine")
    client.click("sidebar.new_dataset.submit")
    return client


def owner_of(client: Client) -> str:
    return cookies.owner_of(client.cookies[cookies.NAME].partition(".")[0])


def upload_key(client: Client) -> str:
    return next(key for key in client.screen.widgets if key.startswith("upload.files"))


@pytest.fixture
def ann(demo: Demo) -> Iterator[Client]:
    """A visitor with two images, one of which others have too, and an export."""
    client = visitor(demo)
    photograph = (SAMPLES_FOLDER / SAME).read_bytes()
    other = (SAMPLES_FOLDER / "kitchen.jpg").read_bytes()
    client.upload(upload_key(client), {SAME: photograph, f"{SECRET_NAME}.jpg": other})
    yield client
    client.close()


@pytest.fixture
def bob(demo: Demo) -> Iterator[Client]:
    """A visitor with one image, the same as one of Ann's."""
    client = visitor(demo)
    client.upload(upload_key(client), {SAME: (SAMPLES_FOLDER / SAME).read_bytes()})
    yield client
    client.close()


def download_of(client: Client) -> str:
    """Return the address of the client's export, once it is built."""
    for _ in range(100):
        if links := client.run("export").links():
            return links[0]
        time.sleep(0.2)
    raise AssertionError("no export was built")


def test_download_is_served_to_its_own_browser_alone(
    ann: Client, bob: Client, demo: Demo
) -> None:
    link = download_of(ann)
    status, content = ann.ask(link)
    assert (status, content[:2]) == (200, b"PK")
    assert bob.ask(link)[0] == 404
    assert Client(demo.url).ask(link)[0] == 404


def test_download_ends_with_the_dataset(ann: Client) -> None:
    link = download_of(ann)
    ann.set("sidebar.sure", bool_value=True)
    ann.click("sidebar.delete")
    assert ann.ask(link)[0] == 404


def test_download_ends_with_the_visit(ann: Client, demo: Demo) -> None:
    link = download_of(ann)
    demo.store.touch(owner_of(ann), expires_at=utc_now() - timedelta(seconds=1))
    demo.store.delete_expired_owners()
    assert ann.ask(link)[0] == 404


def walked(client: Client, demo: Demo) -> bytes:
    """Return all bytes that a walk over every page sends to a visitor's new tab."""
    tab = Client(client.url, client.cookies)
    tab.connect()
    mine = demo.store.datasets(owner_of(client))[-1].dataset_id
    content = bytes(tab.run("", query=f"dataset={mine}").content)
    content += b"".join(bytes(tab.run(page).content) for page in PAGES[1:])
    tab.close()
    return content


def pictures(content: bytes) -> set[bytes]:
    return set(re.findall(rb"data:image/\w+;base64,[\w+/=]+", content))


def test_nothing_of_a_visitor_is_in_what_another_is_sent(
    ann: Client, bob: Client, demo: Demo
) -> None:
    link = download_of(ann)
    anns, bobs = walked(ann, demo), walked(bob, demo)
    assert b"2 images" in anns
    assert b"2 images" not in bobs
    assert SECRET_NAME.encode() in anns
    theirs = (SECRET_NAME, owner_of(ann), ann.session_id, link)
    assert [text for text in theirs if text.encode() in bobs] == []


def test_no_picture_of_a_visitor_is_sent_to_another(
    ann: Client, bob: Client, demo: Demo
) -> None:
    """Of the image that both have each is sent its own copy; of the other none is."""
    carl = visitor(demo)
    content = (SAMPLES_FOLDER / "street.jpg").read_bytes()
    carl.upload(upload_key(carl), {"mine.jpg": content})
    anns, bobs, carls = (pictures(walked(one, demo)) for one in (ann, bob, carl))
    carl.close()
    assert anns - bobs
    assert anns & bobs
    assert anns & carls == set()
    assert bobs & carls == set()


def test_session_id_without_its_cookie_opens_nothing(ann: Client, demo: Demo) -> None:
    for thief in (Client(demo.url), visitor(demo)):
        thief.cookies.setdefault("_streamlit_xsrf", ann.cookies["_streamlit_xsrf"])
        thief.connect(ann.session_id)
        screen = thief.run("")
        assert thief.session_id != ann.session_id
        assert SECRET_NAME.encode() not in screen.content
        thief.close()
    assert SECRET_NAME.encode() in walked(ann, demo)


def test_own_session_is_resumed(ann: Client) -> None:
    before = ann.session_id
    ann.close()
    ann.connect(before)
    ann.run("")
    assert ann.session_id == before


@pytest.mark.parametrize("cut", [lambda value: value[:64], lambda value: value[:-1]])
def test_foreign_cookie_counts_only_whole(ann: Client, demo: Demo, cut: object) -> None:
    assert callable(cut)
    signed = ann.cookies[cookies.NAME]
    forged = cut(signed) if len(cut(signed)) != 64 else "0" * 64
    thief = Client(demo.url, {cookies.NAME: forged})
    thief.visit()
    thief.connect()
    assert SECRET_NAME.encode() not in thief.run("").content
    assert thief.cookies[cookies.NAME] != forged
    thief.close()


def test_foreign_dataset_in_a_widget_or_the_address_opens_nothing(
    ann: Client, bob: Client, demo: Demo
) -> None:
    theirs = demo.store.datasets(owner_of(ann))[0]
    key = next(key for key in bob.screen.widgets if key.startswith("sidebar.dataset"))
    forged = bob.set(key, string_value=theirs.dataset_id)
    assert SECRET_NAME.encode() not in forged.content
    asked = bob.run("", query=f"dataset={theirs.dataset_id[:12]}")
    assert SECRET_NAME.encode() not in asked.content
    assert demo.store.datasets(owner_of(ann))[0] == theirs


def test_upload_into_a_foreign_session_is_refused(ann: Client, bob: Client) -> None:
    path = f"/_stcore/upload_file/{ann.session_id}/forged"
    assert bob.put(path, "x.jpg", b"x")[0] == 404
    own = f"/_stcore/upload_file/{bob.session_id}/mine"
    assert bob.put(own, "x.jpg", b"x")[0] == 204


def test_upload_is_limited_at_the_endpoint(bob: Client) -> None:
    path = f"/_stcore/upload_file/{bob.session_id}/"
    status, answer = bob.put(f"{path}large", "x.jpg", bytes(2_200_000))
    assert (status, answer) in [(413, b"A file may have 2 MB at most."), HUNG_UP]
    statuses = [
        bob.put(f"{path}{number}", "x.jpg", bytes(1_900_000))[0] for number in range(3)
    ]
    assert statuses in ([204, 204, 413], [204, 204, 0])


def test_stored_uploads_are_freed(ann: Client) -> None:
    for number in range(4):
        content = (SAMPLES_FOLDER / SAME).read_bytes() + bytes(1_500_000 + number)
        ann.upload(upload_key(ann), {f"{number}.jpg": content})
    path = f"/_stcore/upload_file/{ann.session_id}/more"
    assert ann.put(path, "x.jpg", bytes(1_900_000))[0] == 204


def test_expired_visitor_begins_with_nothing(ann: Client, demo: Demo) -> None:
    demo.store.touch(owner_of(ann), expires_at=utc_now() - timedelta(seconds=1))
    demo.store.delete_expired_owners()
    for page in PAGES:
        assert SECRET_NAME.encode() not in ann.run(page).content, page


@pytest.fixture
def browser_page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport=SCREEN)
    yield context.new_page()
    context.close()


def test_every_page_works_within_its_content_security_policy(
    demo: Demo, browser_page: Page
) -> None:
    """The log of the browser names each thing that the policy refused."""
    refused: list[str] = []
    media: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            refused.append(message.text)

    browser_page.on("console", listen)
    browser_page.on(
        "request", lambda one: media.append(one.url) if "/media/" in one.url else None
    )
    for page in PAGES:
        browser_page.goto(f"{demo.url}/{page}")
        browser_page.get_by_test_id("stSidebar").get_by_text(
            "Dataset", exact=True
        ).wait_for(state="attached", timeout=60_000)
        browser_page.wait_for_load_state("networkidle")
    assert refused == []
    # Pictures of a visitor come with the page; addresses of media are open to all.
    assert [url for url in media if not url.endswith((".png", ".svg", ".woff2"))] == []


def test_page_says_when_the_demo_is_full(
    serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> None:
    url = serve(APP, {"IMAGEBASE_MODE": "demo", "IMAGEBASE_MAX_VISITORS": "1"})
    first, second = Client(url), Client(url)
    for client in (first, second):
        client.visit()
        client.connect()
        client.run("")
    assert b"in use by 1 visitor" in second.screen.content
    assert not [key for key in second.screen.widgets if ".files." in key]
    assert [key for key in first.run("").widgets if ".files." in key]
    for client in (first, second):
        client.close()

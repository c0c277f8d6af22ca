"""Edit over a slow network, a cut one, a busy database and a restarted server.

Every key counts once, for the image that was on screen; every box that was drawn is
stored, or shown as not saved.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Dialog, Error, Locator, expect

from imagebase.annotation import Annotation, Box, ImageRecord, ReviewStatus
from imagebase.settings import read_settings
from imagebase.store import open_store
from tests.browser.conftest import ROOT, Served, Server, until
from tests.browser.network import Network
from tests.browser.test_edit import (
    BEAR,
    KITCHEN,
    SKIER,
    Visit,
    four_photographs,
    open_editor,
)

pytestmark = pytest.mark.browser

ROUND_TRIPS = {"at once": 0.0, "300 ms": 0.15}
CUT_SECONDS = 20
PLACES = [((420, 60), (500, 120)), ((520, 60), (590, 120)), ((420, 150), (500, 210))]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(ROOT / "app.py", tmp_path_factory.mktemp("connection"), {})
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def network(server: Server) -> Iterator[Network]:
    made = Network(server.port)
    yield made
    made.close()


@pytest.fixture(scope="module")
def served(server: Server, network: Network) -> Iterator[Served]:
    store = open_store(read_settings({"IMAGEBASE_HOME": str(home(server))}))
    yield Served(f"http://127.0.0.1:{network.port}", store)
    store.close()


def home(server: Server) -> Path:
    return server.home / "imagebase"


@pytest.fixture
def visit(
    served: Served,
    network: Network,
    context: BrowserContext,
    request: pytest.FixtureRequest,
) -> Iterator[Visit]:
    network.delay = 0.0
    scope = four_photographs(served.store, request.node.name[:60])
    yield open_editor(served, context.new_page(), scope)
    network.delay = 0.0
    network.mend()


@pytest.fixture(params=[pytest.param("at once", marks=pytest.mark.long), "300 ms"])
def slow(visit: Visit, network: Network, request: pytest.FixtureRequest) -> Visit:
    network.delay = ROUND_TRIPS[request.param]
    return visit


def statuses(visit: Visit) -> list[ReviewStatus]:
    return [record.status for record in visit.store.records(visit.scope)]


def draw(visit: Visit, count: int, *, first: int = 0) -> None:
    for start, end in PLACES[first : first + count]:
        visit.canvas.drag(start, end, steps=3)


def close_connection_error(visit: Visit) -> None:
    """Close what Streamlit shows over the page after some seconds, once it is there."""
    dialog = visit.page.get_by_role("dialog").filter(has_text="Connection error")
    visit.page.add_locator_handler(
        dialog, lambda: dialog.get_by_role("button", name="Close").click()
    )


def notice(visit: Visit) -> Locator:
    return visit.canvas.surface.locator(".unsaved")


def wait_until_saved(visit: Visit, count: int) -> ImageRecord:
    """Wait until the store has so many boxes and the editor knows that it has."""
    for _ in range(400):
        if len(visit.record().annotations) == count:
            break
        visit.page.wait_for_timeout(100)
    expect(visit.canvas.surface).to_have_attribute("data-unsaved", "0", timeout=20_000)
    record = visit.record()
    assert len(record.annotations) == count
    ids = [annotation.annotation_id for annotation in record.annotations]
    assert len(set(ids)) == count
    boxes = {tuple(map(round, annotation.box)) for annotation in record.annotations}
    assert len(boxes) == count  # none is there twice
    visit.settle()
    assert set(visit.canvas.shown()) == set(ids)
    expect(notice(visit)).to_be_hidden()
    return record


# ---------------------------------------------------------------------- keys


DECISIONS = ["Enter", pytest.param("e", marks=pytest.mark.long)]
# All before the page can do anything, however busy the machine is.
_KEYS = """(root, keys) => {
  for (const key of keys) {
    const event = { key, bubbles: true, composed: true, cancelable: true };
    document.activeElement.dispatchEvent(new KeyboardEvent("keydown", event));
    document.activeElement.dispatchEvent(new KeyboardEvent("keyup", event));
  }
}"""


# So that the editor waits for the server, as where the next image has not come yet.
_NOTHING_AHEAD = """() =>
  window[Symbol.for("imagebase.editor")].parcels.delete("edit.canvas/ahead")"""


@pytest.mark.parametrize("key", DECISIONS)
def test_five_quick_keys_decide_on_the_image_on_screen_alone(
    slow: Visit, key: str
) -> None:
    slow.canvas.surface.evaluate(_KEYS, [key] * 5)
    decided_is(slow, KITCHEN)


@pytest.mark.parametrize("key", DECISIONS)
@pytest.mark.long
def test_second_key_that_comes_before_the_next_image_does_not_count(
    visit: Visit, network: Network, key: str
) -> None:
    visit.settle()
    visit.page.evaluate(_NOTHING_AHEAD)
    network.delay = 0.15
    visit.press(key)
    visit.page.wait_for_timeout(450)
    visit.press(key)
    decided_is(visit, KITCHEN)


def decided_is(visit: Visit, place: int) -> None:
    """Check that this image is approved, and no other."""
    visit.wait_for(lambda record: record.status is ReviewStatus.APPROVED, place)
    visit.wait_for_image(place + 1)
    visit.page.wait_for_timeout(1000)
    assert statuses(visit).count(ReviewStatus.APPROVED) == 1
    assert len(visit.record(BEAR).annotations) == 1
    visit.wait_for_image(place + 1)


@pytest.mark.long
def test_button_clicked_twice_counts_once(slow: Visit) -> None:
    # However busy the machine is, the next image has not been seen by the last click.
    slow.button("edit-approve").evaluate("(one) => [1, 2, 3].map(() => one.click())")
    decided_is(slow, KITCHEN)


@pytest.mark.long
def test_next_pressed_five_times_goes_one_image_on(slow: Visit) -> None:
    slow.canvas.surface.evaluate(_KEYS, ["n"] * 5)
    slow.wait_for_image(BEAR)
    slow.page.wait_for_timeout(1000)
    slow.wait_for_image(BEAR)
    slow.canvas.surface.evaluate(_KEYS, ["p"] * 3)
    slow.wait_for_image(KITCHEN)


def test_keys_after_one_that_leaves_the_image_are_not_the_next_ones(
    slow: Visit,
) -> None:
    keys = ["n", "e", "m", "a", "Enter", "Delete", "q"]
    slow.canvas.surface.evaluate(_KEYS, keys)
    slow.wait_for_image(BEAR)
    slow.page.wait_for_timeout(1000)
    assert len(slow.record(BEAR).annotations) == 1
    assert len(slow.record(KITCHEN).annotations) == 2
    assert ReviewStatus.APPROVED not in statuses(slow)


def test_box_drawn_right_before_enter_is_approved_with_the_image(slow: Visit) -> None:
    draw(slow, 1)
    slow.press("Enter")
    record = slow.wait_for(lambda record: record.status is ReviewStatus.APPROVED)
    assert len(record.annotations) == 3
    slow.wait_for_image(BEAR)


# ---------------------------------------------------------------------- ahead


# Presses a key and returns how long the editor took to show another image, in ms.
_SECONDS_TO_NEXT = """(root, key) => new Promise((resolve) => {
  const [start, image] = [performance.now(), root.dataset.image];
  const look = () => {
    const { image: now, picture } = root.dataset;
    if (now !== image && picture === now) return resolve(performance.now() - start);
    requestAnimationFrame(look);
  };
  const event = { key, bubbles: true, composed: true, cancelable: true };
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", event));
  look();
})"""


def wait_until_ahead(visit: Visit, *places: int) -> None:
    """Wait until the pictures of these images are in the browser."""
    for place in places:
        expect(visit.canvas.surface).to_have_attribute(
            "data-ahead", re.compile(visit.image(place)), timeout=20_000
        )
    visit.canvas.wait_for("leaps", "0")


@pytest.mark.parametrize("key", ["n", "Enter"])
def test_next_image_is_shown_before_the_answer(
    visit: Visit, network: Network, key: str
) -> None:
    wait_until_ahead(visit, BEAR, SKIER)
    network.delay = 0.15
    taken = []
    for place in (BEAR, SKIER):
        taken.append(visit.canvas.surface.evaluate(_SECONDS_TO_NEXT, key))
        assert visit.canvas.get("leaps") != "0"
        assert visit.canvas.get("image") == visit.image(place)
        visit.canvas.wait_for_picture()
    assert min(taken) < 100
    visit.canvas.wait_for("leaps", "0")
    visit.settle()
    visit.wait_for_image(SKIER)
    expect(visit.page.get_by_text("skier.jpg")).to_be_visible()
    expected = [ReviewStatus.APPROVED] * 2 if key == "Enter" else []
    assert [s for s in statuses(visit) if s is ReviewStatus.APPROVED] == expected


@pytest.fixture
def ahead(visit: Visit, network: Network) -> Visit:
    """A visit with the next images in the browser, and a slow server."""
    wait_until_ahead(visit, BEAR, SKIER)
    network.delay = 0.4
    return visit


def leap(visit: Visit, key: str, place: int) -> None:
    """Press a key that shows the next image, before the server knows."""
    visit.press(key)
    visit.wait_for_image(place)
    assert visit.canvas.get("leaps") != "0"


def test_box_drawn_on_the_next_image_before_the_answer_is_saved_there(
    ahead: Visit,
) -> None:
    draw(ahead, 1)
    leap(ahead, "Enter", BEAR)
    draw(ahead, 2)
    leap(ahead, "Enter", SKIER)
    kitchen = ahead.wait_for(lambda record: record.status is ReviewStatus.APPROVED)
    bear = ahead.wait_for(lambda record: record.status is ReviewStatus.APPROVED, BEAR)
    assert (len(kitchen.annotations), len(bear.annotations)) == (3, 3)
    ahead.canvas.wait_for("leaps", "0")
    ahead.settle()
    ahead.wait_for_image(SKIER)
    assert statuses(ahead).count(ReviewStatus.APPROVED) == 2
    assert len(ahead.canvas.shown()) == len(ahead.record(SKIER).annotations) == 2


def test_what_was_done_before_the_connection_broke_is_saved_later(
    ahead: Visit, network: Network
) -> None:
    leap(ahead, "Enter", BEAR)
    network.cut()
    draw(ahead, 1)
    expect(notice(ahead)).to_contain_text("not saved", timeout=5_000)
    ahead.press("Enter")  # waits for the connection: there is no further leap
    expect(notice(ahead)).to_contain_text("Continues once saved")
    assert ahead.canvas.get("image") == ahead.image(BEAR)
    network.mend()
    ahead.wait_for(lambda record: record.status is ReviewStatus.APPROVED)
    bear = ahead.wait_for(lambda record: record.status is ReviewStatus.APPROVED, BEAR)
    assert len(bear.annotations) == 2
    ahead.wait_for_image(SKIER)
    assert statuses(ahead).count(ReviewStatus.APPROVED) == 2


def test_undo_on_the_next_image_takes_back_what_was_done_last(
    ahead: Visit, network: Network
) -> None:
    leap(ahead, "Enter", BEAR)
    network.cut()  # so that the server hears of all at once
    draw(ahead, 1)
    ahead.press("Control+z")
    # By then the server knows, and takes the browser for the same visit.
    expect(notice(ahead)).to_contain_text("not saved", timeout=5_000)
    network.mend()
    ahead.wait_for(lambda record: record.status is ReviewStatus.APPROVED)
    ahead.wait_for_image(BEAR)
    expect(ahead.canvas.surface).to_have_attribute("data-unsaved", "0", timeout=20_000)
    ahead.settle()
    assert statuses(ahead).count(ReviewStatus.APPROVED) == 1
    assert len(ahead.record(BEAR).annotations) == 1


def test_version_that_somebody_else_saved_meanwhile_is_not_approved_unseen(
    ahead: Visit,
) -> None:
    bear = ahead.record(BEAR)
    more = Annotation(Box(200, 20, 260, 90), "dog", annotation_id="dog-box")
    ahead.store.save(ahead.scope, replace(bear, annotations=(*bear.annotations, more)))
    leap(ahead, "Enter", BEAR)
    assert set(ahead.canvas.shown()) == {"bear-box"}
    ahead.press("Enter")
    expect(ahead.page.get_by_text("This image has changed meanwhile")).to_be_visible()
    ahead.wait_for_image(BEAR)
    assert set(ahead.canvas.shown()) == {"bear-box", "dog-box"}
    assert statuses(ahead).count(ReviewStatus.APPROVED) == 1


def test_approval_that_is_refused_leads_back_to_its_image(ahead: Visit) -> None:
    more = Annotation(Box(200, 20, 260, 90), "dog", annotation_id="dog-box")
    kitchen = ahead.record()
    ahead.store.save(
        ahead.scope, replace(kitchen, annotations=(*kitchen.annotations, more))
    )
    leap(ahead, "Enter", BEAR)
    ahead.press("Enter")
    expect(ahead.page.get_by_text("This image has changed meanwhile")).to_be_visible()
    ahead.wait_for_image(KITCHEN)
    assert "dog-box" in ahead.canvas.shown()
    assert ReviewStatus.APPROVED not in statuses(ahead)


def test_escape_leads_back_while_the_server_has_not_answered(
    ahead: Visit, network: Network
) -> None:
    draw(ahead, 1)
    wait_until_saved(ahead, 3)
    leap(ahead, "n", BEAR)
    network.cut()
    ahead.press("Escape")
    ahead.wait_for_image(KITCHEN)
    assert len(ahead.canvas.shown()) == 3
    draw(ahead, 1, first=1)
    network.mend()
    wait_until_saved(ahead, 4)
    assert ReviewStatus.APPROVED not in statuses(ahead)


def test_page_around_the_editor_is_out_of_reach_until_it_is_the_next_images(
    ahead: Visit,
) -> None:
    table = ahead.page.get_by_test_id("stDataFrame").first
    reach = "(element) => getComputedStyle(element).pointerEvents"
    assert table.evaluate(reach) == "auto"
    leap(ahead, "n", BEAR)
    assert table.evaluate(reach) == "none"
    ahead.canvas.wait_for("leaps", "0")
    assert ahead.page.get_by_test_id("stDataFrame").first.evaluate(reach) == "auto"


# ---------------------------------------------------------------------- cut off


@pytest.mark.long  # a connection that is cut for long
def test_boxes_drawn_while_the_connection_is_cut_are_saved_later(
    slow: Visit, network: Network
) -> None:
    network.cut()
    draw(slow, 2)
    expect(notice(slow)).to_contain_text("2 changes not saved", timeout=5_000)
    expect(slow.page.locator(".st-key-edit-saved")).to_be_hidden()
    draw(slow, 1, first=2)
    expect(notice(slow)).to_contain_text("3 changes not saved")
    slow.page.wait_for_timeout(CUT_SECONDS * 1000)
    assert len(slow.record().annotations) == 2
    network.mend()
    wait_until_saved(slow, 5)
    expect(slow.page.locator(".st-key-edit-saved")).to_be_visible()


def test_approval_waits_for_the_boxes(visit: Visit, network: Network) -> None:
    network.cut()
    draw(visit, 2)
    visit.press("Enter", "Enter", "n", "Enter")
    expect(notice(visit)).to_contain_text("Continues once saved")
    visit.page.wait_for_timeout(4000)
    assert visit.canvas.get("image") == visit.image(KITCHEN)
    network.mend()
    record = visit.wait_for(lambda record: record.status is ReviewStatus.APPROVED)
    assert len(record.annotations) == 4
    visit.wait_for_image(BEAR)
    visit.settle()
    assert statuses(visit).count(ReviewStatus.APPROVED) == 1


@pytest.mark.long
def test_escape_takes_back_an_approval_that_waits(
    visit: Visit, network: Network
) -> None:
    network.cut()
    draw(visit, 1)
    visit.press("Enter", "Escape")
    visit.canvas.wait_for("waiting", "")
    visit.page.wait_for_timeout(1000)
    network.mend()
    wait_until_saved(visit, 3)
    assert ReviewStatus.APPROVED not in statuses(visit)
    visit.wait_for_image(KITCHEN)


def test_discarded_change_is_not_sent(visit: Visit, network: Network) -> None:
    draw(visit, 1)
    wait_until_saved(visit, 3)
    network.cut()
    draw(visit, 2, first=1)
    visit.page.once("dialog", lambda dialog: dialog.accept())
    close_connection_error(visit)
    notice(visit).get_by_role("button", name="Discard").click(timeout=8_000)
    assert len(visit.canvas.shown()) == 3
    expect(notice(visit)).to_be_hidden()
    network.mend()
    wait_until_saved(visit, 3)


def test_what_is_not_saved_outlives_a_reload(
    served: Served, visit: Visit, network: Network
) -> None:
    network.cut()
    draw(visit, 2)
    expect(notice(visit)).to_be_visible(timeout=5_000)
    # One that cannot be read hides no other.
    visit.page.evaluate(
        "for (let i = 0; i < 30; i++)"
        " localStorage.setItem(`imagebase.unsaved/${i}/broken`, '{')"
    )
    with pytest.raises(Error, match="ERR_"):
        visit.page.reload()
    visit.page.wait_for_url("chrome-error://**")  # it comes after the answer
    network.mend()
    wait_until_saved(open_editor(served, visit.page, visit.scope), 4)


@pytest.mark.long
def test_tab_asks_before_it_closes_and_the_next_one_saves(
    served: Served, visit: Visit, network: Network, context: BrowserContext
) -> None:
    network.cut()
    draw(visit, 2)
    expect(notice(visit)).to_be_visible(timeout=5_000)
    heard: list[str] = []

    def hear(dialog: Dialog) -> None:
        heard.append(dialog.type)
        dialog.accept()

    visit.page.on("dialog", hear)
    visit.page.close(run_before_unload=True)
    network.mend()
    wait_until_saved(open_editor(served, context.new_page(), visit.scope), 4)
    assert heard == ["beforeunload"]


@pytest.mark.long
def test_other_visitor_of_the_browser_gets_nothing(
    served: Served, visit: Visit, network: Network, context: BrowserContext
) -> None:
    network.cut()
    draw(visit, 1)
    until(
        visit.page,
        "Object.keys(localStorage).some((key) => key.startsWith('imagebase.unsaved'))",
    )
    visit.page.close()
    network.mend()
    other = four_photographs(served.store, "Another dataset")
    page = open_editor(served, context.new_page(), other)
    page.page.wait_for_timeout(1500)
    assert len(page.record().annotations) == 2
    assert len(page.canvas.shown()) == 2


# ---------------------------------------------------------------------- the server


def test_box_that_a_busy_database_refuses_is_kept_and_stored_once(
    visit: Visit, server: Server
) -> None:
    with closing(sqlite3.connect(home(server) / "imagebase.db")) as database:
        database.execute("BEGIN IMMEDIATE")
        draw(visit, 1)
        expect(notice(visit)).to_contain_text("1 change not saved", timeout=5_000)
        expect(visit.page.get_by_text("All changes saved")).to_be_hidden()
        expect(notice(visit)).to_contain_text("database is busy", timeout=60_000)
        draw(visit, 1, first=1)
        expect(notice(visit)).to_contain_text("2 changes not saved")
        assert len(visit.canvas.shown()) == 4
        database.rollback()
    wait_until_saved(visit, 4)


def test_approval_that_outlives_a_restart_is_asked_again(
    visit: Visit, server: Server
) -> None:
    server.kill()
    draw(visit, 1)
    expect(notice(visit)).to_be_visible(timeout=5_000)
    visit.press("Enter")
    kitchen = visit.record()
    more = Annotation(Box(200, 20, 260, 90), "dog", annotation_id="dog-box")
    visit.store.save(
        visit.scope, replace(kitchen, annotations=(*kitchen.annotations, more))
    )
    server.start()
    expect(visit.page.get_by_text("The connection was lost")).to_be_visible(
        timeout=30_000
    )
    wait_until_saved(visit, 4)
    assert ReviewStatus.APPROVED not in statuses(visit)
    visit.press("Enter")
    visit.wait_for(lambda record: record.status is ReviewStatus.APPROVED)


@pytest.mark.parametrize(
    "way", ["stay", pytest.param("reload", marks=pytest.mark.long)]
)
def test_boxes_drawn_around_a_restart_are_saved(
    served: Served, visit: Visit, server: Server, way: str
) -> None:
    draw(visit, 1)
    server.kill()
    draw(visit, 2, first=1)
    expect(notice(visit)).to_be_visible(timeout=5_000)
    if way == "reload":
        visit.page.on("dialog", lambda dialog: dialog.accept())
        server.start()
        visit = open_editor(served, visit.page, visit.scope)
    else:
        visit.page.wait_for_timeout(3000)
        server.start()
    wait_until_saved(visit, 5)

"""The Edit page in a real browser: every key, tags, comments, labels, two at a time."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, WebSocket, expect

from imagebase.annotation import Annotation, Box, ImageRecord, ReviewStatus, Source
from imagebase.editing.records import describe
from imagebase.images.scan import Incoming
from imagebase.ingest.add_images import admit
from imagebase.learning import image_vectors
from imagebase.settings import TEAM_OWNER, Limits
from imagebase.store import Scope, Store
from tests.browser.conftest import SCREEN, Canvas, Dataset, Served, until
from tests.store.fixtures import scope_of

pytestmark = pytest.mark.browser

PHOTOGRAPHS = ("kitchen.jpg", "bear.jpg", "skier.jpg", "street.jpg")
KITCHEN, BEAR, SKIER, STREET = range(4)
LABELS = ("bottle", "cup", "bear", "person", "car", "dog", "bus", "horse", "kite")
BOTTLE = Box(60, 60, 160, 220)
BOTTLE_MIDDLE = (110.0, 140.0)


class Visit(NamedTuple):
    """Somebody on the Edit page of a dataset of four photographs."""

    canvas: Canvas
    store: Store
    scope: Scope

    @property
    def page(self) -> Page:
        return self.canvas.page

    def record(self, place: int = KITCHEN) -> ImageRecord:
        return self.store.records(self.scope)[place]

    def image(self, place: int) -> str:
        return self.store.image_ids(self.scope)[place]

    def wait_for(
        self, is_there: Callable[[ImageRecord], bool], place: int = KITCHEN
    ) -> ImageRecord:
        """Return the stored record as soon as it is as expected."""
        for _ in range(400):
            if is_there(self.record(place)):
                return self.record(place)
            self.page.wait_for_timeout(25)
        pytest.fail(f"not so within 10 s: {self.record(place)}")

    def wait_for_image(self, place: int) -> None:
        """Wait until an image is seen: before, no key counts."""
        self.canvas.wait_for("image", self.image(place))
        self.canvas.wait_for_picture()

    def press(self, *keys: str) -> None:
        self.canvas.press(*keys)

    def settle(self) -> None:
        """Wait until what was done is booked and the page stands still."""
        self.page.wait_for_timeout(150)
        self.page.wait_for_selector(
            "[data-testid='stApp'][data-test-script-state='notRunning']",
            state="attached",
        )
        self.page.wait_for_timeout(150)

    def select_bottle(self) -> None:
        self.canvas.click(BOTTLE_MIDDLE)
        self.canvas.wait_for("selected", "bottle-box")

    def button(self, key: str) -> Locator:
        # The button; a copy that its tooltip is measured with comes second.
        return self.page.locator(f".st-key-{key} button").first


def model_box(name: str, box: Box, label: str) -> Annotation:
    return Annotation(
        box,
        label,
        annotation_id=name,
        source=Source.MODEL,
        confidence=0.9,
        model_id="m",
        changed_by="m",
    )


@pytest.fixture(scope="module")
def tab(chromium: Browser) -> Iterator[Page]:
    """One visitor for all tests: the app's scripts are loaded once."""
    context = chromium.new_context(viewport=SCREEN)
    yield context.new_page()
    context.close()


@pytest.fixture
def scope(served: Served, request: pytest.FixtureRequest) -> Scope:
    """A dataset of the test's own."""
    return four_photographs(served.store, request.node.name[:60])


def four_photographs(store: Store, name: str) -> Scope:
    """Return a dataset of four photographs; the skier is the most doubtful one."""
    scope = scope_of(store, TEAM_OWNER, who="test", name=name)
    Dataset("", store, scope).add(*PHOTOGRAPHS)
    store.add_labels(scope, LABELS)
    kitchen, bear, skier, _ = store.records(scope)
    boxes = {
        kitchen: [
            model_box("bottle-box", BOTTLE, "bottle"),
            model_box("cup-box", Box(300, 200, 380, 260), "cup"),
        ],
        bear: [Annotation(Box(50, 60, 150, 160), "bear", annotation_id="bear-box")],
        skier: [
            model_box("skier-1", Box(200, 100, 300, 300), "person"),
            model_box("skier-2", Box(204, 104, 304, 304), "person"),
        ],
    }
    for record, annotations in boxes.items():
        is_models = all(annotation.is_untouched for annotation in annotations)
        status = ReviewStatus.SUGGESTED if is_models else ReviewStatus.EDITED
        store.save(
            scope, replace(record, annotations=tuple(annotations), status=status)
        )
    return scope


def open_editor(served: Served, page: Page, scope: Scope) -> Visit:
    page.goto(f"{served.url}/edit?dataset={scope.dataset_id[:12]}")
    canvas = Canvas(page, page.locator(".st-key-edit-canvas .editor"))
    canvas.surface.wait_for(timeout=30_000)
    visit = Visit(canvas, served.store, scope)
    visit.wait_for_image(KITCHEN)
    canvas.wait_for_picture()
    visit.settle()
    return visit


@pytest.fixture
def visit(served: Served, tab: Page, scope: Scope) -> Visit:
    tab.mouse.move(5, 5)
    return open_editor(served, tab, scope)


# ---------------------------------------------------------------------- keys


@pytest.fixture
def own(served: Served, page: Page, scope: Scope) -> Visit:
    """A visit whose browser forgets what the test changed."""
    return open_editor(served, page, scope)


def choose_preset(visit: Visit, preset: str) -> None:
    presets = visit.page.locator(".help select")
    presets.focus()  # as a click would
    presets.select_option(preset)
    visit.settle()


def key_of(visit: Visit, words: str) -> Locator:
    """Return the button that changes the key of an action."""
    return visit.page.locator(f".help button[title*='“{words}”']")


def tooltip(visit: Visit, key: str) -> Locator:
    visit.button(key).hover()
    return visit.page.get_by_role("tooltip")


def test_keys_are_those_of_cvat(own: Visit) -> None:
    own.press("?")
    choose_preset(own, "CVAT")
    expect(key_of(own, "Previous image")).to_have_text("D")
    own.press("F1")  # closes the list
    expect(own.page.locator(".help")).to_be_hidden()
    own.press("n")  # has no meaning now
    own.press("f")
    own.wait_for_image(BEAR)
    expect(tooltip(own, "edit-previous")).to_have_text("Previous image (D)")
    own.press("d")
    own.wait_for_image(KITCHEN)
    own.select_bottle()
    own.press("Control+v")
    own.wait_for(lambda record: len(record.annotations) == 3)


@pytest.mark.long
def test_keys_are_those_of_labelimg(own: Visit) -> None:
    own.press("?")
    choose_preset(own, "labelImg")
    own.press("?", "d")
    own.wait_for_image(BEAR)
    own.press("a")
    own.wait_for_image(KITCHEN)
    own.press(" ")
    own.wait_for(lambda record: record.status is ReviewStatus.APPROVED)


@pytest.mark.long
def test_keys_are_those_of_roboflow(own: Visit) -> None:
    own.press("?")
    choose_preset(own, "Roboflow")
    own.press("?", "PageDown")
    own.wait_for_image(BEAR)
    own.press("r")  # else Streamlit's
    own.wait_for(lambda record: len(record.annotations) == 3, BEAR)
    own.settle()
    own.press("n")
    own.wait_for(lambda record: not record.annotations, BEAR)
    assert own.record(BEAR).status is ReviewStatus.APPROVED


def test_key_that_is_taken_or_the_browsers_is_refused(own: Visit) -> None:
    says = own.page.locator(".help .says")
    own.press("?")
    key_of(own, "Next image").click()
    expect(says).to_contain_text("Press the new key for “Next image”")
    for pressed, why in [
        ("m", "M already means “Copy the boxes of the previous image”"),
        ("5", "5 already means “Label the selected boxes or the next one”"),
        ("ArrowLeft", "← already means “Move the selected boxes by 1 pixel"),
        ("Control+w", "Ctrl + W belongs to the browser"),
        ("F5", "F5 belongs to the browser"),
        ("Tab", "Tab belongs to the browser"),
        ("Alt+x", "Alt + X belongs to the browser"),
    ]:
        own.press(pressed)
        expect(says).to_contain_text(why)
        expect(says).to_contain_text("press another key for “Next image”.")
    own.press("Escape")
    expect(key_of(own, "Next image")).to_have_text("N")
    own.press("?", "n")
    own.wait_for_image(BEAR)
    assert len(own.record().annotations) == 2


def test_changed_key_holds_after_reload_until_it_is_reset(own: Visit) -> None:
    own.press("?")
    key_of(own, "Next image").click()
    own.press("Shift+X")
    expect(key_of(own, "Next image")).to_have_text("Shift + X")
    own.page.reload()
    own.wait_for_image(KITCHEN)
    own.settle()
    expect(tooltip(own, "edit-next")).to_have_text("Next image (Shift + X)")
    own.press("n", "Shift+X")
    own.wait_for_image(BEAR)
    own.press("?")
    own.page.get_by_role("button", name="Reset").click()
    expect(key_of(own, "Next image")).to_have_text("N")
    own.press("?", "Shift+N")  # Shift is held to draw, too
    own.wait_for_image(SKIER)


def test_digits_label_the_selected_box_and_then_the_next_one(visit: Visit) -> None:
    visit.select_bottle()
    for digit in (2, 3, 4, 5, 6, 7, 8, 9, 1):
        visit.press(str(digit))
        visit.wait_for(
            lambda record, name=LABELS[digit - 1]: (  # type: ignore[misc]
                record.annotation("bottle-box").label == name
            )
        )
    visit.press("Escape")
    for digit in range(9, 0, -1):
        visit.press(str(digit))
        visit.canvas.wait_for("label", LABELS[digit - 1])
    visit.press("7")
    visit.canvas.drag((420, 60), (500, 120))
    record = visit.wait_for(lambda record: len(record.annotations) == 3)
    assert record.annotations[-1].label == "bus"
    assert record.annotations[-1].source is Source.HUMAN


@pytest.mark.long
def test_chip_labels_the_selected_box_and_else_the_next_one(visit: Visit) -> None:
    chip = visit.page.get_by_role("radio", name="5 car")
    visit.select_bottle()
    chip.click()
    visit.wait_for(lambda record: record.annotation("bottle-box").label == "car")
    visit.settle()
    assert visit.canvas.get("label") == "bottle"  # of the next box
    assert visit.canvas.get("selected") == "bottle-box"
    visit.press("Escape")
    chip.click()
    visit.canvas.wait_for("label", "car")
    visit.canvas.drag((420, 60), (500, 120))
    record = visit.wait_for(lambda record: len(record.annotations) == 3)
    assert record.annotations[-1].label == "car"


def test_created_label_goes_with_its_box(visit: Visit) -> None:
    page = visit.page
    visit.canvas.drag((420, 60), (500, 120))
    visit.wait_for(lambda record: len(record.annotations) == 3)
    visit.press("l")
    page.keyboard.type("oran")
    options = page.get_by_role("option")
    expect(options.last).to_have_text("Create label “oran”")
    expect(options.first).to_contain_text("orange")  # what the models call so
    options.last.click()
    visit.wait_for(lambda record: record.annotations[-1].label == "oran")
    visit.settle()
    assert visit.store.labels(visit.scope).names[-1] == "oran"
    expect(page.get_by_role("radio", name="oran")).to_be_visible()
    visit.press("Control+z")
    visit.wait_for(lambda record: record.annotations[-1].label == "bottle")
    visit.settle()
    assert "oran" not in visit.store.labels(visit.scope)
    visit.canvas.drag((420, 150), (500, 210))
    record = visit.wait_for(lambda record: len(record.annotations) == 4)
    assert record.annotations[-1].label == "bottle"


@pytest.mark.parametrize(
    "ways",
    [
        ("n", "p"),
        pytest.param(("ArrowRight", "ArrowLeft"), marks=pytest.mark.long),
    ],
)
def test_keys_go_to_the_next_image_and_back(
    visit: Visit, ways: tuple[str, str]
) -> None:
    visit.press(ways[0])
    visit.wait_for_image(BEAR)
    expect(visit.page.get_by_text("bear.jpg · edited")).to_be_visible()
    visit.press(ways[0])
    visit.wait_for_image(SKIER)
    visit.press(ways[1])
    visit.wait_for_image(BEAR)


@pytest.mark.long
def test_key_goes_to_the_next_doubtful_image(visit: Visit) -> None:
    visit.press("q")
    visit.wait_for_image(SKIER)
    visit.press("q")
    visit.settle()
    ids = visit.store.doubtful_ids(visit.scope)
    assert ids[0] == visit.image(SKIER)
    assert visit.canvas.get("image") == (ids[1] if len(ids) > 1 else ids[0])


@pytest.mark.parametrize("key", ["Delete", "Backspace"])
@pytest.mark.long
def test_key_deletes_the_selected_box(visit: Visit, key: str) -> None:
    visit.select_bottle()
    visit.press(key)
    record = visit.wait_for(lambda record: len(record.annotations) == 1)
    assert [annotation.annotation_id for annotation in record.deleted] == ["bottle-box"]


@pytest.mark.long
def test_key_duplicates_the_selected_box(visit: Visit) -> None:
    described = describe(visit.record(), "bottle-box", {"occluded": True}, who="Ada")
    visit.store.save(visit.scope, described)
    visit.page.reload()
    visit.wait_for_image(KITCHEN)
    visit.select_bottle()
    visit.press("d")
    copy = visit.wait_for(lambda record: len(record.annotations) == 3).annotations[-1]
    assert (copy.label, copy.source) == ("bottle", Source.HUMAN)
    assert copy.box.width == pytest.approx(BOTTLE.width, abs=0.02)
    assert copy.box != BOTTLE
    assert copy.attributes == {"occluded": True}


@pytest.mark.long
def test_on_a_narrow_screen_every_button_is_in_reach(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": 390, "height": 844})
    try:
        visit.settle()
        tops = {}
        for key in ("edit-approve", "edit-copy", "edit-empty", "edit-undo"):
            button = visit.page.locator(f".st-key-{key} button").locator("visible=true")
            box = button.first.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 390, key
            tops[key] = box["y"]
        assert tops["edit-approve"] < tops["edit-copy"]
    finally:
        visit.page.set_viewport_size(SCREEN)


def test_display_is_set_by_touch_on_a_phone(
    served: Served, chromium: Browser, scope: Scope
) -> None:
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    visit = open_editor(served, context.new_page(), scope)
    page, canvas = visit.page, visit.canvas
    button = page.get_by_role("button", name="Display settings")
    button.tap()
    slider = page.get_by_label("Line width")
    places = [
        canvas.surface.bounding_box(),
        canvas.surface.locator(".tools").bounding_box(),
        slider.bounding_box(),
    ]
    area, tools, place = (box for box in places if box is not None)
    assert area["x"] <= tools["x"]
    assert tools["x"] + tools["width"] <= area["x"] + area["width"]
    right, middle = place["x"] + place["width"], place["y"] + place["height"] / 2
    page.touchscreen.tap(right - 9, middle)
    expect(slider).to_have_value("6")
    button.tap()
    expect(slider).to_be_hidden()
    page.touchscreen.tap(*canvas.at(BOTTLE_MIDDLE))
    canvas.wait_for("selected", "bottle-box")
    context.close()


NUDGES = {
    "ArrowLeft": (-1, 0),
    "ArrowRight": (1, 0),
    "ArrowUp": (0, -1),
    "ArrowDown": (0, 1),
    "Shift+ArrowLeft": (-10, 0),
    "Shift+ArrowRight": (10, 0),
    "Shift+ArrowUp": (0, -10),
    "Shift+ArrowDown": (0, 10),
}


@pytest.mark.long
def test_arrows_nudge_the_selected_box(visit: Visit) -> None:
    visit.select_bottle()
    box = BOTTLE
    for key, (x, y) in NUDGES.items():
        visit.press(key)
        box = Box(box.x_min + x, box.y_min + y, box.x_max + x, box.y_max + y)
        visit.wait_for(
            lambda record, now=box: record.annotation("bottle-box").box == now  # type: ignore[misc]
        )
    visit.wait_for_image(KITCHEN)


EDGES = {
    "Control+ArrowLeft": (0, 0, -1, 0),
    "Control+ArrowRight": (0, 0, 1, 0),
    "Control+ArrowUp": (0, 0, 0, -1),
    "Control+ArrowDown": (0, 0, 0, 1),
    "Control+Shift+ArrowLeft": (-1, 0, 0, 0),
    "Control+Shift+ArrowRight": (1, 0, 0, 0),
    "Control+Shift+ArrowUp": (0, -1, 0, 0),
    "Control+Shift+ArrowDown": (0, 1, 0, 0),
}


def test_keys_move_each_edge_and_a_run_of_presses_is_one_undo(visit: Visit) -> None:
    visit.select_bottle()
    box = BOTTLE
    for key, moves in EDGES.items():
        for _ in range(3):
            visit.press(key)
            box = Box(*(edge + by for edge, by in zip(box, moves, strict=True)))
        visit.wait_for(
            lambda record, now=box: record.annotation("bottle-box").box == now  # type: ignore[misc]
        )
        visit.page.wait_for_timeout(1050)  # the next press begins another run
    seq = visit.canvas.get("seq")
    visit.press("Control+ArrowRight")
    expect(visit.canvas.surface).not_to_have_attribute("data-seq", seq)
    visit.press("Control+Shift+ArrowUp")  # saved by itself, but of the same run
    higher = box._replace(x_max=box.x_max + 1, y_min=box.y_min - 1)
    visit.wait_for(lambda record: record.annotation("bottle-box").box == higher)
    visit.press("Control+z")
    visit.wait_for(lambda record: record.annotation("bottle-box").box == box)
    visit.press("Control+z")
    before = box._replace(y_min=box.y_min - 3)
    visit.wait_for(lambda record: record.annotation("bottle-box").box == before)
    visit.wait_for_image(KITCHEN)


@pytest.mark.long
def test_edges_moved_by_keys_stay_in_the_image_and_apart(visit: Visit) -> None:
    def hold(key: str, times: int) -> None:
        *modifiers, arrow = key.split("+")
        for name in modifiers:
            visit.page.keyboard.down(name)
        for _ in range(times):  # held, it repeats
            visit.page.keyboard.down(arrow)
        for name in (arrow, *modifiers):
            visit.page.keyboard.up(name)

    visit.select_bottle()
    hold("Control+Shift+ArrowLeft", 60)
    visit.wait_for(lambda record: record.annotation("bottle-box").box.x_min == 0)
    hold("Control+ArrowLeft", 60)
    narrow = BOTTLE._replace(x_min=0, x_max=1)
    visit.wait_for(lambda record: record.annotation("bottle-box").box == narrow)
    hold("Control+ArrowDown", 120)
    low = narrow._replace(y_max=visit.record().size.height)
    visit.wait_for(lambda record: record.annotation("bottle-box").box == low)


SEVERAL = ("bottle-box", "cup-box", "bowl-box")
AROUND = ((40.0, 40.0), (420.0, 300.0))


@pytest.fixture
def crowded(served: Served, tab: Page, scope: Scope) -> Visit:
    """Three boxes in a larger one, of four labels."""
    record = served.store.records(scope)[KITCHEN]
    more = (
        Annotation(Box(200, 80, 260, 140), "person", annotation_id="bowl-box"),
        Annotation(Box(10, 10, 600, 400), "bus", annotation_id="room-box"),
    )
    boxes = (*record.annotations, *more)
    served.store.save(scope, replace(record, annotations=boxes))
    tab.mouse.move(5, 5)
    return open_editor(served, tab, scope)


def of_several(record: ImageRecord) -> list[Annotation]:
    return [record.annotation(name) for name in SEVERAL]


def gather(visit: Visit) -> None:
    """Select the three boxes by a rectangle."""
    visit.page.keyboard.down("Control")
    visit.canvas.drag(*AROUND)
    visit.page.keyboard.up("Control")
    visit.canvas.wait_for("several", "3")


def undone(visit: Visit, before: ImageRecord) -> None:
    """Undo once, and wait until the boxes are as before on the canvas too."""
    visit.press("Control+z")
    visit.wait_for(lambda record: record.annotations == before.annotations)
    for _ in range(200):
        shown = visit.canvas.shown()
        if {name: (one.label, *map(round, one.box)) for name, one in shown.items()} == {
            one.annotation_id: (one.label, *map(round, one.box))
            for one in before.annotations
        }:
            return
        visit.page.wait_for_timeout(25)
    pytest.fail(f"shown after undo: {visit.canvas.shown()}")


@pytest.mark.parametrize("way", ["digit", "chip", "typing"])
def test_several_boxes_get_a_label_with_one_undo(crowded: Visit, way: str) -> None:
    before = crowded.record()
    gather(crowded)
    expect(crowded.page.get_by_text("3 boxes selected")).to_be_visible()
    if way == "digit":
        crowded.press("3")
    elif way == "chip":
        crowded.page.get_by_role("radio", name="3 bear").click()
    else:
        crowded.press("l", *"bea", "Enter")
    crowded.wait_for(
        lambda record: {one.label for one in of_several(record)} == {"bear"}
    )
    assert crowded.record().annotation("room-box").label == "bus"
    cells = crowded.page.get_by_test_id("stDataFrame").locator("td")
    expect(cells.filter(has_text="bear")).to_have_count(3)
    undone(crowded, before)
    crowded.canvas.wait_for("several", "3")


@pytest.mark.parametrize("way", ["drag", "keys"])
def test_several_boxes_are_moved_with_one_undo(crowded: Visit, way: str) -> None:
    before = crowded.record()
    gather(crowded)
    if way == "drag":
        x, y = BOTTLE_MIDDLE
        crowded.canvas.drag(BOTTLE_MIDDLE, (x - 300, y + 30))  # as far as there is room
        by = (-60.0, 30.0)
    else:
        crowded.press("ArrowRight", "Shift+ArrowDown")
        by = (1.0, 10.0)
    wanted = [
        pytest.approx(
            [edge + d for edge, d in zip(was.box, by * 2, strict=True)], abs=0.3
        )
        for was in of_several(before)
    ]
    crowded.wait_for(
        lambda record: [list(now.box) for now in of_several(record)] == wanted
    )
    undone(crowded, before)


def test_several_boxes_are_deleted_and_duplicated_with_one_undo(
    crowded: Visit,
) -> None:
    before = crowded.record()
    gather(crowded)
    crowded.press("d")
    copies = crowded.wait_for(lambda record: len(record.annotations) == 7)
    assert sorted(one.label for one in copies.annotations[4:]) == sorted(
        one.label for one in of_several(before)
    )
    crowded.canvas.wait_for("several", "3")
    undone(crowded, before)
    gather(crowded)
    crowded.press("Delete")
    rest = crowded.wait_for(lambda record: len(record.annotations) == 1)
    assert rest.annotations[0].annotation_id == "room-box"
    undone(crowded, before)


def test_boxes_are_selected_by_holding_them(
    crowded: Visit, served: Served, chromium: Browser
) -> None:
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    phone = open_editor(served, context.new_page(), crowded.scope)
    before, canvas = phone.record(), phone.canvas
    fingers = context.new_cdp_session(phone.page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        places = [dict(zip("xy", canvas.at(point), strict=True)) for point in points]
        asked = {"type": kind, "touchPoints": places}
        fingers.send("Input.dispatchTouchEvent", asked)

    def hold(name: str, several: int) -> None:
        box = before.annotation(name).box
        middle = ((box.x_min + box.x_max) / 2, (box.y_min + box.y_max) / 2)
        touch("touchStart", middle)
        canvas.wait_for("several", str(several))
        touch("touchMove", (middle[0] + 60, middle[1]))  # it moves nothing by then
        touch("touchEnd")

    phone.page.touchscreen.tap(*canvas.at(BOTTLE_MIDDLE))
    canvas.wait_for("selected", "bottle-box")
    hold("cup-box", 2)
    hold("bowl-box", 3)
    hold("bottle-box", 2)
    hold("bottle-box", 3)
    assert phone.record() == before
    phone.page.get_by_role("radio", name="3 bear").tap()
    phone.wait_for(lambda record: {one.label for one in of_several(record)} == {"bear"})
    undone(phone, before)
    phone.page.touchscreen.tap(*canvas.at(BOTTLE_MIDDLE))
    canvas.wait_for("selected", "bottle-box")
    context.close()


def test_ctrl_click_adds_a_box_and_leaves_it_out_and_escape_clears(
    crowded: Visit,
) -> None:
    canvas, mouse = crowded.canvas, crowded.page.mouse
    before = crowded.record()
    crowded.select_bottle()
    for key, point, several, selected in [
        ("Control", (340.0, 230.0), "2", ""),
        ("Meta", (230.0, 110.0), "3", ""),
        ("Control", (340.0, 230.0), "2", ""),
        ("Control", BOTTLE_MIDDLE, "", "bowl-box"),
    ]:
        crowded.page.keyboard.down(key)
        canvas.click(point)
        crowded.page.keyboard.up(key)
        canvas.wait_for("several", several)
        canvas.wait_for("selected", selected)
    crowded.press("Control+a")
    expect(crowded.page.get_by_text("4 boxes selected")).to_be_visible()
    crowded.press("Escape")
    canvas.wait_for("several", "")
    expect(crowded.page.get_by_text("boxes selected")).to_be_hidden()
    gather(crowded)
    mouse.click(*canvas.at((340, 230)))
    canvas.wait_for("selected", "cup-box")
    canvas.wait_for("several", "")
    assert crowded.record() == before
    crowded.press("Escape")
    canvas.drag((450, 300), (520, 350))  # a drag without a key draws, as ever
    crowded.wait_for(lambda record: len(record.annotations) == 5)


@pytest.mark.long
def test_key_copies_the_boxes_of_the_image_before(visit: Visit) -> None:
    visit.press("m")
    expect(visit.page.get_by_text("This is the first image")).to_be_visible()
    visit.press("n")
    visit.wait_for_image(BEAR)
    visit.press("m")
    record = visit.wait_for(lambda record: len(record.annotations) == 3, BEAR)
    assert [annotation.label for annotation in record.annotations] == [
        "bear",
        "bottle",
        "cup",
    ]
    assert {annotation.source for annotation in record.annotations} == {Source.HUMAN}


def test_key_accepts_all_boxes(visit: Visit) -> None:
    visit.press("a")
    visit.wait_for(lambda record: all(box.accepted for box in record.annotations))
    visit.settle()
    assert not any(
        annotation.is_untouched for annotation in visit.canvas.shown().values()
    )


def test_enter_approves_and_goes_on(visit: Visit) -> None:
    visit.press("Enter")
    visit.wait_for(lambda record: record.status is ReviewStatus.APPROVED)
    visit.wait_for_image(BEAR)


@pytest.mark.long
def test_key_says_that_nothing_is_here(visit: Visit) -> None:
    visit.press("e")
    visit.wait_for(lambda record: record.is_confirmed_empty)
    visit.wait_for_image(BEAR)


@pytest.mark.parametrize(
    "redo", ["Control+y", pytest.param("Control+Shift+z", marks=pytest.mark.long)]
)
def test_undo_and_redo_go_over_all_images(visit: Visit, redo: str) -> None:
    visit.press("e")
    visit.wait_for_image(BEAR)
    visit.canvas.drag((300, 60), (380, 120))
    visit.wait_for(lambda record: len(record.annotations) == 2, BEAR)
    visit.press("Control+z")
    visit.wait_for(lambda record: len(record.annotations) == 1, BEAR)
    visit.press("Control+z")
    visit.wait_for(lambda record: len(record.annotations) == 2, KITCHEN)
    visit.wait_for_image(KITCHEN)
    visit.press(redo)
    visit.wait_for(lambda record: record.is_confirmed_empty, KITCHEN)
    visit.press(redo)
    visit.wait_for(lambda record: len(record.annotations) == 2, BEAR)
    visit.wait_for_image(BEAR)


@pytest.mark.parametrize("place", ["tags", "comment", "table", "labels", "dialog"])
@pytest.mark.long
def test_keys_are_left_alone_while_someone_types(visit: Visit, place: str) -> None:
    page = visit.page
    visit.select_bottle()
    if place == "tags":
        page.get_by_placeholder("Add image tags").click()
    elif place == "comment":
        page.get_by_role("button", name="Comment", exact=True).click()
        page.get_by_label("Comment on this image").click()
    elif place == "table":
        table = page.get_by_test_id("stDataFrame").bounding_box()
        assert table is not None
        page.mouse.click(table["x"] + 50, table["y"] + 52)
        until(page, "!!document.activeElement.closest('[data-testid=stDataFrame]')")
    elif place == "labels":
        page.get_by_role("button", name="More").first.click()
        page.get_by_role("combobox", name="Choose a label").click()
    else:
        visit.button("edit-labels").click()
        page.get_by_placeholder("Add a label").click()
    before = visit.record()
    page.keyboard.type("aenpqmd23?")
    page.wait_for_timeout(600)
    assert visit.record() == before
    assert visit.canvas.get("image") == visit.image(KITCHEN)


# ---------------------------------------------------------------------- the page


def test_saved_follows_every_change(visit: Visit) -> None:
    page = visit.page
    expect(page.get_by_text("All changes saved")).to_be_visible()
    visit.canvas.drag((420, 60), (500, 120))
    mark = page.get_by_text(re.compile(r"^Saved \d\d:\d\d:\d\d$"))
    for key in ("Control+z", "Control+y", "a"):
        expect(mark).to_be_visible()  # it is not, while something is under way
        before = mark.inner_text()
        page.wait_for_timeout(1000)  # the mark goes to the second
        visit.press(key)
        expect(page.get_by_text(before)).to_have_count(0)
        expect(mark).to_be_visible()
    expect(mark).to_be_visible()
    before = mark.inner_text()
    page.wait_for_timeout(1000)
    visit.press("m")  # is refused: there is no image before, and nothing is saved
    expect(page.get_by_text("This is the first image")).to_be_visible()
    expect(mark).to_have_text(before)


@pytest.mark.long
def test_tags_are_typed_and_chosen_from_those_there_are(visit: Visit) -> None:
    page = visit.page
    field = page.get_by_placeholder("Add image tags")
    field.fill("night")
    field.press("Enter")
    visit.wait_for(lambda record: record.tags == ("night",))
    visit.settle()
    page.keyboard.press("Escape")
    visit.button("edit-next").click()
    visit.wait_for_image(BEAR)
    page.get_by_placeholder("Add image tags").click()
    page.get_by_role("option", name="night").click()
    visit.wait_for(lambda record: record.tags == ("night",), BEAR)


@pytest.mark.long
def test_renamed_label_is_on_the_boxes_once_the_dialog_is_closed(visit: Visit) -> None:
    page = visit.page
    visit.button("edit-labels").click()
    name = page.get_by_label("Name of bottle")
    name.fill("flask")
    name.press("Enter")
    expect(page.get_by_text("bottle renamed to flask")).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(page.get_by_role("radio", name="1 flask")).to_be_visible()
    visit.settle()
    assert visit.canvas.shown()["bottle-box"].label == "flask"
    visit.select_bottle()
    visit.press("ArrowRight")
    visit.wait_for(lambda record: record.annotation("bottle-box").box.x_min == 61)
    assert visit.record().annotation("bottle-box").label == "flask"


@pytest.mark.long
def test_end_of_a_job_closes_no_dialog(visit: Visit) -> None:
    page = visit.page
    job_id = visit.store.submit_job(visit.scope, "nobody's", {})
    page.reload()
    strip = page.get_by_text("nobody's ·")
    expect(strip).to_be_visible()
    visit.button("edit-labels").click()
    field = page.get_by_placeholder("Add a label")
    field.fill("zebra")
    visit.store.cancel_job(visit.scope, job_id)
    expect(strip).to_have_count(0)
    page.wait_for_timeout(1500)
    expect(field).to_have_value("zebra")
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    expect(field).to_have_count(0)


def test_what_shows_an_icon_alone_has_a_name(visit: Visit) -> None:
    header = visit.page.get_by_test_id("stMain")
    for name in ("Previous image", "Next image", "Undo", "Redo"):
        button = header.get_by_role("button", name=name).first
        box = button.bounding_box()
        assert box is not None
        assert box["width"] < 50, name  # the name is heard, and not seen
    visit.button("edit-labels").click()
    expect(visit.page.get_by_role("button", name="Move bottle up")).to_be_visible()


@pytest.mark.long
def test_what_was_sent_back_is_mended_and_resolved(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("button", name="Reject", exact=True).click()
    page.get_by_label("What is wrong?").fill("cup is cut off")
    page.get_by_role("button", name="Reject and next").click()
    visit.wait_for_image(BEAR)
    visit.settle()
    page.get_by_label("Image queue").click()
    page.get_by_role("option", name=re.compile(r"^Rejected \d")).click()
    visit.wait_for_image(KITCHEN)
    expect(page.get_by_text("1 / 1")).to_be_visible()
    expect(page.get_by_text("cup is cut off")).to_be_visible()
    page.get_by_role("button", name="Resolve").first.click()
    expect(page.get_by_role("button", name="1 comment resolved")).to_be_visible()
    assert visit.store.open_comment_counts(visit.scope) == {}


# ---------------------------------------------------------------------- a large image


@pytest.mark.long
def test_box_of_four_pixels_is_exact_on_a_photograph_of_48_megapixels(
    served: Served, tab: Page
) -> None:
    scope = scope_of(served.store, TEAM_OWNER, who="test", name="Large")
    noise = np.random.default_rng(5).integers(0, 255, (750, 1000, 3), np.uint8)
    large = cv2.resize(noise, (8000, 6000), interpolation=cv2.INTER_NEAREST)
    jpeg = cv2.imencode(".jpg", large)[1].tobytes()
    admit(served.store, scope, [Incoming("large.jpg", jpeg)], limits=Limits())
    received: list[int] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: received.append(len(frame)))

    tab.on("websocket", listen)
    visit = open_editor(served, tab, scope)
    canvas = visit.canvas
    for _ in range(7):
        canvas.wheel((6002, 3002), -5)
    assert canvas.scale > 20
    canvas.drag((6000, 3000), (6004, 3004))
    record = visit.wait_for(lambda record: len(record.annotations) == 1)
    assert record.annotations[0].box == pytest.approx((6000, 3000, 6004, 3004), abs=0.5)
    visit.press("f")
    while canvas.scale > 1:
        tab.wait_for_timeout(25)
    canvas.drag((100, 100), (-500, -500))
    record = visit.wait_for(lambda record: len(record.annotations) == 2)
    assert record.annotations[1].box[:2] == (0, 0)
    # A picture of the screen's size came, and one of a part: not the photograph.
    assert 50_000 < max(received) < len(jpeg) / 5


# ---------------------------------------------------------------------- two at a time


@pytest.fixture
def other(served: Served, chromium: Browser, scope: Scope) -> Iterator[Visit]:
    """A second browser on the same image."""
    context = chromium.new_context(viewport=SCREEN)
    yield open_editor(served, context.new_page(), scope)
    context.close()


CHOICES = {
    "Keep mine": {"bottle", "cup", "car"},
    "Keep theirs": {"bottle", "cup", "dog"},
    "Keep both": {"bottle", "cup", "car", "dog"},
}


@pytest.mark.parametrize(
    "choice",
    [
        *(
            pytest.param(choice, marks=pytest.mark.long)
            for choice in list(CHOICES)[:-1]
        ),
        list(CHOICES)[-1],
    ],
)
def test_second_to_save_sees_both_versions_and_chooses(
    visit: Visit, other: Visit, choice: str
) -> None:
    visit.press("5")
    visit.settle()
    other.press("6")
    other.canvas.drag((420, 60), (500, 120))
    other.wait_for(lambda record: len(record.annotations) == 3)
    theirs = other.record()

    visit.canvas.drag((440, 70), (520, 130))
    page = visit.page
    expect(page.get_by_text("saved this image while you changed it")).to_be_visible()
    expect(page.get_by_text("All changes saved")).to_have_count(0)
    expect(page.get_by_text("Not saved yet", exact=True)).to_be_visible()
    expect(page.get_by_text("Your version, not saved")).to_be_visible()
    expect(page.get_by_role("main").locator("img")).to_have_count(2)
    assert visit.record() == theirs  # nothing is written over unasked

    page.get_by_role("button", name=choice).first.click()
    visit.canvas.surface.wait_for()
    visit.settle()
    assert {annotation.label for annotation in visit.record().annotations} == CHOICES[
        choice
    ]
    shown = {annotation.label for annotation in visit.canvas.shown().values()}
    assert shown == CHOICES[choice]


@pytest.mark.long
def test_boxes_of_two_that_do_not_overlap_are_both_kept_unasked(
    visit: Visit, other: Visit
) -> None:
    visit.press("5")
    other.press("6")
    other.canvas.drag((420, 60), (500, 120))
    other.wait_for(lambda record: len(record.annotations) == 3)
    visit.canvas.drag((200, 60), (280, 120))
    record = visit.wait_for(lambda record: len(record.annotations) == 4)
    assert [annotation.label for annotation in record.annotations] == [
        "bottle",
        "cup",
        "dog",
        "car",
    ]
    visit.settle()
    assert len(visit.canvas.shown()) == 4
    expect(visit.page.get_by_text("while you changed it")).to_have_count(0)


@pytest.mark.long
def test_approval_of_what_somebody_else_changed_asks_to_look_first(
    visit: Visit, other: Visit
) -> None:
    other.canvas.drag((420, 60), (500, 120))
    other.wait_for(lambda record: len(record.annotations) == 3)
    visit.press("Enter")
    expect(visit.page.get_by_text("This image has changed meanwhile")).to_be_visible()
    assert visit.record().status is not ReviewStatus.APPROVED
    assert len(visit.canvas.shown()) == 3


@pytest.mark.long
def test_what_another_image_waits_for_is_not_said_of_this_one(
    visit: Visit, other: Visit
) -> None:
    other.canvas.drag((420, 60), (500, 120))
    other.wait_for(lambda record: len(record.annotations) == 3)
    visit.canvas.drag((440, 70), (520, 130))
    page = visit.page
    expect(page.get_by_text("saved this image while you changed it")).to_be_visible()
    visit.button("edit-next").click()
    visit.wait_for_image(BEAR)
    notice = visit.canvas.surface.locator(".unsaved")
    expect(notice).to_contain_text("on other images. Open the other image to see why.")
    expect(notice).not_to_contain_text("this image")


# ---------------------------------------------------------------------- copying on


SERIES = 14


def camera_series(store: Store, scope: Scope) -> None:
    """Add photographs of one camera: the fourth is approved, the fifth turned."""
    rng = np.random.default_rng(7)
    scene = cv2.GaussianBlur(rng.integers(0, 255, (240, 320, 3), np.uint8), (0, 0), 9)
    for i in range(SERIES):
        frame = scene.copy()
        cv2.circle(frame, (20 + 15 * i, 60), 12, (40, 200, 90), -1)
        if i == 4:
            frame = np.rot90(frame)
        data = cv2.imencode(".png", frame)[1].tobytes()
        admit(store, scope, [Incoming(f"frame-{i:02}.png", data)], limits=Limits())
    store.add_labels(scope, ["crane", "truck"])
    first, _, _, approved, *_ = store.records(scope)
    boxes = (
        Annotation(Box(30, 30, 120, 200), "crane"),
        Annotation(Box(200, 120, 300, 220), "truck"),
    )
    store.save(scope, replace(first, annotations=boxes, status=ReviewStatus.EDITED))
    store.save(scope, replace(approved, status=ReviewStatus.APPROVED))


@pytest.fixture
def series(served: Served, tab: Page, request: pytest.FixtureRequest) -> Visit:
    scope = scope_of(served.store, TEAM_OWNER, who="test", name=request.node.name[:60])
    camera_series(served.store, scope)
    return open_editor(served, tab, scope)


def boxes_of(visit: Visit) -> list[int]:
    return [len(record.annotations) for record in visit.store.records(visit.scope)]


def wait_for_boxes(visit: Visit, expected: list[int]) -> None:
    for _ in range(400):
        if boxes_of(visit) == expected:
            return
        visit.page.wait_for_timeout(25)
    pytest.fail(f"not so within 10 s: {boxes_of(visit)}")


def test_boxes_are_copied_on_to_ten_images_with_one_undo(series: Visit) -> None:
    dialog = series.page.get_by_role("dialog")
    series.button("edit-copy-on").click()
    expect(dialog).to_contain_text("16 boxes on 8 images will be added")
    expect(dialog).to_contain_text("Skipped: 1 image approved: frame-03.png.")
    expect(dialog).to_contain_text("1 image of another aspect ratio: frame-04.png.")
    count = dialog.get_by_role("spinbutton", name="How many")
    count.fill("12")
    count.press("Enter")
    expect(dialog).to_contain_text("20 boxes on 10 images will be added")
    dialog.get_by_role("button", name="Copy 20 boxes").click()
    expect(dialog).to_be_hidden()
    wait_for_boxes(series, [2, 2, 2, 0, 0, *[2] * 8, 0])
    expect(series.page.get_by_text("Copied 20 boxes on 10 images.")).to_be_visible()
    states = [record.status for record in series.store.records(series.scope)]
    assert states.count(ReviewStatus.EDITED) == 11
    assert states[3] is ReviewStatus.APPROVED
    series.press("Control+z")
    wait_for_boxes(series, [2, *[0] * 13])
    states = [record.status for record in series.store.records(series.scope)]
    assert states.count(ReviewStatus.NEW) == 12


@pytest.mark.long
def test_boxes_are_copied_to_near_duplicates_by_key(series: Visit) -> None:
    dialog = series.page.get_by_role("dialog")
    series.press("Shift+M")
    dialog.get_by_text(re.compile(r"Near-duplicates of this image \([1-9]")).click()
    button = dialog.get_by_role("button", name=re.compile(r"Copy \d+ boxes"))
    expect(button).to_be_enabled()
    button.click()
    expect(dialog).to_be_hidden()
    series.wait_for(lambda record: len(record.annotations) == 2, 1)
    assert boxes_of(series)[3:5] == [0, 0]


@pytest.mark.long
def test_image_without_boxes_has_none_to_copy_on(series: Visit) -> None:
    series.press("n")
    series.wait_for_image(1)
    series.press("Shift+M")
    expect(series.page.get_by_text("no boxes to copy on")).to_be_visible()


# ---------------------------------------------------------------------- proposed tags


TAGGED = 20


def tagged_places(store: Store, scope: Scope) -> None:
    """Add images of two places in turn; the first twenty bear the place as a tag."""
    rng = np.random.default_rng(2)
    places = rng.standard_normal((2, 1728)).astype(np.float32)
    for i in range(TAGGED + 6):
        picture = rng.integers(0, 255, (48, 64, 3), np.uint8)
        data = cv2.imencode(".png", picture)[1].tobytes()
        admit(store, scope, [Incoming(f"place-{i:02}.png", data)], limits=Limits())
    records = store.records(scope)
    vectors = {
        record.image_id: image_vectors.pack(
            places[i % 2] + rng.standard_normal(1728).astype(np.float32) / 2
        )
        for i, record in enumerate(records)
    }
    store.put_many(scope, image_vectors._key(), vectors)
    for i, record in enumerate(records[:TAGGED]):
        store.save(scope, replace(record, tags=(("street", "beach")[i % 2],)))


def test_tags_are_proposed_and_taken_by_a_click(
    served: Served, tab: Page, request: pytest.FixtureRequest
) -> None:
    scope = scope_of(served.store, TEAM_OWNER, who="test", name=request.node.name)
    tagged_places(served.store, scope)
    fresh = served.store.records(scope)[TAGGED]
    place = f"dataset={scope.dataset_id[:12]}"
    tab.goto(f"{served.url}/edit?{place}&image={fresh.image_id[:12]}")
    tab.get_by_text("Proposed tags").wait_for()
    visit = Visit(Canvas(tab, tab.locator(".editor")), served.store, scope)
    visit.settle()
    # Saved since the button was drawn, as a box that was just drawn is.
    served.store.save(scope, replace(fresh, comment="dark"))
    tab.locator(".st-key-tags-take-0 button").first.click()
    record = visit.wait_for(lambda record: bool(record.tags), TAGGED)
    assert (record.tags, record.status) == (("street",), ReviewStatus.NEW)
    assert record.comment == "dark"
    tab.goto(f"{served.url}/review?{place}")
    tab.get_by_role("radio", name="Tags", exact=True).click()
    tab.get_by_role("radio", name=re.compile("beach 3")).click()
    tab.get_by_role("button", name="Take for all 3 images").click()
    record = visit.wait_for(lambda record: bool(record.tags), TAGGED + 5)
    assert (record.tags, record.status) == (("beach",), ReviewStatus.NEW)
    tab.locator(".st-key-tags-undo button").first.click()
    visit.wait_for(lambda record: not record.tags, TAGGED + 5)
    tags = [record.tags for record in served.store.records(scope)[TAGGED:]]
    assert tags == [("street",), *[()] * 5]


def test_the_tag_on_screen_stays_while_its_images_are_taken(
    served: Served, tab: Page, request: pytest.FixtureRequest
) -> None:
    scope = scope_of(served.store, TEAM_OWNER, who="test", name=request.node.name)
    tagged_places(served.store, scope)
    tab.goto(f"{served.url}/review?dataset={scope.dataset_id[:12]}")
    tab.get_by_role("radio", name="Tags", exact=True).click()
    expect(tab.get_by_role("radio", name=re.compile("beach 3"))).to_be_checked()
    take = tab.get_by_role("button", name="Take", exact=True)
    expect(take).to_have_count(3)
    visit = Visit(Canvas(tab, tab.locator(".editor")), served.store, scope)
    visit.settle()
    take.first.click()
    # The tag with most images comes first: now that is street.
    expect(tab.get_by_role("radio", name=re.compile("beach 2"))).to_be_checked()
    tags = [record.tags for record in served.store.records(scope)[TAGGED:]]
    assert [*filter(None, tags)] == [("beach",)]

"""Ignore areas and a reviewer's marks, drawn by mouse on the drawable canvas."""

from dataclasses import replace
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from imagebase.annotation import Annotation, Box, ReviewStatus
from imagebase.annotation.areas import Shape, ShapeKind
from imagebase.annotation.coverage import mask_of
from imagebase.store import Scope, Store
from tests.browser.conftest import Dataset, Point

pytestmark = pytest.mark.browser

PHOTOGRAPHS = ("kitchen.jpg", "bear.jpg", "street.jpg")


class RoughCanvas(NamedTuple):
    """The drawable canvas on a dialog; points are shares of the image."""

    page: Page
    surface: Locator

    def at(self, point: Point) -> Point:
        box = self.surface.bounding_box()
        assert box is not None
        return box["x"] + point[0] * box["width"], box["y"] + point[1] * box["height"]

    def drag(self, *points: Point) -> None:
        mouse = self.page.mouse
        mouse.move(*self.at(points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(point), steps=5)
        mouse.up()

    def click(self, *points: Point) -> None:
        """Click points with time between: two clicks at once are a double click."""
        for point in points:
            self.page.mouse.click(*self.at(point))
            self.page.wait_for_timeout(350)


class Visit(NamedTuple):
    """Somebody on the Edit page of a dataset of three photographs."""

    page: Page
    store: Store
    scope: Scope
    url: str

    def open(self, image_id: str) -> None:
        """Open an image on Edit."""
        self.page.goto(
            f"{self.url}/edit?dataset={self.scope.dataset_id}&image={image_id}"
        )
        self.page.locator(".st-key-edit-canvas .editor").wait_for(timeout=60_000)

    def shapes(self, count: int, place: int = 0) -> list[Shape]:
        """Return the areas of an image as soon as there are so many."""
        for _ in range(400):
            found = self.store.records(self.scope)[place].ignored
            if len(found) == count:
                return list(found)
            self.page.wait_for_timeout(25)
        pytest.fail(f"not {count} areas within 10 s: {found}")

    def open_areas(self) -> RoughCanvas:
        self.page.get_by_role("button", name="Ignore areas").click()
        return self.canvas()

    def canvas(self) -> RoughCanvas:
        dialog = self.page.get_by_role("dialog")
        surface = dialog.locator("canvas.upper-canvas")
        surface.wait_for(timeout=20_000)
        self.settle()
        return RoughCanvas(self.page, surface)

    def choose(self, tool: str) -> None:
        self.page.get_by_role("dialog").get_by_role("radio", name=tool).click()
        self.settle()

    def settle(self) -> None:
        self.page.wait_for_timeout(300)
        self.page.wait_for_selector(
            "[data-testid='stApp'][data-test-script-state='notRunning']",
            state="attached",
        )
        self.page.wait_for_timeout(200)


@pytest.fixture
def visit(page: Page, dataset: Dataset) -> Visit:
    return visit_of(page, dataset)


def visit_of(page: Page, dataset: Dataset) -> Visit:
    dataset.add(*PHOTOGRAPHS)
    visit = Visit(page, dataset.store, dataset.scope, dataset.url)
    visit.open(dataset.store.image_ids(dataset.scope)[0])
    return visit


def test_polygon_rectangle_and_brush_are_saved_as_drawn(visit: Visit) -> None:
    canvas = visit.open_areas()
    size = visit.store.records(visit.scope)[0].size
    canvas.drag((0.1, 0.8), (0.3, 0.95))
    (box,) = visit.shapes(1)
    assert box.kind is ShapeKind.RECTANGLE
    expected = (
        0.1 * size.width,
        0.8 * size.height,
        0.3 * size.width,
        0.95 * size.height,
    )
    assert box.bounds == pytest.approx(expected, abs=4)

    visit.choose("Polygon")
    canvas.click((0.6, 0.1), (0.8, 0.15), (0.7, 0.4), (0.6, 0.1))
    polygon = visit.shapes(2)[1]
    assert polygon.kind is ShapeKind.POLYGON
    assert len(polygon.points) == 3
    assert polygon.points[1] == pytest.approx(
        (0.8 * size.width, 0.15 * size.height), abs=4
    )

    visit.choose("Brush")
    canvas.drag((0.2, 0.2), (0.3, 0.25), (0.4, 0.2))
    stroke = visit.shapes(3)[2]
    assert stroke.kind is ShapeKind.BRUSH
    assert stroke.width == pytest.approx(max(size) // 30, abs=2)
    mask = mask_of([stroke], size)
    middle = round(0.25 * size.height), round(0.3 * size.width)
    assert mask[middle]
    assert not mask[middle[0] + round(stroke.width), middle[1]]
    assert visit.store.records(visit.scope)[1].ignored == ()


@pytest.mark.long
def test_areas_of_a_size_are_drawn_once_deleted_and_undone(visit: Visit) -> None:
    canvas = visit.open_areas()
    visit.page.get_by_role("dialog").get_by_role("radio", name="all").click()
    visit.settle()
    canvas.drag((0.1, 0.8), (0.3, 0.95))
    (drawn,) = visit.shapes(1)
    counts = [len(record.ignored) for record in visit.store.records(visit.scope)]
    sizes = [record.size for record in visit.store.records(visit.scope)]
    assert counts == [int(size == sizes[0]) for size in sizes]
    dialog = visit.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Delete this area").first.click()
    visit.shapes(0)
    visit.settle()
    # The canvas was filled anew: what is drawn next is all there is on it.
    visit.canvas().drag((0.5, 0.5), (0.7, 0.7))
    visit.shapes(1)
    visit.settle()
    dialog.get_by_role("button", name="Undo").first.click()
    visit.shapes(0)
    visit.settle()
    dialog.get_by_role("button", name="Undo").first.click()
    assert visit.shapes(1) == [drawn]


@pytest.mark.long
def test_the_canvas_own_undo_takes_an_area_away(visit: Visit) -> None:
    canvas = visit.open_areas()
    canvas.drag((0.1, 0.1), (0.3, 0.3))
    canvas.drag((0.5, 0.5), (0.7, 0.7))
    first, _ = visit.shapes(2)
    visit.settle()
    canvas.surface.hover()
    visit.page.locator(".st-key-areas-canvas").get_by_label("Undo").first.click()
    assert visit.shapes(1) == [first]


@pytest.mark.long
def test_what_is_drawn_is_kept_when_the_dialog_is_closed_at_once(visit: Visit) -> None:
    canvas = visit.open_areas()
    canvas.drag((0.1, 0.1), (0.3, 0.3))
    visit.shapes(1)
    visit.page.keyboard.press("Escape")
    visit.page.get_by_role("dialog").wait_for(state="detached")
    visit.settle()
    again = visit.page.get_by_role("button", name="Ignore areas (1)")
    again.click()
    canvas = visit.canvas()
    canvas.drag((0.6, 0.6), (0.8, 0.8))
    visit.shapes(2)


@pytest.mark.long
def test_on_a_phone_the_canvas_is_as_wide_as_the_dialog(
    chromium: Browser, dataset: Dataset
) -> None:
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    try:
        visit = visit_of(context.new_page(), dataset)
        canvas = visit.open_areas()
        box = canvas.surface.bounding_box()
        assert box is not None
        assert 250 < box["width"] <= 390
        canvas.drag((0.2, 0.2), (0.5, 0.5))
        (drawn,) = visit.shapes(1)
        size = visit.store.records(visit.scope)[0].size
        assert drawn.bounds.x_max == pytest.approx(0.5 * size.width, abs=6)
    finally:
        context.close()


def test_a_marked_rejection_is_seen_by_the_annotator_until_it_is_resolved(
    visit: Visit,
) -> None:
    page = visit.page
    page.get_by_role("button", name="Reject", exact=True).click()
    page.get_by_role("button", name="Mark what is wrong").click()
    canvas = visit.canvas()
    canvas.drag((0.3, 0.4), (0.5, 0.4))
    visit.settle()
    visit.choose("Brush")
    canvas.drag((0.6, 0.6), (0.7, 0.65), (0.8, 0.6))
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("2 marks")).to_be_visible()
    dialog.get_by_label("What is wrong?").fill("the handle is cut off")
    dialog.get_by_role("button", name="Reject").click()
    dialog.wait_for(state="detached")
    record = visit.store.records(visit.scope)[0]
    assert record.status is ReviewStatus.REJECTED
    (said,) = visit.store.comments(visit.scope, record.image_id)
    assert said.text == "the handle is cut off"
    circle, scribble = said.marks
    size = record.size
    assert circle.kind is ShapeKind.ELLIPSE
    found = (circle.bounds.x_min, circle.bounds.x_max)
    assert found == pytest.approx((0.3 * size.width, 0.5 * size.width), abs=4)
    assert scribble.kind is ShapeKind.BRUSH

    # The next image is on screen; the annotator comes back to this one.
    visit.open(record.image_id)
    editor = page.locator(".st-key-edit-canvas .editor")
    expect(editor.locator(".shape.mark")).to_have_count(2)
    on_screen = editor.locator(".shape.mark").first.bounding_box()
    whole = editor.bounding_box()
    assert on_screen is not None
    assert whole is not None
    left, scale = (
        float(editor.get_attribute(f"data-{n}") or 0) for n in ("x", "scale")
    )
    assert on_screen["x"] == pytest.approx(
        whole["x"] + left + circle.bounds.x_min * scale, abs=4
    )
    page.get_by_role("button", name="Resolve").click()
    expect(editor.locator(".shape.mark")).to_have_count(0)
    assert visit.store.comments(visit.scope, record.image_id)[0].marks == said.marks


@pytest.mark.long
def test_reject_at_once_after_the_last_stroke_has_it(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Reject", exact=True).click()
    visit.page.get_by_role("button", name="Mark what is wrong").click()
    canvas = visit.canvas()
    expect(visit.page.get_by_test_id("stPopoverBody")).to_have_count(0)
    dialog = visit.page.get_by_role("dialog")
    button = visit.page.locator(".st-key-marking-reject button").bounding_box()
    assert button is not None
    canvas.drag((0.3, 0.4), (0.5, 0.4))
    visit.page.mouse.click(button["x"] + 20, button["y"] + 10)
    dialog.wait_for(state="detached")
    record = visit.store.records(visit.scope)[0]
    assert record.status is ReviewStatus.REJECTED
    (said,) = visit.store.comments(visit.scope, record.image_id)
    assert len(said.marks) == 1


@pytest.mark.long
def test_undo_takes_a_marked_rejection_back(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("button", name="Reject", exact=True).click()
    page.get_by_role("button", name="Mark what is wrong").click()
    visit.canvas().drag((0.3, 0.4), (0.5, 0.4))
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("1 mark", exact=True)).to_be_visible()
    dialog.get_by_role("button", name="Reject").click()
    dialog.wait_for(state="detached")
    record = visit.store.records(visit.scope)[0]
    (said,) = visit.store.comments(visit.scope, record.image_id)
    assert said.text == "See the marks on the image."
    assert len(said.marks) == 1
    page.locator(".st-key-edit-undo button").first.click()
    visit.settle()
    assert visit.store.comments(visit.scope, record.image_id) == []


@pytest.mark.long
def test_ignore_areas_are_seen_in_the_editor(visit: Visit) -> None:
    canvas = visit.open_areas()
    canvas.drag((0.1, 0.8), (0.3, 0.95))
    visit.shapes(1)
    visit.page.keyboard.press("Escape")
    visit.page.get_by_role("dialog").wait_for(state="detached")
    editor = visit.page.locator(".st-key-edit-canvas .editor")
    expect(editor.locator(".shape.ignored")).to_have_count(1)


@pytest.mark.long
def test_a_reviewer_marks_an_image_on_review(visit: Visit) -> None:
    page, (first, *_) = visit.page, visit.store.records(visit.scope)
    boxes = (Annotation(Box(50, 60, 150, 160), "cup", changed_by="ann"),)
    visit.store.save(visit.scope, replace(first, annotations=boxes))
    page.goto(f"{visit.url}/review?dataset={visit.scope.dataset_id}")
    page.get_by_role("button", name="Mark what is wrong").click(timeout=60_000)
    visit.canvas().drag((0.3, 0.4), (0.5, 0.4))
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("1 mark", exact=True)).to_be_visible()
    dialog.get_by_role("button", name="Reject").click()
    dialog.wait_for(state="detached")
    visit.settle()
    (said,) = visit.store.comments(visit.scope, first.image_id)
    assert [mark.kind for mark in said.marks] == [ShapeKind.ELLIPSE]
    record = visit.store.record(visit.scope, first.image_id)
    assert record.status is ReviewStatus.REJECTED

"""Label, train, see the curve, find the model, annotate with it: in a real browser."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from imagebase.annotation import Annotation, ReviewStatus, Size
from imagebase.images.decode import encode_png
from tests.browser.conftest import Canvas, Dataset
from tests.browser.frames import frames, shown_twice, watch
from tests.training.shapes import HEIGHT, WIDTH, picture

pytestmark = pytest.mark.browser

MINUTE_MS = 60_000


@pytest.fixture
def shapes(dataset: Dataset) -> Dataset:
    """A dataset of shapes: seven approved, the first and two others new."""
    store, scope = dataset.store, dataset.scope
    store.rename_dataset(scope, "Shapes")
    for number in range(10):
        rgb, _ = picture(number)
        store.add_image(
            scope,
            encode_png(rgb),
            file_name=f"{number}.png",
            size=Size(WIDTH, HEIGHT),
            quality=None,
        )
    for record in store.records(scope):
        number = int(record.file_name.removesuffix(".png"))
        _, boxes = picture(number)
        found = tuple(Annotation(box, label) for label, box in boxes)
        if 1 <= number < 8:
            approved = ReviewStatus.APPROVED
            store.save(scope, replace(record, annotations=found, status=approved))
    return dataset


def approved(shapes: Dataset) -> int:
    return shapes.store.progress(shapes.scope).get(ReviewStatus.APPROVED, 0)


def go_to(page: Page, name: str) -> None:
    page.get_by_test_id("stTopNavLink").filter(has_text=name).click()


def press(page: Page, key: str) -> None:
    page.locator(f".st-key-{key.replace('.', '-')} button").first.click()


@pytest.mark.timeout(1500)
@pytest.mark.long
def test_label_train_see_the_curve_and_annotate_with_the_model(
    page: Page,
    shapes: Dataset,
    find_canvas: Callable[[Page], Canvas],
) -> None:
    watch(page)
    page.goto(shapes.at())

    go_to(page, "Edit")
    canvas = find_canvas(page)
    for _, box in picture(0)[1]:
        canvas.drag((box.x_min, box.y_min), (box.x_max, box.y_max))
        page.wait_for_timeout(800)
    press(page, "edit.approve")
    for _ in range(100):
        if approved(shapes) == 8:
            break
        page.wait_for_timeout(100)
    assert approved(shapes) == 8

    go_to(page, "Train")
    expect(page.get_by_text("Trains on 8 approved images")).to_be_visible(
        timeout=MINUTE_MS
    )
    page.get_by_role("slider").first.press("Home")
    frames(page)
    press(page, "train.start")
    # A curve is drawn while it learns, and the app stays usable meanwhile.
    charts = page.locator("[data-testid=stVegaLiteChart]")
    expect(charts).to_have_count(2, timeout=10 * MINUTE_MS)
    go_to(page, "Review")
    approve = page.get_by_role("button", name="Approve images")
    expect(approve).to_be_visible(timeout=MINUTE_MS)
    go_to(page, "Train")
    finish = page.get_by_role("button", name="Finish now")
    rest = page.get_by_role("button", name="Label the rest")
    expect(finish.or_(rest).first).to_be_visible(timeout=MINUTE_MS)
    if finish.is_visible() and finish.is_enabled():
        finish.click()
    expect(rest).to_be_visible(timeout=10 * MINUTE_MS)
    expect(page.get_by_text("Before and after")).to_be_visible()
    expect(page.get_by_text("AP50", exact=True).first).to_be_visible()
    assert shown_twice(frames(page)) == []

    go_to(page, "Models")
    expect(page.get_by_text("Shapes model").first).to_be_visible(timeout=MINUTE_MS)
    go_to(page, "Train")
    rest.click()
    expect(page.get_by_role("heading", name="Annotate")).to_be_visible(
        timeout=MINUTE_MS
    )
    expect(
        page.get_by_role("button", name=re.compile(r"Save [\d,]+ box"))
    ).to_be_visible(timeout=MINUTE_MS)
    (run,) = (job for job in shapes.store.jobs(shapes.scope) if job.kind == "annotate")
    assert run.parameters["model"] == "Shapes model"
    assert run.parameters["statuses"] == ["new"]

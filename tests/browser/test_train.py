"""Label, train, see the curve, find the model, annotate with it: in a real browser."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from imagebase.annotation import Annotation, ReviewStatus, Size
from imagebase.images.decode import encode_png
from imagebase.settings import read_settings
from imagebase.store import Scope, Store, open_store
from imagebase.ui.identity import TEAM_OWNER
from tests.browser.conftest import ROOT, Canvas, Serve
from tests.browser.frames import frames, shown_twice, watch
from tests.training.shapes import HEIGHT, WIDTH, picture

pytestmark = pytest.mark.browser

MINUTE_MS = 60_000


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    # Threads that wait for each other on a busy machine would take minutes.
    return {"IMAGEBASE_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def store(environ: dict[str, str]) -> Iterator[Store]:
    """A dataset of shapes: seven approved, the first and two others new."""
    opened = open_store(read_settings(environ))
    dataset = opened.create_dataset(TEAM_OWNER, "Shapes", who="ann")
    scope = Scope(TEAM_OWNER, dataset.dataset_id, "ann")
    for number in range(10):
        rgb, _ = picture(number)
        opened.add_image(
            scope,
            encode_png(rgb),
            file_name=f"{number}.png",
            size=Size(WIDTH, HEIGHT),
            quality=None,
        )
    for record in opened.records(scope):
        number = int(record.file_name.removesuffix(".png"))
        _, boxes = picture(number)
        found = tuple(Annotation(box, label) for label, box in boxes)
        if 1 <= number < 8:
            approved = ReviewStatus.APPROVED
            opened.save(scope, replace(record, annotations=found, status=approved))
    yield opened
    opened.close()


def scope_of(store: Store) -> Scope:
    (dataset,) = store.datasets(TEAM_OWNER)
    return Scope(TEAM_OWNER, dataset.dataset_id, "ann")


def approved(store: Store) -> int:
    return store.progress(scope_of(store)).get(ReviewStatus.APPROVED, 0)


def go_to(page: Page, name: str) -> None:
    page.get_by_test_id("stTopNavLink").filter(has_text=name).click()


def press(page: Page, key: str) -> None:
    page.locator(f".st-key-{key.replace('.', '-')} button").first.click()


@pytest.mark.timeout(1500)
def test_label_train_see_the_curve_and_annotate_with_the_model(
    page: Page,
    serve: Serve,
    environ: dict[str, str],
    store: Store,
    find_canvas: Callable[[Page], Canvas],
) -> None:
    watch(page)
    page.goto(serve(ROOT / "app.py", environ))

    go_to(page, "Edit")
    canvas = find_canvas(page)
    for _, box in picture(0)[1]:
        canvas.drag((box.x_min, box.y_min), (box.x_max, box.y_max))
        page.wait_for_timeout(800)
    press(page, "edit.approve")
    for _ in range(100):
        if approved(store) == 8:
            break
        page.wait_for_timeout(100)
    assert approved(store) == 8

    go_to(page, "Train")
    expect(page.get_by_text("Learns from 8 approved images")).to_be_visible(
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
    finish = page.get_by_role("button", name="End now, keep the best")
    rest = page.get_by_role("button", name="Label the rest with it")
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
    (run,) = (one for one in store.jobs(scope_of(store)) if one.kind == "annotate")
    assert run.parameters["model"] == "Shapes model"
    assert run.parameters["statuses"] == ["new"]

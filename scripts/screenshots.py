"""Take the screenshots of docs/ from the app: python -m scripts.screenshots [DIR]

Serves the app from a fresh home and walks through it in a headless Chromium, once in
light and once in dark. Every page at 1280 × 800; Edit and Review at 1920 × 1080 too.
Training is shown on ../shared/data.
"""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from PIL import Image
from playwright.sync_api import (
    Browser,
    Page,
    TimeoutError,
    ViewportSize,
    expect,
    sync_playwright,
)

from benchmarks.pages import settled
from benchmarks.point import photos
from imagebase.annotation import Annotation, Box, ReviewStatus, Size
from imagebase.images.decode import load_image
from imagebase.images.scan import Incoming
from imagebase.ingest.add_images import admit
from imagebase.settings import Limits, read_settings
from imagebase.store import Scope, open_store
from imagebase.ui.identity import TEAM_OWNER
from tests.browser.conftest import (
    QUIET,
    ROOT,
    SCREEN,
    Canvas,
    free_port,
    wait_for_health,
)
from tests.browser.test_videos import FIRST, FRAMES, LAST, drop, passing_by
from tests.videos import write_video

CELLS: Final = ROOT.parent / "shared" / "data" / "bccd"
COCO: Final = ROOT.parent / "shared" / "data" / "coco_val_dev128" / "images"
APPROVED: Final = 60
RACCOONS, LEARNED_FROM, SHOWN = 24, 8, 7
WAIT_MS: Final = 240_000
# The screen in the first photograph.
MONITOR: Final = (515, 282)
FOLDER: Final = ROOT / "docs" / "screenshots"
LARGE: Final[ViewportSize] = {"width": 1920, "height": 1080}
PHONE: Final[ViewportSize] = {"width": 390, "height": 844}
PHOTOGRAPHS: Final = (
    "control-room.jpg",
    "kitchen.jpg",
    "skier.jpg",
    "street.jpg",
    "baseball-match.jpg",
    "bear.jpg",
    "horses-on-the-beach.jpg",
    "woman-with-phone.jpg",
)


class Camera(NamedTuple):
    """Folder and colour scheme of the screenshots."""

    folder: Path
    scheme: str

    def take(
        self, page: Page, name: str, *, sizes: tuple[ViewportSize, ...] = (SCREEN,)
    ) -> None:
        """Take a screenshot of the page at each window size."""
        for size in sizes:
            page.set_viewport_size(size)
            page.mouse.move(size["width"] - 5, size["height"] - 5)
            settled(page)
            page.wait_for_timeout(2000)  # images load, messages disappear
            suffix = "" if size == SCREEN else f"-{size['width']}"
            path = self.folder / f"{name}-{self.scheme}{suffix}.jpg"
            page.screenshot(path=path, type="jpeg", quality=88)
        page.set_viewport_size(SCREEN)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        for scheme in ("light", "dark"):
            camera = Camera(folder, scheme)
            with tempfile.TemporaryDirectory() as home:
                walk(browser, Path(home), camera, take_all)
            if not CELLS.is_dir():
                print(f"{CELLS} is absent: no screenshots of training", file=sys.stderr)
                continue
            with tempfile.TemporaryDirectory() as home:
                add_cells(Path(home) / "imagebase")
                walk(browser, Path(home), camera, train)
            with tempfile.TemporaryDirectory() as home:
                add_raccoons(Path(home) / "imagebase")
                walk(browser, Path(home), camera, learn)
            with tempfile.TemporaryDirectory() as home:
                add_alike(Path(home) / "imagebase")
                walk(browser, Path(home), camera, alike)
            with tempfile.TemporaryDirectory() as home:
                walk(browser, Path(home), camera, video)
        browser.close()


def walk(
    browser: Browser,
    home: Path,
    camera: Camera,
    take: Callable[[Page, Path, Camera], None],
) -> None:
    """Serve the app and take screenshots in one colour scheme."""
    port = free_port()
    command = [sys.executable, "-m", "imagebase", "serve", "--headless"]
    server = subprocess.Popen(
        [*command, "--port", str(port)],
        cwd=ROOT,
        env={**os.environ, "IMAGEBASE_HOME": str(home / "imagebase")},
    )
    try:
        wait_for_health(f"http://127.0.0.1:{port}", server, home / "none.log")
        context = browser.new_context(
            viewport=SCREEN,
            color_scheme="dark" if camera.scheme == "dark" else "light",
        )
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}")
        take(page, home, camera)
        context.close()
    finally:
        server.terminate()
        server.wait(timeout=20)


def take_all(page: Page, home: Path, camera: Camera) -> None:
    """Go from images to a zip, with a screenshot of each page."""
    broken = home / "scan-0042.jpg"
    broken.write_bytes(b"not a photograph")
    files = [ROOT / "samples" / name for name in PHOTOGRAPHS]
    page.locator("input[type=file]").first.set_input_files([*files, broken])
    expect(page.get_by_text("1 refused")).to_be_visible(timeout=30_000)
    camera.take(page, "upload")

    go_to(page, "Annotate")
    page.get_by_role("button", name="Run").click()
    keep = page.get_by_role("button", name=re.compile(r"Save [\d,]+ box"))
    expect(keep).to_be_enabled(timeout=30_000)
    camera.take(page, "annotate")
    keep.click()
    expect(page.get_by_text(re.compile(r"box(es)? saved"))).to_be_visible(
        timeout=20_000
    )

    edit(page, camera)
    go_to(page, "Review")
    camera.take(page, "review", sizes=(SCREEN, LARGE))
    for view in ("Crops", "Statistics"):
        choice = page.get_by_role("radio", name=view, exact=True)
        if choice.count():
            choice.first.click()
            camera.take(page, f"review-{view.lower()}")

    go_to(page, "Export")
    expect(page.get_by_text("boxes match")).to_be_visible(timeout=60_000)
    camera.take(page, "export")
    go_to(page, "Models")
    camera.take(page, "models")
    approve_all(page)
    evaluate(page, camera)


def edit(page: Page, camera: Camera) -> None:
    """Draw a box that the model missed, with its guessed label, and tag the image."""
    go_to(page, "Edit")
    canvas = Canvas(page, page.locator(".st-key-edit-canvas .editor"))
    canvas.surface.wait_for(timeout=20_000)
    canvas.wait_for_picture()
    tag = page.get_by_placeholder("Add image tags")
    tag.fill("indoors")
    tag.press("Enter")
    page.wait_for_timeout(1500)
    page.keyboard.press("Escape")
    point(page, canvas, camera)
    canvas.drag((262, 193), (318, 252))
    canvas.surface.locator(".guesses").wait_for()
    page.wait_for_timeout(1000)
    path = camera.folder / f"guess-{camera.scheme}.jpg"
    page.screenshot(path=path, type="jpeg", quality=88)
    canvas.press("l", *"chair", "Enter")
    page.wait_for_timeout(1500)
    camera.take(page, "edit", sizes=(SCREEN, LARGE))
    comforts(page, canvas, camera)
    page.get_by_role("button", name="Approve and next").click()
    page.wait_for_timeout(2500)


def comforts(page: Page, canvas: Canvas, camera: Camera) -> None:
    """Show the keys, the display settings, several boxes, and boxes copied on."""
    canvas.press("?")
    camera.take(page, "keys")
    canvas.press("?")
    settings = page.get_by_role("button", name="Display settings")
    settings.click()
    camera.take(page, "display")
    settings.click()
    canvas.press("Control+a")
    camera.take(page, "several")
    canvas.press("Escape")
    page.locator(".st-key-edit-copy-on button").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("will be added")
    camera.take(page, "copy-on")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def point(page: Page, canvas: Canvas, camera: Camera) -> None:
    """Delete the model's box of an object, point at the object, and take it anew."""
    canvas.wait_for("known", canvas.get("image"))
    page.mouse.move(*canvas.at(MONITOR))
    canvas.press("Delete")
    for name, act in (("point", page.mouse.move), ("point-taken", page.mouse.click)):
        act(*canvas.at(MONITOR))
        canvas.wait_for("looking", "false")
        page.wait_for_timeout(1000)
        path = camera.folder / f"{name}-{camera.scheme}.jpg"
        page.screenshot(path=path, type="jpeg", quality=88)
    canvas.press("Escape")


def approve_all(page: Page) -> None:
    """Approve the model's boxes, for the Evaluate and Train pages."""
    go_to(page, "Review")
    page.get_by_role("radio", name="Images", exact=True).first.click()
    settled(page)
    page.get_by_text("Select all 8 matching images").first.click()
    page.get_by_role("button", name="Approve images").click()
    sidebar = page.get_by_test_id("stSidebar")
    expect(sidebar).to_contain_text("8 of 8 images approved", timeout=20_000)


def evaluate(page: Page, camera: Camera) -> None:
    """Evaluate the default model on its own labels, for the screenshot only."""
    go_to(page, "Evaluate")
    page.get_by_role("button", name="Run", exact=True).click()
    by_label = page.get_by_text("Label by label").first
    expect(by_label).to_be_visible(timeout=120_000)
    camera.take(page, "evaluate")


def add_cells(home: Path) -> None:
    """Make a dataset of blood cells: sixty images approved, sixty to label."""
    document = json.loads((CELLS / "train.coco.json").read_text())
    names = {entry["id"]: entry["name"] for entry in document["categories"]}
    boxes: dict[int, list[Annotation]] = {}
    for entry in document["annotations"]:
        x, y, width, height = entry["bbox"]
        box = Box(x, y, x + width, y + height)
        found = Annotation(box, names[entry["category_id"]])
        boxes.setdefault(entry["image_id"], []).append(found)
    store = open_store(read_settings({"IMAGEBASE_HOME": str(home)}))
    dataset = store.create_dataset(TEAM_OWNER, "Blood cells", who="")
    scope = Scope(TEAM_OWNER, dataset.dataset_id, "")
    for number, image in enumerate(document["images"][: 2 * APPROVED]):
        content = (CELLS / image["file_name"]).read_bytes()
        size = Size(image["width"], image["height"])
        name = Path(image["file_name"]).name
        added = store.add_image(scope, content, file_name=name, size=size, quality=None)
        if number < APPROVED:
            drawn = tuple(boxes.get(image["id"], []))
            approved = ReviewStatus.APPROVED
            record = replace(added.record, annotations=drawn, status=approved)
            store.save(scope, record)
    store.close()


def train(page: Page, _home: Path, camera: Camera) -> None:
    """Find more cells, then train for a minute, with screenshots of both."""
    find_more(page, camera)
    go_to(page, "Train")
    page.get_by_role("slider").first.press("Home")
    page.get_by_role("button", name="Train", exact=True).click()
    charts = page.locator("[data-testid=stVegaLiteChart]")
    expect(charts).to_have_count(2, timeout=120_000)
    page.wait_for_timeout(25_000)
    camera.take(page, "train")
    rest = page.get_by_role("button", name="Label the rest")
    expect(rest).to_be_visible(timeout=180_000)
    camera.take(page, "train-result")


def add_raccoons(home: Path) -> None:
    """Put twenty raccoons into a dataset, twelve of them approved."""
    store = open_store(read_settings({"IMAGEBASE_HOME": str(home)}))
    store.ensure_owner(TEAM_OWNER, expires_at=None)
    dataset = store.create_dataset(TEAM_OWNER, "Raccoons", who="ann")
    scope = Scope(TEAM_OWNER, dataset.dataset_id, "ann")
    store.add_labels(scope, ["raccoon"])
    for number, photo in enumerate(photos("raccoon")[:RACCOONS]):
        content = photo.path.read_bytes()
        size = load_image(content, file_name=photo.path.name, max_pixels=10**9).size
        record = store.add_image(
            scope, content, file_name=photo.path.name, size=size, quality=None
        ).record
        if number < LEARNED_FROM:
            boxes = [Annotation(Box(*xyxy), label) for xyxy, label in photo.boxes]
            drawn = record.with_annotations(boxes)
            store.save(scope, replace(drawn, status=ReviewStatus.APPROVED))
    store.close()


def learn(page: Page, _home: Path, camera: Camera) -> None:
    """Take the Edit page of an image that the approved ones taught."""
    go_to(page, "Edit")
    canvas = Canvas(page, page.locator(".st-key-edit-canvas .editor"))
    leave(canvas, "Enter")  # approved already: to the first one that is not
    line = page.locator(".st-key-edit-learning")
    expect(line).to_contain_text(f"Learned from {LEARNED_FROM}", timeout=WAIT_MS)
    for _ in range(SHOWN):
        go_to_suggestions(canvas)
        leave(canvas, "Enter")
    go_to_suggestions(canvas)
    with contextlib.suppress(AssertionError):  # how good it is, once that is known
        expect(line).to_contain_text("raccoon .", timeout=WAIT_MS // 4)
    camera.take(page, "learn", sizes=(SCREEN, PHONE))
    page.get_by_role("button", name="Details").click()
    camera.take(page, "learn-details")
    go_to(page, "Review")
    page.locator(".st-key-review-view").get_by_text("Suggestions", exact=True).click()
    proofs = page.locator(".proofs")
    expect(proofs).to_have_attribute("data-ready", "true", timeout=WAIT_MS)
    camera.take(page, "suggestions")


def go_to_suggestions(canvas: Canvas) -> None:
    """Go on to an image for which something is suggested; on some nothing is found."""
    offer = canvas.page.get_by_role("button", name=re.compile(r"Save \d+ suggestion"))
    for _ in range(RACCOONS):
        try:
            offer.wait_for(timeout=WAIT_MS // 8)
        except TimeoutError:
            leave(canvas, "n")
        else:
            return
    raise RuntimeError("nothing was suggested on any image")


def leave(canvas: Canvas, key: str) -> None:
    """Press a key that leaves the image, and wait for the next one."""
    canvas.wait_for_picture()
    image = canvas.get("image")
    canvas.press(key)
    expect(canvas.surface).not_to_have_attribute("data-image", image, timeout=WAIT_MS)
    canvas.wait_for_picture()


def find_more(page: Page, camera: Camera) -> None:
    """Teach white blood cells; a screenshot of the sheet of crops."""
    go_to(page, "Review")
    page.locator(".st-key-review-view").get_by_text("Find more", exact=True).click()
    page.locator(".st-key-review-find-label input").click()
    page.get_by_role("option", name="WBC").click()
    page.locator(".st-key-review-find-ask button").first.click()
    accept = page.locator(".st-key-review-find-accept button").first
    expect(accept).to_be_enabled(timeout=300_000)
    camera.take(page, "find-more")


def add_alike(home: Path) -> None:
    """Make a dataset of photographs, some of them with copies, a third approved."""
    store = open_store(read_settings({"IMAGEBASE_HOME": str(home)}))
    dataset = store.create_dataset(TEAM_OWNER, "Photographs", who="")
    scope = Scope(TEAM_OWNER, dataset.dataset_id, "")
    files = []
    for number, path in enumerate(sorted(COCO.glob("*.jpg"))):
        files.append(Incoming(path.name, path.read_bytes()))
        if number % 16 == 0:
            files += _copies(path)
    admit(store, scope, files, limits=Limits())
    for record in store.records(scope)[::3]:
        store.save(scope, replace(record, status=ReviewStatus.APPROVED))
    store.close()


def _copies(path: Path) -> list[Incoming]:
    """Return a photograph at half its size, and with 3 % cut off two sides."""
    image = Image.open(path).convert("RGB")
    width, height = image.size
    made = {
        "small": image.resize((width // 2, height // 2)),
        "cut": image.crop((width * 3 // 100, height * 3 // 100, width, height)),
    }
    copies = []
    for name, copy in made.items():
        stream = io.BytesIO()
        copy.save(stream, "JPEG", quality=85)
        copies.append(Incoming(f"{path.stem}-{name}.jpg", stream.getvalue()))
    return copies


def alike(page: Page, _home: Path, camera: Camera) -> None:
    """Select images on the map; show near-duplicates."""
    go_to(page, "Review")
    page.get_by_role("radio", name="Map", exact=True).first.click()
    chart = page.locator("[data-testid=stVegaLiteChart]").first
    chart.wait_for(timeout=240_000)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0, timeout=120_000)
    page.wait_for_timeout(3000)
    box = chart.bounding_box() or {"x": 0, "y": 0, "width": 0, "height": 0}
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    end = (box["x"] + 0.55 * box["width"], box["y"] + 0.6 * box["height"])
    page.mouse.move(*end, steps=8)
    page.mouse.up()
    expect(page.get_by_text("selected on the map").first).to_be_visible(timeout=20_000)
    camera.take(page, "map")
    page.get_by_role("radio", name="Near-duplicates", exact=True).first.click()
    expect(page.get_by_text("Reject the others").first).to_be_visible(timeout=20_000)
    camera.take(page, "near-duplicates")


def video(page: Page, home: Path, camera: Camera) -> None:
    """Choose frames of a video, add them, and interpolate the boxes of two."""
    clip = write_video(home / "clip.avi", passing_by())
    drop(page, clip, on_form=lambda: camera.take(page, "video"))
    go_to(page, "Edit")
    canvas = Canvas(page, page.locator(".st-key-edit-canvas .editor"))
    canvas.wait_for_picture()
    canvas.drag(FIRST[:2], FIRST[2:])
    for _ in range(FRAMES - 1):
        leave(canvas, "n")
    canvas.drag(LAST[:2], LAST[2:])
    expect(page.get_by_text("1 box", exact=True)).to_be_visible()
    settled(page)
    page.get_by_role("button", name="Interpolate boxes").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("3 boxes", timeout=20_000)
    camera.take(page, "interpolate")


def go_to(page: Page, name: str) -> None:
    page.get_by_test_id("stTopNavLink").filter(has_text=name).click()
    settled(page)


if __name__ == "__main__":
    main()

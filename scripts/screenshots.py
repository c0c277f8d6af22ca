"""Take the pictures of docs/ from the app as it is: python -m scripts.screenshots

Serves the app from a fresh home and walks through it in a headless Chromium, once in
light and once in dark.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.conftest import (
    QUIET,
    ROOT,
    SCREEN,
    Canvas,
    free_port,
    wait_for_health,
)

FOLDER: Final = ROOT / "docs" / "screenshots"
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


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        for scheme in ("light", "dark"):
            with tempfile.TemporaryDirectory() as home:
                walk(browser, Path(home), scheme)
        browser.close()


def walk(browser: Browser, home: Path, scheme: str) -> None:
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
            color_scheme="dark" if scheme == "dark" else "light",
        )
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{port}")
        take_all(page, home, scheme)
        context.close()
    finally:
        server.terminate()
        server.wait(timeout=20)


def take_all(page: Page, home: Path, scheme: str) -> None:
    broken = home / "scan-0042.jpg"
    broken.write_bytes(b"not a photograph")
    files = [ROOT / "samples" / name for name in PHOTOGRAPHS]
    page.locator("input[type=file]").set_input_files([*files, broken])
    expect(page.get_by_text("1 refused")).to_be_visible(timeout=30_000)
    take(page, "upload", scheme)

    go_to(page, "Annotate")
    page.get_by_role("button", name="Run").click()
    keep = page.get_by_role("button", name="Keep these boxes")
    expect(keep).to_be_enabled(timeout=30_000)
    take(page, "annotate", scheme)
    keep.click()
    expect(page.get_by_text("are in the dataset")).to_be_visible(timeout=20_000)

    go_to(page, "Edit")
    canvas = Canvas(page, page.locator(".st-key-edit-canvas .editor"))
    canvas.surface.wait_for(timeout=20_000)
    canvas.wait_for_picture()
    canvas.drag((308, 69), (418, 277))  # the man's reflection, drawn by hand
    page.wait_for_timeout(1500)
    take(page, "edit", scheme)
    page.get_by_role("button", name="Approve and next").click()
    page.wait_for_timeout(2500)

    go_to(page, "Review")
    page.locator(".stDataFrame").first.wait_for()
    page.wait_for_timeout(1500)
    page.mouse.click(331, 340)  # the tick of the first row; the table is one canvas
    take(page, "review", scheme)

    go_to(page, "Export")
    expect(page.get_by_text("boxes equal")).to_be_visible(timeout=30_000)
    take(page, "export", scheme)


def go_to(page: Page, name: str) -> None:
    page.get_by_test_id("stTopNavLink").filter(has_text=name).click()


def take(page: Page, name: str, scheme: str) -> None:
    page.mouse.move(SCREEN["width"] - 5, SCREEN["height"] - 5)
    page.wait_for_timeout(2000)
    path = FOLDER / f"{name}-{scheme}.jpg"
    page.screenshot(path=path, type="jpeg", quality=88)


if __name__ == "__main__":
    main()

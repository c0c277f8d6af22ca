"""report.html opened from disk, with names that are markup."""

import socket
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from imagebase.evaluation.report import ReportHeader, report
from tests.evaluation.test_report import grey, two

RUN = "document.title='run'"


def test_names_that_are_markup_run_nothing_and_fetch_nothing(
    chromium: Browser, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/x.png"
        image = f'<img src={address} onerror="{RUN}">'
        evil = f'<script>{RUN}</script>{image}\'"><svg onload="{RUN}">'
        header = ReportHeader("Report", "today", (evil,))
        text = report(header, two((evil, "dog")), grey)
        # As if the escaping had failed once.
        text = text.replace("</h1>", f"</h1>{image}<script>{RUN}</script>", 1)
        file.write_text(text, encoding="utf-8")
        context = chromium.new_context()
        page = context.new_page()
        page.goto(file.as_uri(), wait_until="load")
        assert page.title() == "Report"
        assert evil in page.locator("body").inner_text()
        assert page.locator("img").last.evaluate("image => image.naturalWidth") > 0
        context.close()
        server.settimeout(0.5)
        with pytest.raises(TimeoutError):
            server.accept()

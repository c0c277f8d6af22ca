"""Every page is in the navigation and draws itself, in both modes, with and without."""

import ast
from pathlib import Path

import pytest

from imagebase.settings import PROJECT_ROOT
from tests.app_fixtures import Configure, NewTab, Tab, started

PAGES = sorted(path.stem for path in (PROJECT_ROOT / "pages").glob("*.py"))


def test_every_page_file_is_in_the_navigation() -> None:
    tree = ast.parse((PROJECT_ROOT / "app.py").read_text(encoding="utf-8"))
    texts = [str(n.value) for n in ast.walk(tree) if isinstance(n, ast.Constant)]
    named = sorted(Path(text).stem for text in texts if text.startswith("pages/"))
    assert named == PAGES


# The models that come along are there without an image.
@pytest.mark.parametrize("page", sorted({*PAGES} - {"models"}))
def test_page_of_an_empty_dataset_says_what_to_do(tab: Tab, page: str) -> None:
    app = tab.open(page)
    assert not app.exception
    assert any(
        "pload" in message.value or "Drop" in message.value for message in app.info
    )


@pytest.mark.parametrize("page", PAGES)
def test_page_of_a_team_draws_images(filled: Tab, page: str) -> None:
    app = filled.open(page)
    assert not app.exception
    assert not app.error


@pytest.mark.parametrize("page", PAGES)
def test_page_of_a_team_draws_labels(labelled: Tab, page: str) -> None:
    app = labelled.open(page)
    assert not app.exception
    assert not app.error
    # What shows an icon alone has a name too, for those who hear it.
    assert all(button.label.strip() for button in app.button)


def test_pages_of_the_demo_draw_themselves_with_samples_and_without(
    configure: Configure, new_tab: NewTab, two_samples: None
) -> None:
    configure(MODE="demo")
    visitor = started(new_tab)
    assert "**0** of 2 images approved" in visitor.progress()
    for _ in ("with samples", "without"):
        for page in PAGES:
            app = visitor.open(page)
            assert not app.exception
            assert not app.error
        app.text_input(key="sidebar.new_dataset").input("Empty")
        app.button(key="sidebar.new_dataset.submit").click().run()

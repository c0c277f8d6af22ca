"""What the documents name is there."""

import re
from pathlib import Path

import pytest

from imagebase.formats.registry import FORMATS, INPUT_FORMATS
from imagebase.settings import PROJECT_ROOT

DOCUMENTS = sorted(
    [
        *PROJECT_ROOT.glob("*.md"),
        *(PROJECT_ROOT / "docs").rglob("*.md"),
        PROJECT_ROOT / "samples" / "CREDITS.md",
        PROJECT_ROOT / "weights" / "README.md",
    ]
)
README = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path", DOCUMENTS, ids=lambda p: str(p.relative_to(PROJECT_ROOT))
)
def test_what_a_document_links_to_is_there(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("name", [*FORMATS, *INPUT_FORMATS])
def test_readme_names_every_format(name: str) -> None:
    assert f"| `{name}` |" in README


@pytest.mark.parametrize("path", sorted((PROJECT_ROOT / "pages").glob("*.py")))
def test_readme_names_every_page(path: Path) -> None:
    assert f"**{path.stem.title()}**" in README


def test_readme_begins_with_the_two_commands() -> None:
    first = README.split("```sh\n")[1]
    assert first.startswith("make run")
    assert "\nmake test" in first


@pytest.mark.parametrize("path", sorted((PROJECT_ROOT / "samples").glob("*.jpg")))
def test_every_sample_is_credited(path: Path) -> None:
    credits_text = (PROJECT_ROOT / "samples" / "CREDITS.md").read_text(encoding="utf-8")
    assert path.name in credits_text

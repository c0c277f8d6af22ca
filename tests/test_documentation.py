"""What the documents name is there."""

import re
from pathlib import Path

import pytest
import yaml

from imagebase import __version__
from imagebase.formats.registry import FORMATS, INPUT_FORMATS
from imagebase.settings import PROJECT_ROOT

DOCUMENTS = sorted(
    [
        *PROJECT_ROOT.glob("*.md"),
        *(PROJECT_ROOT / "docs").rglob("*.md"),
        *(PROJECT_ROOT / ".github").rglob("*.md"),
        PROJECT_ROOT / "samples" / "CREDITS.md",
        PROJECT_ROOT / "weights" / "README.md",
    ]
)
README = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path", DOCUMENTS, ids=lambda p: str(p.relative_to(PROJECT_ROOT))
)
def test_what_a_document_links_to_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)", text) + re.findall(
        r'src(?:set)?="([^"]+)"', text
    )
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


CONTRIBUTING = (PROJECT_ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_a_guide_names_exist(name: str) -> None:
    text = (PROJECT_ROOT / name).read_text(encoding="utf-8")
    named = re.findall(r"`((?:imagebase|tests|pages)/[\w./]*)`", text)
    assert "imagebase/formats/registry.py" in named
    assert [path for path in named if not (PROJECT_ROOT / path).exists()] == []


def test_contributing_names_targets_of_the_makefile() -> None:
    makefile = (PROJECT_ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmake ([a-z-]+)(?=[` ])", CONTRIBUTING)) - {"a"}
    assert {"run", "test", "check"} <= named
    assert [name for name in named if f"\n{name}:" not in makefile] == []


def test_citation_is_of_this_version() -> None:
    citation = yaml.safe_load(
        (PROJECT_ROOT / "CITATION.cff").read_text(encoding="utf-8")
    )
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == __version__
    assert citation["title"] == "ImageBase"
    assert citation["message"]
    assert [author["name"] for author in citation["authors"]]


ISSUE_FORMS = sorted((PROJECT_ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))
FIELDS = {"textarea", "input", "dropdown", "checkboxes"}


@pytest.mark.parametrize("path", ISSUE_FORMS, ids=lambda path: path.stem)
def test_issue_form_is_one_the_forge_shows(path: Path) -> None:
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert form["name"]
    assert form["description"]
    fields = form["body"]
    assert {field["type"] for field in fields} <= FIELDS | {"markdown"}
    assert len({field["id"] for field in fields}) == len(fields)
    assert len({field["attributes"]["label"] for field in fields}) == len(fields)

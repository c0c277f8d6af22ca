"""Small label files that ask for much: what each costs stays near its bytes."""

import json
import sys
from pathlib import Path
from typing import Final

import pytest

from imagebase.errors import AnnotationFileError
from imagebase.formats.registry import read
from imagebase.formats.trees import open_tree
from tests.formats.hostile_cases import CASES
from tests.peak_memory import run_measured

ROOT: Final = Path(__file__).parents[2]
HOSTILE: Final = ROOT.parent / "shared" / "data" / "cases" / "hostile"
# The interpreter and what it imports take 120 MB of it.
MAX_PEAK_BYTES: Final = 500_000_000
# Of CPU time, on a core that others use too.
MAX_SECONDS: Final = 20.0

# What is said of those that are refused; the others are read.
REFUSED: Final = {
    "yaml: aliases of aliases": "the alias *a is not allowed",
    "yaml: nested lists": "nest",
    "yaml: nested mappings": "it is nested more than 20 deep",
    "yaml: nested blocks": "it is nested more than 20 deep",
    "yaml: a key that is a list": "it has a key that is neither text nor a number",
    "yaml: many documents": "it holds more than one document",
    "yaml: an open quote": "unexpected end of stream",
    "yaml: class ids far apart": "the class ids of names are far apart",
    "yaml: larger than a list of names": "data.yaml is larger than 2 MB",
    "json: nested lists": "maximum recursion depth exceeded",
    "json: a huge number": "Exceeds the limit",
    "json: an item of many parts": "an item has more than 1,000,000 parts",
    "json: many images": "it has no id or no file_name",
    "json: a key many times": "an item has more than 1,000,000 parts",
    "xml: entities": "it declares entities, which is not safe",
    "xml: attributes by default": "it declares values of attributes",
    "xml: nested elements": "or 100 inside each other",
    "xml: many elements": "it has more than 1,000,000 elements",
    "xml: many attributes": "it has a tag or a text of more than 4,000,000 bytes",
    "xml: a track over many frames": "it is CVAT for video",
    "csv: a row of many cells": "a row of more than 20,000,000 characters",
    "csv: a row over many lines": "a row of more than 20,000,000 characters",
    "csv: an open quote": "a row of more than 20,000,000 characters",
    "text: a line that looks like DOTA": "No readable labels were found",
    "text: a line that looks like Keras": "No readable labels were found",
}


@pytest.mark.parametrize("case", CASES)
def test_costs_no_more_than_its_bytes(case: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.formats.hostile_cases", case]
    done = run_measured(command, notes=tmp_path / "peak", cwd=ROOT)
    assert done.code == 0, done.stderr
    told = json.loads(done.stdout)
    assert REFUSED.get(case, "read: ") in told["outcome"]
    assert told["seconds"] < MAX_SECONDS
    assert done.peak_bytes < MAX_PEAK_BYTES


@pytest.mark.skipif(not HOSTILE.is_dir(), reason="the shared cases are not here")
@pytest.mark.parametrize("levels", [5, 7])
def test_yaml_aliases_end_in_a_sentence(levels: int) -> None:
    tree = open_tree(HOSTILE / f"yaml_aliases_{levels}.zip")
    with pytest.raises(AnnotationFileError, match=r"the alias \*a is not allowed"):
        read(tree)


def test_anchor_that_nothing_refers_to_is_read(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: &classes [cat, dog]\n")
    (tmp_path / "a.txt").write_text("1 0.5 0.5 0.1 0.1\n")
    assert read(open_tree(tmp_path)).labels.names == ("cat", "dog")

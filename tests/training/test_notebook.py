"""The notebook from top to bottom, on a small set, in a kernel of its own."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from imagebase.detection.registry import find_model
from imagebase.settings import PROJECT_ROOT
from tests.training.shapes import LABELS, write_folder

NOTEBOOK = PROJECT_ROOT / "notebooks" / "train_custom_model.ipynb"
PARAMETERS = """
IMAGES = "images"
LABELS = "images/_annotations.csv"
LABELS_FORMAT = "csv"
OUTPUT = "model"
LENGTH = {"steps": 2}
INPUT_SIZE = 96
FLIP, COLOURS = True, True
"""


def read_notebook() -> nbformat.NotebookNode:
    text = NOTEBOOK.read_text(encoding="utf-8")
    notebook: nbformat.NotebookNode = nbformat.reads(  # type: ignore[no-untyped-call]
        text, as_version=4
    )
    return notebook


def text_of(notebook: nbformat.NotebookNode) -> str:
    """Return all that its cells printed."""
    return "\n".join(
        output.get("text", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )


def test_notebook_trains_from_the_csv_and_shows_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "images", 8)
    search = os.pathsep.join([str(PROJECT_ROOT), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", search)
    notebook = read_notebook()
    (parameters,) = (
        one for one in notebook.cells if "parameters" in one.metadata.get("tags", [])
    )
    parameters.source = PARAMETERS
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=240, resources=resources).execute()
    said = text_of(notebook)
    assert "8 images, labels: square, disc" in said
    assert "8 square" in said
    assert "AP50" in said
    assert "model.zip" in said
    kinds = [
        kind
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        for kind in output.get("data", {})
    ]
    assert kinds.count("image/jpeg") == 2
    assert "text/html" in kinds
    assert find_model(str(tmp_path / "model")).labels == LABELS


def test_notebook_is_kept_without_what_it_printed() -> None:
    notebook = read_notebook()
    cells = [one for one in notebook.cells if one.cell_type == "code"]
    assert cells
    assert all(not one.outputs and one.execution_count is None for one in cells)

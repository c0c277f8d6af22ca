"""The notebook from top to bottom, on a small set, in a kernel of its own."""

import shutil
import zipfile
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from imagebase.detection.library import find_model
from imagebase.formats.convert import convert
from imagebase.settings import PROJECT_ROOT
from tests.training.shapes import LABELS, write_folder

NOTEBOOK = PROJECT_ROOT / "notebooks" / "train_custom_model.ipynb"


class Notebook(NamedTuple):
    """What its cells printed, and the kinds of what they showed."""

    said: str
    shown: list[str]


def read_notebook() -> nbformat.NotebookNode:
    text = NOTEBOOK.read_text(encoding="utf-8")
    notebook: nbformat.NotebookNode = nbformat.reads(  # type: ignore[no-untyped-call]
        text, as_version=4
    )
    return notebook


def run_in(folder: Path, **changed: object) -> Notebook:
    """Run the notebook in a folder, with other values in its first cell."""
    notebook = read_notebook()
    (parameters,) = (
        cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])
    )
    short = {"LENGTH": {"steps": 2}, "INPUT_SIZE": 96, **changed}
    parameters.source += "".join(
        f"\n{name} = {value!r}" for name, value in short.items()
    )
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=240, resources=resources).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return Notebook(
        "\n".join(output.get("text", "") for output in outputs),
        [kind for output in outputs for kind in output.get("data", {})],
    )


def zip_project(path: Path) -> None:
    """Write the zip that a repository's page offers: all in one folder."""
    kept = [
        *(path for path in (PROJECT_ROOT / "imagebase").rglob("*.py")),
        *(PROJECT_ROOT / "imagebase").rglob("*.cfg"),
        *(PROJECT_ROOT / "weights" / "yolov4-tiny").iterdir(),
        PROJECT_ROOT / "requirements.txt",
    ]
    with zipfile.ZipFile(path, "w") as archive:
        for path in kept:
            name = path.relative_to(PROJECT_ROOT)
            archive.write(path, f"imagebase-main/{name.as_posix()}")


def test_notebook_trains_from_csv_and_shows_images(tmp_path: Path) -> None:
    write_folder(tmp_path / "images", 8)
    # Called so, the folder alone would be taken for the package.
    (tmp_path / "imagebase").symlink_to(PROJECT_ROOT)
    found = run_in(tmp_path)
    assert "8 images, labels: square, disc" in found.said
    assert "8 square" in found.said
    assert "AP50" in found.said
    assert "model.zip" in found.said
    assert found.shown.count("image/jpeg") == 2
    assert "text/html" in found.shown
    assert find_model(str(tmp_path / "model")).labels == LABELS


@pytest.mark.long
def test_notebook_trains_from_a_darknet_export_with_the_project_in_a_zip(
    tmp_path: Path,
) -> None:
    folder = write_folder(tmp_path / "set", 8)
    convert(folder / "_annotations.csv", tmp_path, to="darknet", images=folder)
    here = tmp_path / "here"
    here.mkdir()
    zip_project(here / "imagebase.zip")
    shutil.make_archive(str(here / "export"), "zip", tmp_path / "darknet")
    found = run_in(here, IMAGES="export.zip", LABELS="export.zip")
    assert "8 images, labels: square, disc" in found.said
    assert find_model(str(here / "model")).labels == LABELS
    assert (here / "project" / "imagebase-main" / "weights").is_dir()


def test_notebook_without_the_project_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match="next to this notebook"):
        run_in(tmp_path)


def test_notebook_is_stored_without_outputs() -> None:
    notebook = read_notebook()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)

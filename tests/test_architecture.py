"""app.py → pages → imagebase.ui → imagebase, and never back."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "imagebase"
CORE_MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if "ui" not in path.relative_to(ROOT).parts
)
PAGES = sorted((ROOT / "pages").glob("*.py"))

INFERENCE_RUNTIMES = {"openvino", "onnx"}
NOT_FOR_PAGES = {"cv2", "numpy", "PIL", "sqlalchemy", "sqlite3", "zipfile", "openvino"}


def imported_modules(path: Path) -> set[str]:
    """Return the dotted names of every module a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def imported_roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported_modules(path)}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", CORE_MODULES, ids=name_of)
def test_core_module_does_not_import_streamlit(path: Path) -> None:
    assert not imported_roots(path) & {"streamlit", "streamlit_drawable_canvas"}


@pytest.mark.parametrize("path", CORE_MODULES, ids=name_of)
def test_core_module_does_not_import_the_interface(path: Path) -> None:
    assert not [m for m in imported_modules(path) if m.startswith("imagebase.ui")]


@pytest.mark.parametrize("path", CORE_MODULES, ids=name_of)
def test_only_detection_imports_inference_runtimes(path: Path) -> None:
    if path.parent != PACKAGE / "detection":
        assert not imported_roots(path) & INFERENCE_RUNTIMES


def test_geometry_needs_only_numpy_and_values() -> None:
    roots = imported_roots(PACKAGE / "geometry.py")
    assert roots == {"collections", "typing", "numpy", "imagebase"}


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_page_enters_the_frame_before_anything_else(path: Path) -> None:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    first = next(
        one for one in body[1:] if not isinstance(one, ast.Import | ast.ImportFrom)
    )
    assert ast.unparse(first) == "frame.enter()"


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_page_leaves_pixels_files_and_state_to_the_library(path: Path) -> None:
    assert not imported_roots(path) & NOT_FOR_PAGES
    assert "session_state" not in path.read_text(encoding="utf-8")

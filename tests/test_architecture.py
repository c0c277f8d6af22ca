"""app.py → pages → imagebase.ui → imagebase, and no package imports a later one."""

import ast
import re
from collections.abc import Container, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "imagebase"
MODULES = sorted(PACKAGE.rglob("*.py"))
PAGES = sorted((ROOT / "pages").glob("*.py"))

STREAMLIT = {"streamlit", "streamlit_drawable_canvas"}
INFERENCE_RUNTIMES = {"openvino", "onnx"}
NOT_FOR_PAGES = {"cv2", "numpy", "PIL", "sqlalchemy", "sqlite3", "zipfile", "openvino"}

# Every package and loose module, lowest first: each imports only those above it.
# A name stands for all below it that are not listed themselves. The root, which only
# names what the others have, is outside the order.
ORDER = [
    "imagebase.logs",
    "imagebase.errors",
    "imagebase.workers",
    "imagebase.wording",
    "imagebase.settings",
    "imagebase.disk_space",
    "imagebase.geometry",
    "imagebase.annotation",
    "imagebase.images",
    "imagebase.editing",
    "imagebase.formats",
    "imagebase.assist.appearance",
    "imagebase.detection",
    "imagebase.assist",
    "imagebase.augmentation",
    "imagebase.store",
    "imagebase.review",
    "imagebase.evaluation",
    "imagebase.learning",
    "imagebase.ingest",
    "imagebase.export",
    "imagebase.training",
    "imagebase.batch",
    "imagebase.backup",
    "imagebase.jobs",
    "imagebase.cli",
    "imagebase.__main__",
    "imagebase.ui",
    "imagebase.ui.annotate",
    "imagebase.ui.models",
    "imagebase.ui.export",
    "imagebase.ui.evaluate",
    "imagebase.ui.train",
    "imagebase.ui.edit",
    "imagebase.ui.review",
    "imagebase.ui.upload",
]


@cache
def imported_modules(path: Path, *, at_run_time: bool = False) -> frozenset[str]:
    """Return the dotted names that a file imports, anywhere in it.

    at_run_time: without those that only the type checker imports.
    """
    found = set()
    for node in _nodes(ast.parse(path.read_text(encoding="utf-8")), at_run_time):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def _nodes(tree: ast.AST, at_run_time: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        is_for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(
            node.test
        )
        if not (at_run_time and is_for_types):
            yield node
            yield from _nodes(node, at_run_time)


def imported_roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported_modules(path)}


def module_name(path: Path) -> str:
    """Return what a file of the package is imported as."""
    dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return dotted.removesuffix(".__init__")


NAMES = {module_name(path): path for path in MODULES}
CORE = {
    name: path for name, path in NAMES.items() if not name.startswith("imagebase.ui")
}


def within(name: str, listed: Container[str]) -> str:
    """Return the longest listed name that a dotted name is or begins with."""
    while name and name not in listed:
        name = name.rpartition(".")[0]
    return name


def imports_between_packages() -> set[tuple[str, str]]:
    """Return who imports what of the package, as module names."""
    pairs = {
        (name, within(imported, NAMES))
        for name, path in NAMES.items()
        for imported in imported_modules(path, at_run_time=True)
    }
    return {
        (a, b)
        for a, b in pairs
        if {a, b}.isdisjoint({"", "imagebase"}) and within(a, ORDER) != within(b, ORDER)
    }


def test_there_are_modules_and_pages_to_check() -> None:
    assert len(CORE) > 100
    assert len(NAMES) > len(CORE)
    assert len(PAGES) > 5


def test_core_imports_neither_streamlit_nor_the_interface() -> None:
    wrong = [
        (name, imported)
        for name, path in CORE.items()
        for imported in imported_modules(path)
        if imported.split(".")[0] in STREAMLIT or imported.startswith("imagebase.ui")
    ]
    assert wrong == []


def test_only_detection_imports_inference_runtimes() -> None:
    using = {name for name, p in CORE.items() if imported_roots(p) & INFERENCE_RUNTIMES}
    assert using
    assert {n for n in using if not n.startswith("imagebase.detection.")} == set()


def test_geometry_needs_only_numpy_and_values() -> None:
    roots = imported_roots(PACKAGE / "geometry.py")
    assert roots == {"collections", "typing", "numpy", "imagebase"}


def test_every_module_has_a_place_in_the_order() -> None:
    modules = [name for name in NAMES if name != "imagebase"]
    assert [name for name in modules if not within(name, ORDER)] == []
    assert [name for name in ORDER if name not in NAMES] == []
    assert len(set(ORDER)) == len(ORDER)


def test_no_package_imports_a_later_one() -> None:
    place = {name: at for at, name in enumerate(ORDER)}
    upwards = {
        (a, b)
        for a, b in imports_between_packages()
        if place[within(a, ORDER)] < place[within(b, ORDER)]
    }
    assert sorted(upwards) == []


def test_page_enters_the_frame_before_anything_else() -> None:
    firsts = {}
    for path in PAGES:
        body = ast.parse(path.read_text(encoding="utf-8")).body[1:]
        lines = [n for n in body if not isinstance(n, ast.Import | ast.ImportFrom)]
        firsts[path.name] = ast.unparse(lines[0])
    assert firsts == dict.fromkeys(firsts, "frame.enter()")


def test_pages_leave_pixels_files_and_state_to_the_library() -> None:
    wrong = [(p.name, m) for p in PAGES for m in imported_roots(p) & NOT_FOR_PAGES]
    texts = {path.name: path.read_text(encoding="utf-8") for path in PAGES}
    assert wrong == []
    assert [name for name, text in texts.items() if "session_state" in text] == []


def test_picture_in_the_documentation_shows_the_order() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    picture = text.split("```\n")[1].splitlines()
    columns = [re.split(r"\s{2,}", line.strip(" │├└─"))[0] for line in picture]
    shown = [name for column in columns[1:] for name in re.findall(r"\w+", column)]
    pages = [n.removeprefix("imagebase.ui.") for n in ORDER if ".ui." in n]
    packages = [n.removeprefix("imagebase.") for n in ORDER if n.count(".") == 1]
    packages.remove("__main__")
    expected = [packages.pop(), *reversed(pages), *reversed(packages)]
    assert shown == expected


def test_every_popover_has_a_key() -> None:
    """With a key it stays open when a run draws it in another place, or again."""
    without = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in sorted((ROOT / "imagebase" / "ui").rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "popover"
        and "key" not in {keyword.arg for keyword in call.keywords}
    ]
    assert without == []

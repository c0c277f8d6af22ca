"""Label sets as other programs leave them, with the right answer of each."""

import io
import json
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from imagebase.annotation import ImageRecord
from imagebase.errors import ImageBaseError
from imagebase.formats.convert import convert
from imagebase.formats.registry import read, recognise
from imagebase.ingest.box_merging import ImportChoice, merged
from imagebase.ingest.image_matching import look_at_images, match_images
from imagebase.ingest.label_files import DroppedFiles, keep_files
from imagebase.settings import Limits

CASES: Final = Path(__file__).parents[3] / "shared" / "data" / "cases"
# The app has no --images.
OTHER_DROPS: Final = frozenset({"yolo_images_of_the_set"})


def cases() -> Iterator[Any]:
    path = CASES / "labels" / "expected.json"
    if not path.is_file():
        skip = pytest.mark.skip(reason=f"{path} is absent: it holds the label sets")
        yield pytest.param({}, marks=skip, id="none")
        return
    for case in json.loads(path.read_text("utf-8")):
        yield pytest.param(case, id=case["case"])


class LibraryRun:
    """One conversion by the library, as the checker sees a run of the command."""

    def __init__(self, case: dict[str, Any], folder: Path, to: str) -> None:
        self.to = to
        self.output = folder / f"output_{to}"
        self.stdout, self.exit_code = "", 0
        said: list[str] = []
        args = case.get("args", [])
        images = folder / args[args.index("--images") + 1] if args else None
        source = folder / "input" / case.get("source", ".")
        try:
            done = convert(
                source, self.output, to=to, images=images, on_problem=said.append
            )
            self.stdout = f"x: {done.source_format} to {to} in 1 s"
        except ImageBaseError as error:
            self.exit_code = 1
            said.append(str(error))
        self.stderr = "\n".join(said).replace(f"{folder}/", "")


@pytest.fixture(scope="module")
def checker() -> dict[str, Any]:
    """What the program says that compares what was written with what is right."""
    return runpy.run_path(str(CASES / "check_label_cases.py"))


@pytest.mark.parametrize("case", list(cases()))
def test_a_set_comes_out_as_it_is_meant(
    case: dict[str, Any], checker: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copytree(CASES / "labels" / case["case"] / "input", tmp_path / "input")
    targets = ["coco"] if "error_must_mention" in case else ["coco", "yolo"]
    runs = [LibraryRun(case, tmp_path, to) for to in targets]
    assert checker["problems_of"](case, tmp_path, runs) == [], case["why"]


@pytest.mark.parametrize("case", list(cases()))
def test_the_app_takes_it_in_alike(
    case: dict[str, Any], checker: dict[str, Any], tmp_path: Path
) -> None:
    """What Import labels brings in, with the images that were dropped beside them."""
    if case["case"] in OTHER_DROPS:
        pytest.skip("in the app nothing is dropped in this way")
    shutil.copytree(CASES / "labels" / case["case"] / "input", tmp_path / "input")
    said, records = imported(tmp_path / "input" / case.get("source", "."), tmp_path)
    words = case.get("error_must_mention", case.get("or_error_must_mention"))
    if records is None and words is not None:
        assert not checker["remark_problems"](said, words, case)
        return
    assert records is not None, said
    pictures = checker["Pictures"](tmp_path, case)
    found = {pictures.by_content[record.image_id]: record for record in records}
    tolerance = case.get("tolerance_px", 0.01)
    problems = [
        import_problems(checker, images, found, tolerance)
        for images in case.get("any_of") or [case["images"]]
    ]
    assert [] in problems, (case["why"], said)


def import_problems(
    checker: dict[str, Any],
    images: list[dict[str, Any]],
    found: dict[str, ImageRecord],
    tolerance: float,
) -> list[object]:
    """Return how records differ from the images that are right."""
    problems: list[object] = list(found.keys() - {i["name"] for i in images})
    for image in images:
        record = found.get(image["name"])
        if record is None:
            # The image comes in all the same, without a box.
            problems += image["boxes"]
            continue
        boxes = [
            [
                annotation.label,
                annotation.box.x_min,
                annotation.box.y_min,
                annotation.box.width,
                annotation.box.height,
            ]
            for annotation in record.annotations
        ]
        problems += checker["box_problems"](image, boxes, tolerance)
        if [*record.size] != image["size"]:
            problems.append(record.size)
    return problems


def imported(source: Path, folder: Path) -> tuple[str, list[ImageRecord] | None]:
    """Return what is said of a drop, and the records that come of it; None of none."""
    files = [source] if source.is_file() else sorted(source.rglob("*"))
    root = source.parent if source.is_file() else source
    dropped = [
        (path.relative_to(root).as_posix(), io.BytesIO(path.read_bytes()))
        for path in files
        if path.is_file()
    ]
    keep_files(dropped, folder / "dropped", Limits())
    try:
        tree = DroppedFiles(folder / "dropped", Limits())
        result = read(tree, recognise(tree))
    except ImageBaseError as error:
        return str(error), None
    beside = look_at_images(tree, max_pixels=Limits().max_image_pixels)
    matches = match_images(result.images, beside, [], takes_new=True)
    records = [
        merged(
            ImageRecord(match.image_id, match.file_name, match.size),
            image,
            ImportChoice(),
            who="ann",
            max_boxes=1000,
            orientation=match.orientation or 1,
        )[0]
        for image, match in zip(result.images, matches, strict=True)
        if match.size is not None and not match.problem
    ]
    said = [*result.report.skipped, *result.report.changed, *matches]
    return "\n".join(map(str, said)), records

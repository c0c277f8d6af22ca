"""Label sets as other programs leave them, with the right answer of each."""

import json
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from imagebase.conversion import convert
from imagebase.errors import ImageBaseError

CASES: Final = Path(__file__).parents[2] / "shared" / "data" / "cases"
# What a file of one format says is not read yet; to be taken off as it is.
NOT_YET: Final = frozenset(
    {
        *("coco_cat_name_int", "coco_float_ids", "coco_no_categories"),
        *("coco_path_only", "coco_rle_only"),
        *("labelme_group", "ls_csv"),
        *("ls_min_key", "ls_min_two_annotators", "ls_rect_choice", "ls_single_task"),
        *("oid_all_classes", "roboflow_darknet", "voc_float"),
        *("voc_rolabelimg", "yolo_coco_names", "yolo_dup_names"),
        *("yolo_labels_txt", "yolo_names_string", "yolo_pose_4x3", "yolo_pose_5x2"),
        *("yolo_track",),
        *("clutter", "labelimg_yolo_labels_folder", "two_sets", "ultra_lists"),
        *("ultra_txt_split", "voc_other_xml_first", "yolo_broken_other_yaml"),
        *("yolo_dataset_yaml_empty_first", "yolo_ls_orig_names", "yolo_part_years"),
    }
)


def cases() -> Iterator[Any]:
    path = CASES / "labels" / "expected.json"
    if not path.is_file():
        skip = pytest.mark.skip(reason=f"{path} is absent: it holds the label sets")
        yield pytest.param({}, marks=skip, id="none")
        return
    for case in json.loads(path.read_text("utf-8")):
        name = case["case"]
        marks = [pytest.mark.xfail(strict=False)] if name in NOT_YET else []
        yield pytest.param(case, marks=marks, id=name)


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

import csv
import io
import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from imagebase.batch.output import RunSummary
from imagebase.batch.resume import FILE_NAME, JournalKey, open_journal
from imagebase.batch.run import OnProgress, annotate, annotate_images
from imagebase.detection.detection_model import DetectionModel, load_model
from imagebase.detection.selection_rule import SelectionRule
from imagebase.errors import (
    ExportError,
    ImageReadError,
    UnknownFormatError,
    UnknownLabelError,
    UnknownModelError,
)
from imagebase.geometry import pairwise_iou
from imagebase.images.decode import encode_png
from imagebase.images.scan import SourceFile
from imagebase.settings import (
    DEFAULT_CONFIDENCE,
    DEFAULT_MODEL,
    DEFAULT_NMS_IOU,
    SAMPLES_FOLDER,
)
from tests.detection.darknet.darknet_models import write_one_box_model
from tests.shut_folders import make_shut_folder

PNG = encode_png(np.zeros((48, 64, 3), np.uint8))


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that finds one dog in the middle of every image."""
    return str(write_one_box_model(tmp_path_factory.mktemp("models") / "pets"))


@pytest.fixture(scope="module")
def model(pets: str) -> DetectionModel:
    return load_model(pets)


def folder_of(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def contents_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def labelled(
    source: Path | str,
    output: Path,
    model: str | DetectionModel,
    *,
    formats: Sequence[str] = ("coco",),
    confidence: float = DEFAULT_CONFIDENCE,
    nms: float = DEFAULT_NMS_IOU,
    labels: Sequence[str] | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> RunSummary:
    return annotate(
        str(source),
        output,
        model=model,
        formats=formats,
        confidence=confidence,
        nms=nms,
        labels=labels,
        on_progress=on_progress,
    )


def coco_of(output: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        (output / "coco" / "annotations.json").read_text(encoding="utf-8")
    )
    return document


def names_in(output: Path) -> list[str]:
    return [image["file_name"] for image in coco_of(output)["images"]]


def test_file_names_are_paths_below_the_source(tmp_path: Path, pets: str) -> None:
    source = folder_of(tmp_path / "in", {"b.png": PNG, "sub/deep/ä b.png": PNG})
    labelled(source, tmp_path / "out", pets)
    assert names_in(tmp_path / "out") == ["b.png", "sub/deep/ä b.png"]


def test_zip_is_labelled_like_the_folder_it_was_made_of(
    tmp_path: Path, pets: str
) -> None:
    source = folder_of(tmp_path / "in", {"b.png": PNG, "sub/a.png": PNG})
    archive = shutil.make_archive(str(tmp_path / "set"), "zip", source)
    labelled(archive, tmp_path / "zip", pets)
    labelled(source, tmp_path / "folder", pets)
    assert coco_of(tmp_path / "zip") == coco_of(tmp_path / "folder")


def test_image_by_itself_and_url_are_sources(tmp_path: Path, pets: str) -> None:
    source = folder_of(tmp_path / "in", {"b.png": PNG})
    labelled(source / "b.png", tmp_path / "one", pets)
    labelled(source.as_uri(), tmp_path / "url", pets)
    assert names_in(tmp_path / "one") == names_in(tmp_path / "url") == ["b.png"]


def test_category_ids_follow_the_models_whole_list(tmp_path: Path, pets: str) -> None:
    source = folder_of(tmp_path / "in", {"a.png": PNG})
    labelled(source, tmp_path / "out", pets, labels=["dog"])
    coco = coco_of(tmp_path / "out")
    named = {category["id"]: category["name"] for category in coco["categories"]}
    assert named == {1: "cat", 2: "dog"}
    assert [box["category_id"] for box in coco["annotations"]] == [2]


def test_every_image_read_is_listed_with_or_without_boxes(
    tmp_path: Path, pets: str
) -> None:
    source = folder_of(tmp_path / "in", {"a.png": PNG, "b.png": PNG, "c.png": b"no"})
    summary = labelled(source, tmp_path / "out", pets, labels=["cat"])
    assert names_in(tmp_path / "out") == ["a.png", "b.png"]
    assert (summary.images, summary.boxes) == (2, 0)
    assert [refusal.file for refusal in summary.refused] == ["c.png"]


def test_every_box_has_a_score_and_pycocotools_loads_it(tmp_path: Path) -> None:
    labelled(SAMPLES_FOLDER, tmp_path / "out", DEFAULT_MODEL)
    coco = COCO(str(tmp_path / "out" / "coco" / "annotations.json"))
    boxes = coco.loadAnns(coco.getAnnIds())
    assert len(coco.getImgIds()) == 16
    assert len(boxes) > 40
    assert all(0.25 <= box["score"] <= 1 for box in boxes)
    assert [category["id"] for category in coco.loadCats(coco.getCatIds())] == list(
        range(1, 81)
    )


def test_low_confidence_lowers_the_floor_of_what_is_kept(tmp_path: Path) -> None:
    image = SAMPLES_FOLDER / "street.jpg"
    labelled(image, tmp_path / "out", DEFAULT_MODEL, confidence=0.001)
    scores = [box["score"] for box in coco_of(tmp_path / "out")["annotations"]]
    assert 0.001 <= min(scores) < 0.01


def test_run_file_says_what_the_contract_says(tmp_path: Path, pets: str) -> None:
    source = folder_of(tmp_path / "in", {"a.png": PNG, "b.png": b"nothing"})
    model = load_model(pets, runtime="opencv", precision="f32")
    labelled(
        source, tmp_path / "out", model, formats=["csv"] * 2, confidence=0.5, nms=0.6
    )
    found = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert list(found) == [
        "images",
        "boxes",
        "refused",
        "seconds",
        "images_per_second",
        "load_seconds",
        "model",
        "settings",
        "passed_over",
    ]
    assert (found["images"], found["boxes"]) == (1, 1)
    (refused,) = found["refused"]
    assert refused["file"] == "b.png"
    assert refused["reason"].startswith("b.png is not an image")
    assert found["images_per_second"] == pytest.approx(1 / found["seconds"])
    assert found["load_seconds"] > 0
    assert found["model"]["id"] == f"pets-{found['model']['sha256'][:12]}"
    assert found["settings"] == {
        "confidence": 0.5,
        "nms": 0.6,
        "labels": None,
        "runtime": "opencv",
        "precision": "f32",
        "input_size": 32,
        "quality": "fast",
        "engine": "local",
        "formats": ["csv"],
        "resume": True,
    }


def test_each_format_has_a_folder_and_only_files_that_need_images_have_them(
    tmp_path: Path, pets: str
) -> None:
    source = folder_of(tmp_path / "in", {"a.png": PNG})
    formats = ["csv", "darknet", "folders", "yolo", "coco", "voc"]
    labelled(source, tmp_path / "out", pets, formats=formats)
    with_images = {
        path.relative_to(tmp_path / "out").parts[0]
        for path in (tmp_path / "out").rglob("*.png")
    }
    assert with_images == {"darknet", "folders", "yolo", "voc"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *formats,
        "run.json",
    }
    rows = (tmp_path / "out" / "csv" / "annotations.csv").read_text(encoding="utf-8")
    assert [row["class"] for row in csv.DictReader(io.StringIO(rows))] == ["dog"]


@pytest.mark.parametrize("below", ["out", "."])
def test_second_run_does_not_label_what_the_first_one_wrote(
    tmp_path: Path, pets: str, below: str
) -> None:
    source = folder_of(tmp_path / "in", {"a.png": PNG, "out/yolo2/mine.png": PNG})
    for _ in range(2):
        labelled(source, source / below, pets, formats=["coco", "yolo"])
    assert names_in(source / below) == ["a.png", "out/yolo2/mine.png"]


def test_nothing_is_left_of_an_earlier_run_that_labelled_more(
    tmp_path: Path, pets: str
) -> None:
    source = folder_of(tmp_path / "in", {"a.png": PNG, "b.png": PNG})
    labelled(source, tmp_path / "out", pets, formats=["yolo"])
    (source / "b.png").unlink()
    labelled(source, tmp_path / "out", pets, formats=["yolo"])
    assert [path.name for path in (tmp_path / "out").rglob("*.png")] == ["a.png"]


def test_labels_edited_by_hand_are_an_error_before_the_net_runs(
    tmp_path: Path, pets: str
) -> None:
    source = folder_of(tmp_path / "in", {"a.png": PNG})
    labelled(source, tmp_path / "out", pets, formats=["yolo"])
    mended = tmp_path / "out" / "yolo" / "labels" / "train" / "a.txt"
    mended.write_text("0 0.5 0.5 0.1 0.1")
    progress: list[int] = []
    with pytest.raises(ExportError, match=r"a\.txt was changed after ImageBase"):
        labelled(
            source,
            tmp_path / "out",
            pets,
            formats=["coco", "yolo"],
            on_progress=lambda done, total: progress.append(done),
        )
    assert mended.read_text() == "0 0.5 0.5 0.1 0.1"
    assert progress == []


def test_draft_of_a_run_that_was_killed_is_cleared_away(
    tmp_path: Path, pets: str
) -> None:
    source = folder_of(tmp_path / "in", {"a.png": PNG})
    folder_of(tmp_path / "out" / ".export-abc", {"images/a.png": PNG})
    labelled(source, tmp_path / "out", pets)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["coco", "run.json"]


def test_name_that_is_not_utf8_is_refused_and_stops_nothing(
    tmp_path: Path, pets: str
) -> None:
    source = folder_of(tmp_path / "in", {"a.png": PNG, "b\udcff.png": PNG})
    summary = labelled(source, tmp_path / "out", pets)
    assert summary.images == 1
    assert summary.refused[0].reason == (
        "b\\udcff.png has a name that is not UTF-8; rename it."
    )


def test_folder_that_cannot_be_opened_is_refused_and_stops_nothing(
    tmp_path: Path, pets: str
) -> None:
    source = folder_of(tmp_path / "in", {"a.png": PNG})
    first_part = make_shut_folder(source)
    summary = labelled(source, tmp_path / "out", pets)
    assert summary.images == 1
    (refused,) = summary.refused
    assert refused.file.startswith(first_part)
    assert "cannot be opened (File name too long)" in refused.reason


def unlink(path: Path) -> None:
    path.unlink()


def enlarge(path: Path) -> None:
    path.write_bytes(encode_png(np.zeros((96, 128, 3), np.uint8)))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (unlink, "b.png cannot be opened"),
        (enlarge, "b.png changed during the run; run it again."),
    ],
)
def test_image_that_cannot_be_read_a_second_time_is_refused_and_stops_nothing(
    tmp_path: Path, pets: str, change: Callable[[Path], None], reason: str
) -> None:
    source = folder_of(tmp_path / "in", {f"{name}.png": PNG for name in "abcd"})

    def change_at_the_end(done: int, total: int) -> None:
        if done == total:
            change(source / "b.png")
            (source / "d.png").unlink()

    summary = labelled(
        source,
        tmp_path / "out",
        pets,
        formats=["coco", "yolo", "voc"],
        on_progress=change_at_the_end,
    )
    assert summary.images == 2
    assert [refusal.file for refusal in summary.refused] == ["b.png", "d.png"]
    assert summary.refused[0].reason.startswith(reason)
    assert names_in(tmp_path / "out") == ["a.png", "c.png"]
    for folder in ("yolo/labels/train", "voc/Annotations"):
        written = sorted(path.stem for path in (tmp_path / "out" / folder).iterdir())
        assert written == ["a", "c"]


def test_run_whose_images_are_all_gone_at_the_end_leaves_the_earlier_labels(
    tmp_path: Path, pets: str
) -> None:
    source = folder_of(tmp_path / "in", {"a.png": PNG})
    labelled(source, tmp_path / "out", pets, formats=["coco", "yolo"])
    earlier = contents_of(tmp_path / "out")
    summary = labelled(
        source,
        tmp_path / "out",
        pets,
        formats=["coco", "yolo"],
        on_progress=lambda done, total: (source / "a.png").unlink(),
    )
    assert (summary.images, len(summary.refused)) == (0, 1)
    now = contents_of(tmp_path / "out")
    assert json.loads(now.pop("run.json"))["images"] == 0
    assert now.items() < earlier.items()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_second_file_of_a_name_in_a_zip_is_refused(tmp_path: Path, pets: str) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a.png", PNG)
        archive.writestr("a.png", PNG + b" ")
    summary = labelled(tmp_path / "set.zip", tmp_path / "out", pets, formats=["yolo"])
    assert summary.images == 1
    assert "a.png is there twice" in summary.refused[0].reason


def test_names_that_differ_only_by_suffix_or_case_stay_apart(
    tmp_path: Path, pets: str
) -> None:
    names = ["A.png", "a.bmp.png", "a.jpg", "a.png"]
    source = folder_of(tmp_path / "in", dict.fromkeys(names, PNG))
    summary = labelled(
        source, tmp_path / "out", pets, formats=["coco", "csv", "yolo", "voc"]
    )
    assert (summary.images, summary.boxes) == (4, 4)
    assert names_in(tmp_path / "out") == names
    assert len(list((tmp_path / "out" / "yolo").rglob("*.txt"))) >= 4


@pytest.mark.parametrize("left", [{}, {"a.png": b"no"}], ids=["none", "unreadable"])
def test_run_that_can_label_nothing_leaves_the_earlier_labels(
    tmp_path: Path, pets: str, left: dict[str, bytes]
) -> None:
    source = folder_of(tmp_path / "in", {"a.png": PNG, "notes.txt": b"hello"})
    labelled(source, tmp_path / "out", pets, formats=["coco", "yolo"])
    earlier = contents_of(tmp_path / "out")
    (source / "a.png").unlink()
    folder_of(source, left)
    labelled(source, tmp_path / "out", pets, formats=["coco", "yolo"])
    now = contents_of(tmp_path / "out")
    summary = json.loads(now.pop("run.json"))
    assert summary["images"] == 0
    assert [refusal["file"] for refusal in summary["refused"]] == list(left)
    assert now.items() < earlier.items()


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"formats": ["nope"]}, UnknownFormatError),
        ({"model": "nope"}, UnknownModelError),
        ({"labels": ["dog", "unicorn"]}, UnknownLabelError),
    ],
    ids=["format", "model", "label"],
)
def test_unknown_name_is_an_error_before_anything_is_written(
    tmp_path: Path, pets: str, changed: dict[str, Any], error: type[Exception]
) -> None:
    arguments: dict[str, Any] = {"model": pets, **changed}
    with pytest.raises(error, match=r"nope|unicorn"):
        labelled(tmp_path, tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_missing_source_is_named_and_nothing_is_written(
    tmp_path: Path, pets: str
) -> None:
    with pytest.raises(ImageReadError, match=r"gone is not there"):
        labelled(tmp_path / "gone", tmp_path / "out", pets)
    assert not (tmp_path / "out").exists()


def test_output_that_cannot_be_written_is_an_error_before_the_net_runs(
    tmp_path: Path, pets: str
) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(ExportError, match="cannot be written"):
        labelled(SAMPLES_FOLDER, tmp_path / "out", pets)


def sources(names: str) -> list[SourceFile]:
    return [SourceFile(name, lambda: PNG) for name in names]


def journal_key(model: DetectionModel) -> JournalKey:
    detector = model.detector
    return JournalKey(detector.sha256, 32, "openvino", detector.precision, 0.01)


def test_resumed_run_shows_only_the_net_what_it_has_not_seen(
    tmp_path: Path, model: DetectionModel
) -> None:
    key = journal_key(model)
    with open_journal(tmp_path, key, resume=True) as journal:
        annotate_images(model, sources("bd"), SelectionRule(), journal=journal)
    before = (tmp_path / FILE_NAME).read_bytes()
    with open_journal(tmp_path, key, resume=True) as journal:
        found = annotate_images(
            model, sources("abcde"), SelectionRule(), journal=journal
        )
    added = (tmp_path / FILE_NAME).read_bytes().removeprefix(before).splitlines()
    assert [json.loads(line)["file"] for line in added] == ["a", "c", "e"]
    assert [record.file_name for record in found.records] == list("abcde")
    assert found.resumed == 2
    assert [len(record.annotations) for record in found.records] == [1] * 5


def test_progress_is_reported_after_each_image(model: DetectionModel) -> None:
    progress: list[tuple[int, int]] = []
    annotate_images(
        model,
        sources("abc"),
        SelectionRule(),
        on_progress=lambda done, total: progress.append((done, total)),
    )
    assert progress == [(1, 3), (2, 3), (3, 3)]


def test_changed_thresholds_act_on_what_was_seen(
    tmp_path: Path, model: DetectionModel
) -> None:
    key = journal_key(model)
    with open_journal(tmp_path, key, resume=True) as journal:
        annotate_images(model, sources("a"), SelectionRule(), journal=journal)
    stricter = SelectionRule(labels=("cat",))
    with open_journal(tmp_path, key, resume=True) as journal:
        found = annotate_images(model, sources("a"), stricter, journal=journal)
    assert found.resumed == 1
    assert found.records[0].annotations == ()


def encoded(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "grey").save(file, kind)
    return file.getvalue()


def labels_that_darknet_finds(folder: Path) -> list[str]:
    """Return the pictures whose label files Darknet finds.

    It puts .txt in the place of a suffix that it knows, and reads no other pictures.
    """
    found = []
    for line in (folder / "train.txt").read_text().splitlines():
        path = folder / line
        assert path.suffix in {".jpg", ".jpeg", ".png", ".bmp"}
        assert cv2.imread(str(path), cv2.IMREAD_COLOR) is not None
        if path.with_suffix(".txt").read_text():
            found.append(path.name)
    return found


def test_darknet_is_given_pictures_that_it_reads_and_finds_their_labels(
    tmp_path: Path, pets: str
) -> None:
    kinds = {"a.webp": "WEBP", "b.tif": "TIFF", "c.JPG": "JPEG", "d.bmp": "BMP"}
    source = folder_of(
        tmp_path / "in", {name: encoded(kind) for name, kind in kinds.items()}
    )
    summary = labelled(source, tmp_path / "out", pets, formats=["darknet"])
    assert summary.images == summary.boxes == 4
    found = labels_that_darknet_finds(tmp_path / "out" / "darknet")
    assert found == ["a.jpg", "b.png", "c.jpg", "d.bmp"]
    kept = (tmp_path / "out" / "darknet" / "obj" / "c.jpg").read_bytes()
    assert kept == encoded("JPEG")


TURNED = [f"exif_orientation__Landscape_{number}.jpg" for number in range(1, 9)]
# How upright pixels are stored under each orientation: turned left, then mirrored.
STORED = {1: (0, 0), 2: (0, 1), 3: (2, 0), 4: (2, 1)}
STORED |= {5: (3, 1), 6: (1, 0), 7: (1, 1), 8: (3, 0)}


def turned_street(folder: Path) -> None:
    """Write one street scene eight times without loss, each stored turned otherwise."""
    with Image.open(SAMPLES_FOLDER / "street.jpg") as image:
        upright = np.asarray(image.convert("RGB"))
    for number, (quarters, is_mirrored) in STORED.items():
        pixels = np.rot90(upright, quarters)
        exif = Image.Exif()
        exif[0x0112] = number
        stored = Image.fromarray(pixels[:, ::-1] if is_mirrored else pixels)
        stored.save(folder / f"street-{number}.png", exif=exif, compress_level=1)


@pytest.fixture(scope="module", params=["f32", "auto"])
def turned(
    request: pytest.FixtureRequest,
    shared_data: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The result for eight files of one photograph, each stored turned otherwise.

    The landscape shows nothing that the model knows: all it has is doubts below 0.1.
    """
    folder = tmp_path_factory.mktemp(f"turned-{request.param}")
    for name in TURNED:
        shutil.copy(shared_data / "wild_images" / name, folder)
    turned_street(folder)
    model = load_model(precision=request.param)
    labelled(folder, folder / "out", model, confidence=0.01)
    return folder / "out"


def boxes_by_image(output: Path, prefix: str) -> list[list[tuple[int, float, Any]]]:
    """Return category id, score and xyxy of each box, for each image of a prefix."""
    coco = coco_of(output)
    found: dict[int, list[tuple[int, float, Any]]] = {
        image["id"]: []
        for image in coco["images"]
        if image["file_name"].startswith(prefix)
    }
    for annotation in coco["annotations"]:
        x, y, width, height = annotation["bbox"]
        if annotation["image_id"] in found:
            xyxy = np.array([x, y, x + width, y + height])
            found[annotation["image_id"]].append(
                (annotation["category_id"], annotation["score"], xyxy)
            )
    return list(found.values())


@pytest.mark.parametrize(
    ("prefix", "least", "count"),
    [("exif_orientation", 0.025, 1), ("street", 0.25, 3)],
    ids=["landscape", "street"],
)
def test_eight_orientations_of_one_photograph_give_the_same_boxes(
    turned: Path, prefix: str, least: float, count: int
) -> None:
    first, *others = boxes_by_image(turned, prefix)
    sure = [box for box in first if box[1] >= least]
    assert len(sure) >= count
    assert len(others) == 7
    for other in others:
        for category, score, xyxy in sure:
            same = [box for box in other if box[0] == category]
            overlaps = pairwise_iou(xyxy[None], np.array([box[2] for box in same]))[0]
            assert overlaps.max() > 0.95
            assert same[overlaps.argmax()][1] == pytest.approx(score, abs=0.02)


@pytest.mark.parametrize("format_name", ["yolo", "voc"])
def test_exported_pixels_are_upright_and_of_the_records_size(
    tmp_path: Path, shared_data: Path, pets: str, format_name: str
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in TURNED:
        shutil.copy(shared_data / "wild_images" / name, source)
    labelled(source, tmp_path, pets, formats=["coco", format_name])
    sizes = {(image["width"], image["height"]) for image in coco_of(tmp_path)["images"]}
    assert len(sizes) == 1
    files = sorted((tmp_path / format_name).rglob("*.jpg"))
    assert [path.name for path in files] == TURNED
    pictures = []
    for path in files:
        # What a tool sees that knows nothing of EXIF.
        ignoring = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imread(str(path), ignoring)
        assert pixels is not None
        assert sizes == {(pixels.shape[1], pixels.shape[0])}
        pictures.append(pixels.astype(np.float32))
    for picture in pictures[1:]:
        assert np.abs(picture - pictures[0]).mean() < 8

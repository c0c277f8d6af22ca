"""Truth and detections out of files in several formats."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from imagebase.annotation import Box, Size
from imagebase.errors import AnnotationFileError, EvaluationError
from imagebase.evaluation.arrays import EvaluatedImage, Truth
from imagebase.evaluation.detection_files import detections_in, read_detections
from imagebase.evaluation.ground_truth import (
    GivenImages,
    LabelFiles,
    read_truth,
    truth_of,
)
from imagebase.formats.placement import Frame
from imagebase.formats.trees import MemoryTree

A = [10, 20, 30, 40]


def coco(path: Path, *, image_id: object = 5, category_id: int = 9) -> Path:
    """Write two images, of which one has a box and a crowd region."""
    document = {
        "images": [
            {"id": image_id, "file_name": "a.jpg", "width": 100, "height": 80},
            {"id": 6, "file_name": "b.jpg", "width": 100, "height": 80},
        ],
        "categories": [{"id": category_id, "name": "cat"}],
        "annotations": [
            {
                "id": n,
                "image_id": image_id,
                "category_id": category_id,
                "bbox": box,
                "area": area,
                "iscrowd": n,
            }
            for n, (box, area) in enumerate([(A, 600), ([0, 0, 50, 50], 2500)])
        ],
    }
    path.write_text(json.dumps(document))
    return path


def given(sizes: Mapping[str, Size | None]) -> GivenImages:
    """Return images of these sizes, which nobody opens."""
    frames = {name: Frame(size) if size else None for name, size in sizes.items()}
    return GivenImages(frames)


def results(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text(json.dumps(list(rows)))
    return path


def test_coco_with_areas_and_crowds(tmp_path: Path) -> None:
    labels = read_truth(coco(tmp_path / "labels.json"), needs_files=False)
    truth = labels.truth
    assert [image.name for image in truth.images] == ["a.jpg", "b.jpg"]
    assert truth.xyxy.tolist() == [[10, 20, 40, 60], [0, 0, 50, 50]]
    assert truth.area.tolist() == [600, 2500]
    assert truth.is_crowd.tolist() == [False, True]
    assert truth.boxes == 1
    assert labels.not_judged == ()


def test_a_box_over_the_edge_is_judged_as_it_was_written(tmp_path: Path) -> None:
    path = coco(tmp_path / "labels.json")
    path.write_text(path.read_text().replace("[10, 20, 30, 40]", "[70, 20, 30.2, 40]"))
    assert read_truth(path, needs_files=False).truth.xyxy[0].tolist() == [
        70,
        20,
        100.2,
        60,
    ]


def test_only_images_that_are_there_are_judged(tmp_path: Path) -> None:
    path = coco(tmp_path / "labels.json")
    labels = read_truth(
        path, images=given({"photos/A.JPG": Size(100, 80), "c.jpg": None})
    )
    assert labels.files == ("photos/A.JPG",)
    assert [image.name for image in labels.truth.images] == ["a.jpg"]
    assert labels.not_judged == (("b.jpg", "there is no image of this name"),)


def test_boxes_follow_an_image_that_was_made_smaller(tmp_path: Path) -> None:
    path = coco(tmp_path / "labels.json")
    labels = read_truth(
        path, images=given({"a.jpg": Size(50, 40), "b.jpg": Size(80, 100)})
    )
    assert labels.truth.xyxy[0].tolist() == [5, 10, 20, 30]
    assert [note.what for note in labels.changed] == ["a.jpg", "b.jpg"]
    turned = given({"a.jpg": Size(80, 100), "b.jpg": Size(100, 80)})
    not_judged = read_truth(path, images=turned).not_judged
    assert [note.what for note in not_judged] == ["a.jpg"]


def test_boxes_turn_with_an_image_that_exif_turns(tmp_path: Path) -> None:
    frames = {"a.jpg": Frame(Size(80, 100), 6), "b.jpg": Frame(Size(100, 80))}
    path = coco(tmp_path / "labels.json")
    labels = read_truth(path, images=GivenImages(frames))
    assert labels.truth.xyxy[0].tolist() == [20, 10, 60, 40]
    assert [note.what for note in labels.changed] == ["a.jpg"]


def test_images_of_one_name_are_judged_each_by_its_own_labels(tmp_path: Path) -> None:
    for part, box in (("train", A), ("valid", [1, 2, 3, 4])):
        (tmp_path / part).mkdir()
        path = coco(tmp_path / part / "labels.json")
        path.write_text(path.read_text().replace(str(A), str(box)))
    sizes = {
        f"{part}/{n}.jpg": Size(100, 80) for part in ("train", "valid") for n in "ab"
    }
    labels = read_truth(tmp_path, images=given(sizes))
    assert set(labels.files) == set(sizes)
    first = {
        labels.files[image]: box
        for image, box, crowd in zip(
            labels.truth.image,
            labels.truth.xyxy.tolist(),
            labels.truth.is_crowd,
            strict=True,
        )
        if not crowd
    }
    assert first == {"train/a.jpg": [10, 20, 40, 60], "valid/a.jpg": [1, 2, 4, 6]}


def test_yolo_needs_the_images(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "data.yaml").write_text("names: [cat]\n")
    (tmp_path / "labels" / "a.txt").write_text("0 0.25 0.5 0.3 0.5\n")
    with pytest.raises(EvaluationError, match="size is not known"):
        read_truth(tmp_path, needs_files=False)
    labels = read_truth(tmp_path, images=given({"a.jpg": Size(100, 80)}))
    assert labels.truth.xyxy.tolist() == [pytest.approx([10, 20, 40, 60])]


def test_nothing_left_says_why(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no image of this name"):
        read_truth(coco(tmp_path / "labels.json"), images=given({"x.jpg": Size(1, 1)}))


def test_labels_of_whole_images_cannot_judge(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="no boxes"):
        read_truth(coco(tmp_path / "a.json"), format_name="classification")


@pytest.fixture
def labels(tmp_path: Path) -> LabelFiles:
    return read_truth(coco(tmp_path / "labels.json"), needs_files=False)


def test_list_of_results_by_the_ids_of_the_truth(
    labels: LabelFiles, tmp_path: Path
) -> None:
    row = {"image_id": 5, "category_id": 9, "bbox": A, "score": 0.8}
    stray = [{**row, "image_id": 77}, {**row, "category_id": 1}, {**row, "score": 7}]
    done = read_detections("x", results(tmp_path / "r.json", row, *stray), labels)
    assert done.found.image.tolist() == [0]
    assert done.found.xyxy.tolist() == [[10, 20, 40, 60]]
    assert done.found.confidence.tolist() == [0.8]
    assert list(done.refused) == ["[1]", "[2]", "[3]"]
    assert done.cost is None


def test_list_of_results_for_labels_that_have_no_ids(tmp_path: Path) -> None:
    """COCO's own photographs are called by their ids; labels count from 1."""
    path = tmp_path / "labels.csv"
    path.write_text(
        "filename,width,height,class,xmin,ymin,xmax,ymax\n"
        "000000000139.jpg,100,80,cat,10,20,40,60\n"
    )
    truth = read_truth(path, needs_files=False)
    row = {"image_id": 139, "category_id": 1, "bbox": A, "score": 0.8}
    done = read_detections("x", results(tmp_path / "r.json", row), truth)
    assert done.found.xyxy.tolist() == [[10, 20, 40, 60]]


@pytest.fixture
def judged() -> Truth:
    """Images of a dataset, which have no numbers."""
    images = [EvaluatedImage(name, f"{name}.jpg", Size(100, 80)) for name in ("a", "b")]
    rows = [(0, 1, Box(10, 20, 40, 60), 1200.0, False)]
    return truth_of(("dog", "cat"), images, rows, box_ids=["1"])


def tree(**files: object) -> MemoryTree:
    return MemoryTree({f"{k}.json": json.dumps(v).encode() for k, v in files.items()})


def test_numbers_are_those_of_the_label_file_beside_the_results(judged: Truth) -> None:
    row = {"image_id": 7, "category_id": 3, "bbox": A, "score": 0.8}
    label_file = {
        "images": [{"id": 7, "file_name": "photos/A.jpg"}],
        "categories": [{"id": 3, "name": "Cat"}],
        "annotations": [],
    }
    done = detections_in(tree(labels=label_file, results=[row]), "x", judged)
    assert done.found.image.tolist() == [0]
    assert [judged.labels[class_id] for class_id in done.found.label.tolist()] == [
        "cat"
    ]
    with pytest.raises(EvaluationError, match="id 7; give the COCO label file"):
        detections_in(tree(results=[row]), "x", judged)


def test_of_two_files_that_may_be_one_image_neither_is(judged: Truth) -> None:
    label_file = {
        "images": [
            {"id": n, "file_name": name}
            for n, name in enumerate(("x/a.jpg", "y/a.jpg", "x/b.jpg", "b.jpg"))
        ],
        "categories": [{"id": 1, "name": "cat"}],
    }
    rows = [
        {"image_id": n, "category_id": 1, "bbox": A, "score": n / 10} for n in range(4)
    ]
    done = detections_in(tree(labels=label_file, results=rows), "x", judged)
    assert done.found.image.tolist() == [1]
    assert done.found.confidence.tolist() == [0.3]
    assert list(done.refused) == ["[0]", "[1]", "[2]"]


def test_results_that_break_off_are_a_sentence(judged: Truth) -> None:
    broken = MemoryTree({"r.json": b'[{"image_id": "a.jpg", "bbox": [1'})
    with pytest.raises(
        AnnotationFileError, match=r"r\.json cannot be read: it ends in the middle"
    ):
        detections_in(broken, "x", judged)


def test_more_detections_than_can_be_judged(
    judged: Truth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagebase.evaluation.detection_files._MOST_ROWS", 2)
    row = {"image_id": "a.jpg", "category_id": 1, "bbox": A, "score": 0.8}
    assert len(detections_in(tree(r=[row, row]), "x", judged).found) == 2
    with pytest.raises(EvaluationError, match="x has more than 2 detections"):
        detections_in(tree(r=[row, row, row]), "x", judged)


def test_detections_as_labels_with_confidences(
    labels: LabelFiles, tmp_path: Path
) -> None:
    path = tmp_path / "found.csv"
    path.write_text(
        "filename,width,height,class,xmin,ymin,xmax,ymax,confidence\n"
        "a.jpg,100,80,Cat,10,20,40,60,0.7\n"
        "a.jpg,100,80,tree,10,20,40,60,0.6\n"
        "z.jpg,100,80,cat,10,20,40,60,0.6\n"
    )
    done = read_detections("x", path, labels)
    assert done.found.confidence.tolist() == [0.7]
    assert done.mapping.unmapped == ("tree",)
    assert list(done.refused) == ["z.jpg"]


def test_detections_of_other_images(labels: LabelFiles, tmp_path: Path) -> None:
    row = {"image_id": 1, "category_id": 9, "bbox": A, "score": 0.8}
    with pytest.raises(EvaluationError, match="no image has the id 1"):
        read_detections("x", results(tmp_path / "r.json", row), labels)


def test_detections_without_a_box(labels: LabelFiles, tmp_path: Path) -> None:
    with pytest.raises((AnnotationFileError, EvaluationError)):
        read_detections("x", results(tmp_path / "r.json"), labels)


def test_what_darknet_itself_wrote(shared_data: Path, tmp_path: Path) -> None:
    """The bus of Darknet's own photograph, whose corners its result gives as shares."""
    photographs = shared_data.parent / "reference"
    path = tmp_path / "labels.csv"
    path.write_text(
        "filename,width,height,class,xmin,ymin,xmax,ymax\nbus.jpg,810,1080,bus,3,176,705,782\n"
    )
    truth = read_truth(path, needs_files=False)
    done = read_detections("darknet", photographs / "darknet_thresh0.25.json", truth)
    (corners,) = done.found.xyxy.tolist()
    centre, width = 0.437268 * 810, 0.866566 * 810
    assert corners[0] == pytest.approx(centre - width / 2)
    assert done.found.confidence.tolist() == [0.732899]
    assert "person" in done.mapping.unmapped
    assert any("dog.jpg" in why for why in done.refused.values())


@pytest.mark.parametrize("objects", [None, 3, {"name": "cat"}])
def test_darknet_objects_that_are_no_list(
    objects: object, labels: LabelFiles, tmp_path: Path
) -> None:
    place = {"center_x": 0.5, "center_y": 0.5, "width": 0.2, "height": 0.2}
    cat = {"name": "cat", "relative_coordinates": place, "confidence": 0.7}
    path = tmp_path / "result.json"
    frames = [
        {"filename": "a.jpg", "objects": objects},
        {"filename": "a.jpg", "objects": [cat]},
    ]
    path.write_text(json.dumps(frames))
    done = read_detections("darknet", path, labels)
    assert done.found.confidence.tolist() == [0.7]
    assert list(done.refused.values()) == ["its objects are no list"]
    path.write_text(json.dumps(frames[:1]))
    with pytest.raises(EvaluationError, match="its objects are no list"):
        read_detections("darknet", path, labels)

import math
import re

import numpy as np
import pytest
from numpy.typing import NDArray

from imagebase.annotation import (
    Annotation,
    Box,
    ImageRecord,
    LabelSet,
    ReviewStatus,
    Size,
    Source,
    clean_label,
    clean_text,
    new_id,
    utc_now,
)
from imagebase.annotation.palette import PALETTE, label_colour
from imagebase.wording import percent


@pytest.mark.parametrize(
    ("share", "words"), [(0.936, "94 %"), (0, "0 %"), (1, "100 %")]
)
def test_confidence_is_spelled_in_percent(share: float, words: str) -> None:
    assert percent(share) == words


def model_box() -> Annotation:
    return Annotation(
        Box(1, 2, 30, 40),
        "dog",
        source=Source.MODEL,
        confidence=0.7,
        model_id="yolov4-tiny",
    )


def test_box_has_width_height_and_area() -> None:
    box = Box(1, 2, 4, 8)
    assert (box.width, box.height, box.area) == (3, 6, 18)


def test_box_with_swapped_corners_has_no_area_until_normalised() -> None:
    swapped = Box(4, 8, 1, 2)
    assert swapped.area == 0
    assert swapped.normalised() == Box(1, 2, 4, 8)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(-5, -5, 70, 50), Box(0, 0, 64, 48)),
        (Box(1.5, 2.5, 3.5, 4.5), Box(1.5, 2.5, 3.5, 4.5)),
        (Box(100, 100, 120, 120), Box(64, 48, 64, 48)),
    ],
    ids=["over all edges", "inside", "outside"],
)
def test_clipped_box_stays_in_the_image(box: Box, expected: Box) -> None:
    assert box.clipped(Size(64, 48)) == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_box_knows_whether_it_is_finite(bad: float) -> None:
    assert Box(0, 0, 1, 1).is_finite
    assert not Box(0, 0, bad, 1).is_finite


def test_touched_model_box_becomes_a_persons_and_loses_its_confidence() -> None:
    before = model_box()
    after = before.touched(who="ana", box=Box(0, 0, 9, 9))
    assert (after.source, after.confidence, after.changed_by) == (
        Source.HUMAN,
        None,
        "ana",
    )
    assert (after.box, after.label) == (Box(0, 0, 9, 9), "dog")
    assert after.annotation_id == before.annotation_id
    assert after.changed_at >= before.changed_at
    assert before.is_untouched


def test_relabelled_box_stays_where_it_is() -> None:
    after = model_box().touched(who="ana", label="cat")
    assert (after.box, after.label) == (Box(1, 2, 30, 40), "cat")


def test_accepted_model_box_keeps_its_confidence_and_is_no_longer_untouched() -> None:
    after = model_box().with_acceptance(who="ana")
    assert (after.source, after.confidence, after.accepted) == (Source.MODEL, 0.7, True)
    assert not after.is_untouched


def test_accepting_a_persons_box_changes_nothing() -> None:
    drawn = Annotation(Box(0, 0, 1, 1), "dog")
    assert drawn.with_acceptance(who="ana") is drawn


def test_ids_differ_and_times_have_a_zone() -> None:
    assert len({new_id() for _ in range(100)}) == 100
    assert utc_now().utcoffset() is not None


def test_only_an_approved_image_without_boxes_is_confirmed_empty() -> None:
    record = ImageRecord("0" * 64, "a.jpg", Size(64, 48))
    approved = ImageRecord(
        "0" * 64, "a.jpg", Size(64, 48), status=ReviewStatus.APPROVED
    )
    assert not record.is_confirmed_empty
    assert approved.is_confirmed_empty
    assert not approved.with_annotations([model_box()]).is_confirmed_empty


def test_record_names_each_label_once_in_order() -> None:
    boxes = [Annotation(Box(0, 0, 1, 1), label) for label in ("dog", "cat", "dog")]
    record = ImageRecord("0" * 64, "a.jpg", Size(64, 48)).with_annotations(boxes)
    assert record.labels == ("dog", "cat")
    assert record.annotation(boxes[1].annotation_id) is boxes[1]
    with pytest.raises(KeyError):
        record.annotation("no such id")


def test_class_ids_are_positions_and_only_grow() -> None:
    labels = LabelSet.of(["zebra", "ant", "zebra"])
    grown = labels.with_labels(["ant", "cow"])
    assert grown.names == ("zebra", "ant", "cow")
    assert [grown.class_id(name) for name in grown.names] == [0, 1, 2]
    assert labels.names == ("zebra", "ant")
    assert grown.with_label("cow") is grown
    with pytest.raises(KeyError):
        labels.class_id("cow")


def test_label_set_answers_as_a_collection() -> None:
    labels = LabelSet.of(["dog"])
    assert len(labels) == 1
    assert "dog" in labels
    assert "cat" not in labels
    assert [label.name for label in labels] == ["dog"]
    assert len(LabelSet()) == 0


def test_colours_stay_with_their_labels() -> None:
    labels = LabelSet.of(["cat", "dog"])
    assert labels.with_label("new").colour_of("cat") == PALETTE[0]
    assert labels.colour_of("unknown") == "#888888"


def _lab(tint: str) -> NDArray[np.float64]:
    """Return a colour in CIELAB (D65), where a distance of 2.3 is just noticeable."""
    rgb = np.array([int(tint[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = [
        [0.4124, 0.3576, 0.1805],
        [0.2126, 0.7152, 0.0722],
        [0.0193, 0.1192, 0.9505],
    ]
    x, y, z = np.cbrt(np.array(to_xyz) @ linear / [0.95047, 1.0, 1.08883])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_colours_of_many_labels_can_be_told_apart_and_seen() -> None:
    tints = [label_colour(index) for index in range(80)]
    assert tints[: len(PALETTE)] == list(PALETTE)
    assert all(re.fullmatch("#[0-9A-F]{6}", tint) for tint in tints)
    seen = np.array([_lab(tint) for tint in tints])
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=2)
    assert apart[~np.eye(80, dtype=bool)].min() > 3 * 2.3
    assert seen[:, 0].min() > 20
    assert seen[:, 0].max() < 98


def test_hidden_label_keeps_its_class_id_and_is_offered_no_more() -> None:
    cat, dog, ant = LabelSet.of(["cat", "dog", "ant"])
    labels = LabelSet((cat._replace(place=9), dog._replace(is_hidden=True), ant))
    assert labels.names == ("cat", "dog", "ant")
    assert labels.class_id("ant") == 2
    assert labels.shown_names == ("ant", "cat")
    assert labels.with_label("dog").shown_names == ("dog", "ant", "cat")
    assert labels.with_label("cow").shown_names == ("ant", "cat", "cow")
    assert labels.with_label("ant") is labels


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("a\0b", "ab"),
        ("\ud800x", "x"),
        ("zoë 🐈", "zoë 🐈"),
    ],
)
def test_clean_text_drops_what_databases_refuse(given: str, kept: str) -> None:
    assert clean_text(given) == kept


def test_clean_label_is_one_line_of_bounded_length() -> None:
    assert clean_label("two\nlines") == "two lines"
    assert clean_label(" leading blank") == " leading blank"
    assert len(clean_label("x" * 999)) == 200


@pytest.mark.parametrize("name", ["", "  ", "\0", "\n"])
def test_label_without_a_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="needs a name"):
        clean_label(name)

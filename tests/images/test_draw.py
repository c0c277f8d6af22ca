import numpy as np
import pytest
from numpy.typing import NDArray

from imagebase.annotation import Annotation, Box, LabelSet, Size, Source
from imagebase.images.draw import draw_annotations

LABELS = LabelSet.of(["person", "dog"])
ORANGE = (0xE6, 0x9F, 0x00)
SIZE = Size(640, 480)
BOX = Box(100, 100, 400, 300)


def annotation(
    box: Box = BOX, *, label: str = "person", **fields: object
) -> Annotation:
    return Annotation(box, label, **fields)  # type: ignore[arg-type]


def drawn(
    *annotations: Annotation, size: Size = SIZE, highlighted: tuple[str, ...] = ()
) -> NDArray[np.uint8]:
    grey = np.full((size.height, size.width, 3), 128, np.uint8)
    return draw_annotations(
        grey, annotations, labels=LABELS, from_size=SIZE, highlighted=highlighted
    )


def coloured(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray((rgb == np.array(ORANGE)).all(axis=2))


def test_picture_itself_is_left_alone() -> None:
    rgb = np.full((48, 64, 3), 128, np.uint8)
    rgb.setflags(write=False)
    result = draw_annotations(rgb, [annotation()], labels=LABELS, from_size=SIZE)
    assert result is not rgb
    assert (rgb == 128).all()


def test_nothing_to_draw_gives_a_copy() -> None:
    assert (drawn() == 128).all()


def test_box_has_its_label_colour_where_it_is() -> None:
    found = coloured(drawn(annotation()))
    assert found[200, 100]
    assert found[200, 399]
    assert found[299, 250]
    assert not found[150:290, 110:390].any()


def test_box_is_carried_to_the_size_shown() -> None:
    found = coloured(drawn(annotation(), size=Size(320, 240)))
    rows, columns = np.nonzero(found[60:])
    assert columns.min() in {49, 50}
    assert columns.max() in {199, 200}
    assert rows.max() + 60 in {149, 150}


def test_model_box_is_dashed_and_a_persons_is_solid() -> None:
    by_model = coloured(drawn(annotation(source=Source.MODEL, confidence=0.5)))
    accepted = annotation(source=Source.MODEL, confidence=0.5, accepted=True)
    assert 0.3 < by_model[110:290, 100].mean() < 0.8
    assert coloured(drawn(accepted))[110:290, 100].all()
    assert coloured(drawn(annotation()))[110:290, 100].all()


def test_confidence_makes_the_chip_wider() -> None:
    plain = coloured(drawn(annotation()))[80:98]
    scored = coloured(drawn(annotation(source=Source.MODEL, confidence=0.87)))[80:98]
    assert np.nonzero(scored)[1].max() > np.nonzero(plain)[1].max() > 120


def test_chip_is_left_out_where_the_box_is_much_narrower() -> None:
    found = coloured(drawn(annotation(Box(100, 100, 116, 116))))
    assert found[100:116, 100:116].any()
    assert not found[:98].any()
    assert not found[119:].any()


def test_highlighted_box_is_tinted_and_always_named() -> None:
    box = annotation(Box(100, 100, 116, 116))
    result = drawn(box, highlighted=(box.annotation_id,))
    assert (result[108, 108] != 128).any()
    assert coloured(result)[80:98].any()


def test_chip_at_the_top_edge_goes_inside() -> None:
    assert coloured(drawn(annotation(Box(100, 0, 400, 300))))[3:12, 103:130].any()


@pytest.mark.parametrize(
    "box",
    [
        Box(float("nan"), 0, 10, 10),
        Box(700, 500, 800, 600),
        Box(50, 50, 50, 50),
    ],
    ids=["not finite", "outside", "no area"],
)
def test_box_that_is_not_on_the_picture_is_left_out(box: Box) -> None:
    assert (drawn(annotation(box)) == 128).all()


@pytest.mark.parametrize(
    "label",
    ["", "Ångström µ", "собака", "猫", "🐈", "a\nb", "x" * 200, "<b>:&,"],
)
@pytest.mark.parametrize("size", [Size(300, 225), Size(1600, 1200), Size(1, 1)])
def test_any_label_is_drawn_at_any_size(label: str, size: Size) -> None:
    assert (drawn(annotation(label=label), size=size) != 128).any()


def test_unknown_label_is_grey() -> None:
    result = drawn(annotation(label="cat"))
    assert tuple(result[200, 100]) == (0x88, 0x88, 0x88)


def test_hundreds_of_boxes_are_drawn() -> None:
    boxes = [
        annotation(Box(x, y, x + 30, y + 30))
        for x in range(0, 600, 30)
        for y in range(0, 450, 30)
    ]
    assert coloured(drawn(*boxes)).mean() > 0.05

"""Every family and layout gives its one box, and the net is shown what it was taught.

The expected boxes are worked out here from where each family puts an image.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imagebase.annotation import Size
from imagebase.detection.detector import load_single
from imagebase.detection.model_files import model_in_file
from imagebase.detection.onnx import classifier
from imagebase.detection.onnx.families import FAMILY_NAMES, adapter_for, read_onnx
from tests.detection.onnx.onnx_layouts import (
    BOX,
    CLASS,
    HEIGHT,
    LAYOUTS,
    SCORE,
    WIDTH,
    Layout,
)

# Twice as wide as the net and four fifths as high: 320 × 102 in it, in proportion.
SIZE = Size(640, 204)
by_name = pytest.mark.parametrize(
    "layout", [pytest.param(layout, id=layout.name) for layout in LAYOUTS]
)


def placed_on_the_picture(placing: str) -> list[float]:
    """Return the box of the net on an image of 640 × 204."""
    x_min, y_min, x_max, y_max = BOX
    if placing == "stretched":
        factors = (SIZE.width / WIDTH, SIZE.height / HEIGHT)
        left = top = 0.0
    elif placing == "margin":
        # 636 / 640 of 320 is 318: one pixel on the left, the rest above and below.
        left, top = 1.0, (HEIGHT - round(204 * 318 / 640)) // 2
        factors = (640 / 318, 204 / round(204 * 318 / 640))
    else:
        left, top = 0.0, (HEIGHT - 102) // 2 if placing == "middle" else 0.0
        factors = (2.0, 2.0)
    box = [(x_min - left) * factors[0], (y_min - top) * factors[1]]
    box += [(x_max - left) * factors[0], (y_max - top) * factors[1]]
    return [min(max(edge, 0), SIZE[at % 2]) for at, edge in enumerate(box)]


@pytest.mark.parametrize("runtime", ["openvino", "opencv"])
@by_name
def test_box_is_where_the_family_puts_it(
    layout: Layout, runtime: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(layout.build())
    path.with_suffix(".names").write_text(layout.names)
    model = model_in_file(path, name="m")
    if layout.asked:
        model = replace(model, family=layout.family)
    detector = load_single(model, runtime=runtime)
    picture = np.zeros((SIZE.height, SIZE.width, 3), np.uint8)
    found = detector.candidates(picture, size=SIZE, floor=0.25)
    expected = [placed_on_the_picture(layout.placing)]
    np.testing.assert_allclose(found.xyxy, expected, atol=0.05)
    assert found.class_id.tolist() == [CLASS]
    np.testing.assert_allclose(found.confidence, [SCORE], atol=1e-4)


@by_name
def test_net_is_shown_the_colours_it_was_taught(layout: Layout) -> None:
    family = layout.family if layout.asked else None
    adapter = adapter_for(
        read_onnx(layout.build()), labels=layout.names.count("\n"), family=family
    )
    assert adapter.family == layout.family
    assert adapter.net_size == (WIDTH, HEIGHT)
    picture = np.full((HEIGHT, WIDTH, 3), (255, 51, 0), np.uint8)
    prepared = adapter.prepare(picture, adapter.net_size)
    middle = prepared.blob[0, :, HEIGHT // 2, WIDTH // 2]
    np.testing.assert_allclose(middle, layout.shown, rtol=1e-5, atol=1e-6)


def test_every_family_has_a_layout() -> None:
    others = {"darknet", *classifier.FAMILIES}
    assert {layout.family for layout in LAYOUTS} | others == set(FAMILY_NAMES)

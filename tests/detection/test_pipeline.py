import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from imagebase.annotation import Size
from imagebase.detection.candidates import mirrored_left_right
from imagebase.detection.detector import LoadedModel, load_single
from imagebase.detection.library import find_model
from imagebase.detection.pipeline import ImageSource, detect_many
from imagebase.errors import ImageReadError
from imagebase.images.decode import LoadedImage, encode_png
from tests.detection.darknet.darknet_models import write_one_box_model

PNG = encode_png(np.zeros((48, 64, 3), np.uint8))


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = write_one_box_model(tmp_path_factory.mktemp("models") / "pets")
    return load_single(find_model(str(folder)))


def source(name: str, content: bytes = PNG) -> ImageSource:
    return ImageSource(name, lambda: content)


def black(_: ImageSource) -> LoadedImage:
    return LoadedImage(np.zeros((48, 64, 3), np.uint8), Size(64, 48))


def test_items_come_in_order_though_some_take_longer(detector: LoadedModel) -> None:
    def load(source: ImageSource) -> LoadedImage:
        time.sleep(0.02 if int(source.name) % 3 == 0 else 0)
        return black(source)

    sources = [source(str(i)) for i in range(20)]
    names = [item.name for item in detect_many(detector, sources, load=load)]
    assert names == [source.name for source in sources]


def test_an_item_has_its_size_and_candidates(detector: LoadedModel) -> None:
    (item,) = detect_many(detector, [source("a.png")], floor=0.5)
    assert item.size == Size(64, 48)
    assert item.error is None
    assert item.candidates is not None
    np.testing.assert_allclose(item.candidates.xyxy, [[16, 18, 48, 30]], atol=1e-3)


def test_an_image_that_cannot_be_read_stops_nothing(
    detector: LoadedModel, tmp_path: Path
) -> None:
    gone = ImageSource("gone.png", (tmp_path / "gone.png").read_bytes)
    sources = [source("a.png"), source("bad.png", b"nope"), gone, source("b.png")]
    items = list(detect_many(detector, sources))
    assert [item.candidates is None for item in items] == [False, True, True, False]
    assert isinstance(items[1].error, ImageReadError)
    assert "gone.png: the file cannot be read" in str(items[2].error)


def test_any_other_exception_ends_the_run(detector: LoadedModel) -> None:
    def load(_: ImageSource) -> LoadedImage:
        raise ZeroDivisionError("a mistake in the program")

    with pytest.raises(ZeroDivisionError):
        list(detect_many(detector, [source("a.png")], load=load))


def test_no_images_give_no_items(detector: LoadedModel) -> None:
    assert list(detect_many(detector, [])) == []


def test_only_a_few_sources_are_taken_ahead(detector: LoadedModel) -> None:
    taken: list[int] = []

    def endless() -> Iterator[ImageSource]:
        while True:
            taken.append(len(taken))
            yield source(str(len(taken)))

    items = detect_many(detector, endless(), load=black)
    for _ in range(30):
        next(items)
    items.close()  # type: ignore[attr-defined]
    assert len(taken) <= 30 + 8


def test_closing_stops_the_workers_promptly(detector: LoadedModel) -> None:
    begun: list[str] = []

    def load(source: ImageSource) -> LoadedImage:
        begun.append(source.name)
        time.sleep(0.01)
        return black(source)

    items = detect_many(detector, [source(str(i)) for i in range(500)], load=load)
    next(items)
    items.close()  # type: ignore[attr-defined]
    assert len(begun) < 50
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith("detect")
    ]


def test_a_mirrored_batch_gives_boxes_of_the_upright_pictures(tmp_path: Path) -> None:
    folder = write_one_box_model(tmp_path / "left", box=(-2, 0, 0, 0))
    left = load_single(find_model(str(folder)))
    (plain,) = detect_many(left, [source("a.png")], floor=0.5)
    (turned,) = detect_many(left, [source("a.png")], floor=0.5, mirrored=True)
    assert plain.candidates is not None
    assert turned.candidates is not None
    flipped = mirrored_left_right(plain.candidates, width=64)
    np.testing.assert_allclose(turned.candidates.xyxy, flipped.xyxy)
    assert not np.allclose(turned.candidates.xyxy, plain.candidates.xyxy)

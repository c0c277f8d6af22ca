"""Strangers' models run in worker processes: they crash, hang or fill only those."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from imagebase.annotation import Size
from imagebase.detection import isolated
from imagebase.detection.candidates import MAX_CANDIDATES
from imagebase.detection.detector import load_single
from imagebase.detection.factory import load_apart_if_added
from imagebase.detection.isolated import IsolatedModel, stopping_when
from imagebase.detection.library import find_model
from imagebase.detection.model_files import Model, model_in_file
from imagebase.detection.pipeline import BatchItem, ImageSource, detect_many
from imagebase.detection.validation import dry_run, validate_upload
from imagebase.errors import (
    ModelCrashError,
    ModelLoadError,
    WorkerCancelledError,
)
from imagebase.images.decode import encode_png
from imagebase.settings import DEFAULT_MODEL, Limits
from tests.conftest import SHARED_DATA
from tests.detection.darknet.darknet_models import write_one_box_model
from tests.detection.onnx import hostile_models

BLACK, WHITE = (np.full((320, 320, 3), value, np.uint8) for value in (0, 255))
SIZE = Size(320, 320)


def written(content: bytes, folder: Path) -> Model:
    path = folder / "odd.onnx"
    path.write_bytes(content)
    path.with_suffix(".names").write_text(hostile_models.NAMES)
    return model_in_file(path, name="odd")


def image(pixels: np.ndarray, name: str) -> ImageSource:
    return ImageSource(name, lambda: encode_png(pixels))


@pytest.fixture
def gaps() -> Iterator[list[float]]:
    """The seconds between the turns of another thread: a server's, as it were."""
    measured, done = [0.0], threading.Event()

    def beat() -> None:
        before = time.monotonic()
        while not done.wait(0.02):
            measured.append(time.monotonic() - before)
            before = time.monotonic()

    thread = threading.Thread(target=beat)
    thread.start()
    yield measured
    done.set()
    thread.join()


def test_added_model_gives_the_same_boxes_apart_as_here(tmp_path: Path) -> None:
    model = find_model(str(write_one_box_model(tmp_path / "pets")))
    here, apart = load_single(model), load_apart_if_added(model)
    assert isinstance(apart, IsolatedModel)
    for mirrored in (False, True):
        a, b = (
            one.candidates(BLACK[:48, :64], size=Size(64, 48), mirrored=mirrored)
            for one in (here, apart)
        )
        np.testing.assert_array_equal(a.xyxy, b.xyxy)
        np.testing.assert_array_equal(a.confidence, b.confidence)
        assert a.class_id.tolist() == b.class_id.tolist() == [1]
    for name in ("sha256", "model_id", "input_size", "wanted", "precision", "labels"):
        assert getattr(here, name) == getattr(apart, name), name


def test_bundled_model_runs_in_this_process() -> None:
    assert not isinstance(load_apart_if_added(find_model(DEFAULT_MODEL)), IsolatedModel)


def test_model_that_crashes_names_itself_and_the_image(tmp_path: Path) -> None:
    detector = IsolatedModel(written(hostile_models.reads_far_on_white(), tmp_path))
    sources = [image(BLACK, "a.png"), image(WHITE, "white.png"), image(BLACK, "b.png")]
    items = list(detect_many(detector, sources))
    assert [item.candidates is not None for item in items] == [True, False, True]
    assert "The model odd crashed on white.png" in str(items[1].error)


def test_run_ends_where_a_model_crashes_on_each_image(tmp_path: Path) -> None:
    detector = IsolatedModel(written(hostile_models.reads_far_on_white(), tmp_path))
    taken: list[BatchItem] = []
    with pytest.raises(ModelLoadError, match="odd crashed on 3 images in a row"):
        taken.extend(
            detect_many(detector, [image(WHITE, f"{at}.png") for at in range(20)])
        )


def test_model_that_hangs_on_an_image_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gaps: list[float]
) -> None:
    monkeypatch.setattr(isolated, "START_SECONDS", 3.0)
    model = written(hostile_models.never_returns(), tmp_path)
    with pytest.raises(ModelLoadError, match="took more than 3 s"):
        IsolatedModel(model)
    assert max(gaps) < 1


def test_cancelling_stops_it_amid_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = written(hostile_models.never_returns(), tmp_path)
    asked = threading.Event()
    threading.Timer(2, asked.set).start()
    started = time.monotonic()
    with pytest.raises(WorkerCancelledError), stopping_when(asked.is_set):
        IsolatedModel(model)
    assert time.monotonic() - started < 30


CRASHES = {
    "reads out of bounds": hostile_models.reads_far_by_gather_nd,
    "writes out of bounds": hostile_models.writes_far_by_scatter_nd,
    "reads out of bounds on white": hostile_models.reads_far_on_white,
    "fills the memory": hostile_models.fills_the_memory,
}


@pytest.mark.parametrize("made", CRASHES.values(), ids=CRASHES)
def test_trial_ends_in_a_sentence_and_the_server_goes_on(
    made: Callable[[], bytes], gaps: list[float]
) -> None:
    uploads = [("odd.onnx", made()), ("odd.names", hostile_models.NAMES.encode())]
    validation = validate_upload(uploads, limits=Limits())
    assert validation.draft is not None, validation.findings
    limits = Limits(max_model_memory_bytes=1_000_000_000)
    with pytest.raises(ModelLoadError, match="The model"):
        dry_run(validation.draft.model, limits=limits)
    assert max(gaps) < 1


def test_the_shared_case_crashes_only_its_worker(gaps: list[float]) -> None:
    path = SHARED_DATA / "cases" / "hostile" / "index_from_the_image.onnx"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    uploads = [("odd.onnx", path.read_bytes())]
    validation = validate_upload(uploads, limits=Limits())
    assert validation.draft is not None, validation.findings
    with pytest.raises(ModelCrashError, match=r"The model crashed on an? \w+ image"):
        dry_run(validation.draft.model)
    assert max(gaps) < 1


def test_model_that_sees_boxes_everywhere_fills_no_dataset(tmp_path: Path) -> None:
    detector = IsolatedModel(written(hostile_models.sees_boxes_everywhere(), tmp_path))
    found = detector.candidates(BLACK, size=SIZE)
    assert len(found) == MAX_CANDIDATES
    assert found.confidence.min() > 0.9


REFUSED = {
    "Loop": hostile_models.loops,
    "If": hostile_models.branches,
    "Grow of com.example": hostile_models.of_others,
    "StringConcat": hostile_models.unknown_operator,
    "10000 nodes": hostile_models.many_nodes,
    "1000000 × 1000000": hostile_models.huge_input,
    "weights in another file": hostile_models.external_data,
    "300000 parts": hostile_models.empty_nodes,
    "than 300000 parts": hostile_models.packed_numbers,
    "more than 300000 parts": hostile_models.empty_strings,
}


@pytest.mark.parametrize(("named", "made"), REFUSED.items(), ids=REFUSED)
def test_what_no_detector_needs_is_refused_by_name(
    named: str, made: Callable[[], bytes]
) -> None:
    uploads = [("odd.onnx", made()), ("odd.names", hostile_models.NAMES.encode())]
    validation = validate_upload(uploads, limits=Limits())
    assert not validation.is_usable
    assert any(named in finding.text for finding in validation.findings)

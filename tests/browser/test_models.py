"""Models of one's own, as a person adds them: dropped, examined, used, exported."""

import hashlib
import json
import re
import threading
import time
import zipfile
from pathlib import Path
from urllib.parse import urljoin
from urllib.request import urlopen

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from imagebase.annotation import ReviewStatus
from imagebase.images.decode import encode_png
from imagebase.images.scan import Incoming
from imagebase.ingest.add_images import admit
from imagebase.settings import Limits
from imagebase.store import CandidatesKey
from tests.browser.conftest import ROOT, Dataset
from tests.browser.test_whole_path import go_to
from tests.detection.darknet.darknet_models import write_one_box_model
from tests.detection.onnx import hostile_models
from tests.detection.onnx.onnx_builder import bright_or_dark
from tests.detection.validation.test_broken_uploads import V8

pytestmark = pytest.mark.browser


@pytest.fixture
def models_page(page: Page, dataset: Dataset) -> Page:
    page.goto(dataset.at("models"))
    expect(page.get_by_text("yolox-nano").first).to_be_visible(timeout=30_000)
    return page


def drop(page: Page, *files: Path) -> None:
    page.locator("input[type=file]").set_input_files(files)
    expect(page.get_by_text("Validation")).to_be_visible(timeout=60_000)


def keep(page: Page, name: str) -> None:
    field = page.get_by_role("textbox", name="Name", exact=True)
    expect(field).to_be_visible(timeout=60_000)
    field.fill(name)
    page.get_by_role("button", name="Add model").click()
    expect(page.get_by_text(f"{name} was added")).to_be_visible(timeout=20_000)


@pytest.mark.long
def test_a_model_is_downloaded_and_dropped_again(
    models_page: Page, tmp_path: Path
) -> None:
    with models_page.expect_download(timeout=60_000) as download:
        models_page.locator(".st-key-models-download-yolov4-tiny a").first.click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    assert path.name == "yolov4-tiny.zip"
    with zipfile.ZipFile(path) as archive:
        three = {"obj.cfg", "obj.weights", "obj.names"}
        assert three | {"obj.onnx"} <= set(archive.namelist())
    drop(models_page, path)
    expect(models_page.get_by_role("textbox", name="Name", exact=True)).to_be_visible(
        timeout=60_000
    )


def choose_model(page: Page, title: str) -> None:
    page.locator(".st-key-annotate-model input").click()
    page.get_by_role("option", name=title).click()


def annotate_and_keep(page: Page, title: str) -> None:
    go_to(page, "Annotate")
    choose_model(page, title)
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text("Ran on 1 image")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name=re.compile(r"Save \d+ box")).click()
    expect(page.get_by_text(re.compile(r"box(es)? saved"))).to_be_visible(
        timeout=60_000
    )


def exported_labels(page: Page, folder: Path) -> list[str]:
    go_to(page, "Export")
    button = page.get_by_role("link", name=re.compile("Download .*coco.zip"))
    expect(button).to_be_visible(timeout=60_000)
    with page.expect_download() as started:
        button.click()
    path = folder / "labels.zip"
    started.value.save_as(path)
    with zipfile.ZipFile(path) as archive:
        coco = json.loads(archive.read("annotations/instances_default.json"))
    names = {entry["id"]: entry["name"] for entry in coco["categories"]}
    return [names[entry["category_id"]] for entry in coco["annotations"]]


def test_custom_darknet_model_is_dropped_used_and_its_boxes_exported(
    models_page: Page, tmp_path: Path
) -> None:
    page = models_page
    folder = write_one_box_model(tmp_path / "pets")
    drop(page, folder / "obj.cfg", folder / "obj.weights", folder / "obj.names")
    expect(page.get_by_text("21,511 numbers, as the cfg needs.")).to_be_visible()
    expect(page.get_by_alt_text("Sample image with")).to_be_visible(timeout=60_000)
    keep(page, "Pets")
    go_to(page, "Upload")
    expect(page.get_by_text("Drop images above")).to_be_visible(timeout=20_000)
    expect(page.get_by_text("Validation")).to_have_count(0)
    expect(page.locator("input[type=file]")).to_have_count(1)
    page.locator("input[type=file]").set_input_files(ROOT / "samples" / "bear.jpg")
    expect(page.get_by_text("1 image added")).to_be_visible(timeout=20_000)
    annotate_and_keep(page, "Pets, 2 labels")
    assert exported_labels(page, tmp_path) == ["dog"]


@pytest.mark.long
def test_onnx_model_is_added(models_page: Page, tmp_path: Path) -> None:
    path = tmp_path / "v8.onnx"
    path.write_bytes(V8)
    drop(models_page, path)
    expect(models_page.get_by_text("YOLOv8, 11 or 12, 96 × 64 pixels")).to_be_visible()
    keep(models_page, "Eight")
    expect(models_page.get_by_text("YOLOv8, 11 or 12 · 96 × 64 px")).to_be_visible()


@pytest.mark.long
def test_bad_model_is_refused_with_a_message(models_page: Page, tmp_path: Path) -> None:
    folder = write_one_box_model(tmp_path / "pets")
    weights = (folder / "obj.weights").read_bytes()
    (folder / "obj.weights").write_bytes(weights[:-4])
    drop(models_page, *sorted(folder.iterdir()))
    expect(
        models_page.get_by_text("obj.weights is too short for this cfg")
    ).to_be_visible()
    expect(models_page.get_by_text("No model was added.")).to_be_visible()
    expect(models_page.get_by_role("button", name="Add model")).to_have_count(0)


@pytest.mark.long
def test_hostile_model_ends_in_a_sentence_and_the_server_answers(
    models_page: Page, tmp_path: Path
) -> None:
    (tmp_path / "odd.onnx").write_bytes(hostile_models.reads_far_by_gather_nd())
    (tmp_path / "odd.names").write_text(hostile_models.NAMES)
    address = urljoin(models_page.url, "/_stcore/health")
    seconds, done = [0.0], threading.Event()

    def ask() -> None:
        while not done.wait(0.1):
            started = time.monotonic()
            with urlopen(address, timeout=30) as answer:
                assert answer.status == 200
            seconds.append(time.monotonic() - started)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        drop(models_page, *sorted(tmp_path.iterdir()))
        sentence = models_page.get_by_text(
            re.compile("The model could not be run: it crashed")
        )
        expect(sentence).to_be_visible(timeout=60_000)
    finally:
        done.set()
        asking.join()
    assert len(seconds) > 5
    assert max(seconds) < 1


def shade(value: int) -> bytes:
    """Return a photograph so bright that nothing but the light tells."""
    noise = np.random.default_rng(value).integers(-9, 10, (48, 64, 3))
    return encode_png((noise + value).astype(np.uint8))


def test_classifier_is_dropped_and_proposes_tags(
    models_page: Page, dataset: Dataset, tmp_path: Path
) -> None:
    page = models_page
    files = [Incoming("night.png", shade(30)), Incoming("day.png", shade(230))]
    admit(dataset.store, dataset.scope, files, limits=Limits())
    night, day = dataset.records()
    path = tmp_path / "light.onnx"
    path.write_bytes(bright_or_dark())
    drop(page, path)
    expect(page.get_by_text("Classifier, 32 × 32 pixels, 2 classes")).to_be_visible()
    name = f"Light {dataset.scope.dataset_id[:8]}"
    keep(page, name)
    page.goto(f"{dataset.at('edit')}&image={night.image_id[:12]}")
    page.get_by_role("button", name="Source").click()
    page.get_by_role("combobox", name="Tags are proposed by").click()
    page.get_by_role("option", name=name).click()
    take = page.locator(".st-key-tags-take-0 button:visible")
    expect(take).to_have_text(re.compile("dark"), timeout=60_000)
    expect(page.get_by_role("slider", name="Minimum confidence")).to_be_visible()
    page.keyboard.press("Escape")
    take.click()
    expect(take).to_have_count(0)
    saved = dataset.store.record(dataset.scope, night.image_id)
    assert (saved.tags, saved.status) == (("dark",), ReviewStatus.NEW)

    page.goto(dataset.at("review"))
    page.get_by_role("radio", name="Tags", exact=True).click()
    expect(page.get_by_text(f"Tags are proposed by {name}.")).to_be_visible()
    page.get_by_role("button", name="Take for all 1 image").click()
    expect(page.get_by_text("proposes no tags at this")).to_be_visible()
    saved = dataset.store.record(dataset.scope, day.image_id)
    assert (saved.tags, saved.status) == (("bright",), ReviewStatus.NEW)

    page.goto(dataset.at("models"))
    page.locator(f".st-key-models-delete-{name.replace(' ', '-')} button").click()
    expect(page.get_by_text("Its tags are kept")).to_be_visible()
    page.locator(".st-key-models-really_delete button").click()
    expect(page.get_by_text(name)).to_have_count(0)
    digest = hashlib.sha256(path.read_bytes() + b"family=classifier").hexdigest()
    key = CandidatesKey(digest, 32, "f32", "single")
    assert not dataset.store.has_candidates(dataset.scope, key)

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from imagebase.images.decode import encode_png
from imagebase.images.scan import Incoming, Refused
from imagebase.ingest.add_images import AdmissionReport, admit
from imagebase.settings import SAMPLES_FOLDER, Limits
from imagebase.store import Scope, Store

# What differs between databases is the store's.
pytestmark = pytest.mark.parametrize("store_settings", ["sqlite"], indirect=True)

LIMITS = Limits()


def png(shade: int) -> bytes:
    return encode_png(np.full((48, 64, 3), shade, np.uint8))


def given(*names: str) -> list[Incoming]:
    """Return images of different content."""
    return [Incoming(name, png(shade)) for shade, name in enumerate(names)]


def names(store: Store, scope: Scope) -> list[str]:
    return [record.file_name for record in store.records(scope)]


def test_images_come_in_with_their_size_and_quality(store: Store, scope: Scope) -> None:
    data = (SAMPLES_FOLDER / "fruit.jpg").read_bytes()
    report = admit(store, scope, [Incoming("in/fruit.jpg", data)], limits=LIMITS)
    (record,) = store.records(scope)
    assert report == AdmissionReport(added=(record.image_id,))
    assert record.file_name == "in/fruit.jpg"
    assert record.size == (640, 531)
    assert record.quality is not None
    assert store.image_bytes(scope, record.image_id) == data


def test_nothing_given_is_nothing_done(store: Store, scope: Scope) -> None:
    assert admit(store, scope, [], limits=LIMITS) == AdmissionReport()


def test_refused_image_is_named_and_stops_nothing(store: Store, scope: Scope) -> None:
    a, b = given("a.png", "b.png")
    broken = Incoming("broken.png", b"nothing")
    before = Refused("in.zip", "in.zip is a zip among the images.")
    report = admit(store, scope, [a, broken, before, b], limits=LIMITS)
    assert names(store, scope) == ["a.png", "b.png"]
    assert [image.file_name for image in report.refused] == ["broken.png", "in.zip"]
    assert report.refused[0].reason.startswith("broken.png is not an image")
    assert report.refused[1] == before


def test_content_that_is_there_already_is_reported_by_its_new_name(
    store: Store, scope: Scope
) -> None:
    admit(store, scope, given("a.png"), limits=LIMITS)
    report = admit(store, scope, [Incoming("copy.png", png(0))], limits=LIMITS)
    assert report == AdmissionReport(present=("copy.png",))
    assert names(store, scope) == ["a.png"]


def test_full_dataset_takes_no_more_and_says_so(store: Store, scope: Scope) -> None:
    limits = replace(LIMITS, max_dataset_images=2)
    report = admit(store, scope, given("a.png", "b.png", "c.png"), limits=limits)
    assert len(report.added) == 2
    assert report.refused[0].file_name == "c.png"
    assert "full at 2 images" in report.refused[0].reason
    again = admit(store, scope, given("a", "b", "c", "d.png")[3:], limits=limits)
    assert again.added == ()


def test_image_that_is_there_already_takes_no_room(store: Store, scope: Scope) -> None:
    limits = replace(LIMITS, max_dataset_images=2)
    twice = [*given("a.png"), Incoming("copy.png", png(0)), Incoming("b.png", png(1))]
    report = admit(store, scope, twice, limits=limits)
    assert len(report.added) == 2
    assert report.refused == ()


def test_dataset_holds_no_more_bytes_than_allowed(store: Store, scope: Scope) -> None:
    limits = replace(LIMITS, max_dataset_bytes=len(png(0) + png(1)) + 20)
    report = admit(store, scope, given("a.png", "b.png", "c.png"), limits=limits)
    assert len(report.added) == 2
    assert "this dataset may hold" in report.refused[0].reason


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (replace(LIMITS, max_file_bytes=50), "larger than"),
        (replace(LIMITS, max_image_pixels=1000), "pixels"),
    ],
    ids=["bytes", "pixels"],
)
def test_image_above_a_limit_is_refused(
    store: Store, scope: Scope, limits: Limits, reason: str
) -> None:
    report = admit(store, scope, given("a.png"), limits=limits)
    assert reason in report.refused[0].reason
    assert names(store, scope) == []


def test_every_file_is_reported_once_it_is_dealt_with(
    store: Store, scope: Scope
) -> None:
    told: list[str] = []
    a, b = given("a.png", "b.png")
    bad = Incoming("bad.png", b"")
    files: list[Incoming | Refused] = [a, Refused("x.zip", "no"), bad, a, b]
    admit(store, scope, files, limits=LIMITS, on_item=told.append)
    assert told == ["a.png", "x.zip", "bad.png", "a.png", "b.png"]


def test_what_another_tab_adds_meanwhile_counts(store: Store, scope: Scope) -> None:
    limits = replace(LIMITS, max_dataset_images=25)

    def dropped() -> Iterator[Incoming]:
        yield from (Incoming(f"{shade}.png", png(shade)) for shade in range(10))
        others = [Incoming(f"{shade}.png", png(shade)) for shade in range(100, 110)]
        admit(store, scope, others, limits=limits)
        yield from (Incoming(f"{shade}.png", png(shade)) for shade in range(10, 20))

    report = admit(store, scope, dropped(), limits=limits)
    assert len(names(store, scope)) == 25
    assert "full at 25 images" in report.refused[-1].reason

"""Uploads decoded in worker processes: what one file does to it harms no other."""

import threading
import time

import pytest

from imagebase.errors import WorkerCancelledError, WorkerCrashError
from imagebase.images import decode_apart
from imagebase.images.decode_apart import Harmful, prepare_each
from imagebase.images.scan import Incoming, PreparedImage, Refused, prepare
from imagebase.settings import Limits
from imagebase.workers.process import Answer, Array, Values, WorkerProcess
from tests.images.hostile_images import saved
from tests.workers import tasks

PHOTOGRAPH = saved("JPEG")


def decode_or_misbehave(values: Values, arrays: list[Array]) -> Answer:
    """Do what a decoder's fault would do, where a file is called so."""
    if "crash.jpg" in values["names"]:
        return tasks.crash(values, arrays)
    if "hang.jpg" in values["names"]:
        time.sleep(60)
    if "fill.jpg" in values["names"]:
        return tasks.fill({"bytes": 8_000_000_000}, [])
    if "lie.jpg" in values["names"]:
        return Answer({"files": [{"size": [-1, 5], "refused": ""}]})
    return decode_apart.decode_batch(values, arrays)


@pytest.fixture
def misbehaving(monkeypatch: pytest.MonkeyPatch) -> None:
    original = WorkerProcess.call

    def call(
        self: WorkerProcess, task: object, *args: object, **kwargs: object
    ) -> Answer:
        kwargs["seconds"] = 2.0
        return original(self, decode_or_misbehave, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(WorkerProcess, "call", call)


def names(*files: str) -> list[Incoming | Refused]:
    return [Incoming(name, PHOTOGRAPH) for name in files]


def test_images_come_back_as_they_would_in_this_process() -> None:
    files = [*names("a.jpg"), Refused("b.zip", "no"), Incoming("c.jpg", b"nothing")]
    first, second, third = prepare_each(files, Limits())
    assert first == prepare(Incoming("a.jpg", PHOTOGRAPH), Limits())
    assert second == Refused("b.zip", "no")
    assert isinstance(third, Refused)
    assert "c.jpg is not an image ImageBase can read" in third.reason


def test_prepared_images_pass_through_without_a_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(WorkerProcess, "call", None)
    ready = prepare(Incoming("a.jpg", PHOTOGRAPH), Limits())
    assert list(prepare_each([ready, Refused("b", "no")], Limits())) == [
        ready,
        Refused("b", "no"),
    ]


def test_batches_keep_the_order() -> None:
    files = names(*(f"{number}.jpg" for number in range(50)))
    assert [one.file_name for one in prepare_each(files, Limits())] == [
        f"{number}.jpg" for number in range(50)
    ]


@pytest.mark.usefixtures("misbehaving")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("crash.jpg", "ended the decoder"),
        ("hang.jpg", "takes longer than 30 seconds to decode"),
        ("fill.jpg", "takes more memory to decode than is allowed"),
    ],
)
def test_only_the_guilty_file_is_refused(name: str, reason: str) -> None:
    limits = Limits(max_file_bytes=1_000_000, max_image_pixels=1_000_000)
    a, guilty, b = prepare_each(names("a.jpg", name, "b.jpg"), limits)
    assert isinstance(a, PreparedImage)
    assert isinstance(b, PreparedImage)
    assert guilty == Harmful(
        name, f"{name} {reason}; save it again in an image program."
    )


@pytest.mark.usefixtures("misbehaving")
def test_answer_that_cannot_be_true_is_a_crash() -> None:
    (lie,) = prepare_each(names("lie.jpg"), Limits())
    assert isinstance(lie, Refused)


@pytest.mark.usefixtures("misbehaving")
def test_cancelling_ends_a_decoding_at_once() -> None:
    begun = time.monotonic()
    with pytest.raises(WorkerCancelledError):
        list(
            prepare_each(
                names("hang.jpg"),
                Limits(),
                should_stop=lambda: time.monotonic() - begun > 0.5,
            )
        )
    assert time.monotonic() - begun < 2


def test_without_processes_images_are_decoded_here(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def start(self: WorkerProcess, **_: object) -> Answer:
        raise WorkerCrashError("no process here")

    monkeypatch.setattr(WorkerProcess, "start", start)
    (image,) = prepare_each(names("a.jpg"), Limits())
    assert image == prepare(Incoming("a.jpg", PHOTOGRAPH), Limits())
    assert "no worker starts" in caplog.text


def test_caller_that_stops_early_leaves_no_thread() -> None:
    before = threading.active_count()
    images = prepare_each(names(*["a.jpg"] * 40), Limits())
    next(images)
    images.close()
    assert [t for t in threading.enumerate() if t.name.startswith("decode")] == []
    assert threading.active_count() <= before + 2

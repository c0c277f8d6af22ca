"""Runs whose images and results are behind URLs; S3 is a real server."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from imagebase.batch.output import RunSummary
from imagebase.batch.run import annotate
from imagebase.batch.upload import Upload
from imagebase.cli import app
from imagebase.errors import ExportError, ImageReadError
from imagebase.formats.registry import FORMATS
from imagebase.images.locations import Location, open_location, shown_url
from imagebase.settings import SAMPLES_FOLDER, settings
from tests.detection.darknet.darknet_models import write_one_box_model
from tests.s3_server import s3_server

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PHOTOS = sorted(SAMPLES_FOLDER.glob("*.jpg"))[:4]


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, str]]:
    """A bucket `images` with four photographs in `photos`; its environment."""
    with s3_server("images") as environment:
        photos = open_location("s3://images/photos")
        for path in PHOTOS:
            photos.write(f"day/{path.name}", path.read_bytes())
        yield environment


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that finds one dog in the middle of every image."""
    return str(write_one_box_model(tmp_path_factory.mktemp("models") / "pets"))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("IMAGEBASE_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


@pytest.fixture
def output(bucket: dict[str, str], tmp_path: Path) -> Location:
    """A folder of the bucket that no other test uses."""
    return open_location(f"s3://images/{tmp_path.name}/labels")


def run(
    output: Location | Path, model: str, formats: Sequence[str] = ("coco", "yolo")
) -> RunSummary:
    place = output.url if isinstance(output, Location) else output
    return annotate("s3://images/photos", place, model=model, formats=formats)


def contents(place: Location | Path) -> dict[str, bytes]:
    """Return the files but run.json, which holds the time."""
    if isinstance(place, Location):
        found = dict(place.read_many(list(place.sizes())))
    else:
        found = {
            path.relative_to(place).as_posix(): path.read_bytes()
            for path in place.rglob("*")
            if path.is_file()
        }
    assert found.pop("run.json")
    return found


def test_every_format_is_the_same_in_a_bucket_as_in_a_folder(
    output: Location, pets: str, tmp_path: Path, home: Path
) -> None:
    formats = tuple(FORMATS)
    here = run(tmp_path / "labels", pets, formats)
    there = run(output, pets, formats)
    assert (there.images, there.boxes) == (here.images, here.boxes) == (4, 4)
    assert contents(output) == contents(tmp_path / "labels")
    assert list((home / "runs").iterdir()) == []


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_any_file_system_takes_results(
    scheme: str, bucket: dict[str, str], pets: str, tmp_path: Path
) -> None:
    run(tmp_path / "labels", pets)
    output = open_location(f"{scheme}://{tmp_path}/there/labels")
    assert run(output, pets).images == 4
    assert contents(output) == contents(tmp_path / "labels")


def test_another_run_replaces_what_the_first_wrote(output: Location, pets: str) -> None:
    run(output, pets)
    before = contents(output)
    (output / "yolo").write("mine.txt", b"kept")
    annotate(
        f"s3://images/photos/day/{PHOTOS[0].name}",
        output.url,
        model=pets,
        formats=["yolo"],
    )
    after = contents(output)
    labels = [name for name in after if name.startswith("yolo/labels/train/")]
    assert labels == [f"yolo/labels/train/{PHOTOS[0].stem}.txt"]
    assert after["yolo/mine.txt"] == b"kept"
    assert after["coco/annotations.json"] == before["coco/annotations.json"]


def test_a_name_with_brackets_is_no_pattern(
    output: Location, pets: str, tmp_path: Path
) -> None:
    photos = open_location(f"s3://images/{tmp_path.name}/photos")
    photos.write("a [7].jpg", PHOTOS[0].read_bytes())
    for _ in range(2):
        annotate(photos.url, output.url, model=pets, formats=["yolo"])
    output.write(path := "yolo/labels/train/a [7].txt", b"0 0.5 0.5 1 1")
    with pytest.raises(ExportError, match="was changed after ImageBase wrote it"):
        annotate(photos.url, output.url, model=pets, formats=["yolo"])
    assert output.read(path) == b"0 0.5 0.5 1 1"


def test_names_that_label_files_cannot_tell_apart_are_refused_alone(
    output: Location, pets: str, tmp_path: Path
) -> None:
    photos = open_location(f"s3://images/{tmp_path.name}/photos")
    for name in ("d/a.jpg", "d//a.jpg", "back\\slash.jpg"):
        photos.write(name, PHOTOS[0].read_bytes())
    done = annotate(photos.url, output.url, model=pets)
    assert done.images == 1
    assert {one.file for one in done.refused} == {"d//a.jpg", "back\\slash.jpg"}


@pytest.mark.parametrize("path", ["coco/annotations.json", "yolo/data.yaml"])
def test_edited_label_file_is_refused_before_any_work(
    path: str, output: Location, pets: str
) -> None:
    run(output, pets)
    output.write(path, output.read(path).replace(b"dog", b"cat"))  # type: ignore[union-attr]
    before = contents(output)
    with pytest.raises(ExportError, match="was changed after ImageBase wrote it"):
        run(output, pets)
    assert contents(output) == before


def test_file_of_another_program_is_not_replaced(output: Location, pets: str) -> None:
    output.write("yolo/data.yaml", b"names: [mine]")
    with pytest.raises(ExportError, match=r"data\.yaml is in the way"):
        run(output, pets)
    assert output.sizes() == {"yolo/data.yaml": 13}


def test_interrupted_upload_is_told_by_run_json_and_mended_by_the_next_run(
    output: Location, pets: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotate("s3://images/photos", output.url, model=pets, confidence=0.99)
    with monkeypatch.context() as patch:
        patch.setattr(Location, "upload", first_file_only(Location.upload))
        with pytest.raises(ExportError, match="cannot be written to"):
            run(output, pets)
    left = output.sizes()
    assert "run.json" not in left
    assert "coco/manifest.json" not in left
    again = run(output, pets)
    assert (again.resumed, again.images) == (4, 4)
    run(tmp_path / "labels", pets)
    assert contents(output) == contents(tmp_path / "labels")


def test_of_two_runs_from_two_machines_into_one_folder_the_first_stops(
    output: Location, pets: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = Location.upload

    def meanwhile(target: Location, *given: Any) -> None:  # noqa: ANN401
        monkeypatch.setattr(Location, "upload", upload)
        monkeypatch.setenv("IMAGEBASE_HOME", str(tmp_path / "other machine"))
        settings.cache_clear()
        annotate("s3://images/photos", output.url, model=pets, confidence=0.9)
        upload(target, *given)

    monkeypatch.setattr(Location, "upload", meanwhile)
    with pytest.raises(ExportError, match="Another run is writing to"):
        annotate("s3://images/photos", output.url, model=pets)


def first_file_only(
    upload: Callable[[Location, Path, Sequence[str]], None],
) -> Callable[..., None]:
    def fail(target: Location, folder: Path, names: Sequence[str], _: object) -> None:
        upload(target, folder, names[:1])
        raise ExportError(f"{target.url} cannot be written to")

    return fail


def test_killed_run_resumes_from_the_journal_on_this_machine(
    output: Location, pets: str, home: Path, tmp_path: Path
) -> None:
    photos = open_location(f"s3://images/{tmp_path.name}/photos")
    for number in range(60):
        photos.write(f"{number:03}.jpg", PHOTOS[0].read_bytes())
    command = ["annotate", photos.url, "--output", output.url, "--model", pets]
    process = subprocess.Popen([sys.executable, "-m", "imagebase", *command, "--quiet"])
    journal = Upload.to(output, home).folder / "run.journal"
    while not journal.exists() or len(journal.read_bytes().splitlines()) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert output.sizes() == {}
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "60 images" in result.stdout
    assert "seen before" in result.stdout
    assert output.read("run.json") is not None


def test_place_that_takes_nothing_is_refused_before_any_work(
    bucket: dict[str, str], pets: str
) -> None:
    with pytest.raises(ExportError, match="s3://missing/labels cannot be written to"):
        annotate("s3://images/photos", "s3://missing/labels", model=pets)
    with pytest.raises(ImageReadError, match="s3://missing/photos is not there"):
        annotate("s3://missing/photos", "s3://images/none", model=pets)


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("s3://images/photos", "needs a package .*`pip install 'imagebase\\[s3\\]'"),
        ("https://example.org/a.zip", "needs a package .*'imagebase\\[s3\\]'"),
        ("nothing://a", r"nothing://a cannot be used"),
    ],
)
def test_missing_package_is_named(
    url: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(url: str) -> None:
        raise ImportError("Install s3fs to access S3")

    if not url.startswith("nothing"):
        monkeypatch.setattr("imagebase.images.locations.url_to_fs", missing)
    with pytest.raises(ImageReadError, match=advice):
        open_location(url)


def test_no_message_shows_credentials() -> None:
    assert shown_url("https://h/a.jpg?X-Amz-Signature=abc") == "https://h/a.jpg"
    assert shown_url("ftp://ann:hunter22@h/a") == "ftp://ann:***@h/a"
    assert shown_url("https://ghp_token@h/a@2.jpg") == "https://***@h/a@2.jpg"


def test_token_in_an_address_is_not_shown(pets: str, tmp_path: Path) -> None:
    source = "memory://hunter22@host/bad"
    open_location(source).write("a.jpg", b"no image")
    for place in (str(tmp_path / "out"), "https://hunter22@host/labels"):
        result = CliRunner().invoke(
            app, ["annotate", source, "--output", place, "--model", pets]
        )
        assert result.exit_code != 0
        assert "***@host" in "".join(result.output.split())
        assert "hunter22" not in result.output


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKEY:hunter22@images/photos",
        "s3://AKEY:hun/ter22@images/photos",
        "s3://hunter22@images/photos",
        "simplecache::s3://AKEY:hunter22@images/photos",
    ],
)
def test_bucket_with_credentials_is_refused_without_them(url: str, pets: str) -> None:
    for source, target in ((url, "s3://images/labels"), ("s3://images/photos", url)):
        result = CliRunner().invoke(
            app, ["annotate", source, "--output", target, "--model", pets]
        )
        assert result.exit_code != 0
        assert "takes no credentials" in " ".join(result.output.split())
        assert "ter22" not in result.output

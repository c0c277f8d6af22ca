"""Pages of a dataset that lost an image's file: it is named, and the rest is there."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from imagebase.images.thumbnails import NO_FILE, is_placeholder
from imagebase.settings import settings
from imagebase.store import JobState
from imagebase.ui import cache
from tests.app_fixtures import Tab, photograph, records, the_scope

Damage = Callable[[Path], object]


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def alter(path: Path) -> None:
    """Change a file at equal length."""
    data = path.read_bytes()
    path.write_bytes(data[:-2000] + bytes(1998) + data[-2:])


@pytest.fixture(
    params=[Path.unlink, pytest.param(shorten, marks=pytest.mark.long), alter],
    ids=["gone", "cut", "altered"],
)
def damage(request: pytest.FixtureRequest) -> Damage:
    found: Damage = request.param
    return found


@pytest.fixture
def lossy(labelled: Tab, damage: Damage) -> Tab:
    """A tab whose first photograph, the kitchen, has lost its file."""
    assert is_whole(labelled)
    kitchen, _ = records()
    folder = Path(settings().storage_url) / the_scope().owner_id
    damage(folder / kitchen.image_id[:2] / kitchen.image_id)
    # What the first page has left of it would hide the loss.
    shutil.rmtree(folder / "thumbnails")
    cache._plain_tile.cache_clear()
    return labelled


def pictures(tab: Tab) -> list[str]:
    """Return the addresses of all images on the page."""
    return [
        picture.url for widget in tab.app.get("image") for picture in widget.proto.imgs
    ]


def is_whole(tab: Tab) -> bool:
    return not (tab.app.exception or tab.app.error)


def test_upload_shows_the_others_and_what_to_do(lossy: Tab) -> None:
    lossy.open("upload")
    assert is_whole(lossy)
    assert [is_placeholder(picture) for picture in pictures(lossy)] == [True, False]
    assert NO_FILE in lossy.words()
    lossy.uploads(("again.jpg", photograph("kitchen.jpg")))
    assert [is_placeholder(picture) for picture in pictures(lossy)] == [False, False]
    assert NO_FILE not in lossy.words()


def test_edit_names_the_file_and_goes_on(lossy: Tab) -> None:
    lossy.open("edit")
    (said,) = [message.value for message in lossy.app.error]
    assert said.startswith(r"The stored file of kitchen\.jpg is ")
    assert "on Upload" in said
    lossy.press("edit.next")
    assert is_whole(lossy)


@pytest.mark.parametrize(
    "view", ["Queue", "Suggestions", "Boxes", "Crops", "Images", "Statistics"]
)
def test_every_view_of_review_is_drawn(lossy: Tab, view: str) -> None:
    lossy.open("review")
    lossy.app.main.button_group[0].set_value(view).run()
    assert is_whole(lossy)


def test_review_shows_a_placeholder_beside_the_table(lossy: Tab) -> None:
    lossy.open("review")
    lossy.app.main.button_group[0].set_value("Images").run()
    lossy.select_rows("review.image_table", 0)
    assert is_whole(lossy)
    assert [is_placeholder(picture) for picture in pictures(lossy)] == [True]


def test_run_refuses_the_image_by_name_and_shows_the_others(lossy: Tab) -> None:
    lossy.open("annotate")
    lossy.press("annotate.run")
    job = lossy.wait("annotate")
    assert job.state is JobState.DONE
    (refused,) = (job.result or {})["refused"]
    assert refused["file"] == "kitchen.jpg"
    assert refused["reason"].startswith("The stored file of kitchen.jpg is ")
    assert is_whole(lossy)


def test_export_names_it(lossy: Tab) -> None:
    lossy.open("export")
    job = lossy.wait("export")
    assert job.state is JobState.DONE, job.error
    assert "kitchen\\.jpg is not in it" in lossy.words()
    assert is_whole(lossy)


@pytest.mark.parametrize("page", ["evaluate", "train", "models"])
def test_other_pages_are_drawn(lossy: Tab, page: str) -> None:
    lossy.open(page)
    assert is_whole(lossy)

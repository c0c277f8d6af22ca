"""The Upload page."""

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from imagebase.images.video import Every
from imagebase.ui.upload import page as upload_page
from tests.app_fixtures import Tab, photograph, records
from tests.videos import scenes, write_video

MARKUP = "<b>x</b> **y** [z](http:w) ~a~.jpg"


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return buffer.getvalue()


def small_png() -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(photograph("bear.jpg"))) as bear:
        bear.resize((40, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def test_samples_are_added_with_one_click(tab: Tab) -> None:
    tab.press("upload.samples")
    assert "**16 images added**" in tab.words()
    assert len(records()) == 16
    assert len(tab.app.get("image")) == 16


def test_samples_twice_are_there_once(tab: Tab) -> None:
    tab.press("upload.samples")
    tab.press("upload.samples")
    assert "**0 images added** · 16 already in the dataset" in tab.words()
    assert len(records()) == 16


def test_limits_are_stated_before_the_upload(tab: Tab) -> None:
    assert "Up to 200 MB per file, 50 megapixels per image" in tab.words()


def test_good_broken_and_doubled_files_are_each_reported(tab: Tab) -> None:
    bear = photograph("bear.jpg")
    tab.uploads(("bear.jpg", bear), ("again.jpg", bear), ("bad.png", b"nope"))
    assert "**1 image added** · 1 already in the dataset · 1 refused" in tab.words()
    assert "- bad\\.png is not an image" in tab.words()


def test_upload_is_taken_in_once(tab: Tab) -> None:
    tab.uploads(("bear.jpg", photograph("bear.jpg")))
    tab.app.run()
    tab.app.run()
    assert "**1 image added**" in tab.words()
    assert "already in the dataset" not in tab.words()
    assert len(records()) == 1


def test_broken_files_alone_are_a_warning(tab: Tab) -> None:
    tab.uploads(("bad.png", b"nope"))
    assert [message.value for message in tab.app.warning] == [
        "**0 images added** · 1 refused"
    ]
    assert "Drop images above" in tab.words()


def test_zip_is_unpacked_and_other_files_are_left_aside(tab: Tab) -> None:
    data = zipped(a__jpg=photograph("bear.jpg"), notes__txt=b"x", b__png=b"nope")
    tab.uploads(("set.zip", data))
    assert "**1 image added** · 1 refused" in tab.words()
    assert r"Passed over\: 1 \.txt file, which is no image" in tab.words()
    assert "- notes\\.txt" in tab.words()
    assert [record.file_name for record in records()] == ["a.jpg"]


def test_zip_that_is_broken_is_refused_by_name(tab: Tab) -> None:
    tab.uploads(("set.zip", b"PK nope"))
    assert "- set\\.zip" in tab.words()


@pytest.mark.parametrize("data", [photograph("bear.jpg"), b"nope"], ids=["good", "bad"])
def test_name_with_markup_is_shown_as_text(tab: Tab, data: bytes) -> None:
    tab.uploads((MARKUP, data))
    assert not tab.app.exception
    assert "<b>" not in tab.words()
    assert "**y**" not in tab.words()
    assert not [
        button for button in tab.app.button if "<b>" in button.label + button.help
    ]


def test_folder_is_dropped_with_its_paths(tab: Tab) -> None:
    tab.app.button_group[0].set_value("Folder").run()
    assert tab.app.file_uploader[0].accept_directory
    bear = photograph("bear.jpg")
    tab.uploads(("set/day/bear.jpg", bear), ("set/notes.txt", b"x"))
    assert r"Passed over\: 1 \.txt file, which is no image" in tab.words()
    assert "- set/notes\\.txt" in tab.words()
    assert [record.file_name for record in records()] == ["set/day/bear.jpg"]


def test_click_on_a_thumbnail_opens_the_editor_after_a_change_of_page(
    filled: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.open("upload")
    _, bear = records()
    monkeypatch.setattr(upload_page, "thumbnails", lambda shown: None)
    filled.press(f"upload.grid.{bear.image_id}")
    assert filled.app.button(key="edit.next").disabled
    assert "**2** / 2" in filled.words()


def test_thumbnail_opens_the_editor_on_its_image(filled: Tab) -> None:
    bear = records()[1]
    filled.press(f"upload.grid.{bear.image_id}")
    assert "bear\\.jpg" in filled.words()
    assert "**2** / 2" in filled.words()


def test_near_duplicates_can_be_shown_alone(tab: Tab) -> None:
    bear = photograph("bear.jpg")
    tab.uploads(
        ("a.jpg", bear),
        ("b.jpg", bear + b"\0"),
        ("k.jpg", photograph("kitchen.jpg")),
    )
    (show,) = (group for group in tab.app.main.button_group if group.label == "Show")
    assert "Near-duplicates 2" in show.options
    show.set_value("near-duplicates").run()
    assert len(tab.app.get("image")) == 2


def test_a_warning_is_named_on_its_image_and_explained_by_its_filter(tab: Tab) -> None:
    tab.uploads(("bear.jpg", photograph("bear.jpg")), ("small.png", small_png()))
    (show,) = (group for group in tab.app.main.button_group if group.label == "Show")
    show.set_value("tiny?").run()
    assert len(tab.app.get("image")) == 1
    assert "Each image is tiny: a side has fewer than 100 pixels." in tab.words()


def test_video_becomes_images_once_the_frames_are_chosen(
    tab: Tab, tmp_path: Path
) -> None:
    clip = write_video(tmp_path / "night.avi", scenes(2)).read_bytes()
    tab.uploads(("night.avi", clip), ("bear.jpg", photograph("bear.jpg")))
    assert "**1 image added**" in tab.words()
    assert "**night\\.avi** · 0:03.0 · 320 × 240 · 10 frames a second" in tab.words()
    assert "At most 3 images." in tab.words()
    assert len(records()) == 1
    tab.app.number_input(key="videos.seconds").set_value(0.5).run()
    assert tab.app.button(key="videos.add").label == "Add 6 frames"
    tab.press("videos.add")
    tab.wait("frames")
    assert "**2 frames added** · 4 near-duplicates left out" in tab.words()
    assert [record.file_name for record in records()] == [
        "bear.jpg",
        "night_00-00-00.000.jpg",
        "night_00-00-01.500.jpg",
    ]


def test_video_alone_can_be_discarded(tab: Tab, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.avi", scenes(1)).read_bytes()
    tab.uploads(("a.avi", clip))
    assert "image added" not in tab.words()
    (choices,) = (
        group for group in tab.app.main.button_group if group.label == "Frames"
    )
    choices.set_value(Every.SCENES).run()
    assert "One frame for each scene" in tab.words()
    assert tab.app.button(key="videos.add").label == "Add frames"
    tab.press("videos.forget")
    assert "One frame" not in tab.words()
    assert records() == []


def test_video_in_a_zip_is_to_be_dropped_by_itself(tab: Tab) -> None:
    data = zipped(a__jpg=photograph("bear.jpg"), clip__mp4=b"x")
    tab.uploads(("set.zip", data), ("._clip.mp4", b"a file manager's"))
    assert "**1 image added**" in tab.words()
    assert "refused" not in tab.words()
    assert "drop it by itself, not in a zip" in tab.words()


def test_file_that_is_no_video_is_refused_by_name(tab: Tab) -> None:
    tab.uploads(("a.mp4", b"nothing"))
    assert "**0 images added** · 1 refused" in tab.words()
    assert "- a\\.mp4 is no video ImageBase can read" in tab.words()

import os
import re
from dataclasses import fields
from pathlib import Path

import pytest

from imagebase.errors import SettingsError
from imagebase.settings import (
    DEMO_LIMITS,
    SAMPLES_FOLDER,
    WEIGHTS_FOLDER,
    Limits,
    Mode,
    is_loopback,
    read_settings,
)


def test_home_holds_database_and_images_by_default(tmp_path: Path) -> None:
    read = read_settings({"IMAGEBASE_HOME": str(tmp_path)})
    assert read.home == tmp_path
    assert read.database_url == f"sqlite:///{tmp_path / 'imagebase.db'}"
    assert read.storage_url == str(tmp_path / "images")
    assert read.import_roots == ()
    assert read.mode is None


def test_nothing_set_uses_the_users_own_folder() -> None:
    assert read_settings({}).home.is_absolute()


def test_database_and_storage_move_elsewhere() -> None:
    read = read_settings(
        {
            "IMAGEBASE_DATABASE_URL": "postgresql://host/name",
            "IMAGEBASE_STORAGE_URL": "s3://bucket/images",
        }
    )
    assert read.database_url == "postgresql://host/name"
    assert read.storage_url == "s3://bucket/images"


def test_import_roots_are_listed_with_the_systems_separator(tmp_path: Path) -> None:
    roots = os.pathsep.join([str(tmp_path / "a"), "", str(tmp_path / "b")])
    read = read_settings({"IMAGEBASE_IMPORT_ROOTS": roots})
    assert read.import_roots == (tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize(
    ("address", "mode"),
    [
        ("localhost", Mode.TEAM),
        ("127.0.0.1", Mode.TEAM),
        ("[::1]", Mode.TEAM),
        ("0.0.0.0", Mode.DEMO),
        ("192.168.1.5", Mode.DEMO),
        ("example.org", Mode.DEMO),
        ("", Mode.DEMO),
        (None, Mode.DEMO),
    ],
)
def test_only_a_loopback_address_is_shared_unasked(
    address: str | None, mode: Mode
) -> None:
    assert read_settings({}).mode_for(address) is mode
    assert is_loopback(address) is (mode is Mode.TEAM)


@pytest.mark.parametrize("mode", Mode)
def test_mode_that_was_set_stands_at_any_address(mode: Mode) -> None:
    read = read_settings({"IMAGEBASE_MODE": mode.value})
    assert read.mode_for("localhost") is read.mode_for("0.0.0.0") is mode


def test_unknown_mode_is_named() -> None:
    with pytest.raises(SettingsError, match="IMAGEBASE_MODE is 'open'"):
        read_settings({"IMAGEBASE_MODE": "open"})


def test_demo_limits_are_nowhere_wider() -> None:
    for limit in fields(Limits):
        demo, team = (getattr(one, limit.name) for one in (DEMO_LIMITS, Limits()))
        if limit.name == "min_free_bytes":
            assert demo >= team
        elif limit.name != "session_seconds":
            assert demo <= team


@pytest.mark.parametrize("limit", [limit.name for limit in fields(Limits)])
def test_every_limit_can_be_set_and_counts_in_both_modes(limit: str) -> None:
    read = read_settings({f"IMAGEBASE_{limit.upper()}": "123"})
    modes = [Mode.DEMO] if limit == "session_seconds" else list(Mode)
    for mode in modes:
        assert getattr(read.limits_for(mode), limit) == 123


def test_team_never_expires_whatever_was_set_for_a_demo() -> None:
    read = read_settings({"IMAGEBASE_SESSION_SECONDS": "3600"})
    assert read.limits_for(Mode.TEAM).session_seconds == 0


@pytest.mark.parametrize("value", ["many", "-1", "1.5", "1e6"])
def test_limit_that_is_no_whole_number_is_named(value: str) -> None:
    with pytest.raises(SettingsError, match="IMAGEBASE_MAX_LABELS"):
        read_settings({"IMAGEBASE_MAX_LABELS": value})


def test_weights_and_samples_are_where_they_are_said_to_be() -> None:
    assert (WEIGHTS_FOLDER / "yolov4-tiny" / "obj.cfg").is_file()
    assert (SAMPLES_FOLDER / "CREDITS.md").is_file()


def test_allowed_hosts_and_users_are_read_in_small_letters() -> None:
    read = read_settings(
        {
            "IMAGEBASE_ALLOWED_HOSTS": "Images.example.org, ,::1",
            "IMAGEBASE_ALLOWED_USERS": "Ada@example.org,@Team.example",
        }
    )
    assert read.allowed_hosts == {"images.example.org", "::1"}
    assert read.allowed_users == {"ada@example.org", "@team.example"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("IMAGEBASE_ALLOWED_HOSTS", "https://example.org"),
        ("IMAGEBASE_ALLOWED_HOSTS", "example.org:443"),
        ("IMAGEBASE_ALLOWED_HOSTS", "*"),
        ("IMAGEBASE_ALLOWED_USERS", "example.org"),
        ("IMAGEBASE_ALLOWED_USERS", "ada@"),
    ],
)
def test_name_that_could_never_be_allowed_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} names '{re.escape(value)}'"):
        read_settings({variable: value})

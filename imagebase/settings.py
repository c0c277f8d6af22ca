"""IMAGEBASE_* and the limits, read once."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from platformdirs import user_data_path

from imagebase.errors import SettingsError
from imagebase.logs import LEVELS

_PACKAGE: Final = Path(__file__).resolve().parent


def find_project(package: Path) -> Path:
    """Return the folder of app.py, pages/, weights/, samples/ and notebooks/.

    They are at the top level of a checkout; a wheel holds them inside the package,
    where pyproject.toml puts them.
    """
    bundled = package / "bundled"
    return bundled if bundled.is_dir() else package.parent


PROJECT_ROOT: Final = find_project(_PACKAGE)
ASSETS_FOLDER: Final = _PACKAGE / "ui" / "assets"
WEIGHTS_FOLDER: Final = PROJECT_ROOT / "weights"
SAMPLES_FOLDER: Final = PROJECT_ROOT / "samples"
DEFAULT_MODEL: Final = "yolov4-tiny"
# Least confidence of a box; IoU above which NMS drops the less confident of two boxes.
DEFAULT_CONFIDENCE: Final = 0.25
DEFAULT_NMS_IOU: Final = 0.45
ALLOWED_HOSTS: Final = "IMAGEBASE_ALLOWED_HOSTS"
INFERENCE_THREADS: Final = "IMAGEBASE_INFERENCE_THREADS"
# Owner of everything that is shared on a team's server.
TEAM_OWNER: Final = "team"

_MEGABYTE: Final = 1_000_000
_HOST: Final = re.compile(r"[\w.-]+|[0-9a-f:]+")
_USER: Final = re.compile(r"[^@\s]*@[^@\s]+")


class Mode(StrEnum):
    """Who shares a dataset: everyone who reaches the app, or one visitor."""

    TEAM = "team"
    DEMO = "demo"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken in at most. Each is set by IMAGEBASE_<NAME>, in capitals.

    max_video_seconds, max_video_frames: of a video, whatever of it becomes images.
    max_zip_bytes: a larger export is handed over in several zips.
    max_made_bytes: disk that the variants of an export may take while it is built.
    min_free_bytes, max_total_bytes: of the disk; see `disk_space`.
    max_visitors: of a demo at once, on the whole server.
    max_uploading_bytes: that all visitors together upload at a time.
    max_uploaded_bytes: of one browser, in memory until they are stored.
    max_held_bytes: the same of all visitors together.
    max_runs_at_once, max_run_seconds_per_hour: jobs of one visitor.
    login_seconds: after these a person has to log in again.
    """

    max_file_bytes: int = 200 * _MEGABYTE
    max_image_pixels: int = 50_000_000
    max_video_bytes: int = 2_000 * _MEGABYTE
    max_video_seconds: int = 4 * 3600
    max_video_frames: int = 500_000
    max_datasets: int = 1_000
    max_dataset_images: int = 100_000
    max_dataset_bytes: int = 200_000 * _MEGABYTE
    max_archive_files: int = 20_000
    max_archive_bytes: int = 20_000 * _MEGABYTE
    max_archive_ratio: int = 200
    max_boxes_per_image: int = 2_000
    max_labels: int = 2_000
    max_models: int = 1_000
    max_model_bytes: int = 400 * _MEGABYTE
    max_model_memory_bytes: int = 4_000 * _MEGABYTE
    max_zip_bytes: int = 250 * _MEGABYTE
    max_made_bytes: int = 50_000 * _MEGABYTE
    min_free_bytes: int = 500 * _MEGABYTE
    max_total_bytes: int = 10_000_000 * _MEGABYTE
    max_visitors: int = 10_000
    max_uploading_bytes: int = 4_000 * _MEGABYTE
    max_uploaded_bytes: int = 20_000 * _MEGABYTE
    max_held_bytes: int = 40_000 * _MEGABYTE
    max_runs_at_once: int = 1_000
    max_run_seconds_per_hour: int = 1_000_000
    login_seconds: int = 12 * 3600
    session_seconds: int = 0


DEMO_LIMITS: Final = Limits(
    max_file_bytes=50 * _MEGABYTE,
    max_video_seconds=600,
    max_video_frames=36_000,
    max_datasets=5,
    max_dataset_images=100,
    max_dataset_bytes=200 * _MEGABYTE,
    max_archive_files=500,
    max_archive_bytes=200 * _MEGABYTE,
    max_labels=200,
    max_models=5,
    max_model_bytes=50 * _MEGABYTE,
    max_model_memory_bytes=1_000 * _MEGABYTE,
    max_zip_bytes=100 * _MEGABYTE,
    max_made_bytes=300 * _MEGABYTE,
    min_free_bytes=1_000 * _MEGABYTE,
    max_total_bytes=20_000 * _MEGABYTE,
    max_visitors=200,
    max_uploading_bytes=400 * _MEGABYTE,
    max_uploaded_bytes=200 * _MEGABYTE,
    max_held_bytes=2_000 * _MEGABYTE,
    max_runs_at_once=4,
    max_run_seconds_per_hour=1800,
    session_seconds=3600,
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are and how the app is shared.

    mode: None where IMAGEBASE_MODE is unset; `mode_for` then decides by the address.
    import_roots: server folders a person may import from; none by default.
    samples: whether a first dataset begins with the sample photographs.
    allowed_hosts: names that browsers may call this server by, beside loopback names.
    allowed_users: e-mail addresses, and domains with an @ before them, that may log in;
        everyone whom the login provider knows where there are none.
    """

    home: Path
    database_url: str
    storage_url: str
    mode: Mode | None = None
    import_roots: tuple[Path, ...] = ()
    samples: bool = False
    allowed_hosts: frozenset[str] = frozenset()
    allowed_users: frozenset[str] = frozenset()
    overrides: Mapping[str, int] = field(default_factory=dict)

    def mode_for(self, address: str | None) -> Mode:
        """Return the mode for a server that listens on this address.

        A server that others can reach, or whose address is unknown (Streamlit then
        listens on every interface), is never shared by accident.
        """
        if self.mode is not None:
            return self.mode
        return Mode.TEAM if is_loopback(address) else Mode.DEMO

    def limits_for(self, mode: Mode) -> Limits:
        """Return the limits of this mode with the operator's own on top.

        A team's datasets never expire, whatever was set for a demo.
        """
        if mode is Mode.DEMO:
            return replace(DEMO_LIMITS, **self.overrides)
        return replace(Limits(), **{**self.overrides, "session_seconds": 0})


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged and in which form; set by IMAGEBASE_LOG, such as `debug,json`.

    level: one of `imagebase.logs.LEVELS`.
    as_json: one JSON object for each line.
    """

    level: str
    as_json: bool = False


def is_loopback(address: str | None) -> bool:
    """Say whether only this machine can reach a server at this address."""
    if not address:
        return False
    if address == "localhost":
        return True
    try:
        return ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings that these environment variables ask for.

    Raises:
        SettingsError: a variable has a value that cannot be used.
    """
    given = environ.get("IMAGEBASE_HOME", "")
    home = Path(given).expanduser() if given else user_data_path("imagebase")
    home = home.absolute()
    roots = environ.get("IMAGEBASE_IMPORT_ROOTS", "").split(os.pathsep)
    return Settings(
        home=home,
        database_url=environ.get("IMAGEBASE_DATABASE_URL")
        or f"sqlite:///{home / 'imagebase.db'}",
        storage_url=environ.get("IMAGEBASE_STORAGE_URL") or str(home / "images"),
        mode=_read_mode(environ.get("IMAGEBASE_MODE", "")),
        import_roots=tuple(Path(root).resolve() for root in roots if root),
        samples=environ.get("IMAGEBASE_SAMPLES", "") == "1",
        allowed_hosts=_read_hosts(environ.get(ALLOWED_HOSTS, "")),
        allowed_users=_read_users(environ.get("IMAGEBASE_ALLOWED_USERS", "")),
        overrides=_read_limits(environ),
    )


def read_inference_threads(environ: Mapping[str, str]) -> int | None:
    """Return how many threads a model may use; None for as many as there are cores.

    Raises:
        SettingsError: it is no positive number.
    """
    value = environ.get(INFERENCE_THREADS, "")
    if not value:
        return None
    if not value.isdecimal() or int(value) < 1:
        raise SettingsError(
            f"{INFERENCE_THREADS} is {value!r}; set it to a number of threads, or "
            "leave it out."
        )
    return int(value)


def read_log_settings(environ: Mapping[str, str], *, default: str) -> LogSettings:
    """Return what IMAGEBASE_LOG asks for: a level, `json`, or both with a comma.

    Args:
        environ: the environment variables.
        default: the level where none is given.

    Raises:
        SettingsError: it has a value that cannot be used.
    """
    value = environ.get("IMAGEBASE_LOG", "")
    words = [word.strip().lower() for word in value.split(",") if word.strip()]
    levels = [word for word in words if word != "json"]
    if len(levels) > 1 or not set(levels) <= set(LEVELS):
        raise SettingsError(
            f"IMAGEBASE_LOG is {value!r}; set it to {', '.join(LEVELS[:-1])} or "
            f"{LEVELS[-1]}, with ',json' after it for JSON lines."
        )
    return LogSettings(levels[0] if levels else default, as_json="json" in words)


def _read_mode(value: str) -> Mode | None:
    if not value:
        return None
    try:
        return Mode(value)
    except ValueError:
        raise SettingsError(
            f"IMAGEBASE_MODE is {value!r}; set it to 'team' or 'demo'."
        ) from None


def _read_hosts(value: str) -> frozenset[str]:
    hosts = _words(value)
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise SettingsError(
                f"{ALLOWED_HOSTS} names {host!r}; give host names without "
                "http:// and port, separated by commas."
            )
    return hosts


def _read_users(value: str) -> frozenset[str]:
    users = _words(value)
    for user in users:
        if not _USER.fullmatch(user):
            raise SettingsError(
                f"IMAGEBASE_ALLOWED_USERS names {user!r}; give e-mail addresses, and "
                "domains as @example.org, separated by commas."
            )
    return users


def _words(value: str) -> frozenset[str]:
    return frozenset(word.strip().lower() for word in value.split(",") if word.strip())


def _read_limits(environ: Mapping[str, str]) -> dict[str, int]:
    found = {}
    for limit in fields(Limits):
        variable = f"IMAGEBASE_{limit.name.upper()}"
        value = environ.get(variable, "")
        if not value:
            continue
        if not value.isdecimal():
            raise SettingsError(f"{variable} is {value!r}; set it to a whole number.")
        found[limit.name] = int(value)
    return found


@cache
def settings() -> Settings:
    """Return this process's settings; the environment is read at the first call."""
    return read_settings(os.environ)

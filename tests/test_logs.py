"""What is logged, in which form, and that no secret is in it."""

import io
import json
import logging
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner, Result

from imagebase import logs
from imagebase.cli import app
from imagebase.cli.console import FAILED, run_to_the_end
from imagebase.errors import ImageReadError, SettingsError, StoreError
from imagebase.images.scan import scan_source
from imagebase.jobs.runner import JobContext, JobRunner
from imagebase.logs import MASK, adopt, configure, redacted
from imagebase.settings import (
    PROJECT_ROOT,
    Limits,
    LogSettings,
    Settings,
    read_log_settings,
)
from imagebase.store import Scope, Store, open_store
from tests.detection.darknet.darknet_models import write_one_box_model

PACKAGE = PROJECT_ROOT / "imagebase"
log = logging.getLogger("imagebase.tests")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no variable say what is logged, and leave none behind."""
    monkeypatch.setenv("IMAGEBASE_LOG", "")
    yield
    logs._environment_secrets.cache_clear()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (
            "postgresql+psycopg://bob:hunter2@db:5432/name",
            "postgresql+psycopg://bob:***@db:5432/name",
        ),
        (
            "no answer from s3://KEY:p@ss/w:rd@bucket/a",
            "no answer from s3://KEY:***@bucket/a",
        ),
        ("password=hunter2 host=db", "password=*** host=db"),
        ('{"aws_secret_access_key": "a b"}', '{"aws_secret_access_key": ***}'),
        ("{'key': 'AKIAABCDEFGHIJKLMNOP'}", "{'key': '***'}"),
        ("cookie_secret = 'abc'", "cookie_secret = ***"),
        ("Cookie: a=1; b=2", "Cookie: ***"),
        ("Authorization: Bearer abcdefgh.ijk", "Authorization: Bearer ***"),
        (
            "?X-Amz-Credential=ab&X-Amz-Signature=cd",
            "?X-Amz-Credential=***&X-Amz-Signature=***",
        ),
        ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.c2ln", "got ***"),
    ],
)
def test_secret_is_masked(text: str, masked: str) -> None:
    assert redacted(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "cat.jpg is not an image that can be read; leave it out.",
        "Open http://127.0.0.1:8501/first",
        "write sqlite:///path or postgresql://user@host/name.",
        "not well-formed (invalid token): line 1, column 3",
        "a password and a token",
    ],
)
def test_text_without_a_secret_stays(text: str) -> None:
    assert redacted(text) == text


def test_values_of_secret_variables_are_masked_wherever_they_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("IMAGEBASE_DATABASE_URL", "postgresql://bob:hunter2%212@db/name")
    logs._environment_secrets.cache_clear()
    text = "signed with wJalrXUtnFEMI, logged in with hunter2!2 or hunter2%212"
    assert redacted(text) == f"signed with {MASK}, logged in with {MASK} or {MASK}"


def test_text_line_masks_message_and_traceback(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("info")
    try:
        raise RuntimeError("cannot reach postgresql://bob:hunter2@db/name")
    except RuntimeError:
        log.exception("Failed with token=%s", "abc123")
    written = capsys.readouterr().err
    assert "ERROR imagebase.tests: Failed with token=***\n" in written
    assert "RuntimeError: cannot reach postgresql://bob:***@db/name" in written
    assert "Traceback" in written
    assert "hunter2" not in written


def test_no_file_name_can_look_like_another_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("info")
    log.info("File refused: %s", "a\n2026-01-01 ERROR imagebase: \x1b[31mgone.jpg")
    first, second = capsys.readouterr().err.splitlines()
    assert re.match(r"[\d-]+ [\d:,]+ INFO imagebase\.tests: File refused: a$", first)
    assert second.startswith("    2026-01-01 ERROR")
    assert "\x1b" not in second


def test_json_line_holds_the_fields_masked(capsys: pytest.CaptureFixture[str]) -> None:
    configure("debug", as_json=True)
    try:
        raise RuntimeError("password=hunter2")
    except RuntimeError:
        extra = {"job": "ab", "seconds": 1.5, "url": "s3://a:hunter2@b"}
        log.warning("Two\nlines", exc_info=True, extra=extra)
    (line,) = capsys.readouterr().err.splitlines()
    fields = json.loads(line)
    assert fields["level"] == "warning"
    assert fields["logger"] == "imagebase.tests"
    assert fields["message"] == "Two\nlines"
    assert (fields["job"], fields["seconds"]) == ("ab", 1.5)
    assert fields["url"] == "s3://a:***@b"
    assert "RuntimeError: password=***" in fields["exception"]
    assert fields["time"].endswith("+00:00")
    assert "hunter2" not in line


def test_level_is_ours_alone_and_configuring_again_does_not_double(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("info")
    configure("debug")
    log.debug("ours")
    logging.getLogger("botocore.auth").debug("theirs")
    logging.getLogger("PIL.TiffImagePlugin").warning("said by Pillow")
    assert [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()] == [
        "ours"
    ]


def test_standard_error_that_is_closed_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure("info")
    closed = io.StringIO()
    closed.close()
    for nowhere in (closed, None):
        monkeypatch.setattr(sys, "stderr", nowhere)
        log.info("nobody reads this")


def test_another_librarys_logger_is_adopted(capsys: pytest.CaptureFixture[str]) -> None:
    theirs = logging.getLogger("theirs.part")
    own = logging.StreamHandler(io.StringIO())
    theirs.addHandler(own)
    theirs.propagate = False
    configure("info")
    adopt("theirs")
    theirs.error("token=abc")
    assert own.stream.getvalue() == ""
    assert capsys.readouterr().err.endswith("ERROR theirs.part: token=***\n")


@pytest.mark.parametrize(
    ("value", "log_settings"),
    [
        ("", LogSettings("warning")),
        ("debug", LogSettings("debug")),
        ("ERROR, json", LogSettings("error", as_json=True)),
        ("json", LogSettings("warning", as_json=True)),
    ],
)
def test_variable_gives_level_and_form(value: str, log_settings: LogSettings) -> None:
    read = read_log_settings({"IMAGEBASE_LOG": value}, default="warning")
    assert read == log_settings


@pytest.mark.parametrize("value", ["loud", "debug,info", "debug;json"])
def test_variable_that_cannot_be_used_is_named(value: str) -> None:
    with pytest.raises(SettingsError, match="IMAGEBASE_LOG is"):
        read_log_settings({"IMAGEBASE_LOG": value}, default="info")


def test_error_shows_no_secret_of_a_database() -> None:
    reason = OperationalError("SELECT 1", {}, Exception("postgresql://a:hunter2@db"))
    assert "hunter2" not in str(StoreError(str(reason)))
    with pytest.raises(StoreError) as refused:
        open_store(Settings(Path(), "sqlite:///x", "nosuch://key:hunter2@bucket"))
    assert "hunter2" not in str(refused.value)


def test_error_shows_no_secret_of_a_source() -> None:
    with pytest.raises(ImageReadError) as refused:
        list(scan_source("memory://key:hunter2@nowhere/a", Limits()))
    assert MASK in str(refused.value)
    assert "hunter2" not in str(refused.value)


def invoked(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_verbose_logs_to_standard_error_alone(tmp_path: Path, before: bool) -> None:
    model = write_one_box_model(tmp_path / "model")
    source = PROJECT_ROOT / "samples"
    name = sorted(source.glob("*.jpg"))[0]
    command = ["annotate", str(name), "--output", str(tmp_path / "out")]
    command += ["--model", str(model)]
    result = invoked(*(["--verbose", *command] if before else [*command, "--verbose"]))
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    assert result.stdout.startswith("1 image")
    assert "INFO imagebase." in result.stderr
    assert " Model model loaded in " in result.stderr
    assert " verified: " in result.stderr


def test_commands_log_nothing_below_a_warning_unless_asked(tmp_path: Path) -> None:
    model = write_one_box_model(tmp_path / "model")
    result = invoked("models", "check", model)
    assert result.exit_code == 0
    assert result.stderr == ""


def test_unusable_variable_ends_a_command_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("IMAGEBASE_LOG", "loud")
    result = invoked("models", "list")
    assert result.exit_code == 1
    assert result.stderr.startswith("IMAGEBASE_LOG is 'loud'; set it to debug, ")


def test_job_logs_its_start_its_end_and_how_long_it_took(
    store: Store, scope: Scope, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(context: JobContext) -> None:
        raise StoreError("no answer from postgresql://bob:hunter2@db/name")

    configure("info", as_json=True)
    runner = JobRunner(store, {"fail": fail})
    runner.submit(scope, "fail", {})
    while (job := runner.jobs(scope)[0]).state.is_active:
        time.sleep(0.01)
    runner.close()
    written = capsys.readouterr().err
    told = [json.loads(line) for line in written.splitlines()]
    started, ended = (
        entry for entry in told if entry["logger"] == "imagebase.jobs.runner"
    )
    assert started["message"].endswith("(fail) started")
    assert (ended["level"], ended["state"]) == ("warning", "failed")
    assert ended["seconds"] >= 0
    assert "hunter2" not in written + (job.error or "")


def test_unexpected_error_of_a_command_is_logged_masked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise RuntimeError("no answer from s3://key:hunter2@bucket")

    configure("warning")
    with pytest.raises(SystemExit) as ended:
        run_to_the_end(fail)
    assert ended.value.code == FAILED
    written = capsys.readouterr()
    assert "RuntimeError: no answer from s3://key:***@bucket" in written.err
    assert written.err.endswith("please report it with the lines above.\n")
    assert written.out == ""


def test_verbose_shows_why_a_command_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoked("--verbose", "annotate", "nothing.jpg", "--output", tmp_path)
    assert result.exit_code == 1
    assert ": The command failed\n" in result.stderr
    assert "ImageReadError: nothing.jpg" in result.stderr
    assert result.stdout == ""


def test_modules_log_under_their_own_names() -> None:
    theirs = {"PIL", "ray.data", "streamlit.runtime.caching.cache_data_api"}
    for path in set(PACKAGE.rglob("*.py")) - {PACKAGE / "logs.py"}:
        names = re.findall(r"getLogger\((.*?)\)", path.read_text(encoding="utf-8"))
        assert {name.strip('"') for name in names} <= {"__name__", *theirs}, path


def test_library_configures_no_handlers() -> None:
    allowed = {
        PACKAGE / "logs.py",
        PACKAGE / "images" / "file_types.py",
    }  # a null handler
    for path in set(PACKAGE.rglob("*.py")) - allowed:
        text = path.read_text(encoding="utf-8")
        assert not re.search(
            r"basicConfig|dictConfig|addHandler|StreamHandler", text
        ), path

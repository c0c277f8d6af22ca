"""Log lines: their levels, their form, and the secrets masked in them.

Modules log to `logging.getLogger(__name__)`. Only a program, the command line or the
app's server, calls `configure`.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final
from urllib.parse import unquote

LEVELS: Final = ("debug", "info", "warning", "error")
MASK: Final = "***"

# A shorter value of a variable would mask parts of ordinary words.
_LEAST_SECRET: Final = 8
_SECRET_VARIABLE: Final = re.compile(
    r"(?:^|_)(?:SECRET|PASSWORD|PASSWD|PGPASSWORD|TOKEN|KEY|COOKIE|CREDENTIALS?)(?:_|$)",
    re.IGNORECASE,
)
# scheme://user:password@host; a password may hold "@" and "/".
_PASSWORD_IN_URL: Final = re.compile(
    r"(\b[a-z][a-z0-9+.-]{0,30}://[^\s:/@'\"]{0,300}:)[^\s'\"]{1,500}(?=@)",
    re.IGNORECASE,
)
_SECRETS: Final = (
    (_PASSWORD_IN_URL, rf"\1{MASK}"),
    # A header holds several cookies.
    (re.compile(r"(\bcookie[\"']?\s*:\s*)[^\r\n]+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    # name=value, "name": "value"
    (
        re.compile(
            r"((?:password|passwd|pwd|secret|token|cookie|authorization|signature|"
            r"credential|api[_-]?key|access[_-]?key|private[_-]?key)[\w-]{0,40}[\"']?"
            r"\s*[=:]\s*)(?:\"[^\"]+\"|'[^']+'|(?!\s|(?:bearer|basic)\b)[^\s,;&\"'(){}\[\]]+)",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
    # Access keys of S3, and JSON web tokens, whatever stands before them.
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), MASK),
    (re.compile(r"\beyJ[\w-]{10,}\.[\w-]+\.[\w-]*"), MASK),
)
_STANDARD_FIELDS: Final = frozenset(
    {
        *vars(logging.makeLogRecord({})),
        "message",
        "asctime",
        "taskName",
        "color_message",
    }
)


def redacted(text: str) -> str:
    """Return a text without passwords, keys, tokens and cookies.

    Masked are passwords in URLs, values that are named as secret (`password=…`,
    `"token": "…"`, `Cookie: …`), access keys, and the values of environment variables
    with such a name, wherever they occur.
    """
    for secret in _environment_secrets():
        text = text.replace(secret, MASK)
    for pattern, masked in _SECRETS:
        text = pattern.sub(masked, text)
    return text


def configure(level: str, *, as_json: bool = False) -> None:
    """Log to standard error from here on; calling it again changes level and form.

    Args:
        level: one of `LEVELS`, for ImageBase's own loggers. Other libraries log
            warnings: some name keys and headers at lower levels.
        as_json: one JSON object for each line.
    """
    _environment_secrets.cache_clear()
    root = logging.getLogger()
    for handler in [
        handler for handler in root.handlers if isinstance(handler, _StandardError)
    ]:
        root.removeHandler(handler)
    handler = _StandardError()
    handler.setFormatter(_JsonLines() if as_json else _TextLines())
    root.addHandler(handler)
    logging.getLogger(__package__).setLevel(level.upper())
    # What Pillow logs about a damaged file it raises as well.
    logging.getLogger("PIL").propagate = False


def adopt(*names: str) -> None:
    """Have these loggers and those below them log through ours.

    They log warnings, and information too where ours log at the level debug.
    """
    is_debug = logging.getLogger(__package__).isEnabledFor(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in names:
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
            logger.setLevel(logging.INFO if is_debug else logging.WARNING)


class _StandardError(logging.Handler):
    """Writes to the current standard error, which a progress bar may replace."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except (OSError, ValueError, AttributeError):
            # It is full, closed or not there: there is no reader.
            return


class _TextLines(logging.Formatter):
    """`2026-01-31 12:00:00,000 INFO imagebase.jobs: …`; what follows is indented.

    So no file name can pass for another line of the log.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return _printable(redacted(super().format(record))).replace("\n", "\n    ")


class _JsonLines(logging.Formatter):
    """One JSON object for each line, with the fields given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
            **dict(_extra_fields(record)),
        }
        if record.exc_info:
            fields["exception"] = redacted(self.formatException(record.exc_info))
        return json.dumps(fields, ensure_ascii=False)


def _extra_fields(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    for name, value in vars(record).items():
        if name not in _STANDARD_FIELDS:
            is_number = isinstance(value, int | float)
            yield name, value if is_number else redacted(str(value))


def _printable(text: str) -> str:
    return "".join(
        char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}"
        for char in text
    )


@cache
def _environment_secrets() -> tuple[str, ...]:
    """Return what environment variables hold of secrets, the longest first.

    A password in a URL counts as it stands there and as a driver decodes it.
    """
    values = set()
    for name, value in os.environ.items():
        if _SECRET_VARIABLE.search(name):
            values.add(value)
        for url in _PASSWORD_IN_URL.finditer(value):
            password = url[0].removeprefix(url[1])
            values |= {password, unquote(password)}
    long = (value for value in values if len(value) >= _LEAST_SECRET)
    return tuple(sorted(long, key=len, reverse=True))

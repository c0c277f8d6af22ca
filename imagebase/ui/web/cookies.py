"""The visitor's cookie: a token that this server made, with its signature."""

import contextlib
import hashlib
import hmac
import logging
import os
import re
import secrets
from functools import cache
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Final

from imagebase.errors import ImageBaseError
from imagebase.settings import settings
from imagebase.ui import services

NAME: Final = "imagebase_visitor"
_KEY_FILE: Final = "cookie.key"
_KEY_BYTES: Final = 32
_TOKEN: Final = re.compile(r"[0-9a-f]{64}")
_SIGNED: Final = re.compile(r"([0-9a-f]{64})\.([0-9a-f]{64})")

_log: Final = logging.getLogger(__name__)


def new_token() -> str:
    """Return the secret of 256 bits that one browser has."""
    return secrets.token_hex(32)


def value_of(token: str) -> str:
    """Return the cookie that holds a token."""
    return f"{token}.{sign('visitor', token)}"


def token_in(value: str) -> str:
    """Return the token of a cookie; empty unless this server made it.

    A cookie of an earlier version has no signature. It counts while its owner is in the
    store: only a server that made the token, or took it over, has put it there.
    """
    if match := _SIGNED.fullmatch(value):
        token, signature = match.groups()
        return token if is_signed("visitor", token, signature) else ""
    if _TOKEN.fullmatch(value) and _is_known(owner_of(value)):
        return value
    return ""


def owner_of(token: str) -> str:
    """Return the owner of a visitor's datasets.

    The token's hash: who reads the database cannot become a visitor.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def sign(purpose: str, text: str) -> str:
    """Return the signature of a text, which counts for one purpose (HMAC-SHA256)."""
    message = f"{purpose}:{text}".encode(errors="surrogatepass")
    return hmac.new(_key(settings().home), message, hashlib.sha256).hexdigest()


def is_signed(purpose: str, text: str, signature: str) -> bool:
    """Say whether this server signed a text for this purpose."""
    if not signature.isascii():
        return False
    return hmac.compare_digest(sign(purpose, text), signature)


def read(header: str) -> dict[str, str]:
    """Return the cookies of a request's header; none of a header that is damaged."""
    try:
        return {name: one.value for name, one in SimpleCookie(header).items()}
    except CookieError:
        return {}


def _is_known(owner_id: str) -> bool:
    try:
        return services.store().has_owner(owner_id)
    except ImageBaseError:
        _log.warning("An old cookie could not be checked", exc_info=True)
        return False


@cache
def _key(home: Path) -> bytes:
    """Return the server's key, which the first start makes.

    Where it cannot be written there is one of this process alone: after a restart every
    browser is a new visitor.
    """
    path = home / _KEY_FILE
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make_key(path)
        key = path.read_bytes()
    except OSError as error:
        _log.warning(
            "%s cannot be used (%s); cookies end with this process", *(path, error)
        )
        return secrets.token_bytes(_KEY_BYTES)
    if len(key) < _KEY_BYTES:
        _log.warning("%s is damaged; cookies end with this process", path)
        return secrets.token_bytes(_KEY_BYTES)
    return key


def _make_key(path: Path) -> None:
    """Write the key in one step; the first of several processes wins."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_KEY_BYTES))
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)

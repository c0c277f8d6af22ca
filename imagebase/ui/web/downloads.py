"""Downloads, streamed from disk: for one visitor, and while the data lasts.

An address names the file, the dataset and the visitor, and is signed. It is of use only
with the visitor's cookie, and only while the dataset exists.
"""

import base64
import binascii
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import streamlit as st
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from imagebase.errors import ImageBaseError, NotFoundError
from imagebase.jobs.temporary_files import exports_folder
from imagebase.store import Scope
from imagebase.ui import identity, services, state
from imagebase.ui.web import cookies
from imagebase.ui.web.gate import TOKEN

_PURPOSE: Final = "download"
_GONE: Final = (
    "This file no longer exists, or it is another visitor's. Go back to ImageBase and "
    "make it again."
)

Parameters = Mapping[str, Any]
Maker = Callable[[Scope, Parameters], Path | bytes]
_makers: Final[dict[str, Maker]] = {}


@dataclass(frozen=True, slots=True)
class _Ticket:
    """What an address grants: one file of one dataset to one browser.

    expires_at: when the login ends, in seconds since 1970; None without a login.
    """

    visitor: str
    owner_id: str
    dataset_id: str
    who: str
    kind: str
    parameters: Parameters
    file_name: str
    mime: str
    expires_at: float | None


def maker(kind: str) -> Callable[[Maker], Maker]:
    """Register the function that finds or makes the files of a kind.

    It runs outside a session, when the file is asked for. It returns a path in the
    dataset's exports folder or among ImageBase's own files, or the content.
    """

    def register(function: Maker) -> Maker:
        _makers[kind] = function
        return function

    return register


def button(
    label: str,
    kind: str,
    parameters: Parameters,
    *,
    file_name: str,
    key: str,
    mime: str = "application/zip",
    help: str | None = None,
    is_main: bool = False,
    width: Literal["content", "stretch"] = "content",
) -> None:
    """Draw the button that downloads a file."""
    st.link_button(
        label,
        address(kind, parameters, file_name=file_name, mime=mime),
        key=key,
        type="primary" if is_main else "secondary",
        icon=":material/download:",
        help=help,
        width=width,
    )


def address(
    kind: str, parameters: Parameters, *, file_name: str, mime: str = "application/zip"
) -> str:
    """Return where this visitor, and nobody else, downloads a file of their dataset."""
    scope = state.scope()
    ticket = _Ticket(
        visitor=cookies.owner_of(identity.token()),
        owner_id=scope.owner_id,
        dataset_id=scope.dataset_id,
        who=scope.who,
        kind=kind,
        parameters=parameters,
        file_name=file_name,
        mime=mime,
        expires_at=identity.login_ends_at(),
    )
    content = json.dumps(asdict(ticket), sort_keys=True).encode()
    text = base64.urlsafe_b64encode(content).decode().rstrip("=")
    signature = cookies.sign(_PURPOSE, text)
    return f"{_root()}/{text}.{signature}/{quote(file_name)}"


def _root() -> str:
    """Return where downloads are: below the path that the whole app is below."""
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{base}/download" if base else "/download"


def export(path: str) -> tuple[str, Parameters]:
    """Return kind and parameters of a file in the dataset's exports folder."""
    inside = Path(path).relative_to(exports_folder(state.scope()))
    return "export", {"path": inside.as_posix()}


@maker("export")
def _exported(scope: Scope, parameters: Parameters) -> Path:
    """Return a file that a job left in the dataset's exports folder."""
    folder = exports_folder(scope).resolve()
    path = (folder / str(parameters["path"])).resolve()
    if not path.is_relative_to(folder):
        raise NotFoundError(_GONE)
    return path


def _read(text: str, signature: str) -> _Ticket:
    """Return a signed ticket.

    Raises:
        NotFoundError: this server did not sign it.
    """
    if not cookies.is_signed(_PURPOSE, text, signature):
        raise NotFoundError(_GONE)
    try:
        content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return _Ticket(**json.loads(content))
    except (binascii.Error, ValueError, TypeError):  # signed by another version
        raise NotFoundError(_GONE) from None


def _granted(ticket: _Ticket, token: str) -> Scope:
    """Return the dataset of a ticket.

    Raises:
        NotFoundError: it is another browser's, has expired, or the dataset is deleted.
    """
    is_mine = bool(token) and ticket.visitor == cookies.owner_of(token)
    is_over = ticket.expires_at is not None and ticket.expires_at < time.time()
    if not is_mine or is_over:
        raise NotFoundError(_GONE)
    scope = Scope(ticket.owner_id, ticket.dataset_id, ticket.who)
    services.store().version(scope)
    return scope


def _respond(name: str, token: str) -> Response:
    text, _, signature = name.partition(".")
    try:
        ticket = _read(text, signature)
        content = _makers[ticket.kind](_granted(ticket, token), ticket.parameters)
    except NotFoundError:
        return PlainTextResponse(_GONE, 404)
    except ImageBaseError as error:
        return PlainTextResponse(str(error), 409)
    headers = {"Cache-Control": "private, no-store"}
    if isinstance(content, Path):
        if not content.is_file():
            return PlainTextResponse(_GONE, 404)
        return FileResponse(
            content, filename=ticket.file_name, media_type=ticket.mime, headers=headers
        )
    headers["Content-Disposition"] = (
        f"attachment; filename*=utf-8''{quote(ticket.file_name, safe='')}"
    )
    return Response(content, media_type=ticket.mime, headers=headers)


async def _download(request: Request) -> Response:
    name = request.path_params["name"]
    return await run_in_threadpool(_respond, name, request.scope[TOKEN])


def route() -> Route:
    """Return the route that answers to these addresses."""
    return Route(f"{_root()}/{{name}}/{{file_name:path}}", _download)

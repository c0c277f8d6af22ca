"""The web server around the pages: middleware and routes, in order."""

from typing import TYPE_CHECKING

from starlette.middleware import Middleware

from imagebase.ui.web.downloads import route
from imagebase.ui.web.gate import Gate
from imagebase.ui.web.sessions import Sessions
from imagebase.ui.web.uploads import Uploads

if TYPE_CHECKING:
    from starlette.routing import BaseRoute


def middleware() -> list[Middleware]:
    """Return what every request passes, the outermost first."""
    return [Middleware(Gate), Middleware(Sessions), Middleware(Uploads)]


def routes() -> "list[BaseRoute]":
    """Return the addresses that are not Streamlit's."""
    return [route()]

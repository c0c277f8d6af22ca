"""A browser's side of Streamlit's protocol, without a browser: for attacks and load."""

import json
import re
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any, Final

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Common_pb2 import FileURLs, UploadedFileInfo
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import ClientConnection, connect

SECONDS: Final = 120.0
_KEYED: Final = re.compile(r"\$\$ID-[0-9a-f]+-(.+)")


@dataclass
class Screen:
    """What the last run sent: elements in their order, and all bytes.

    widgets: the ids of the widgets by the key that the app gave them.
    """

    elements: list[Any] = field(default_factory=list)
    content: bytearray = field(default_factory=bytearray)
    widgets: dict[str, str] = field(default_factory=dict)

    def of(self, kind: str) -> list[Any]:
        """Return the elements of a kind, such as `link_button`."""
        return [
            getattr(element, kind)
            for element in self.elements
            if element.WhichOneof("type") == kind
        ]

    def links(self) -> list[str]:
        """Return the addresses of the downloads on the page."""
        return [one.url for one in self.of("link_button") if "/download/" in one.url]


class Client:
    """One browser tab: cookies, a websocket, and what it shows.

    cookies: those of the browser; None for a browser that was never here.
    """

    def __init__(self, url: str, cookies: Mapping[str, str] | None = None) -> None:
        self.url = url
        self.cookies = dict(cookies or {})
        self.session_id = ""
        self.screen = Screen()
        self._pages: dict[str, str] = {}
        self._page = ""
        self._values: dict[str, WidgetState] = {}
        self._socket: ClientConnection | None = None
        self._opened = ExitStack()

    def visit(self) -> None:
        """Load the page, and take the cookies that the server sets."""
        for path in ("/", "/_stcore/health"):
            self.ask(path, Accept="text/html")

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        **headers: str,
    ) -> tuple[int, bytes]:
        """Return status and body of an address, asked for with the cookies.

        The status is 0 where the server hung up before it had been sent everything.
        """
        request = urllib.request.Request(
            self.url + path, data=body, method=method, headers=headers
        )
        request.add_header("Cookie", self._cookie_header())
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                self._take_cookies(answer.headers.get_all("Set-Cookie") or [])
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionError):
                raise
            return 0, b""

    def _take_cookies(self, headers: list[str]) -> None:
        for header in headers:
            for name, one in SimpleCookie(header).items():
                self.cookies[name] = one.value

    def _cookie_header(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())

    def connect(self, session_id: str = "") -> None:
        """Open the websocket, for a new session or to resume one."""
        self.close()
        protocols = ["streamlit", self.cookies.get("_streamlit_xsrf", "none")]
        options: dict[str, Any] = {
            "subprotocols": protocols + ([session_id] if session_id else []),
            "additional_headers": {"Cookie": self._cookie_header()},
            "origin": self.url,
            "compression": None,
            "max_size": None,
            "open_timeout": SECONDS,
        }
        address = self.url.replace("http", "ws", 1) + "/_stcore/stream"
        self._socket = self._opened.enter_context(connect(address, **options))

    def close(self) -> None:
        """Close the websocket."""
        self._opened.close()

    def run(self, page: str | None = None, **context: str) -> Screen:
        """Run a page, or the present one again, and return what it shows."""
        message = BackMsg()
        state = message.rerun_script
        if page is not None and page != self._page:
            self._page, self._values = page, {}
        state.page_script_hash = self._pages.get(self._page, "")
        state.page_name = "" if state.page_script_hash else self._page
        state.query_string = context.get("query", "")
        state.context_info.url = f"{self.url}/{self._page}"
        state.context_info.timezone = "UTC"
        state.widget_states.widgets.extend(self._values.values())
        self._send(message)
        self._values = {
            key: one
            for key, one in self._values.items()
            if one.WhichOneof("value") not in _TRIGGERS
        }
        return self._receive()

    def click(self, key: str) -> Screen:
        """Click a button by its key, and return what the page shows then."""
        return self.set(key, trigger_value=True)

    def set(self, key: str, **value: Any) -> Screen:  # noqa: ANN401 a field of WidgetState
        """Give a widget a value, offered or not, and return what is shown then."""
        widget_id = self.screen.widgets[key]
        self._values[key] = WidgetState(id=widget_id, **value)
        return self.run()

    def send_json(self, key: str, value: object) -> Screen:
        """Send a component's value."""
        return self.set(key, json_value=json.dumps(value))

    def upload(self, key: str, files: Mapping[str, bytes]) -> Screen:
        """Drop files on an upload field, and return what the page shows then."""
        widget_id = self.screen.widgets[key]
        infos = []
        for urls, (name, content) in zip(
            self._file_urls(list(files)), files.items(), strict=True
        ):
            status, answer = self.put(urls.upload_url, name, content)
            if status != 204:
                raise OSError(f"{name}: {status} {answer!r}")
            infos.append(
                UploadedFileInfo(
                    file_id=urls.file_id,
                    name=name,
                    size=len(content),
                    file_urls=urls,
                )
            )
        state = WidgetState(id=widget_id)
        state.file_uploader_state_value.uploaded_file_info.extend(infos)
        self._values[key] = state
        return self.run()

    def put(self, path: str, name: str, content: bytes) -> tuple[int, bytes]:
        """Send a file to the upload endpoint, and return status and answer."""
        edge = uuid.uuid4().hex
        head = (
            f"--{edge}\r\nContent-Disposition: form-data; name={name!r}; "
            f'filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
        )
        body = head.encode() + content + f"\r\n--{edge}--\r\n".encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={edge}",
            "X-Xsrftoken": self.cookies.get("_streamlit_xsrf", ""),
        }
        return self.ask(path, method="PUT", body=body, **headers)

    def _file_urls(self, names: list[str]) -> list[FileURLs]:
        message = BackMsg()
        message.file_urls_request.request_id = uuid.uuid4().hex
        message.file_urls_request.file_names.extend(names)
        message.file_urls_request.session_id = self.session_id
        self._send(message)
        for answer in self._messages():
            if answer.WhichOneof("type") == "file_urls_response":
                return list(answer.file_urls_response.file_urls)
        raise OSError("no addresses to upload to")

    def _send(self, message: BackMsg) -> None:
        assert self._socket is not None
        self._socket.send(message.SerializeToString())

    def _messages(self) -> Iterator[ForwardMsg]:
        assert self._socket is not None
        while True:
            content = self._socket.recv(timeout=SECONDS)
            assert isinstance(content, bytes)
            self.screen.content.extend(content)
            yield ForwardMsg.FromString(content)

    def _receive(self) -> Screen:
        """Take in messages until the run has ended, and every rerun after it."""
        before, self.screen = self.screen, Screen()
        for message in self._messages():
            kind = message.WhichOneof("type")
            if kind == "new_session":
                self.session_id = message.new_session.initialize.session_id
                content, self.screen = self.screen.content, Screen()
                self.screen.content = content
            elif kind == "navigation":
                pages = message.navigation.app_pages
                self._pages = {one.url_pathname: one.page_script_hash for one in pages}
            elif kind == "delta":
                self._show(message)
            elif kind == "script_finished":
                if (
                    message.script_finished
                    == ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY
                ):
                    self.screen.widgets = {**before.widgets, **self.screen.widgets}
                if message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                    break
        return self.screen

    def _show(self, message: ForwardMsg) -> None:
        element = message.delta.new_element
        self.screen.elements.append(element)
        kind = element.WhichOneof("type")
        widget_id = getattr(getattr(element, kind), "id", "") if kind else ""
        if match := _KEYED.fullmatch(str(widget_id)):
            self.screen.widgets[match[1]] = widget_id


_TRIGGERS: Final = frozenset(
    {"trigger_value", "string_trigger_value", "json_trigger_value"}
)

"""The viewer's server: a few JSON answers about one run, and the files of the page.

It runs in the standard library's threading server, needs no extra, and binds to loopback.
"""

import dataclasses
import json
import secrets
import sys
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from society.view.guard import HEADERS, MOST_BYTES, hosts, refusal

__all__ = ["Answer", "BadRequest", "Viewer", "serve"]

_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_SECONDS = 20.0


class Answer(NamedTuple):
    """Bytes and what they are."""

    body: bytes
    kind: str = "application/json"


class BadRequest(ValueError):  # noqa: N818
    """A request asked for something that is not there; the message says what is."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


Read = Callable[[Mapping[str, str]], Any]


@dataclasses.dataclass(eq=False)
class Viewer:
    """A server for one run: ``with Viewer(reads, writes) as viewer: print(viewer.url)``.

    reads: path -> function of the query's values that returns JSON or an ``Answer``.
    writes: path -> function of the posted JSON object. port: 0 for any free one.
    """

    reads: Mapping[str, Read]
    writes: Mapping[str, Callable[[Mapping[str, Any]], Any]]
    port: int = 0
    token: str = dataclasses.field(default_factory=lambda: secrets.token_urlsafe(24))

    def __post_init__(self) -> None:
        """Bind to the port.

        Raises:
          OSError: It is taken.
        """
        self.files = _files()
        self._server = _Server(("127.0.0.1", self.port), _Handler)
        self._server.viewer = self
        self.port = self._server.server_address[1]
        self.hosts = hosts(self.port)

    @property
    def url(self) -> str:
        """Address of the page; the part after # never travels to a server."""
        return f"http://127.0.0.1:{self.port}/#token={self.token}"

    def serve_forever(self) -> None:
        """Answer until ``close``."""
        self._server.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """Let ``serve_forever`` return; call it from another thread."""
        self._server.shutdown()

    def close(self) -> None:
        """Release the port."""
        self._server.server_close()

    def __enter__(self) -> "Viewer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, target: str) -> Answer:
        """What a GET of a path with its query answers.

        Raises:
          BadRequest: There is no such thing.
        """
        parts = urlsplit(target)
        if parts.path in self.files:
            return self.files[parts.path]
        read = self.reads.get(parts.path)
        if read is None:
            raise BadRequest("there is nothing here", 404)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        return _answer(read(query))

    def post(self, target: str, body: bytes) -> Answer:
        """What a POST of a JSON object does and answers.

        Raises:
          BadRequest: There is no such thing, or the object is not what is wanted.
        """
        write = self.writes.get(urlsplit(target).path)
        if write is None:
            raise BadRequest("there is nothing to change here", 404)
        try:
            given = json.loads(body)
        except ValueError as error:
            raise BadRequest(f"the body is not JSON: {error}") from error
        if not isinstance(given, dict):
            raise BadRequest("the body must be a JSON object")
        return _answer(write(given))


def serve(viewer: Viewer) -> None:
    """Serve until interrupted."""
    try:
        viewer.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        viewer.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    viewer: Viewer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that went away is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "society-view"
    sys_version = ""
    timeout = _SECONDS

    def do_GET(self) -> None:
        self._respond()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _respond(self) -> None:
        viewer = self.server.viewer
        refused = refusal(self.command, self.headers, viewer.hosts, viewer.token)  # type: ignore[arg-type]
        if refused is not None:
            self.close_connection = True  # whatever body follows is not read
            self._send(refused.status, _answer({"error": refused.reason}))
            return
        try:
            if self.command == "POST":
                length = min(int(self.headers["Content-Length"]), MOST_BYTES)
                self._send(200, viewer.post(self.path, self.rfile.read(length)))
            else:
                self._send(200, viewer.get(self.path))
        except BadRequest as error:
            self._send(error.status, _answer({"error": str(error)}))

    def _send(self, status: int, answer: Answer) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)


def _answer(value: Any) -> Answer:
    if isinstance(value, Answer):
        return value
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Answer(text.encode("utf-8", "replace"))


def _files() -> dict[str, Answer]:
    """The shipped files of the page by their path; nothing else on the disk can be asked for."""
    found: dict[str, Answer] = {}
    pending = [("", resources.files("society.view") / "static")]
    while pending:
        prefix, folder = pending.pop()
        for entry in folder.iterdir():
            path = f"{prefix}/{entry.name}"
            if entry.is_dir():
                pending.append((path, entry))
            elif (kind := _KINDS.get(path[path.rfind(".") :])) is not None:
                found[path] = Answer(entry.read_bytes(), kind)
    found["/"] = found["/index.html"]
    return found

"""HTTP/1.1 to one server over kept connections: what asking a model takes, and no more.

A general client spends 2 to 3 ms of the processor on a request, of which a server on the same
machine is deprived. This one writes a request in one piece and reads the reply where it
arrives, for 0.2 ms. It speaks to plain ``http://`` servers without a proxy; it follows no
redirects and asks for bodies as they are (``Accept-Encoding: identity``).

Source: Fielding, Nottingham and Reschke (2022), "HTTP/1.1", RFC 9112.
"""

import asyncio
import base64
import re
import time
import zlib
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

__all__ = ["Exchanged", "PlainClient", "ReplyError", "UnusableError", "speaks_plainly"]

KEPT_S = 4.0  # servers close idle connections after five seconds or more
_MOST_HEAD_BYTES = 1 << 17
_HEX = re.compile(rb"[0-9a-fA-F]{1,12}")


class UnusableError(ValueError):
    """An address or a key with which no server can be asked."""


class ReplyError(ValueError):
    """A reply that cannot be read, though all of it may have come."""


class Exchanged(NamedTuple):
    """A whole reply; names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def speaks_plainly(url: str, *, loopback: bool) -> bool:
    """True where a URL can be asked by ``PlainClient``: ``http``, and no proxy in between."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if parts.scheme != "http" or not host or not host.isascii():
        return False
    if loopback:
        return True
    import urllib.request  # takes longer to load than all the rest

    proxies = urllib.request.getproxies()
    through = "http" in proxies or "all" in proxies
    return not through or bool(urllib.request.proxy_bypass(host))


class PlainClient:
    """Connections to the server of one URL, as many as there are requests on their way."""

    def __init__(self, url: str, headers: Mapping[str, str], most_bytes: int) -> None:
        """Take the URL that paths are added to; ``most_bytes``: of the body of a reply.

        Raises:
          UnusableError: A header holds what no header may hold.
        """
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._most_bytes = most_bytes
        self._path = parts.path.rstrip("/")
        self._idle: list[_Connection] = []
        told = {"Host": _host_of(parts), "Accept": "application/json"}
        told |= {"Accept-Encoding": "identity", "User-Agent": "societylab"} | _login(parts)
        told |= headers
        if any(not value.isprintable() or not value.isascii() for value in told.values()):
            raise UnusableError("the API key holds characters that no header may hold")
        self._head = "".join(f"{name}: {value}\r\n" for name, value in told.items())

    async def exchange(self, method: str, path: str, body: bytes | None) -> Exchanged:
        """Send a request and return the reply.

        Raises:
          OSError: There is no connection, or it broke before the reply was complete.
          UnusableError: There can be no such server.
          ReplyError: The body is too long, or cannot be decoded.
        """
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        kind = "" if body is None else "Content-Type: application/json\r\n"
        head = f"{method} {self._path}{path} HTTP/1.1\r\n{self._head}{kind}{length}\r\n"
        connection = self._kept() or await self._opened()
        try:
            reply = await connection.exchange(head.encode("ascii") + (body or b""))
        except BaseException:
            connection.abort()
            raise
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.abort()
        return reply

    async def aclose(self) -> None:
        """Close the idle connections."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.abort()

    def _kept(self) -> "_Connection | None":
        """The connection that was used last, if it can still be used."""
        fresh = time.monotonic() - KEPT_S
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and connection.used > fresh:
                return connection
            connection.abort()
        return None

    async def _opened(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: _Connection(self._most_bytes), self._host, self._port
            )
        except UnicodeError as error:  # a name that is too long, or has an empty part
            raise UnusableError(f"not an address of a server: {error}") from error
        return connection


class _Connection(asyncio.Protocol):
    """A connection with at most one request on its way."""

    def __init__(self, most_bytes: int) -> None:
        self.reusable, self.used = False, 0.0
        self._most_bytes = most_bytes
        self._transport: asyncio.Transport | None = None
        self._reply: _Reply | None = None
        self._waiting: asyncio.Future[Exchanged] | None = None

    async def exchange(self, request: bytes) -> Exchanged:
        """Send a request; returns the reply once it is complete."""
        assert self._transport is not None
        if self._transport.is_closing():
            raise ConnectionResetError("the server closed the connection")
        self.reusable = False
        self._reply = _Reply(self._most_bytes)
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def abort(self) -> None:
        """Close at once."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Add to the reply."""
        if self._reply is None:  # nobody asked for this
            self.abort()
            return
        try:
            if self._reply.add(data):
                self._done(self._reply.keeps)
        except (ReplyError, OSError) as error:
            self._failed(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """End a reply whose end is the connection's; any other is incomplete."""
        if self._reply is None:
            self.reusable = False
        elif exc is None and self._reply.ends_with_connection:
            self._done(False)
        else:
            why = exc if isinstance(exc, OSError) else None
            begun = "before the answer was complete" if self._reply.begun else "without an answer"
            self._failed(why or ConnectionResetError(f"the server closed the connection {begun}"))

    def _done(self, keeps: bool) -> None:
        reply, self._reply = self._reply, None
        assert reply is not None
        try:
            exchanged = reply.exchanged()
        except ReplyError as error:
            self._failed(error)
            return
        self.reusable, self.used = keeps, time.monotonic()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(exchanged)

    def _failed(self, error: Exception) -> None:
        self._reply = None
        self.abort()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)


class _Reply:
    """A reply as it arrives.

    keeps: the connection can be used again. begun: something has come.
    """

    def __init__(self, most_bytes: int) -> None:
        self.keeps = False
        self._most_bytes = most_bytes
        self._raw = bytearray()
        self._status, self._headers = 0, dict[str, str]()
        self._length: int | None = None
        self._chunks: bytearray | None = None

    @property
    def begun(self) -> bool:
        return bool(self._status or self._raw)

    @property
    def ends_with_connection(self) -> bool:
        return bool(self._status) and self._length is None and self._chunks is None

    def add(self, data: bytes) -> bool:
        """Take bytes; True once the reply is complete.

        Raises:
          ConnectionError: They are no HTTP. ReplyError: There are too many.
        """
        self._raw += data
        if not self._status and not self._read_head():
            return False
        if len(self._raw) > self._most_bytes:
            raise ReplyError(f"more than {self._most_bytes} bytes")
        if self._chunks is not None:
            return self._read_chunks(self._chunks)
        if self._length is not None and len(self._raw) >= self._length:
            self.keeps = self.keeps and len(self._raw) == self._length
            del self._raw[self._length :]
            return True
        return False

    def exchanged(self) -> Exchanged:
        """The whole reply, its body decoded."""
        body = bytes(self._raw if self._chunks is None else self._chunks)
        return Exchanged(
            self._status, self._headers, _decoded(body, self._headers, self._most_bytes)
        )

    def _read_head(self) -> bool:
        """Read the status and the headers, where all of them have come."""
        while not self._status:
            head, end, rest = self._raw.partition(b"\r\n\r\n")
            if len(head) > _MOST_HEAD_BYTES:
                raise ConnectionError("the head of the answer does not end")
            if not end:
                return False
            self._raw = rest
            status, *lines = head.decode("latin-1").split("\r\n")
            version, number = _status_of(status)
            if number >= 200:
                self._status, self._headers = number, _headers_of(lines)
                self._frame(version)
        return True

    def _frame(self, version: str) -> None:
        """Find out where the body ends."""
        headers = self._headers
        options = {option.strip().lower() for option in headers.get("connection", "").split(",")}
        self.keeps = "close" not in options and (version == "HTTP/1.1" or "keep-alive" in options)
        coding = headers.get("transfer-encoding")
        if self._status in (204, 304):
            self._length = 0
        elif coding is not None:
            if coding.strip().lower() != "chunked":
                raise ConnectionError(f"the answer has an unknown transfer coding: {coding[:40]!r}")
            self._chunks = bytearray()
        elif "content-length" in headers:
            lengths = {length.strip() for length in headers["content-length"].split(",")}
            length = lengths.pop()
            if lengths or not (length.isascii() and length.isdigit()):
                raise ConnectionError("the answer has no readable length")
            self._length = int(length)
            if self._length > self._most_bytes:
                raise ReplyError(f"more than {self._most_bytes} bytes")

    def _read_chunks(self, chunks: bytearray) -> bool:
        """Move whole chunks over; True after the last one and its trailers."""
        raw = self._raw
        while (end := raw.find(b"\r\n")) >= 0:
            size = bytes(raw[:end]).split(b";")[0].strip()
            if not _HEX.fullmatch(size):
                raise ConnectionError("the answer has no readable chunk")
            length = int(size, 16)
            if not length:
                trailers = raw.find(b"\r\n\r\n", end)
                if trailers < 0:
                    break
                self.keeps = self.keeps and len(raw) == trailers + 4
                return True
            if len(raw) < end + length + 4:
                break
            if raw[end + 2 + length : end + 4 + length] != b"\r\n":
                raise ConnectionError("the answer has a chunk of the wrong length")
            chunks += raw[end + 2 : end + 2 + length]
            del raw[: end + 4 + length]
            if len(chunks) > self._most_bytes:
                raise ReplyError(f"more than {self._most_bytes} bytes")
        return False


def _status_of(line: str) -> tuple[str, int]:
    version, _, rest = line.partition(" ")
    number = rest[:3]
    if not (version in ("HTTP/1.1", "HTTP/1.0") and number.isascii() and number.isdigit()):
        raise ConnectionError(f"the answer is no HTTP/1.1: {line[:40]!r}")
    if len(number) != 3 or rest[3:4] not in ("", " "):
        raise ConnectionError(f"the answer has no readable status: {line[:40]!r}")
    return version, int(number)


def _headers_of(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise ConnectionError("the answer has a header that cannot be read")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _decoded(body: bytes, headers: Mapping[str, str], most_bytes: int) -> bytes:
    """The body without compression, which some servers use unasked."""
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding == "identity" or not body:
        return body
    if coding not in ("gzip", "deflate"):
        raise ReplyError(f"its content encoding {coding[:40]!r} was not asked for")
    unpacking = zlib.decompressobj(47)  # gzip or zlib, as its first bytes say
    try:
        unpacked = unpacking.decompress(body, most_bytes)
    except zlib.error as error:
        raise ReplyError(str(error)) from error
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise ReplyError(f"it does not end within {most_bytes} bytes")
    return unpacked


def _host_of(parts: SplitResult) -> str:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return host if parts.port in (None, 80) else f"{host}:{parts.port}"


def _login(parts: SplitResult) -> dict[str, str]:
    if not parts.username and not parts.password:
        return {}
    login = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}

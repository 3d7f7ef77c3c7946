"""HTTP/1.1 as servers write it, in any pieces, sound and broken."""

import asyncio
import gzip
import itertools
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_agents.backends.plain_http import (
    PlainClient,
    ReplyError,
    UnusableError,
    _Reply,
    speaks_plainly,
)

MOST = 1000
OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = OK + b"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    OK + b"Transfer-Encoding: chunked\r\n\r\n3;note=x\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: x\r\n\r\n"
)
SOUND = {
    "a length": PLAIN,
    "chunks": CHUNKED,
    "chunks without trailers": OK + b"Transfer-Encoding: chunked\r\n\r\n05\r\nhello\r\n0\r\n\r\n",
    "an interim reply before": b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN,
    "gzip": OK
    + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s"
    % (len(gzip.compress(b"hello")), gzip.compress(b"hello")),
    "deflate": OK
    + b"Content-Encoding: deflate\r\nContent-Length: %d\r\n\r\n%s"
    % (len(zlib.compress(b"hello")), zlib.compress(b"hello")),
}


def read(raw, cuts=()):
    """The reply in a text that arrives in pieces, and whether the connection is kept."""
    reply = _Reply(MOST)
    places = [0, *sorted(cuts), len(raw)]
    done = [reply.add(raw[a:b]) for a, b in itertools.pairwise(places) if a < b]
    assert done[-1] and not any(done[:-1])
    return reply.exchanged(), reply.keeps


@pytest.mark.parametrize("form", SOUND)
@given(st.data())
def test_a_sound_reply_is_read_however_it_is_cut(form, data):
    raw = SOUND[form]
    cuts = data.draw(st.lists(st.integers(1, len(raw) - 1), max_size=6))
    reply, keeps = read(raw, cuts)
    assert (reply.status, reply.body, keeps) == (200, b"hello", True)


@pytest.mark.parametrize(
    ("raw", "status", "keeps"),
    [
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", 200, False),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", 200, True),
        (OK + b"Connection: x, close\r\nContent-Length: 0\r\n\r\n", 200, False),
        (OK + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n", 200, True),
        (OK + b"Content-Length: 0\r\n\r\nmore than was said", 200, False),
        (b"HTTP/1.1 204\r\n\r\n", 204, True),
        (b"HTTP/1.1 429 Too Many\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n", 429, True),
    ],
)
def test_a_connection_is_kept_where_both_may(raw, status, keeps):
    reply, kept = read(raw)
    assert (reply.status, reply.body, kept) == (status, b"", keeps)
    assert status != 429 or reply.headers["retry-after"] == "3"


@pytest.mark.parametrize(
    ("raw", "kind", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", ConnectionError, "no HTTP/1.1: 'SSH"),
        (b"HTTP/2 200\r\n\r\n", ConnectionError, "no HTTP/1.1"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", ConnectionError, "no readable status"),
        (OK + b"Content-Length : 5\r\n\r\nhello", ConnectionError, "header"),
        (OK + b"no colon\r\n\r\n", ConnectionError, "header"),
        (OK + b"Content-Length: -5\r\n\r\n", ConnectionError, "no readable length"),
        (OK + b"Content-Length: 5, 6\r\n\r\n", ConnectionError, "no readable length"),
        (OK + b"Content-Length: 1001\r\n\r\n", ReplyError, "more than 1000 bytes"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", ConnectionError, "transfer coding"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n", ConnectionError, "chunk"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello!!", ConnectionError, "wrong length"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1ff\r\n%s\r\n" % (511 * b"x") * 2,
         ReplyError, "more than 1000 bytes"),
        (OK + b"X: " + (1 << 17) * b"x" + b"\r\n\r\n", ConnectionError, "does not end"),
        (OK + b"Content-Encoding: br\r\nContent-Length: 1\r\n\r\nx", ReplyError, "'br' was not"),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello", ReplyError, "header"),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s"
         % (len(gzip.compress(5000 * b"x")), gzip.compress(5000 * b"x")), ReplyError, "1000 bytes"),
    ],
)  # fmt: skip
def test_a_broken_reply_is_an_error(raw, kind, why):
    reply = _Reply(MOST)
    with pytest.raises(kind, match=why):
        assert reply.add(raw)
        reply.exchanged()


def test_a_connection_serves_one_request_after_the_other_and_many_serve_many():
    async def main():
        async with _server() as (client, seen):
            for _ in range(3):
                await client.exchange("GET", "/a", None)
            await asyncio.gather(*(client.exchange("POST", "/b", b"{}") for _ in range(5)))
            await client.exchange("POST", "/b", b"\xc3\xa9")
            return seen

    seen = asyncio.run(main())
    assert len({connection for connection, _, _ in seen[:3]}) == 1
    assert len({connection for connection, _, _ in seen}) == 5
    assert seen[0][1].startswith("GET /v1/a HTTP/1.1\r\nHost: 127.0.0.1:")
    assert "Authorization: Bearer key-of-mine\r\n" in seen[0][1]
    assert seen[-1][1].startswith("POST /v1/b HTTP/1.1\r\n") and seen[-1][2] == b"\xc3\xa9"


def test_what_a_server_ends_by_closing_is_read_to_its_end_and_the_rest_is_an_error():
    async def main(raw):
        async with _server(raw, closes=True) as (client, _):
            return (await client.exchange("GET", "/a", None)).body

    assert asyncio.run(main(OK + b"\r\nhello")) == b"hello"
    with pytest.raises(ConnectionError, match="before the answer was complete"):
        asyncio.run(main(OK + b"Content-Length: 9\r\n\r\nhello"))
    with pytest.raises(ConnectionError, match="without an answer"):
        asyncio.run(main(b""))


def test_a_request_that_is_given_up_takes_its_connection_with_it():
    async def main():
        async with _server(b"") as (client, seen):
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await client.exchange("GET", "/a", None)
            return seen

    seen = asyncio.run(main())
    assert len({connection for connection, _, _ in seen}) == 2


def test_only_plain_addresses_without_a_proxy_are_asked_plainly(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert speaks_plainly("http://cluster:8000/v1", loopback=False)
    for url in ("https://api.example.org/v1", "ftp://x", "x:80", "http://", "http://x:port"):
        assert not speaks_plainly(url, loopback=False)
    monkeypatch.setenv("http_proxy", "http://proxy.example.org:3128")
    monkeypatch.setenv("no_proxy", "cluster")
    assert not speaks_plainly("http://other:8000/v1", loopback=False)
    assert speaks_plainly("http://cluster:8000/v1", loopback=False)
    assert speaks_plainly("http://127.0.0.1:8000/v1", loopback=True)


def test_addresses_and_keys_that_cannot_be_sent_are_named():
    with pytest.raises(UnusableError, match="API key"):
        PlainClient("http://x/v1", {"Authorization": "Bearer a\r\nX: y"}, MOST)
    client = PlainClient(f"http://{70 * 'x'}.example/v1", {}, MOST)
    with pytest.raises(UnusableError, match="not an address"):
        asyncio.run(client.exchange("GET", "/a", None))
    login = PlainClient("http://me:p%40ss@[::1]:80/v1/", {}, MOST)
    assert "Host: [::1]\r\n" in login._head
    assert "Authorization: Basic bWU6cEBzcw==\r\n" in login._head


class _server:  # noqa: N801
    """A server that always answers the same; gives a client and what the server has seen."""

    def __init__(self, raw=PLAIN, closes=False):
        self.raw, self.closes, self.seen, self.tasks = raw, closes, [], set()

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        headers = {"Authorization": "Bearer key-of-mine"}
        self.client = PlainClient(f"http://127.0.0.1:{port}/v1", headers, MOST)
        return self.client, self.seen

    async def __aexit__(self, *_):
        await self.client.aclose()
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def answer(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = [line[15:] for line in head.split("\r\n") if "Content-Length" in line]
                body = await reader.readexactly(int(length[0])) if length else b""
                self.seen.append((id(writer), head, body))
                writer.write(self.raw)
                await asyncio.sleep(0.01)
                if self.closes:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

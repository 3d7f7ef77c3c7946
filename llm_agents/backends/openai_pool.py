"""Servers that share a load: the least busy sound one is asked; a failing one rests."""

import asyncio
import dataclasses
import ipaddress
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from llm_agents.backends.base import BackendError
from llm_agents.backends.openai_wire import status_error
from llm_agents.backends.plain_http import (
    Exchanged,
    PlainClient,
    ReplyError,
    UnusableError,
    speaks_plainly,
)
from worlds.redact import redact, redact_url, register_secret

__all__ = ["Endpoint", "Pool"]

MOST_BYTES = 32 * 2**20
FIRST_REST_S = 1.0
LONGEST_REST_S = 60.0
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


@dataclasses.dataclass(eq=False)
class Endpoint:
    """One URL and how it does.

    in_flight: requests on their way. failures: since the last success.
    rests_until: on the pool's clock.
    """

    url: str
    client: Any = None
    in_flight: int = 0
    failures: int = 0
    rests_until: float = 0.0
    served: int = 0

    def available(self, now: float) -> bool:
        """True where it may be asked; after a failure, one request at a time tries it."""
        return not self.failures or (now >= self.rests_until and not self.in_flight)


class Pool:
    """The servers of one backend."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        key: str = "",
        timeout_s: float = 120.0,
        concurrency: int = 64,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        register_secret(key)
        self.timeout_s, self._key, self._concurrency = timeout_s, key, concurrency
        self._clock = clock
        self.endpoints = [Endpoint(url.rstrip("/")) for url in urls]

    def pick(self) -> Endpoint:
        """The least busy of those that may be asked; if all rest, the first to be ready."""
        now = self._clock()
        sound = [one for one in self.endpoints if one.available(now)]
        if sound:
            return min(sound, key=lambda one: (one.in_flight, one.served))
        return min(self.endpoints, key=lambda one: (one.rests_until, one.in_flight))

    def report(self, endpoint: Endpoint, error: BackendError | None) -> None:
        """Note how an exchange ended: trouble sends a server to rest, longer each time."""
        if error is None or error.visible or not error.retryable:
            endpoint.failures, endpoint.rests_until = 0, 0.0
            endpoint.served += error is None
            return
        endpoint.failures += 1
        rest = min(LONGEST_REST_S, FIRST_REST_S * 2 ** min(endpoint.failures - 1, 10))
        wish = error.retry_after_s or 0.0
        endpoint.rests_until = max(endpoint.rests_until, self._clock() + max(rest, wish))

    def elsewhere(self, error: BackendError) -> bool:
        """True where another server can be asked at once after a failure."""
        now = self._clock()
        return error.retryable and any(one.available(now) for one in self.endpoints)

    async def call(
        self, endpoint: Endpoint, method: str, path: str, body: Mapping[str, Any] | None
    ) -> tuple[bytes, BackendError | None]:
        """One HTTP exchange; returns the body of a reply with status 200, or an error.

        The caller reports how it went, because only it can tell an answer from a web page.
        """
        endpoint.in_flight += 1
        error: BackendError | None
        raw = b""
        try:
            if endpoint.client is None:
                endpoint.client = self._client(endpoint.url)
            asked = None if body is None else _encode(body).encode()
            async with asyncio.timeout(self.timeout_s):
                status, headers, raw = await endpoint.client.exchange(method, path, asked)
            error = status_error(status, headers, raw, time.time())
        except TimeoutError:
            message = f"no answer within {self.timeout_s:g} s"
            error = BackendError("timeout", message, retryable=True)
        except ReplyError as problem:
            error = BackendError("garbage", f"unreadable body: {problem}", retryable=True)
        except UnusableError as problem:
            error = BackendError("rejected", str(problem))
        except OSError as problem:
            said = str(problem) or type(problem).__name__
            error = BackendError("connection", said, retryable=True)
        finally:
            endpoint.in_flight -= 1
        if error is not None:
            where = redact_url(endpoint.url)
            error = dataclasses.replace(error, message=f"{where}: {redact(error.message)}")
        return raw, error

    async def aclose(self) -> None:
        """Close the connections."""
        for endpoint in self.endpoints:
            client, endpoint.client = endpoint.client, None
            if client is not None:
                await client.aclose()

    def _client(self, url: str) -> "PlainClient | _WebClient":
        try:
            parts = urlsplit(url)
            login, loopback = (parts.password, parts.username), _is_loopback(parts.hostname or "")
        except ValueError as error:
            raise UnusableError(f"not an address of a server: {error}") from error
        for secret in login:
            register_secret(secret or "")
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        if speaks_plainly(url, loopback=loopback):
            return PlainClient(url, headers, MOST_BYTES)
        return _WebClient(url, headers, self.timeout_s, self._concurrency, proxies=not loopback)


class _WebClient:
    """A general client for servers behind TLS or a proxy, asked like a ``PlainClient``."""

    def __init__(
        self, url: str, headers: Mapping[str, str], timeout_s: float, most: int, *, proxies: bool
    ) -> None:
        import httpx

        self._url = url
        self._httpx = httpx.AsyncClient(
            headers=dict(headers),
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=most),
            trust_env=proxies,
            verify=not url.startswith("http:"),  # loading certificates takes longer than many a run
            follow_redirects=False,
        )

    async def exchange(self, method: str, path: str, body: bytes | None) -> Exchanged:
        """Send a request and return the reply."""
        import httpx

        kind = {} if body is None else {"Content-Type": "application/json"}
        try:
            asked = self._httpx.stream(method, self._url + path, content=body, headers=kind)
            async with asked as reply:
                raw = bytearray()
                async for chunk in reply.aiter_bytes():
                    raw += chunk
                    if len(raw) > MOST_BYTES:
                        raise ReplyError(f"more than {MOST_BYTES} bytes")
                return Exchanged(reply.status_code, reply.headers, bytes(raw))
        except httpx.TimeoutException as error:
            raise TimeoutError from error
        except httpx.DecodingError as error:
            raise ReplyError(str(error)) from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise UnusableError(f"not an address of a server: {error}") from error
        except httpx.HTTPError as error:
            raise ConnectionError(str(error) or type(error).__name__) from error

    async def aclose(self) -> None:
        """Close the connections."""
        await self._httpx.aclose()


def _is_loopback(host: str) -> bool:
    if host in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

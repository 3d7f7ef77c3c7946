"""Any server that speaks the OpenAI chat dialect: vLLM, llama.cpp, Ollama, hosted services.

Every request is answered by a value: an answer, or a typed error after as many attempts
as are allowed. Secrets appear in no error and no ``repr``.
"""

import asyncio
import dataclasses
import ipaddress
import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from llm_agents.backends.base import (
    Backend,
    BackendError,
    Capabilities,
    Request,
    Response,
    Usage,
    sample_option,
)
from llm_agents.backends.openai_wire import (
    choice_from_logprobs,
    choice_from_text,
    payload,
    read_body,
    status_error,
)
from llm_agents.backends.wrappers import RetryRule, with_retries
from worlds.redact import redact, redact_url, register_secret
from worlds.registry import component
from worlds.tree import doc_field

if TYPE_CHECKING:
    import httpx

__all__ = ["OpenAIHTTP"]

MOST_BYTES = 32 * 2**20
_DEFAULT_URL = "http://localhost:8000/v1"


class _Failed(Exception):  # noqa: N818
    """An attempt that ended in a typed error."""

    def __init__(self, error: BackendError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclasses.dataclass(eq=False)
class _Endpoint:
    """One URL and how it does: requests on their way, failures since the last success."""

    url: str
    client: Any
    in_flight: int = 0
    failures: int = 0


@dataclasses.dataclass(eq=False)
class _Server:
    """What is known of the servers: found out once, forgotten with the event loop."""

    loop: Any = None
    endpoints: list[_Endpoint] = dataclasses.field(default_factory=list)
    gate: asyncio.Semaphore | None = None
    probe: asyncio.Lock | None = None
    model: str = ""
    vllm: bool = False
    known: bool = False
    token_limit: str = "max_tokens"
    unsupported: set[str] = dataclasses.field(default_factory=set)


@component("backend", "openai_http")
@dataclasses.dataclass(frozen=True, eq=False)
class OpenAIHTTP(Backend):
    """Any server with the OpenAI chat dialect: vLLM, Ollama, llama.cpp, hosted services.

    Options are scored by the log-probabilities of the first token where the server gives
    them and they tell the options apart, else by structured outputs, else by reading the
    text; whatever comes back is checked against the options.
    """

    url: str | tuple[str, ...] = doc_field(
        "", "where the API is, or several such places; empty: OPENAI_BASE_URL", operational=True
    )
    model: str = doc_field("", "name of the model; empty: the only one that the server lists")
    api_key_env: str = doc_field(
        "OPENAI_API_KEY", "environment variable that holds the key", operational=True
    )
    server: Literal["auto", "openai", "vllm"] = doc_field(
        "auto", "whether vLLM's extensions may be used"
    )
    choice: Literal["auto", "logprobs", "structured", "text"] = doc_field(
        "auto", "how options are chosen; auto takes the first way that works"
    )
    timeout_s: float = doc_field(120.0, "longest wait for a whole answer", gt=0, operational=True)
    concurrency: int = doc_field(64, "requests on their way at a time", ge=1, operational=True)
    retries: int = doc_field(4, "further attempts after a failed one", ge=0, operational=True)
    first_wait_s: float = doc_field(
        0.5, "longest wait before the first retry", ge=0, operational=True
    )
    longest_wait_s: float = doc_field(30.0, "longest wait between retries", ge=0, operational=True)
    longest_retry_after_s: float = doc_field(
        120.0, "a server that asks for more patience is given up", ge=0, operational=True
    )
    prompt_price: float = doc_field(
        0.0, "US dollars for a million tokens read", ge=0, operational=True
    )
    completion_price: float = doc_field(
        0.0, "US dollars for a million tokens written", ge=0, operational=True
    )
    _server: _Server = dataclasses.field(default_factory=_Server, init=False, repr=False)

    @property
    def capabilities(self) -> Capabilities:
        """Depends on the server; logprobs until it is known to give none."""
        logprobs = (
            self.choice in ("auto", "logprobs") and "logprobs" not in self._server.unsupported
        )
        return Capabilities(seed=True, logprobs=logprobs, guided=True, prefill=True, streams=True)

    @property
    def fingerprint(self) -> str:
        """The model's name; addresses take no part."""
        return f"openai_http {self.model or self._server.model}"

    async def generate(self, requests: Sequence[Request]) -> list[Response]:
        """Answer with free text; all requests go out at once, up to ``concurrency``."""
        return list(await asyncio.gather(*(self._free(request) for request in requests)))

    async def choose(self, requests: Sequence[Request]) -> list[Response]:
        """Answer with options; all requests go out at once, up to ``concurrency``."""
        return list(await asyncio.gather(*(self._choose(request) for request in requests)))

    async def aclose(self) -> None:
        """Close the connections."""
        endpoints, self._server.endpoints = self._server.endpoints, []
        if self._server.loop is asyncio.get_running_loop():
            for endpoint in endpoints:
                await endpoint.client.aclose()
        self._server.loop = None

    # ---- one request --------------------------------------------------------------------

    async def _free(self, request: Request) -> Response:
        _, response = await self._persist(request, "")
        return response

    async def _choose(self, request: Request) -> Response:
        options = request.options or ()
        ways = ("logprobs", "structured", "text") if self.choice == "auto" else (self.choice,)
        spent = Response(attempts=0)
        response = Response()
        for way in ways:
            if way in self._server.unsupported and way != ways[-1]:
                continue
            body, response = await self._persist(request, way)
            spent = _sum(spent, response)
            if _refuses(response, way) and way != ways[-1]:
                self._server.unsupported.add(way)
                continue
            if response.error is not None:
                return _with(response, spent)
            chosen = self._read_choice(request, way, body, response)
            if chosen is not None:
                return _with(chosen, spent)
        message = f"the answer is none of the options {list(options)}: {response.text[:80]!r}"
        error = BackendError("not_an_option", message)
        return _with(dataclasses.replace(response, error=error, method="text"), spent)

    def _read_choice(
        self, request: Request, way: str, body: Mapping[str, Any], response: Response
    ) -> Response | None:
        options = request.options or ()
        if way == "logprobs":
            logprobs = choice_from_logprobs(body, options)
            if logprobs is None:
                if not _gives_logprobs(body):
                    self._server.unsupported.add(way)
                return None
            index = sample_option(logprobs, request.temperature, request.seed)
            return dataclasses.replace(
                response,
                choice=index,
                text=options[index],
                option_logprobs=logprobs,
                method=way,
                finish_reason="stop",
            )
        json_answer = way == "structured" and not self._server.vllm
        index = choice_from_text(response.text, options, json_answer=json_answer)
        if index is None:
            return None
        return dataclasses.replace(response, choice=index, text=options[index], method=way)

    async def _persist(self, request: Request, way: str) -> tuple[Mapping[str, Any], Response]:
        """Ask with retries; returns the last body too."""
        body: Mapping[str, Any] = {}

        async def once() -> Response:
            nonlocal body
            body, response = await self._attempt(request, way)
            return response

        rule = RetryRule(
            attempts=self.retries + 1,
            first_s=self.first_wait_s,
            cap_s=self.longest_wait_s,
            max_retry_after_s=self.longest_retry_after_s,
        )
        response = await with_retries(once, request, rule)
        return body, response

    async def _attempt(self, request: Request, way: str) -> tuple[Mapping[str, Any], Response]:
        server = self._open()
        assert server.gate is not None
        async with server.gate:
            began = time.monotonic()
            body: Mapping[str, Any] = {}
            try:
                await self._learn(server)
                said = payload(request, server.model, way=way, vllm=server.vllm)
                body, response = await self._post(server, said)
            except _Failed as failure:
                response = Response(error=failure.error, model=server.model)
        usage = self._priced(response.usage)
        took = time.monotonic() - began
        return body, dataclasses.replace(
            response, usage=usage, latency_s=took, model=response.model or server.model
        )

    async def _post(
        self, server: _Server, said: dict[str, Any]
    ) -> tuple[Mapping[str, Any], Response]:
        limit = said.pop("max_tokens")
        for _ in range(2):
            raw, error = await self._call(server, "POST", "/chat/completions", {
                **said, server.token_limit: limit,
            })  # fmt: skip
            renamed = error is not None and "max_completion_tokens" in error.message
            if not (renamed and server.token_limit == "max_tokens"):
                break
            server.token_limit = "max_completion_tokens"
        if error is not None:
            raise _Failed(error)
        return read_body(200, raw)

    # ---- the server ---------------------------------------------------------------------

    def _open(self) -> _Server:
        server, loop = self._server, asyncio.get_running_loop()
        if server.loop is not loop:
            server.endpoints = [
                _Endpoint(url.rstrip("/"), self._client(url)) for url in self._urls()
            ]
            server.gate = asyncio.Semaphore(self.concurrency)
            server.probe = asyncio.Lock()
            server.loop = loop
        return server

    def _urls(self) -> tuple[str, ...]:
        urls = (self.url,) if isinstance(self.url, str) else tuple(self.url)
        urls = tuple(url for url in urls if url)
        return urls or (os.environ.get("OPENAI_BASE_URL") or _DEFAULT_URL,)

    def _client(self, url: str) -> "httpx.AsyncClient":
        import httpx

        key = os.environ.get(self.api_key_env, "") if self.api_key_env else ""
        register_secret(key)
        parts = urlsplit(url)
        for secret in (parts.password, parts.username):
            register_secret(secret or "")
        return httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=self.timeout_s,
            limits=httpx.Limits(max_connections=self.concurrency),
            trust_env=not _is_loopback(parts.hostname or ""),
            verify=parts.scheme != "http",  # loading certificates takes longer than many a run
            follow_redirects=False,
        )

    async def _learn(self, server: _Server) -> None:
        """Find out, once, which model there is and whether the server is vLLM."""
        assert server.probe is not None
        async with server.probe:
            if server.known:
                return
            if self.model and self.server != "auto":
                listed: list[Any] = []
            else:
                listed = await self._listed(server)
            names = [str(item.get("id")) for item in listed]
            if not self.model and len(names) != 1:
                raise _Failed(
                    BackendError(
                        "rejected",
                        f"the server lists {len(names)} models ({', '.join(names[:5]) or 'none'}); "
                        "set the backend's model to one of those that it serves",
                    )
                )
            server.model = self.model or names[0]
            owners = {item.get("owned_by") for item in listed}
            server.vllm = self.server == "vllm" or (self.server == "auto" and "vllm" in owners)
            server.known = True

    async def _listed(self, server: _Server) -> list[Any]:
        raw, error = await self._call(server, "GET", "/models", None)
        if error is not None:
            if self.model and error.kind == "rejected":
                return []
            raise _Failed(error)
        body, _ = read_body(200, raw)
        items = body.get("data")
        if isinstance(items, list):
            return [item for item in items if isinstance(item, Mapping)]
        if self.model:
            return []
        raise _Failed(
            BackendError("garbage", "the server's list of models cannot be read", retryable=True)
        )

    async def _call(
        self, server: _Server, method: str, path: str, body: dict[str, Any] | None
    ) -> tuple[bytes, BackendError | None]:
        """One HTTP exchange with the least busy sound endpoint."""
        import httpx

        endpoint = min(server.endpoints, key=lambda e: (min(e.failures, 3), e.in_flight))
        where = redact_url(endpoint.url)
        endpoint.in_flight += 1
        error: BackendError | None
        raw = b""
        try:
            async with asyncio.timeout(self.timeout_s):
                status, headers, raw = await _exchange(
                    endpoint.client, method, endpoint.url + path, body
                )
            error = status_error(status, headers, raw, time.time())
        except (TimeoutError, httpx.TimeoutException):
            message = f"no answer within {self.timeout_s:g} s"
            error = BackendError("timeout", message, retryable=True)
        except httpx.DecodingError as problem:
            error = BackendError("garbage", f"unreadable body: {problem}", retryable=True)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as problem:
            error = BackendError("rejected", f"not an address of a server: {problem}")
        except (httpx.HTTPError, OSError) as problem:
            said = str(problem) or type(problem).__name__
            error = BackendError("connection", said, retryable=True)
        finally:
            endpoint.in_flight -= 1
        sick = error is not None and error.retryable
        endpoint.failures = endpoint.failures + 1 if sick else 0
        if error is not None:
            error = dataclasses.replace(error, message=f"{where}: {redact(error.message)}")
        return raw, error

    def _priced(self, usage: Usage) -> Usage:
        cost = (
            usage.prompt_tokens * self.prompt_price
            + usage.completion_tokens * self.completion_price
        ) / 1e6
        return dataclasses.replace(usage, cost_usd=cost) if cost else usage


async def _exchange(
    client: "httpx.AsyncClient", method: str, url: str, body: dict[str, Any] | None
) -> tuple[int, Mapping[str, str], bytes]:
    import httpx

    async with client.stream(method, url, json=body) as reply:
        raw = bytearray()
        async for chunk in reply.aiter_bytes():
            raw += chunk
            if len(raw) > MOST_BYTES:
                raise httpx.DecodingError(f"more than {MOST_BYTES} bytes", request=reply.request)
        return reply.status_code, reply.headers, bytes(raw)


def _is_loopback(host: str) -> bool:
    if host in ("localhost", ""):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refuses(response: Response, way: str) -> bool:
    """True where the server does not know the parameters that a way needs."""
    return (
        way != "text"
        and response.error is not None
        and response.error.kind == "rejected"
        and any(f"HTTP {status}" in response.error.message for status in (400, 422, 501))
    )


def _gives_logprobs(body: Mapping[str, Any]) -> bool:
    choices = body.get("choices") or [{}]
    return bool(isinstance(choices[0], Mapping) and choices[0].get("logprobs"))


def _sum(spent: Response, response: Response) -> Response:
    return dataclasses.replace(
        spent,
        attempts=spent.attempts + response.attempts,
        faults=spent.faults + response.faults,
        usage=spent.usage + response.usage,
        latency_s=spent.latency_s + response.latency_s,
    )


def _with(response: Response, spent: Response) -> Response:
    return dataclasses.replace(
        response,
        attempts=spent.attempts,
        faults=spent.faults,
        usage=spent.usage,
        latency_s=spent.latency_s,
    )

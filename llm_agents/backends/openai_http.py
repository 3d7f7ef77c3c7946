"""Any server that speaks the OpenAI chat dialect: vLLM, llama.cpp, Ollama, hosted services.

Every request is answered by a value: an answer, or a typed error after as many attempts
as are allowed. Secrets appear in no error and no ``repr``.
"""

import asyncio
import contextlib
import dataclasses
import functools
import math
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from llm_agents.backends.base import (
    Backend,
    BackendError,
    Capabilities,
    ChatMessage,
    Request,
    Response,
    Usage,
    sample_option,
)
from llm_agents.backends.openai_dialect import DIALECTS, OPENAI, Dialect, dialect_of
from llm_agents.backends.openai_pool import Pool
from llm_agents.backends.openai_wire import (
    exact_scores,
    named_choice,
    payload,
    read_body,
    refuses,
    top_tokens,
    without_lead,
)
from llm_agents.backends.wrappers import RetryRule, with_retries
from llm_agents.choice import (
    CLEAR_MASS,
    LEAST_MASS,
    Top,
    continued,
    leads,
    read_top,
    renormalised,
    tells_whole,
    walk,
)
from llm_agents.choice_forms import check_schema, checked
from worlds.registry import component
from worlds.text_safety import neutralise
from worlds.tree import doc_field

__all__ = ["OpenAIHTTP"]

_DEFAULT_URL = "http://localhost:8000/v1"
_WAYS = ("logprobs", "structured", "regex", "text")
_SHOWN_CHARS = 1500
_REASK = "That is none of the options. Reply with exactly one of these and nothing else: "


class _Failed(Exception):  # noqa: N818
    """An attempt that ended in a typed error."""

    def __init__(self, error: BackendError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclasses.dataclass(eq=False)
class _Server:
    """What is known of the servers: found out once; connections end with the event loop."""

    loop: Any = None
    pool: Pool | None = None
    gate: asyncio.Semaphore | None = None
    probe: asyncio.Task[None] | None = None
    model: str = ""
    dialect: Dialect = OPENAI
    known: bool = False
    token_limit: str = "max_tokens"
    unsupported: set[str] = dataclasses.field(default_factory=set)


@dataclasses.dataclass(eq=False)
class _Spent:
    """What the requests of one choice have cost so far."""

    attempts: int = 0
    faults: tuple[str, ...] = ()
    usage: Usage = dataclasses.field(default_factory=Usage)
    latency_s: float = 0.0

    def add(self, response: Response) -> None:
        self.attempts += response.attempts
        self.faults += response.faults
        self.usage += response.usage
        self.latency_s += response.latency_s

    def on(self, response: Response) -> Response:
        return dataclasses.replace(response, **vars(self))


@component("backend", "openai_http")
@dataclasses.dataclass(frozen=True, eq=False)
class OpenAIHTTP(Backend):
    """Any server with the OpenAI chat dialect: vLLM, Ollama, llama.cpp, hosted services.

    Options are chosen by the best way that the server has: log-probabilities of the first
    tokens that tell them apart, structured outputs, a regular expression, or reading the
    text; whatever comes back is checked against the options. Several URLs share the load:
    the one with the fewest requests on their way is asked, one that fails rests and is tried
    again later, with one request.
    """

    url: str | tuple[str, ...] = doc_field(
        "", "where the API is, or several such places; empty: OPENAI_BASE_URL", operational=True
    )
    model: str = doc_field("", "name of the model; empty: the only one that the server lists")
    api_key_env: str = doc_field(
        "OPENAI_API_KEY", "environment variable that holds the key", operational=True
    )
    server: Literal["auto", "openai", "vllm", "llamacpp", "ollama"] = doc_field(
        "auto", "whose extensions may be used; auto: as the list of models says"
    )
    choice: Literal["auto", "logprobs", "structured", "regex", "text"] = doc_field(
        "auto", "how options are chosen; auto takes the first way that works"
    )
    reasks: int = doc_field(
        1, "further questions where an option has to be read from a text and cannot be", ge=0
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
        prefill = bool(self._server.dialect.continues) or not self._server.known
        return Capabilities(
            seed=True, logprobs=logprobs, guided=True, prefill=prefill, streams=True
        )

    @property
    def fingerprint(self) -> str:
        """The model's name, and how options are chosen if that is fixed; no address."""
        way = "" if self.choice == "auto" else f" choice={self.choice}"
        return f"openai_http {self.model or self._server.model}{way}"

    async def identify(self) -> str:
        """Ask for the only model's name where none is given."""
        with contextlib.suppress(_Failed):
            await self._learn(self._open())
        return self.fingerprint

    async def generate(self, requests: Sequence[Request]) -> list[Response]:
        """Answer with free text; all requests go out at once, up to ``concurrency``."""
        return list(await asyncio.gather(*(self._free(request) for request in requests)))

    async def choose(self, requests: Sequence[Request]) -> list[Response]:
        """Answer with options; all requests go out at once, up to ``concurrency``."""
        return list(await asyncio.gather(*(self._choose(request) for request in requests)))

    async def aclose(self) -> None:
        """Close the connections."""
        pool, self._server.pool = self._server.pool, None
        if self._server.probe is not None and not self._server.probe.done():
            self._server.probe.cancel()
        if pool is not None and self._server.loop is asyncio.get_running_loop():
            await pool.aclose()
        self._server.loop = None

    # ---- one request --------------------------------------------------------------------

    async def _free(self, request: Request) -> Response:
        if request.schema is not None:
            check_schema(request.schema)
        _, response = await self._persist(request, "")
        return checked(response, request)

    async def _choose(self, request: Request) -> Response:
        with contextlib.suppress(_Failed):  # the question itself will fail in the same way
            await self._learn(self._open())
        ways = _WAYS if self.choice == "auto" else (self.choice,)
        spent = _Spent()
        response, lead = Response(), leads(request)[0]
        for way in ways:
            if way in self._server.unsupported and way != ways[-1]:
                continue
            if way == "logprobs":
                response, lead = await self._scored(request, spent)
            elif way == "text":
                response = await self._read(request, spent)
            else:
                response = await self._held(request, way, lead, spent)
            if response.choice is not None:
                if lead != leads(request)[0] and way != "text":
                    response = dataclasses.replace(response, method=f"led_{response.method}")
                return spent.on(response)
            if refuses(response) and way != "text" and way != ways[-1]:
                self._server.unsupported.add(way)
            elif response.error is not None:
                return spent.on(response)
        options = list(request.options or ())
        message = f"the answer is none of the options {options}: {response.text[:80]!r}"
        error = BackendError("not_an_option", message)
        return spent.on(dataclasses.replace(response, error=error, method=ways[-1]))

    async def _scored(self, request: Request, spent: _Spent) -> tuple[Response, str]:
        """Choose by log-probabilities; returns the response and the lead that suits best.

        A bare reply that is not going to be an option is scored again after the usual lead.
        """
        best, most = leads(request)[0], 0.0
        found: tuple[float, ...] | None = None
        response = Response()
        for lead in leads(request):
            if lead and not request.prefill and not self._server.dialect.continues:
                break
            response, logprobs, mass = await self._walked(request, lead, spent)
            if response.error is not None:
                return response, best
            if mass > most:
                best, most, found = lead, mass, logprobs
            if most >= CLEAR_MASS or "logprobs" in self._server.unsupported:
                break
        if found is None or most < LEAST_MASS:
            likely = (best,) if most >= CLEAR_MASS else leads(request)
            found, best = await self._exact(request, best, likely, spent)
        if found is None:
            return dataclasses.replace(response, text=""), best
        options = request.options or ()
        index = sample_option(found, request.temperature, request.seed)
        response = dataclasses.replace(
            response,
            choice=index,
            text=options[index],
            option_logprobs=found,
            method="logprobs",
            finish_reason="stop",
        )
        return response, best

    @property
    def _scores_prompts(self) -> bool:
        server = self._server
        return server.dialect.name == "vllm" and not {"logprobs", "exact"} & server.unsupported

    async def _exact(
        self, request: Request, best: str, likely: Sequence[str], spent: _Spent
    ) -> tuple[tuple[float, ...] | None, str]:
        """Score whole options as parts of the prompt, which vLLM can do; the lead that suits best.

        Dearer than a look at the likeliest tokens, and for any option, however unlikely.
        """
        if not self._scores_prompts:
            return None, best
        most, found = -math.inf, None
        for lead in likely:
            texts = [lead, *(lead + text for text in continued(lead, request.options or ()))]
            asked = await asyncio.gather(*(self._persist(request, "exact", t) for t in texts))
            for _, response in asked:
                spent.add(response)
            scores = exact_scores([body for body, _ in asked])
            if scores is None:
                self._server.unsupported.add("exact")
                break
            if max(scores) > -math.inf and (mass := sum(map(math.exp, scores))) > most:
                most, found, best = mass, renormalised(scores), lead
        return found, best

    async def _walked(
        self, request: Request, lead: str, spent: _Spent
    ) -> tuple[Response, tuple[float, ...] | None, float]:
        """Score the options after one lead: the last response, log-probabilities, their mass."""
        last = Response()

        async def ask(beginning: str = "") -> Top | None:
            nonlocal last
            text = lead + continued(lead, (beginning,))[0] if beginning else lead
            body, last = await self._persist(request, "logprobs", text)
            spent.add(last)
            return None if last.error is not None else top_tokens(body)

        top = await ask()
        if top is None:
            if last.error is None:
                self._server.unsupported.add("logprobs")
            return last, None, 0.0
        if self._scores_prompts and not tells_whole(top, request.options or ()):
            return last, None, read_top(top, request.options or ()).total
        more = ask if self._server.dialect.continues else None
        logprobs, mass = await walk(request.options or (), top, more)
        if last.error is not None and refuses(last):
            last = dataclasses.replace(last, error=None)
        return last, logprobs, mass

    async def _held(self, request: Request, way: str, lead: str, spent: _Spent) -> Response:
        """Have the server hold the model to the options, after the lead where it can."""
        dialect = self._server.dialect
        if way == "regex" and not dialect.regex:
            return Response(error=BackendError("rejected", "HTTP 501: no regular expressions"))
        lead = lead if dialect.on_boundary else request.prefill
        _, response = await self._persist(request, way, lead)
        spent.add(response)
        json_answer = way == "structured" and not self._server.dialect.on_boundary
        return named_choice(response, request, way, json_answer)

    async def _read(self, request: Request, spent: _Spent) -> Response:
        """Read the option from a free text; ask again, the problem shown, ``reasks`` times."""
        for _ in range(self.reasks + 1):
            _, response = await self._persist(request, "text")
            spent.add(response)
            response = named_choice(response, request, "text", False)
            if response.error is not None or response.choice is not None:
                break
            said = neutralise(response.text)[:_SHOWN_CHARS].strip() or "(no answer)"
            again = _REASK + ", ".join(request.options or ())
            request = dataclasses.replace(
                request,
                messages=(
                    *request.messages,
                    ChatMessage("assistant", said),
                    ChatMessage("user", again),
                ),
            )
        return response

    async def _persist(
        self, request: Request, way: str, lead: str | None = None
    ) -> tuple[Mapping[str, Any], Response]:
        """Ask with retries; returns the last body too."""
        body: Mapping[str, Any] = {}

        async def once() -> Response:
            nonlocal body
            body, response = await self._attempt(request, way, lead)
            return response

        response = await with_retries(once, request, self._rule)
        return body, response

    async def _attempt(
        self, request: Request, way: str, lead: str | None
    ) -> tuple[Mapping[str, Any], Response]:
        server = self._open()
        assert server.gate is not None
        async with server.gate:
            began = time.monotonic()
            body: Mapping[str, Any] = {}
            try:
                await self._learn(server)
                said = payload(request, server.model, server.dialect, way=way, lead=lead)
                body, response = await self._post(server, said)
                response = without_lead(response, said["messages"][-1])
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
            body = {**said, server.token_limit: limit}
            found, response = await self._exchange(server, "POST", "/chat/completions", body)
            error = response.error
            renamed = error is not None and "max_completion_tokens" in error.message
            if not (renamed and server.token_limit == "max_tokens"):
                break
            server.token_limit = "max_completion_tokens"
        return found, response

    async def _exchange(
        self, server: _Server, method: str, path: str, body: Mapping[str, Any] | None
    ) -> tuple[Mapping[str, Any], Response]:
        """Ask the server that is least busy; note how it did."""
        pool = server.pool
        assert pool is not None
        endpoint = pool.pick()
        raw, error = await pool.call(endpoint, method, path, body)
        if error is not None:
            found, response = {}, Response(error=error)
        else:
            found, response = read_body(200, raw, listing=method == "GET")
        pool.report(endpoint, response.error)
        if response.error is not None and pool.elsewhere(response.error):
            now = dataclasses.replace(response.error, retry_after_s=0.0)
            response = dataclasses.replace(response, error=now)
        return found, response

    @functools.cached_property
    def _rule(self) -> RetryRule:
        return RetryRule(
            attempts=self.retries + 1,
            first_s=self.first_wait_s,
            cap_s=self.longest_wait_s,
            max_retry_after_s=self.longest_retry_after_s,
        )

    # ---- the server ---------------------------------------------------------------------

    def _open(self) -> _Server:
        server, loop = self._server, asyncio.get_running_loop()
        if server.loop is not loop:
            key = os.environ.get(self.api_key_env, "") if self.api_key_env else ""
            server.pool = Pool(
                self._urls(), key=key, timeout_s=self.timeout_s, concurrency=self.concurrency
            )
            server.gate = asyncio.Semaphore(self.concurrency)
            server.probe = None
            server.loop = loop
        return server

    def _urls(self) -> tuple[str, ...]:
        urls = (self.url,) if isinstance(self.url, str) else tuple(self.url)
        urls = tuple(url for url in urls if url)
        return urls or (os.environ.get("OPENAI_BASE_URL") or _DEFAULT_URL,)

    async def _learn(self, server: _Server) -> None:
        """Find out, once, which model there is and what the server understands.

        All who wait share one question, and its failure.
        """
        if server.known:
            return
        if server.probe is None or server.probe.done():
            server.probe = asyncio.ensure_future(self._find_out(server))
        try:
            await asyncio.shield(server.probe)
        except _Failed as failure:
            raise _Failed(failure.error) from None

    async def _find_out(self, server: _Server) -> None:
        if self.model and self.server != "auto":
            listed: list[Mapping[str, Any]] = []
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
        server.dialect = dialect_of(listed) if self.server == "auto" else DIALECTS[self.server]
        server.known = True

    async def _listed(self, server: _Server) -> list[Mapping[str, Any]]:
        body, response = await self._exchange(server, "GET", "/models", None)
        error = response.error
        if error is not None and not (self.model and error.kind in ("rejected", "garbage")):
            raise _Failed(error)
        items = body.get("data") or []
        return [item for item in items if isinstance(item, Mapping)]

    def _priced(self, usage: Usage) -> Usage:
        cost = (
            usage.prompt_tokens * self.prompt_price
            + usage.completion_tokens * self.completion_price
        ) / 1e6
        return dataclasses.replace(usage, cost_usd=cost) if cost else usage

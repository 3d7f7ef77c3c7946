"""Backends around backends: retry, limit, budget and cache; each does one thing.

In a scenario: ``{use: cache, backend: {use: openai_http, ...}}``; ``limits`` make the budget.
A cached answer costs nothing, wherever the budget stands. The journal lies outside all.
"""

import asyncio
import dataclasses
import hashlib
import json
import os
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from llm_agents.backends.base import (
    Backend,
    BackendError,
    Capabilities,
    LimitReachedError,
    Request,
    Response,
    Usage,
    canonical,
    sample_option,
)
from worlds.registry import component
from worlds.tree import doc_field, provided

__all__ = ["Budget", "Cache", "Limit", "Retry", "RetryRule", "Wrapper", "with_retries"]

KEY_VERSION = 1
Ask = Callable[[Sequence[Request]], Awaitable[list[Response]]]


@dataclasses.dataclass(frozen=True)
class RetryRule:
    """How often and how patiently to ask again.

    attempts: requests in all. first_s: longest wait before the second attempt; it doubles up
    to ``cap_s``. max_retry_after_s: a server that asks for more patience is given up at once.
    Waits are drawn uniformly below the current longest one ("full jitter"), from a generator
    seeded by the request, so that a test can foresee them.

    Source: Brooker (2015), "Exponential backoff and jitter", AWS Architecture Blog.
    """

    attempts: int = 5
    first_s: float = 0.5
    cap_s: float = 30.0
    max_retry_after_s: float = 120.0

    def wait_s(self, request: Request, attempt: int, error: BackendError) -> float | None:
        """Seconds before the next attempt, or None to give up."""
        if not error.retryable or attempt >= self.attempts:
            return None
        longest = min(self.cap_s, self.first_s * 2 ** (attempt - 1))
        jitter = random.Random(f"{request.seed}/{attempt}").uniform(0.0, longest)
        if error.retry_after_s is None:
            return jitter
        if error.retry_after_s > self.max_retry_after_s:
            return None
        return error.retry_after_s + min(jitter, 0.25)


async def with_retries(
    ask: Callable[[], Awaitable[Response]],
    request: Request,
    rule: RetryRule,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Response:
    """Ask until there is an answer or no hope; attempts, faults and usage add up."""
    attempts, faults, usage = 0, (), Usage()
    while True:
        response = await ask()
        if response.error is None and not faults:
            return response
        attempts += response.attempts
        faults += response.faults
        usage += response.usage
        error = response.error
        wait = None if error is None else rule.wait_s(request, attempts, error)
        if wait is None:
            return dataclasses.replace(response, attempts=attempts, faults=faults, usage=usage)
        assert error is not None
        faults += (error.kind,)
        await sleep(wait)


class Wrapper(Backend):
    """A backend that passes everything on to the one inside, ``inner``.

    wraps: the parameter that holds it. A wrapper decides when and how often is asked, never
    what is answered, so scenarios that differ by wrappers alone have the same hash.
    """

    wraps: ClassVar[str] = "backend"
    inner: Backend

    @property
    def reads_context(self) -> bool:  # type: ignore[override]
        """As the backend inside."""
        return self.inner.reads_context

    @property
    def capabilities(self) -> Capabilities:
        """What the backend inside can do."""
        return self.inner.capabilities

    @property
    def fingerprint(self) -> str:
        """The backend inside."""
        return self.inner.fingerprint

    async def generate(self, requests: Sequence[Request]) -> list[Response]:
        """Answer with free text."""
        return await self._pass(self.inner.generate, requests)

    async def choose(self, requests: Sequence[Request]) -> list[Response]:
        """Answer with options."""
        return await self._pass(self.inner.choose, requests)

    def check_params(self) -> None:
        """Check the backend inside."""
        self.inner.check_params()

    async def identify(self) -> str:
        """Let the backend inside find out."""
        return await self.inner.identify()

    async def aclose(self) -> None:
        """Close the backend inside."""
        await self.inner.aclose()

    async def _pass(self, ask: Ask, requests: Sequence[Request]) -> list[Response]:
        return await ask(requests)


@component("backend", "retry")
@dataclasses.dataclass(frozen=True, eq=False)
class Retry(Wrapper):
    """Asks the backend inside again what failed and may succeed; the rest does not wait."""

    backend: Backend = dataclasses.field(metadata={"component": "backend", "help": "asked again"})
    retries: int = doc_field(4, "further attempts after a failed one", ge=0)
    first_wait_s: float = doc_field(0.5, "longest wait before the first retry", ge=0)
    longest_wait_s: float = doc_field(30.0, "longest wait between retries", ge=0)
    longest_retry_after_s: float = doc_field(
        120.0, "a backend that asks for more patience is given up", ge=0
    )
    sleep: Callable[[float], Awaitable[None]] = provided(asyncio.sleep)

    @property
    def inner(self) -> Backend:  # type: ignore[override]
        """The backend inside."""
        return self.backend

    @property
    def rule(self) -> RetryRule:
        """How often, and how patiently."""
        return RetryRule(
            self.retries + 1, self.first_wait_s, self.longest_wait_s, self.longest_retry_after_s
        )

    async def _pass(self, ask: Ask, requests: Sequence[Request]) -> list[Response]:
        first = await ask(requests)
        again = [i for i, response in enumerate(first) if response.error is not None]
        done = await asyncio.gather(*(self._finish(ask, requests[i], first[i]) for i in again))
        results = list(first)
        for index, response in zip(again, done, strict=True):
            results[index] = response
        return results

    async def _finish(self, ask: Ask, request: Request, response: Response) -> Response:
        left = [response]

        async def once() -> Response:
            return left.pop() if left else (await ask([request]))[0]

        return await with_retries(once, request, self.rule, self.sleep)


@component("backend", "limit")
@dataclasses.dataclass(frozen=True, eq=False)
class Limit(Wrapper):
    """Lets at most ``concurrency`` requests be on their way to the backend inside."""

    backend: Backend = dataclasses.field(metadata={"component": "backend", "help": "held back"})
    concurrency: int = doc_field(64, "requests on their way at a time", ge=1)
    _gates: dict[str, Any] = dataclasses.field(default_factory=dict, init=False, repr=False)

    @property
    def inner(self) -> Backend:  # type: ignore[override]
        """The backend inside."""
        return self.backend

    async def _pass(self, ask: Ask, requests: Sequence[Request]) -> list[Response]:
        if self.streams:
            gate = self._gates.setdefault("gate", asyncio.Semaphore(self.concurrency))

            async def one(request: Request) -> list[Response]:
                async with gate:
                    return await ask([request])

            parts = await asyncio.gather(*(one(request) for request in requests))
        else:  # slice after slice: a batch backend is fastest when its batches are full
            async with self._gates.setdefault("turn", asyncio.Lock()):
                size = self.concurrency
                slices = [requests[i : i + size] for i in range(0, len(requests), size)]
                parts = [await ask(part) for part in slices]
        return [response for part in parts for response in part]


@dataclasses.dataclass
class Spent:
    """What a run has used so far."""

    calls: int = 0
    tokens: int = 0
    cost_usd: float = 0.0


class Budget(Wrapper):
    """Stops the run when it has used what it may; several backends may share one ``Spent``.

    A request is refused, with ``LimitReachedError``, before it goes out: calls never exceed
    their limit, tokens and money by no more than what was on its way, and time likewise.
    """

    def __init__(
        self,
        inner: Backend,
        *,
        calls: int | None = None,
        tokens: int | None = None,
        cost_usd: float | None = None,
        wall_s: float | None = None,
        spent: Spent | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.inner = inner
        self.calls, self.tokens, self.cost_usd, self.wall_s = calls, tokens, cost_usd, wall_s
        self.spent = spent or Spent()
        self._clock, self._begun = clock, clock()

    async def _pass(self, ask: Ask, requests: Sequence[Request]) -> list[Response]:
        self._admit(len(requests))
        self.spent.calls += len(requests)
        responses = await ask(requests)
        for response in responses:
            self.spent.calls -= response.attempts == 0  # it was in a cache
            self.spent.tokens += response.usage.tokens
            self.spent.cost_usd += response.usage.cost_usd
        return responses

    def _admit(self, wanted: int) -> None:
        elapsed = self._clock() - self._begun
        for name, limit, used in (
            ("calls", self.calls, self.spent.calls + wanted - 1),
            ("tokens", self.tokens, self.spent.tokens),
            ("cost_usd", self.cost_usd, self.spent.cost_usd),
            ("wall_s", self.wall_s, elapsed),
        ):
            if limit is not None and used >= limit:
                used = self.spent.calls if name == "calls" else used
                more = f", {wanted} more wanted" if name == "calls" else ""
                raise LimitReachedError(
                    f"limits.{name} is {limit:g} and {used:g} are used{more}; raise it and use "
                    "`society resume` to go on from here"
                )


@component("backend", "cache")
@dataclasses.dataclass(frozen=True, eq=False)
class Cache(Wrapper):
    """Keeps sound answers in an SQLite file, found again by what was asked of which model.

    A key is the SHA-256 of the backend's fingerprint and the whole request, its seed
    included; addresses, keys, time-outs and retries take no part. Choices that are read from
    log-probabilities are found for every seed, and sampled anew. Errors and answers cut off
    by their length are never kept. Several runs may use a file at the same time.
    """

    backend: Backend = dataclasses.field(
        metadata={"component": "backend", "help": "asked what the file does not hold"}
    )
    path: str = doc_field(
        "", "the file; empty: answers.sqlite in the user's cache folder for societylab"
    )
    _state: dict[str, Any] = dataclasses.field(default_factory=dict, init=False, repr=False)

    @property
    def inner(self) -> Backend:  # type: ignore[override]
        """The backend inside."""
        return self.backend

    async def aclose(self) -> None:
        """Close the file and the backend inside."""
        if self._state:
            self._state.pop("database").close()
        await self.inner.aclose()

    async def _pass(self, ask: Ask, requests: Sequence[Request]) -> list[Response]:
        if not requests:
            return await ask(requests)
        model = await self.inner.identify()
        keys = [self._keys(model, request, ask.__name__) for request in requests]
        found = [self._find(key, request) for key, request in zip(keys, requests, strict=True)]
        missing = {}
        for index, answer in enumerate(found):
            if answer is None:
                missing.setdefault(keys[index][0], []).append(index)
        if missing:
            fresh = await ask([requests[same[0]] for same in missing.values()])
            for same, answer in zip(missing.values(), fresh, strict=True):
                for index in same:
                    found[index] = answer
            self._keep([(keys[same[0]], found[same[0]]) for same in missing.values()])
        return found  # type: ignore[return-value]

    def _keys(self, model: str, request: Request, how: str) -> tuple[str, str]:
        """Keys with and without the seed."""
        more = ""
        if self.reads_context:
            more = json.dumps(dict(request.context), sort_keys=True, default=str)
        texts = [
            f"{KEY_VERSION}\n{model}\n{how}\n{canonical(request, seed=seed)}\n{more}"
            for seed in (True, False)
        ]
        first, second = (hashlib.sha256(t.encode("utf-8", "backslashreplace")) for t in texts)
        return first.hexdigest(), second.hexdigest()

    def _find(self, keys: tuple[str, str], request: Request) -> Response | None:
        rows = self._database().execute(
            "SELECT said FROM answers WHERE key IN (?, ?) ORDER BY key = ? DESC", (*keys, keys[0])
        )
        for (said,) in rows:
            try:
                response = Response.from_json(json.loads(said))
            except (ValueError, TypeError):
                continue  # written by another version: asked again, and then replaced
            response = dataclasses.replace(response, usage=Usage(), attempts=0, latency_s=0.0)
            if response.option_logprobs is None or not request.options:
                return response
            index = sample_option(response.option_logprobs, request.temperature, request.seed)
            return dataclasses.replace(response, choice=index, text=request.options[index])
        return None

    def _keep(self, answers: Sequence[tuple[tuple[str, str], Response | None]]) -> None:
        rows = [
            (keys[response.option_logprobs is not None], json.dumps(response.to_json()))
            for keys, response in answers
            if response is not None
            and response.error is None
            and response.finish_reason != "length"
        ]
        if rows:
            database = self._database()
            database.execute("BEGIN IMMEDIATE")
            database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)
            database.execute("COMMIT")

    def _database(self) -> sqlite3.Connection:
        if not self._state:
            path = Path(self.path).expanduser() if self.path else _own_file()
            path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(path, timeout=60, isolation_level=None)
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            database.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, said TEXT)")
            self._state["database"] = database
        return self._state["database"]


def _own_file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "societylab" / "answers.sqlite"

"""Backends around backends: retry, limit, budget and cache; each does one thing.

They stack as ``Cache(Budget(Limit(Retry(backend))))``: a cached answer costs nothing, and a
budget counts what was really paid. The journal lies outside all of them.
"""

import asyncio
import dataclasses
import hashlib
import json
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from llm_agents.backends.base import (
    Backend,
    BackendError,
    Capabilities,
    LimitReachedError,
    Request,
    Response,
    Usage,
    canonical,
)

__all__ = ["Budget", "Cache", "Limit", "Retry", "RetryRule", "Wrapper", "with_retries"]

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
    """A backend that passes everything on to the one inside."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.reads_context = inner.reads_context

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

    async def aclose(self) -> None:
        """Close the backend inside."""
        await self.inner.aclose()

    async def _pass(self, ask: Ask, requests: Sequence[Request]) -> list[Response]:
        return await ask(requests)


class Retry(Wrapper):
    """Asks again, together, what failed and may succeed; the rest of a batch does not wait."""

    def __init__(
        self,
        inner: Backend,
        rule: RetryRule | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(inner)
        self.rule = rule or RetryRule()
        self._sleep = sleep

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

        return await with_retries(once, request, self.rule, self._sleep)


class Limit(Wrapper):
    """Lets at most ``concurrency`` requests be on their way at a time."""

    def __init__(self, inner: Backend, concurrency: int) -> None:
        super().__init__(inner)
        if concurrency < 1:
            raise ValueError(f"concurrency is {concurrency}; it must be at least 1")
        self.concurrency = concurrency
        self._gate = asyncio.Semaphore(concurrency)
        self._turn = asyncio.Lock()

    async def _pass(self, ask: Ask, requests: Sequence[Request]) -> list[Response]:
        if self.streams:

            async def one(request: Request) -> list[Response]:
                async with self._gate:
                    return await ask([request])

            parts = await asyncio.gather(*(one(request) for request in requests))
        else:  # slice after slice: a batch backend is fastest when its batches are full
            async with self._turn:
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
        super().__init__(inner)
        self.calls, self.tokens, self.cost_usd, self.wall_s = calls, tokens, cost_usd, wall_s
        self.spent = spent or Spent()
        self._clock, self._begun = clock, clock()

    async def _pass(self, ask: Ask, requests: Sequence[Request]) -> list[Response]:
        self._admit(len(requests))
        self.spent.calls += len(requests)
        responses = await ask(requests)
        for response in responses:
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


class Cache(Wrapper):
    """Keeps sound answers in an SQLite file, found again by what was asked of which model.

    Errors and answers cut off by their length are never kept.
    """

    def __init__(self, inner: Backend, path: str | Path) -> None:
        super().__init__(inner)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, said TEXT)"
        )

    async def _pass(self, ask: Ask, requests: Sequence[Request]) -> list[Response]:
        keys = [self._key(request, ask.__name__) for request in requests]
        found = {key: self._find(key) for key in dict.fromkeys(keys)}
        missing = [i for i, key in enumerate(keys) if found[key] is None]
        fresh = await ask([requests[i] for i in missing]) if missing else []
        answered = dict(zip(missing, fresh, strict=True))
        self._keep([(keys[i], response) for i, response in answered.items()])
        return [answered.get(i) or found[key] for i, key in enumerate(keys)]  # type: ignore[misc]

    async def aclose(self) -> None:
        """Close the file and the backend inside."""
        self._database.close()
        await self.inner.aclose()

    def _key(self, request: Request, how: str) -> str:
        text = f"{self.fingerprint}\n{how}\n{canonical(request)}"
        return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()

    def _find(self, key: str) -> Response | None:
        row = self._database.execute("SELECT said FROM answers WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        return dataclasses.replace(
            Response.from_json(json.loads(row[0])), usage=Usage(), attempts=0, latency_s=0.0
        )

    def _keep(self, answers: Sequence[tuple[str, Response]]) -> None:
        rows = [
            (key, json.dumps(response.to_json()))
            for key, response in answers
            if response.error is None and response.finish_reason != "length"
        ]
        if rows:
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", rows)
            self._database.execute("COMMIT")

import asyncio
import contextlib
import dataclasses
import sqlite3
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_agents.backends.base import (
    Backend,
    BackendError,
    Capabilities,
    ChatMessage,
    LimitReachedError,
    Request,
    Response,
    Usage,
    sample_option,
)
from llm_agents.backends.mock import Mock
from llm_agents.backends.wrappers import Budget, Cache, Limit, Retry, RetryRule, Spent
from llm_agents.testing import check_backend


def ask(text="hello", seed=1, **changes):
    return Request(messages=(ChatMessage("user", text),), seed=seed, **changes)


class Scripted(Backend):
    """Fails as often as told before it answers; counts what goes on at the same time."""

    def __init__(self, failures=0, error=None, streams=False, usage=None):
        self.failures, self.streaming = failures, streams
        self.error = error or BackendError("server", "busy", retryable=True)
        self.usage = usage or Usage(10, 5)
        self.batches, self.asked, self.now, self.most = [], {}, 0, 0

    @property
    def capabilities(self):
        return Capabilities(streams=self.streaming, deterministic=True)

    async def generate(self, requests):
        self.batches.append(len(requests))
        self.now += len(requests)
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.001)
        self.now -= len(requests)
        return [self.answer(request) for request in requests]

    choose = generate

    def answer(self, request):
        key = request.messages[0].content
        self.asked[key] = self.asked.get(key, 0) + 1
        if self.asked[key] <= self.failures and key.startswith("bad"):
            return Response(error=self.error)
        return Response(text=f"{key}!", usage=self.usage)


def run(coroutine):
    return asyncio.run(coroutine)


def no_wait(waits):
    async def sleep(seconds):
        waits.append(seconds)

    return sleep


def test_only_what_failed_is_asked_again():
    inner, waits = Scripted(failures=2), []
    backend = Retry(inner, retries=3, sleep=no_wait(waits))
    answers = run(backend.generate([ask("good"), ask("bad 1"), ask("bad 2")]))
    assert [a.text for a in answers] == ["good!", "bad 1!", "bad 2!"]
    assert inner.asked == {"good": 1, "bad 1": 3, "bad 2": 3}
    assert answers[1].attempts == 3 and answers[1].faults == ("server", "server")
    assert answers[0].attempts == 1 and len(waits) == 4


def test_attempts_end_and_hopeless_errors_are_not_repeated():
    inner = Scripted(failures=99)
    answer = run(Retry(inner, retries=2, sleep=no_wait([])).generate([ask("bad")]))[0]
    assert answer.error.kind == "server" and inner.asked["bad"] == 3
    inner = Scripted(failures=99, error=BackendError("rejected", "no"))
    answer = run(Retry(inner, sleep=no_wait([])).generate([ask("bad")]))[0]
    assert answer.error.kind == "rejected" and inner.asked["bad"] == 1


@given(st.integers(0, 2**31 - 1), st.integers(1, 30), st.floats(0.01, 5), st.floats(0.01, 100))
def test_waits_are_capped_and_repeatable(seed, attempt, first, cap):
    rule = RetryRule(attempts=99, first_s=first, cap_s=cap)
    error = BackendError("server", "busy", retryable=True)
    wait = rule.wait_s(ask(seed=seed), attempt, error)
    assert 0 <= wait <= min(cap, first * 2 ** (attempt - 1))
    assert wait == rule.wait_s(ask(seed=seed), attempt, error)
    wished = rule.wait_s(ask(seed=seed), attempt, dataclasses.replace(error, retry_after_s=7.0))
    assert 7.0 <= wished <= 7.25
    far = dataclasses.replace(error, retry_after_s=rule.max_retry_after_s + 1)
    assert rule.wait_s(ask(seed=seed), attempt, far) is None


def test_agents_do_not_retry_in_step():
    rule = RetryRule()
    error = BackendError("server", "busy", retryable=True)
    assert len({rule.wait_s(ask(seed=seed), 1, error) for seed in range(50)}) > 45


@pytest.mark.parametrize("streams", [True, False])
def test_no_more_than_the_limit_is_on_its_way(streams):
    inner = Scripted(streams=streams)
    backend = Limit(inner, concurrency=7)

    async def main():
        batches = [[ask(f"{b}/{i}") for i in range(20)] for b in range(4)]
        return await asyncio.gather(*(backend.generate(batch) for batch in batches))

    answers = run(main())
    assert [[a.text for a in batch] for batch in answers] == [
        [f"{b}/{i}!" for i in range(20)] for b in range(4)
    ]
    assert inner.most <= 7
    assert max(inner.batches) == (1 if streams else 7)


def test_calls_never_exceed_their_budget():
    inner = Scripted()
    backend = Budget(inner, calls=10)

    async def main():
        await backend.generate([ask(str(i)) for i in range(6)])
        with pytest.raises(LimitReachedError, match=r"limits.calls is 10 and 6 are used, 6 more"):
            await backend.generate([ask(str(i)) for i in range(6)])
        await backend.generate([ask(str(i)) for i in range(4)])
        with pytest.raises(LimitReachedError, match="society resume"):
            await backend.generate([ask("x")])

    run(main())
    assert sum(inner.batches) == 10


def test_tokens_and_money_are_overrun_by_what_was_on_its_way_at_most():
    inner = Scripted(usage=Usage(10, 5, 0, 0.25))
    for limits in ({"tokens": 40}, {"cost_usd": 0.7}):
        backend = Budget(inner, **limits)

        async def main(backend=backend):
            for _ in range(3):
                await backend.generate([ask()])
            with pytest.raises(LimitReachedError):
                await backend.generate([ask()])

        run(main())


def test_time_and_earlier_spending_count():
    now = [0.0]
    backend = Budget(Scripted(), wall_s=5, clock=lambda: now[0])

    async def main():
        await backend.generate([ask()])
        now[0] = 5.0
        with pytest.raises(LimitReachedError, match="wall_s"):
            await backend.generate([ask()])

    run(main())
    shared = Spent(calls=9)
    first, second = (
        Budget(Scripted(), calls=10, spent=shared),
        Budget(Scripted(), calls=10, spent=shared),
    )
    run(first.generate([ask()]))
    with pytest.raises(LimitReachedError):
        run(second.generate([ask()]))


def test_a_cached_answer_costs_nothing_and_outlives_the_process(tmp_path):
    async def main(inner):
        backend = Cache(inner, path=str(tmp_path / "cache.sqlite"))
        answers = await backend.generate([ask("a"), ask("b"), ask("bad")])
        await backend.aclose()
        return answers

    inner = Scripted(failures=1)
    first = run(main(inner))
    assert first[2].error is not None
    again = Scripted()
    second = run(main(again))
    assert again.asked == {"bad": 1}  # an error is never kept
    assert [a.text for a in second[:2]] == [a.text for a in first[:2]]
    assert second[0].usage == Usage() and second[0].attempts == 0


def test_the_cache_tells_seeds_models_and_cut_answers_apart(tmp_path):
    async def main():
        inner = Mock()
        backend = Cache(inner, path=str(tmp_path / "cache.sqlite"))
        one = await backend.generate([ask(seed=1, purpose="birth", context={"part": "birth"})])
        two = await backend.generate([ask(seed=2, purpose="birth", context={"part": "birth"})])
        assert one[0].text != two[0].text
        other = Cache(Mock(seed=5), path=str(tmp_path / "cache.sqlite"))
        three = await other.generate([ask(seed=1, purpose="birth", context={"part": "birth"})])
        assert three[0].text != one[0].text
        await backend.aclose()
        await other.aclose()

    run(main())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner, path: Retry(inner),
        lambda inner, path: Limit(inner, concurrency=2),
        lambda inner, path: Budget(inner, calls=1000),
        lambda inner, path: Cache(
            Budget(Limit(Retry(inner), concurrency=3)), path=str(path / "cache.sqlite")
        ),
    ],
)
def test_a_wrapped_backend_is_a_backend(wrap, tmp_path):
    run(check_backend(wrap(Mock(), tmp_path)))


def test_waiting_for_one_does_not_hold_up_the_answers_that_are_there():
    """A batch's retries run side by side: eight failures cost one wait, not eight."""
    backend = Retry(Scripted(failures=1), first_wait_s=1.0, longest_wait_s=1.0)
    began = time.monotonic()
    run(backend.generate([ask(f"bad {i}", seed=i) for i in range(8)]))
    assert time.monotonic() - began < 4


class Scoring(Scripted):
    """Gives the same probabilities for every seed."""

    @property
    def capabilities(self):
        return Capabilities(logprobs=True)

    def answer(self, request):
        self.asked["all"] = self.asked.get("all", 0) + 1
        even = (-0.693147, -0.693147)
        choice = sample_option(even, request.temperature, request.seed)
        return Response("ab"[choice], choice=choice, option_logprobs=even, method="logprobs")


def test_cached_probabilities_serve_every_seed_and_each_draws_its_own(tmp_path):
    async def main(inner):
        backend = Cache(inner, path=str(tmp_path / "cache.sqlite"))
        asked = [ask(seed=s, options=("a", "b"), temperature=1.0) for s in range(40)]
        first = await backend.choose(asked[:1])
        rest = await backend.choose(asked[1:])
        await backend.aclose()
        return first + rest

    inner = Scoring()
    said = [response.text for response in run(main(inner))]
    assert inner.asked == {"all": 1} and 8 < said.count("b") < 32
    assert said == [response.text for response in run(main(Scoring()))]


def test_a_truncated_answer_is_not_kept_and_equal_requests_are_asked_once(tmp_path):
    class Cut(Scripted):
        def answer(self, request):
            return dataclasses.replace(super().answer(request), finish_reason="length")

    async def main(inner):
        backend = Cache(inner, path=str(tmp_path / "cache.sqlite"))
        await backend.generate([ask("a"), ask("a"), ask("b")])
        again = await backend.generate([ask("a")])
        await backend.aclose()
        return again

    cut = Cut()
    run(main(cut))
    assert cut.asked == {"a": 2, "b": 1}


def test_a_cached_answer_is_no_call_of_the_budget(tmp_path):
    backend = Budget(Cache(Scripted(), path=str(tmp_path / "cache.sqlite")), calls=2)

    async def main():
        for _ in range(5):
            await backend.generate([ask("a")])
        await backend.generate([ask("b")])
        with pytest.raises(LimitReachedError):
            await backend.generate([ask("c")])
        await backend.aclose()

    run(main())


def test_a_row_that_cannot_be_read_is_asked_again(tmp_path):
    path = tmp_path / "cache.sqlite"

    async def once(inner):
        backend = Cache(inner, path=str(path))
        (answer,) = await backend.generate([ask("a")])
        await backend.aclose()
        return answer.text

    run(once(Scripted()))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE answers SET said = '{not json'")
    again = Scripted()
    assert run(once(again)) == "a!" and again.asked == {"a": 1}
    assert run(once(Scripted())) == "a!"

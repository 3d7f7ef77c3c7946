"""The desk: what is asked together, what is asked once, what is stored, and what stops a run."""

import asyncio
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_agents.backends.base import (
    Backend,
    BackendDownError,
    BackendError,
    Capabilities,
    ChatMessage,
    LimitReachedError,
    Request,
    Response,
    Usage,
)
from llm_agents.backends.mock import Mock
from llm_agents.backends.wrappers import Budget
from society.desk import Desk, StoppedError
from society.desk_rows import request_seed, response_text
from society.journal import Journal
from society.journal_rows import CallKey, Divergence


class MemoryJournal:
    """A journal that keeps rows in a dict and counts commits."""

    def __init__(self):
        self.rows, self.pending, self.commits = {}, [], 0

    def calls(self, keys):
        return [self.rows.get(key) for key in keys]

    def add_calls(self, rows):
        self.pending += rows

    def flush(self):
        if self.pending:
            self.commits += 1
        for row in self.pending:
            assert row.key not in self.rows, "a row is written once"
            self.rows[row.key] = row
        self.pending = []


class Echo(Backend):
    """Repeats the last message and the seed; keeps the batches it got."""

    def __init__(self, *, streams=False, logprobs=None, declares=None, fail=None):
        self.streaming, self.logprobs, self.fail = streams, logprobs, fail or {}
        self.declares = bool(logprobs) if declares is None else declares
        self.batches, self.asked = [], []

    @property
    def capabilities(self):
        return Capabilities(seed=True, logprobs=self.declares, streams=self.streaming)

    async def generate(self, requests):
        self.batches.append(len(requests))
        self.asked += [request.messages[-1].content for request in requests]
        await asyncio.sleep(random.random() * 0.002)
        return [self.answer(request) for request in requests]

    choose = generate

    def answer(self, request):
        text = request.messages[-1].content
        if text in self.fail:
            return Response(error=self.fail[text])
        if request.options:
            return Response(choice=0, text=request.options[0], option_logprobs=self.logprobs,
                            usage=Usage(7, 1), method="test")  # fmt: skip
        return Response(text=f"{text}#{request.seed}", usage=Usage(7, 1))


class Reader(Echo):
    """Its answers depend on the context too."""

    reads_context = True


def ask(text, purpose="act", **changes):
    return Request(messages=(ChatMessage("user", text),), purpose=purpose, **changes)


def desk(backend, journal=None, **changes):
    return Desk({"it": backend}, MemoryJournal() if journal is None else journal, **changes)


def place(step=0, replicate=0):
    return (replicate, 0, 0, step, 0)


async def chatter(asker, rounds, name=""):
    return [(await asker(ask(f"{name} asks {i}"))).text for i in range(rounds)]


async def asking(asker, request):
    return await asker(request)


def run(coroutine):
    async def main():
        try:
            return await coroutine
        finally:
            for _ in range(3):  # tasks that have done their work end in the next turn of the loop
                await asyncio.sleep(0)
            left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            assert not left, f"tasks left behind: {left}"

    return asyncio.run(main())


@pytest.fixture(params=["minds", "gather"])
def together(request):
    """How a desk runs several coroutines: as minds, which only ask, or as tasks."""
    return request.param


# ---- batches ----------------------------------------------------------------------------


def test_forty_agents_with_three_questions_each_are_three_batches_of_forty(together):
    backend = Echo()
    table = desk(backend)

    async def main():
        async with table.seat():
            minds = [chatter(table.asker(place(), uid, "it"), 3, uid) for uid in range(40)]
            return await getattr(table, together)(minds)

    results = run(main())
    assert backend.batches == [40, 40, 40]
    assert dict(table.batch_sizes) == {40: 3}
    assert [[text.split("#")[0] for text in texts] for texts in results] == [
        [f"{uid} asks {i}" for i in range(3)] for uid in range(40)
    ]


def test_replicates_that_compute_between_their_turns_still_share_batches(together):
    """A seat is held during a chunk, so the others wait for whoever is still computing."""
    backend = Echo()
    table = desk(backend, seeds=range(4))

    async def replicate(number):
        async with table.seat():
            for step in range(3):
                await asyncio.to_thread(__import__("time").sleep, 0.004 * number)
                askers = [table.asker(place(step, number), uid, "it") for uid in range(10)]
                await getattr(table, together)([chatter(asker, 1) for asker in askers])

    async def main():
        await asyncio.gather(*(replicate(number) for number in range(4)))

    run(main())
    assert backend.batches == [40, 40, 40]


def test_agents_with_more_to_ask_do_not_hold_up_a_batch_for_those_who_are_done(together):
    backend = Echo()
    table = desk(backend)

    async def main():
        async with table.seat():
            await getattr(table, together)(
                [chatter(table.asker(place(), u, "it"), u + 1) for u in range(4)]
            )

    run(main())
    assert backend.batches == [4, 3, 2, 1]


def test_many_is_one_batch_with_answers_in_order():
    backend = Echo()
    table = desk(backend)

    async def main():
        return await table.asker(place(), 7, "it").many([ask(str(i)) for i in range(5)])

    answers = run(main())
    assert backend.batches == [5]
    assert [answer.text.split("#")[0] for answer in answers] == list("01234")


@pytest.mark.parametrize("streams", [False, True])
def test_whoever_asks_nothing_at_all_keeps_its_seat(streams, together):
    backend = Echo()
    table = Desk({"it": backend, "other": Echo(streams=streams)}, MemoryJournal())

    async def mind(uid):
        assert await table.asker(place(), uid, "other").many([]) == []
        held.append(table.held_seats)
        return await chatter(table.asker(place(), uid, "it"), 1, uid)

    async def main():
        async with table.seat():
            await getattr(table, together)([mind(uid) for uid in range(3)])

    held = []
    run(main())
    assert held == [3, 2, 1] and backend.batches == [3]


def test_a_streaming_backend_gets_each_request_at_once():
    backend, patient = Echo(streams=True), Echo()
    table = Desk({"it": backend, "patient": patient}, MemoryJournal())

    async def slow(asker):
        await asyncio.sleep(0.05)
        assert backend.asked, "the streaming backend should not have waited for this mind"
        return (await asker(ask("late"))).text

    async def main():
        async with table.seat():
            quick = [chatter(table.asker(place(), uid, "it"), 2, uid) for uid in range(3)]
            return await table.gather([*quick, slow(table.asker(place(), 9, "patient"))])

    results = run(main())
    assert backend.batches == [1] * 6 and patient.batches == [1]
    assert len(results) == 4


def test_free_answers_and_choices_travel_in_one_batch():
    table = desk(Echo(logprobs=(-0.7, -0.7)))

    async def main():
        asker = table.asker(place(), 1, "it")
        return await asker.many([ask("free"), ask("pick", options=("a", "b"))])

    free, picked = run(main())
    assert free.choice is None and picked.choice in (0, 1)


# ---- merging and seeds ------------------------------------------------------------------


def test_agents_with_the_same_prompt_do_not_share_one_sample(together):
    backend = Echo()
    table = desk(backend)

    async def main():
        async with table.seat():
            return await getattr(table, together)(
                [chatter(table.asker(place(), u, "it"), 1) for u in range(9)]
            )

    texts = [texts[0] for texts in run(main())]
    assert len(set(texts)) == 9 and backend.batches == [9]


@pytest.mark.parametrize("streams", [False, True])
def test_a_choice_by_probability_is_asked_once_and_sampled_by_each(streams, together):
    backend, journal = Echo(logprobs=(-0.6931, -0.6931), streams=streams), MemoryJournal()
    table = desk(backend, journal)
    same = ask("pick", options=("a", "b"), temperature=1.0)

    async def main():
        async with table.seat():
            askers = [table.asker(place(), uid, "it") for uid in range(60)]
            return await getattr(table, together)([asking(asker, same) for asker in askers])

    answers = run(main())
    assert backend.asked == ["pick"]
    assert 15 < sum(answer.choice for answer in answers) < 45
    assert all(answer.text == ("a", "b")[answer.choice] for answer in answers)
    assert len(journal.rows) == 60 and journal.commits == 1
    assert sum(row.prompt_tokens for row in journal.rows.values()) == 7  # paid once


@pytest.mark.parametrize("streams", [False, True])
def test_a_backend_that_reads_the_context_is_asked_once_for_each(streams, together):
    backend = Reader(logprobs=(-0.7, -0.7), streams=streams)
    table = desk(backend)

    async def main():
        async with table.seat():
            minds = [
                asking(
                    table.asker(place(), uid, "it"),
                    ask(
                        "pick", options=("a", "b"), context={"name": uid % 3, "options": [uid % 2]}
                    ),
                )
                for uid in range(24)
            ]
            return await getattr(table, together)(minds)

    assert len(run(main())) == 24
    assert backend.asked == ["pick"] * 6


def test_where_probabilities_are_missing_after_all_everybody_asks_alone(together):
    backend = Echo(declares=True)
    table = desk(backend)

    async def main():
        async with table.seat():
            same = ask("pick", options=("a", "b"))
            return await getattr(table, together)(
                [asking(table.asker(place(), u, "it"), same) for u in range(5)]
            )

    assert len(run(main())) == 5
    assert backend.batches == [1, 4]


def test_whoever_waits_for_anothers_question_ends_too_when_the_desk_stops(together):
    table = desk(Echo(logprobs=(-0.7, -0.7)))
    same = ask("pick", options=("a", "b"))

    async def fails():
        raise ValueError("this mind is broken")

    async def main():
        async with table.seat():
            minds = [asking(table.asker(place(), uid, "it"), same) for uid in range(3)]
            return await asyncio.wait_for(getattr(table, together)([*minds, fails()]), 5)

    with pytest.raises(ValueError, match="this mind is broken"):
        run(main())


def test_a_request_gets_the_seed_of_its_key_alone():
    key = CallKey(0, 1, 2, 3, 0, 5, "act", 0)
    assert request_seed(7, key) == request_seed(7, key._replace(replicate=3))
    others = [key._replace(generation=2), key._replace(uid=6), key._replace(ordinal=1),
              key._replace(purpose="talk"), key._replace(step=4), key._replace(turn=1)]  # fmt: skip
    seeds = {request_seed(7, other) for other in [key, *others]} | {request_seed(8, key)}
    assert len(seeds) == 8 and all(0 <= seed < 2**31 for seed in seeds)


@given(
    st.builds(
        Response,
        text=st.text(max_size=20),
        choice=st.none() | st.integers(0, 5),
        option_logprobs=st.none() | st.tuples(st.floats(-30, 0), st.floats(-30, 0)),
        usage=st.builds(Usage, st.integers(0, 9), st.integers(0, 9), cost_usd=st.floats(0, 1)),
        latency_s=st.floats(0, 1),
        attempts=st.integers(0, 2),
        faults=st.tuples() | st.just(("server", "timeout")),
        error=st.none() | st.just(BackendError("empty", "nothing \ud800", True, 2.0)),
        method=st.sampled_from(["", "logprobs"]),
        finish_reason=st.sampled_from(["stop", "length"]),
        model=st.text(max_size=5),
    )
)
def test_what_is_stored_of_an_answer_is_its_plain_json(response):
    plain = response.to_json()
    for untold in ("latency_s", "attempts"):
        plain.pop(untold, None)
    expected = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    assert response_text(response) == expected


# ---- the journal ------------------------------------------------------------------------


def test_answers_that_arrive_together_are_committed_once_before_they_are_used(together):
    journal = MemoryJournal()
    table = desk(Echo(), journal)
    seen = []

    async def mind(uid):
        await table.asker(place(), uid, "it")(ask("x"))
        seen.append(len(journal.rows))

    async def main():
        async with table.seat():
            await getattr(table, together)([mind(uid) for uid in range(6)])

    run(main())
    assert journal.commits == 1 and seen == [6] * 6


def test_what_the_journal_knows_is_never_asked_again(together):
    journal = MemoryJournal()

    async def main(table, rounds):
        async with table.seat():
            minds = [chatter(table.asker(place(), uid, "it"), rounds, uid) for uid in range(5)]
            return await getattr(table, together)(minds)

    first, second = Echo(), Echo()
    begun = run(main(desk(first, journal), 2))
    resumed = run(main(desk(second, journal), 3))
    assert [texts[:2] for texts in resumed] == begun
    assert second.asked == [f"{uid} asks 2" for uid in range(5)]
    offline = run(main(desk(Echo(), journal, offline=True), 3))
    assert offline == resumed


def test_a_replay_never_asks_and_names_what_is_missing():
    backend = Echo()
    table = desk(backend, offline=True)
    with pytest.raises(Divergence, match=r"step 4.*agent 17.*does not have it"):
        run(table.asker(place(4), 17, "it")(ask("new")))
    assert backend.asked == []


def test_another_request_under_a_stored_key_stops_and_names_step_and_agent():
    journal = MemoryJournal()
    run(desk(Echo(), journal).asker(place(3), 5, "it")(ask("as it was")))
    with pytest.raises(Divergence, match=r"step 3.*agent 5.*request_hash"):
        run(desk(Echo(), journal).asker(place(3), 5, "it")(ask("as it is now")))
    with pytest.raises(Divergence):
        run(desk(Echo(), journal, seeds=(1,)).asker(place(3), 5, "it")(ask("as it was")))


def test_another_request_under_a_stored_key_sends_nobodys_question(together):
    journal, backend = MemoryJournal(), Echo()
    run(desk(Echo(), journal).asker(place(), 2, "it")(ask("as it was")))

    async def main(table):
        async with table.seat():
            minds = [chatter(table.asker(place(), uid, "it"), 1, uid) for uid in range(5)]
            return await getattr(table, together)(minds)

    with pytest.raises(Divergence, match=r"agent 2.*request_hash"):
        run(main(desk(backend, journal)))
    assert backend.asked == []


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize(
    ("same", "changes"),
    [({"options": ("a", "b")}, {"context": {1: 0, "a": 0}}), ({}, {"schema": {"type": {1}}})],
)
def test_a_question_that_cannot_be_taken_in_fails_in_the_mind_that_asks_it(
    same, changes, after, together
):
    table, failed = desk(Reader(logprobs=(-0.7, -0.7))), {}

    async def mind(uid):
        asker = table.asker(place(), uid, "it")
        await chatter(asker, after, uid)
        try:
            await asker(ask("x", **same, **(changes if uid == 2 else {})))
        except Exception as error:
            failed[uid] = type(error)
            raise

    async def main():
        async with table.seat():
            minds = getattr(table, together)([mind(uid) for uid in range(4)])
            return await asyncio.wait_for(minds, 5)

    with pytest.raises(TypeError):
        run(main())
    assert failed == {2: TypeError, **dict.fromkeys((0, 1, 3), StoppedError)}
    assert table.held_seats == 0


def test_whose_first_answer_is_known_asks_next_together_with_those_who_ask_first(together):
    journal, backend = MemoryJournal(), Echo()

    async def main(table, uids, rounds):
        async with table.seat():
            minds = [chatter(table.asker(place(), uid, "it"), rounds, uid) for uid in uids]
            return await getattr(table, together)(minds)

    run(main(desk(Echo(), journal), range(0, 10, 2), 1))
    run(main(desk(backend, journal), range(10), 2))
    assert backend.batches == [10, 5]
    assert backend.asked[:2] == ["0 asks 1", "1 asks 0"]


def test_what_a_backend_can_do_may_change_with_its_answers():
    backend = Echo(declares=False, logprobs=(-0.1, -2.0))
    table = desk(backend)
    same = ask("same for all", options=("a", "b"), temperature=1.0)

    async def main(step):
        async with table.seat():
            askers = [table.asker(place(step), uid, "it") for uid in range(4)]
            return await table.minds([asking(asker, same) for asker in askers])

    run(main(0))
    backend.declares = True
    run(main(1))
    assert backend.batches == [4, 1]


def test_the_real_journal_holds_whole_answers(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as journal:
        backend = Echo(fail={"bad": BackendError("empty", "nothing came")}, logprobs=(-0.1, -2.4))

        async def main(table):
            asker = table.asker(place(), 1, "it")
            return [
                await asker(ask("good é \ud800")),
                await asker(ask("bad")),
                await asker(ask("pick", options=("a", "b"))),
            ]

        first = run(main(desk(backend, journal)))
        again = run(main(desk(Echo(), journal, offline=True)))
        assert [(a.text, a.choice, a.error) for a in again] == [
            (a.text, a.choice, a.error) for a in first
        ]
        counts = journal.counts()
        assert (counts.calls, counts.prompt_tokens, counts.faults) == (3, 14, 1)


# ---- what stops a run -------------------------------------------------------------------


def test_a_failure_that_a_mind_can_see_is_an_answer():
    journal = MemoryJournal()
    table = desk(Echo(fail={"x": BackendError("refused", "no")}), journal)
    answer = run(table.asker(place(), 1, "it")(ask("x")))
    assert answer.error.kind == "refused"
    assert [row.status for row in journal.rows.values()] == ["error"]


@pytest.mark.parametrize("streams", [False, True])
def test_a_dead_server_stops_the_run_and_costs_no_answer_that_came(streams, together):
    journal = MemoryJournal()
    dead = {"3 asks 0": BackendError("connection", "refused by http://me:secret@host/")}

    async def main(table):
        async with table.seat():
            minds = [chatter(table.asker(place(), uid, "it"), 2, uid) for uid in range(6)]
            return await getattr(table, together)(minds)

    backend = Echo(fail=dead, streams=streams)
    table = desk(backend, journal)

    async def stopped():
        with pytest.raises(BackendDownError, match=r"'it' does not answer.*society resume") as told:
            await main(table)
        await table.drain()
        with pytest.raises(BackendDownError):
            await table.asker(place(9), 0, "it")(ask("more"))
        return told.value

    assert "secret" not in str(run(stopped()))
    assert {key.uid for key in journal.rows if key.ordinal == 0} == {0, 1, 2, 4, 5}
    healthy = Echo(streams=streams)
    stored = len(journal.rows)
    assert len(run(main(desk(healthy, journal)))) == 6
    assert len(healthy.asked) == 12 - stored  # nothing journalled is asked again


def test_a_spent_budget_stops_the_run_resumably(together):
    journal = MemoryJournal()

    async def main(table):
        async with table.seat():
            return await getattr(table, together)(
                [chatter(table.asker(place(), uid, "it"), 2, uid) for uid in range(4)]
            )

    with pytest.raises(LimitReachedError, match=r"limits.calls"):
        run(main(desk(Budget(Echo(), calls=5), journal)))
    assert len(journal.rows) == 4
    assert len(run(main(desk(Budget(Echo(), calls=4), journal)))) == 4
    assert len(journal.rows) == 8


def test_an_error_in_one_mind_is_raised_and_ends_the_others(together):
    async def broken(asker):
        await asker(ask("x"))
        raise ZeroDivisionError("a mind broke")

    table = desk(Echo())

    async def main():
        async with table.seat():
            minds = [chatter(table.asker(place(), uid, "it"), 50, uid) for uid in range(3)]
            await getattr(table, together)([*minds, broken(table.asker(place(), 9, "it"))])

    with pytest.raises(ZeroDivisionError, match="a mind broke"):
        run(main())
    assert table.held_seats == 0


def test_a_journal_that_cannot_write_stops_the_run_before_an_answer_is_used():
    journal = MemoryJournal()
    journal.flush = lambda: (_ for _ in ()).throw(OSError("disk full"))
    with pytest.raises(OSError, match="disk full"):
        run(desk(Echo(), journal).asker(place(), 1, "it")(ask("x")))


def test_cancelling_leaves_no_seat_taken():
    table = desk(Echo())

    async def forever():
        await asyncio.sleep(3600)

    async def main():
        async def replicate():
            async with table.seat():
                await table.gather([forever() for _ in range(3)])

        task = asyncio.create_task(replicate())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        return table.held_seats

    assert run(main()) == 0


def test_minds_that_are_given_up_leave_no_seat_and_no_answer_behind():
    class Slow(Echo):
        async def generate(self, requests):
            await asyncio.sleep(0.03)
            return await super().generate(requests)

    journal, ended = MemoryJournal(), []
    table = desk(Slow(), journal)

    async def mind(asker):
        try:
            await asker(ask("x"))
        finally:
            ended.append(True)

    async def main():
        async def replicate():
            async with table.seat():
                await table.minds([mind(table.asker(place(), uid, "it")) for uid in range(3)])

        task = asyncio.create_task(replicate())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [True] * 3 and table.held_seats == 0
        await table.drain()  # what was on its way is stored all the same
        return len(journal.rows), table.held_seats

    assert run(main()) == (3, 0)


def test_a_mind_that_awaits_something_else_is_named():
    async def sleeper():
        await asyncio.sleep(0)

    table = desk(Echo())

    async def main():
        async with table.seat():
            await table.minds([sleeper(), chatter(table.asker(place(), 1, "it"), 3)])

    with pytest.raises(TypeError, match=r"a mind \(.*sleeper\) awaits .*nothing but what it asks"):
        run(main())
    assert table.held_seats == 0


@pytest.mark.parametrize("streams", [False, True])
def test_a_question_is_awaited_once(streams, together):
    journal = MemoryJournal()
    table = desk(Echo(streams=streams), journal)

    async def mind(asker):
        question = asker(ask("x"))
        first = await question
        with pytest.raises(RuntimeError, match="awaited before"):
            await question
        return first.text, (await asker(ask("y"))).text

    async def main():
        async with table.seat():
            return await getattr(table, together)([mind(table.asker(place(), 1, "it"))])

    ((first, second),) = run(main())
    assert (first[:2], second[:2]) == ("x#", "y#") and len(journal.rows) == 2


def test_a_mind_that_cannot_be_closed_is_named_too():
    class Session:
        async def __aenter__(self):
            await asyncio.sleep(0)

        async def __aexit__(self, *_):
            await asyncio.sleep(0)

    async def sleeper(asker):
        async with Session():
            pass

    async def clings(asker):
        try:
            await asyncio.sleep(0)
        finally:
            await asker(ask("one more thing"))

    for kind in (sleeper, clings):
        table = desk(Echo())

        async def main(kind=kind, table=table):
            async with table.seat():
                minds = [kind(table.asker(place(), 0, "it"))]
                minds.append(chatter(table.asker(place(), 1, "it"), 3))
                await asyncio.wait_for(table.minds(minds), 5)

        with pytest.raises(TypeError, match=r"a mind \(.*\) awaits .*nothing but what it asks"):
            run(main())
        assert table.held_seats == 0


def test_minds_ask_in_the_order_in_which_they_are_given():
    backend = Echo(streams=True)
    table = desk(backend)

    async def main():
        async with table.seat():
            return await table.minds(
                [chatter(table.asker(place(), uid, "it"), 1, uid) for uid in range(30)]
            )

    run(main())
    assert backend.asked == [f"{uid} asks 0" for uid in range(30)]


def test_a_backend_that_loses_answers_is_found_out():
    class Short(Echo):
        async def generate(self, requests):
            return (await super().generate(requests))[1:]

    table = desk(Short())
    with pytest.raises(RuntimeError, match="1 of 2 requests"):
        run(table.asker(place(), 1, "it").many([ask("a"), ask("b")]))


def test_unknown_backends_are_named():
    with pytest.raises(ValueError, match="no backend is called 'that'; this desk has it"):
        desk(Echo()).asker(place(), 1, "that")


def test_the_mock_gives_the_same_run_in_any_batching(together):
    async def main(backend):
        table = Desk({"it": backend}, MemoryJournal())
        context = {"part": "birth"}
        async with table.seat():
            askers = [table.asker(place(), uid, "it") for uid in range(20)]
            return await getattr(table, together)(
                [asking(a, ask("b", "birth", context=context)) for a in askers]
            )

    texts = [[a.text for a in run(main(Mock(streaming=s)))] for s in (False, True)]
    assert texts[0] == texts[1] and len(set(texts[0])) > 10

"""The desk: where every mind asks, and the only place that waits for answers.

A task or mind that may still ask holds a *seat*. Awaiting an answer releases the seat;
*resolving* the answer, not waking up, takes it back, so nobody who is about to ask again
can be overtaken by a batch that closes too early. A streaming backend gets each request at
once; for the others the batch closes when no seat is held. There are no timers: what is
asked together depends on the minds alone.

The journal is the outermost layer. A call that it knows is answered from it, after its
request has been compared; what is asked anew is stored, in one commit for everything that
arrived together, before any mind sees it. A failure that a mind can see is an answer like
others; whatever stops the run (a spent limit, a dead server) is not stored, so that the
run can be resumed there.
"""

import asyncio
import contextvars
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from llm_agents.backends.base import (
    Backend,
    BackendDownError,
    LimitReachedError,
    Request,
    Response,
    signed,
)
from llm_agents.memory_search import Recall, Row, Streams
from society.desk_asker import Asker
from society.desk_rows import (
    JournalLike,
    StoppedError,
    anew,
    by_streams,
    call_place,
    known_answer,
    own_answer,
    request_seed,
    seeded,
    stopping_error,
    stored_call,
)
from society.desk_seats import (
    Mind,
    One,
    Part,
    Question,
    Search,
    Seat,
    Wait,
    current_seat,
    seated,
)
from society.journal_rows import CallKey

__all__ = ["Asker", "Desk", "StoppedError"]

_encode_loosely = json.JSONEncoder(sort_keys=True, default=str).encode


class Desk:
    """Takes questions from minds, brings them to backends in batches, keeps the answers."""

    def __init__(
        self,
        backends: Mapping[str, Backend],
        journal: JournalLike,
        *,
        seeds: Sequence[int] = (0,),
        offline: bool = False,
    ) -> None:
        """Open the desk.

        Args:
          backends: name -> backend, wrapped in retry, limit, budget and cache as wanted.
          journal: where answers are kept and looked up first.
          seeds: the seed of each replicate; request seeds derive from it.
          offline: answer from the journal alone; anything else is a Divergence.
        """
        self._backends = dict(backends)
        self._journal = journal
        self._seeds = tuple(seeds)
        self._offline = offline
        self.held_seats = 0
        self.driven: Mind | None = None
        self._next: list[Mind] = []
        self._pending: defaultdict[str, list[list[Question]]] = defaultdict(list)
        self._taken: list[Question] = []
        self._able: dict[str, tuple[bool, bool, bool]] = {}
        self._searches: list[Search] = []
        self._asked: dict[tuple[str, str], list[Question]] = {}
        self._arrived: list[tuple[list[Question], Response | BaseException]] = []
        self._tasks: set[asyncio.Task] = set()
        self._stopped: BaseException | None = None
        self.batch_sizes: Counter[int] = Counter()

    def asker(
        self,
        place: Sequence[int],
        uid: int,
        backend: str,
        memory: tuple[Streams, int] | None = None,
    ) -> Asker:
        """Return the ``Ask`` of one agent at one place; ``memory``: its streams and row."""
        if backend not in self._backends:
            known = ", ".join(sorted(self._backends)) or "none"
            raise ValueError(f"no backend is called {backend!r}; this desk has {known}")
        return Asker(self, call_place(*place), uid, backend, memory)

    @asynccontextmanager
    async def seat(self) -> AsyncIterator[None]:
        """Hold a seat: no batch closes while this task may still ask."""
        seat = Seat(self)
        token = current_seat.set(seat)
        try:
            yield
        finally:
            current_seat.reset(token)
            seat.leave()

    async def gather(self, work: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
        """Run tasks side by side, each on its own seat; results in the order given.

        If one fails, the others are let finish what they have asked and may ask nothing more;
        then the first failure is raised. Called without a seat (by whoever runs everything),
        it first waits until all that was asked has arrived and is stored.
        """
        if not work:
            return []
        caller = current_seat.get()
        together = Wait(caller, len(work))
        tasks = [seated(self, one, together, number) for number, one in enumerate(work)]
        if caller is not None:
            caller.release()
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            raise
        return await self._results(caller, together)

    async def minds(self, minds: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
        """Run minds side by side; like ``gather``, but they may await nothing but asking."""
        if not minds:
            return []
        caller = current_seat.get()
        together = Wait(caller, len(minds))
        seated = [Mind(self, one, together, number) for number, one in enumerate(minds)]
        if caller is not None:
            caller.release()
        self._go_on(seated)
        try:
            await together.all_come()
        except asyncio.CancelledError:
            for mind in seated:
                mind.abandon()
            raise
        return await self._results(caller, together)

    async def _results(self, caller: Seat | None, together: Wait) -> list[Any]:
        """What all came to, or the first failure that is not a consequence of another."""
        if not together.failures:
            return together.answers
        failures = [together.failures[number] for number in sorted(together.failures)]
        if caller is None:
            await self.drain()
        first = next((e for e in failures if not isinstance(e, StoppedError)), None)
        raise first or self._stopped or failures[0]

    def next_mind(self, mind: Mind) -> None:
        """Let a mind that sits again go on soon, after those who were called before."""
        self.held_seats += 1
        if not self._next:
            loop = asyncio.get_running_loop()
            loop.call_soon(self._go_on, context=contextvars.Context())
        self._next.append(mind)

    def _go_on(self, minds: Sequence[Mind] = ()) -> None:
        """Run minds, those whose answers have come or new ones, to their next question each."""
        if not minds:
            minds, self._next = self._next, []
        try:
            for mind in minds:
                if mind.gone:
                    continue
                self.driven = mind
                try:
                    waited = mind.send(None)
                except StopIteration as ended:
                    mind.end(ended.value)
                except BaseException as error:
                    mind.fail(error)
                    if not isinstance(error, asyncio.CancelledError):
                        self.stop(error)
                else:
                    if waited.__class__ is not One and waited.__class__ is not Wait:
                        self.stop(mind.stray(waited))
        finally:
            self.driven = None
        self.close_batch()

    def stop(self, reason: BaseException) -> None:
        """Take no more questions; what is on its way is still stored when it arrives."""
        if self._stopped is not None:
            return
        self._stopped = reason
        given_up = [one for groups in self._pending.values() for group in groups for one in group]
        given_up += self._taken
        self._pending.clear()
        self._taken = []
        for one in given_up:
            one.fail(self._refusal())
        searches, self._searches = self._searches, []
        for search in searches:
            search.wait.fail(0, self._refusal())

    async def drain(self) -> None:
        """Wait until everything that was asked has arrived and is stored."""
        while self._tasks or self._arrived:
            if self._tasks:
                await asyncio.wait(set(self._tasks))
            await asyncio.sleep(0)

    async def aclose(self) -> None:
        """Stop, wait for what is on its way, and close the backends."""
        self.stop(StoppedError("the desk is closed"))
        await self.drain()
        for backend in self._backends.values():
            await backend.aclose()

    # ---- remembering --------------------------------------------------------------------

    async def recall(self, streams: Streams, agent: int, recall: Recall) -> list[list[Row]]:
        """Search an agent's memory, together with everybody else's."""
        if self._stopped is not None:
            raise self._refusal()
        wait = Wait(self.driven or current_seat.get(), 1)
        self._searches.append(Search(streams, agent, recall, wait))
        self._release(wait)
        return (await wait)[0]

    def _search(self) -> None:
        """Search everybody's memory, one matrix product for each group."""
        searches, self._searches = self._searches, []
        for group in by_streams(searches):
            try:
                found = group[0].streams.search([(one.agent, one.recall) for one in group])
            except Exception as error:
                for search in group:
                    search.wait.fail(0, anew(error))
                continue
            for search, rows in zip(group, found, strict=True):
                search.wait.put(0, rows)

    # ---- asking -------------------------------------------------------------------------

    def ask_several(self, name: str, keyed: Sequence[tuple[CallKey, Request]]) -> Wait:
        """Take questions; to be awaited at once, for whoever asks has given up its seat."""
        if self._stopped is not None:
            raise self._refusal()
        wait = Wait(self.driven or current_seat.get(), len(keyed))
        self._taken += [Part(name, key, one, wait, i) for i, (key, one) in enumerate(keyed)]
        self._release(wait, name)
        return wait

    def ask_one(self, one: One) -> None:
        """Take one question, as ``ask_several`` takes several."""
        if self._stopped is not None:
            raise self._refusal()
        one.seat = self.driven or current_seat.get()
        self._taken.append(one)
        self._release(one, one.backend)

    def _take_in(self) -> None:
        """Answer questions from the journal, or bring them to their backends.

        All at once, where nobody may still ask, and one kind of work after another: a thousand
        in a row take less time than all that one question needs, a thousand times.
        """
        taken, self._taken = self._taken, []
        try:
            asked = [seeded(one.request, self._seed(one.key)) for one in taken]
            signatures = [signed(request) for request in asked]
            known = self._journal.calls([one.key for one in taken])
        except Exception as error:
            self._refuse(sorted(taken, key=self._is_sound), error)
            return
        for index, one in enumerate(taken):
            one.request, one.signature = asked[index], signatures[index]
            row = known[index]
            try:
                if row is None and not self._offline:
                    self._submit(one)
                    continue
                answer = known_answer(row, one.key, one.signature[-1])
            except Exception as error:
                self._refuse(taken[index:], error)
                return
            one.put(answer)

    def _is_sound(self, one: Question) -> bool:
        """False for a question that cannot be taken in."""
        try:
            signed(seeded(one.request, self._seed(one.key)))
            self._journal.calls([one.key])
        except Exception:
            return False
        return True

    def _refuse(self, taken: list[Question], error: Exception) -> None:
        """Stop because of the first of these questions."""
        self._taken = taken[1:]
        taken[0].fail(error)
        self.stop(error)

    def _abilities(self, name: str) -> tuple[bool, bool, bool]:
        """Logprobs, streams, reads_context of a backend; they may change with an answer."""
        able = self._able.get(name)
        if able is None:
            backend = self._backends[name]
            able = backend.capabilities.logprobs, backend.streams, backend.reads_context
            self._able[name] = able
        return able

    def _release(self, asked: Wait | One, name: str = "") -> None:
        """Give up the seat of whoever waits, until the answers have come."""
        if name and self._abilities(name)[1]:
            self._take_in()
        if asked.come:  # nothing was asked, or all is known
            return
        if asked.seat is not None:
            asked.seat.release()
        if self.driven is None:
            self.close_batch()

    def _seed(self, key: CallKey) -> int:
        try:
            return request_seed(self._seeds[key[0]], key)
        except IndexError:
            raise ValueError(
                f"replicate {key[0]} has no seed; the desk was given {len(self._seeds)}"
            ) from None

    def _submit(self, one: Question) -> None:
        """Take a question to its backend, together with those that one answer is for."""
        beginning, rest, one.merge = one.signature
        if one.request.options is not None and self._abilities(one.backend)[0]:
            one.merge = beginning + rest[: rest.rindex(",")]  # all but the seed
        self._enter(one)

    def _enter(self, one: Question) -> None:
        name, group = one.backend, [one]
        _, streams, reads_context = self._able.get(name) or self._abilities(name)
        same = self._asked.setdefault((name, one.merge), group)
        if same is not group and reads_context and _context(same[0]) != _context(one):
            one.merge += _context(one)
            same = self._asked.setdefault((name, one.merge), group)
        if same is not group:
            same.append(one)
        elif streams:
            self._start(self._send(name, [group]))
        else:
            self._pending[name].append(group)

    def close_batch(self) -> None:
        """Send what is pending, where nobody may still ask."""
        if self.held_seats > 0:
            return
        if self._searches:
            self._search()  # whoever found something sits again, and may ask
            if self.held_seats > 0:
                return
        if self._taken:
            self._take_in()  # so does whoever asked what the journal knows
            if self.held_seats > 0:
                return
        if not self._pending:
            return
        pending, self._pending = self._pending, defaultdict(list)
        for name, groups in pending.items():
            groups.sort(key=lambda group: group[0].key)
            self.batch_sizes[len(groups)] += 1
            self._start(self._send(name, groups))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        # A fresh context: the sender must not be taken for the mind that happened to ask last.
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send(self, name: str, groups: list[list[Question]]) -> None:
        """Ask for one representative of each group, choices and free answers side by side."""
        backend = self._backends[name]
        choices = [group for group in groups if group[0].request.options is not None]
        others = [group for group in groups if group[0].request.options is None]
        parts = [
            self._send_part(ask, part)
            for ask, part in ((backend.choose, choices), (backend.generate, others))
            if part
        ]
        if len(parts) == 1:
            await parts[0]
        else:
            await asyncio.gather(*parts)

    async def _send_part(self, ask: Any, groups: list[list[Question]]) -> None:
        outcomes: Sequence[Response | BaseException]
        try:
            outcomes = await ask([group[0].request for group in groups])
            if len(outcomes) != len(groups):
                raise RuntimeError(
                    f"a backend answered {len(outcomes)} of {len(groups)} requests; it must "
                    "return one response for each, in the same order"
                )
        except (Exception, asyncio.CancelledError) as error:
            outcomes = [error] * len(groups)
        if not self._arrived:
            asyncio.get_running_loop().call_soon(self._settle)
        self._arrived.extend(zip(groups, outcomes, strict=True))

    # ---- answers ------------------------------------------------------------------------

    def _settle(self) -> None:
        """Store everything that has arrived in one commit, then hand it out in key order."""
        arrived, self._arrived = self._arrived, []
        self._able.clear()
        answered: list[tuple[Question, Response]] = []
        failed: list[tuple[Question, BaseException]] = []
        for group, outcome in arrived:
            first = group[0]
            self._asked.pop((first.backend, first.merge), None)
            if len(group) > 1:
                group = self._split(group, outcome)
            if not isinstance(outcome, Response) or outcome.error is not None:
                error = stopping_error(outcome, first.backend)
                if error is not None:
                    failed += [(one, error) for one in group]
                    continue
            assert isinstance(outcome, Response)
            answered.append((first, own_answer(outcome, first.request, True)))
            if len(group) > 1:
                answered += [(one, own_answer(outcome, one.request, False)) for one in group[1:]]
        try:
            self._journal.add_calls(
                [stored_call(one.key, one.backend, one.signature, a) for one, a in answered]
            )
            self._journal.flush()
        except BaseException as error:
            failed += [(one, error) for one, _ in answered]
            answered = []
        answered.sort(key=lambda item: item[0].key)
        for one, response in answered:
            one.put(response)
        if failed:
            self.stop(failed[0][1])
        for one, error in failed:
            one.fail(anew(error))
        self.close_batch()

    def _split(self, group: list[Question], outcome: Response | BaseException) -> list[Question]:
        """Keep the calls that an answer is for.

        Choices were merged across seeds because the backend gives log-probabilities. Where it
        gave none after all, the answer is a sample that belongs to one seed; the others ask
        for their own.
        """
        if not isinstance(outcome, Response):
            return group
        if stopping_error(outcome, "") is not None or outcome.option_logprobs is not None:
            return group
        hashed = group[0].signature[-1]
        for one in group[1:]:
            if one.signature[-1] != hashed:
                one.merge = one.signature[-1]
                self._enter(one)
        return [one for one in group if one.signature[-1] == hashed]

    def _refusal(self) -> BaseException:
        if isinstance(self._stopped, LimitReachedError | BackendDownError):
            return type(self._stopped)(*self._stopped.args)
        return StoppedError(f"the desk has stopped: {self._stopped}")


def _context(one: Question) -> str:
    """What a scripted backend reads of a question."""
    return _encode_loosely(dict(one.request.context))

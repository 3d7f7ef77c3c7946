"""Overhead of one question at the desk, with a backend that answers at once.

    python benchmarks/desk.py [--agents 1000] [--repeats 7]

Rows: the bare desk with a journal in memory; the same with the run's SQLite journal
(key, look-up, request and response as JSON, seal, one commit a batch); answering from that
journal, as resume and replay do; a whole turn of a chat agent (rendering, desk, journal,
parsing, memory). Target: 60 microseconds a question.
"""

import argparse
import asyncio
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
import jinja2

from llm_agents.backends.base import Backend, Capabilities, ChatMessage, Request, Response, Usage
from llm_agents.chat import Chat
from society.desk import Desk
from society.journal import Journal
from worlds.types import Birth, Seat, Turn

PROMPT = "The recipient gets two times what the donor gives up. " * 12


class Instant(Backend):
    """Answers at once."""

    capabilities = Capabilities(seed=True, deterministic=True)
    answer = Response(text="Justification: fair.\nAnswer: 4", usage=Usage(150, 8), model="instant")

    async def generate(self, requests):
        return [self.answer] * len(requests)

    choose = generate


class Memory(dict):
    """A journal in memory."""

    def calls(self, keys):
        """What was stored under each key."""
        return [self.get(key) for key in keys]

    def add_calls(self, rows):
        self.update((row.key, row) for row in rows)

    def flush(self):
        pass


async def questions(desk, agents, step):
    async def mind(asker, uid):
        messages = (ChatMessage("system", PROMPT), ChatMessage("user", f"You are {uid}."))
        return await asker(Request(messages, purpose="act", temperature=0.8))

    async with desk.seat():
        askers = [desk.asker((0, 0, 0, step, 0), uid, "it") for uid in range(agents)]
        return await desk.minds([mind(asker, uid) for uid, asker in enumerate(askers)])


async def turns(desk, agents, step, policy, minds):
    async def mind(uid):
        turn = Turn(
            seat=Seat(uid, uid=uid, name=f"a{uid}"),
            rules=PROMPT,
            text=f"Round {step}. You own 10 units.",
            question="How many units do you give up?",
            options=None,
            parse=lambda text: float(text.rpartition(":")[2]),
            fallback=0.0,
            answer_hint="After 'Answer:' write a number.",
            step=step,
        )
        asker = desk.asker((0, 0, 0, step, 0), uid, "it")
        reply, minds[uid] = await policy.act(asker, minds[uid], turn)
        return reply

    async with desk.seat():
        return await desk.minds([mind(uid) for uid in range(agents)])


async def timed(repeats, agents, work):
    await work(0)  # warm-up
    wall, busy = [], []
    for step in range(1, repeats + 1):
        began, worked = time.perf_counter(), time.process_time()
        answers = await work(step)
        wall.append((time.perf_counter() - began) / agents * 1e6)
        busy.append((time.process_time() - worked) / agents * 1e6)
        assert len(answers) == agents
    return wall, busy


async def measure(agents, repeats, folder):
    desk = Desk({"it": Instant()}, Memory())
    yield (
        "desk, journal in memory",
        await timed(repeats, agents, lambda s: questions(desk, agents, s)),
    )
    with Journal.open(folder / "journal.sqlite") as journal:
        desk = Desk({"it": Instant()}, journal)
        yield (
            "desk and SQLite journal",
            await timed(repeats, agents, lambda s: questions(desk, agents, s)),
        )
        again = Desk({}, journal, offline=True)
        again._backends = {"it": Instant()}
        yield (
            "answered from the journal",
            await timed(repeats, agents, lambda s: questions(again, agents, s)),
        )
    for memory in ("none", "window"):
        with Journal.open(folder / f"{memory}.sqlite") as journal:
            desk = Desk({"it": Instant()}, journal)
            policy = Chat(reasoning="justify", memory=memory)
            seats = [Birth(Seat(uid, uid=uid, name=f"a{uid}")) for uid in range(agents)]
            minds = [await policy.birth(None, birth) for birth in seats]
            name = f"whole turn of chat, memory: {memory}"
            yield (
                name,
                await timed(
                    repeats, agents, lambda s, d=desk, p=policy, m=minds: turns(d, agents, s, p, m)
                ),
            )


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(
        f"python {sys.version.split()[0]}, jinja2 {jinja2.__version__}, httpx {httpx.__version__}"
    )
    print(f"{options.agents} agents, {options.repeats} repeats; microseconds a question\n")
    print(f"{'':36}{'CPU':>8}{'wall':>9}{'fastest':>9}{'slowest':>9}   (CPU, wall: medians)")
    with tempfile.TemporaryDirectory() as folder:
        async for name, (wall, busy) in measure(options.agents, options.repeats, Path(folder)):
            medians = f"{statistics.median(busy):8.1f}{statistics.median(wall):9.1f}"
            print(f"{name:36}{medians}{min(wall):9.1f}{max(wall):9.1f}")


if __name__ == "__main__":
    asyncio.run(main())

"""Overhead of language agents with a model that answers at once, beside Concordia's.

    python benchmarks/language.py [--quick] [--peer FOLDER] [--tables steps requests run memory]

Tables: microseconds of a language agent's step beside the peer's, in turns; a whole run of
the loop (captions, device, journal); requests that went out; one search of memory, for
everybody at once and alone, beside the peer's. "Bare" does the four things that every such
step needs and nothing else, which tells how fast the machine is at the moment. The peer is
``gdm-concordia`` 2.1.0: its minimal entity observes and acts. Where it is not importable it is
left out, with a message; ``--peer`` names the site-packages of another environment of the same
Python that has it.

Targets: 60 us a step at 1,000 agents; one request for each acting agent, fewer where
prompts repeat.
"""

import argparse
import asyncio
import contextlib
import gc
import hashlib
import io
import itertools
import logging
import re
import sqlite3
import statistics
import sys
import tempfile
import time
import types
from pathlib import Path

import jinja2
import numpy as np
from clock import machine

from llm_agents.backends.base import Backend, Capabilities, Response, Usage
from llm_agents.chat import Chat
from llm_agents.embeddings import Hashing
from llm_agents.memory import NoMemory, Window
from llm_agents.memory_search import Entry, Recall, Streams
from llm_agents.memory_stream import Stream
from society.collector import calm_collector
from society.desk import Desk
from society.journal import Journal
from society.run import run_scenario
from society.scenario import load_scenario
from worlds.records import maker
from worlds.types import Birth, Seat, Turn

TABLES = ("steps", "requests", "run", "memory")
make_turn, make_seat = maker(Turn), maker(Seat)  # as a run makes them
RULES = "The recipient gets two times what the donor gives up. " * 12
RUN = """
world: {use: matrix_game, game: prisoners_dilemma_akata, rounds: ROUNDS, pairs: random}
groups:
  people: {count: AGENTS, policy: {use: chat, reasoning: justify}}
backend: mock
"""


class Instant(Backend):
    """Answers at once; counts what it is asked."""

    capabilities = Capabilities(seed=True, logprobs=True, deterministic=True)
    answer = Response(text="Justification: fair.\nAnswer: 4", usage=Usage(150, 8), model="instant")
    chosen = Response(text="J", choice=0, option_logprobs=(-0.5, -0.9327), usage=Usage(150, 1))
    asked = 0

    async def generate(self, requests):
        """The same text for all."""
        self.asked += len(requests)
        return [self.answer] * len(requests)

    async def choose(self, requests):
        """The same probabilities for all."""
        self.asked += len(requests)
        return [self.chosen] * len(requests)


class Society:
    """Chat agents at a desk with the run's journal, all taking a turn at a time."""

    def __init__(self, agents, policy, folder, options=None, alike=False, unlike=False):
        self.backend = Instant()
        self.journal = Journal.open(folder / "journal.sqlite")
        self.desk = Desk({"it": self.backend}, self.journal)
        self.policy, self.agents, self.step = policy, agents, 0
        self.options, self.alike, self.unlike = options, alike, unlike
        self.streams = policy.streams(agents)
        self.minds = [
            drive(policy.birth(None, Birth(Seat(uid, uid=uid, name=self.name(uid)))))
            for uid in range(agents)
        ]

    @property
    def asked(self):
        """Requests that reached the model so far."""
        return self.backend.asked

    def name(self, uid):
        """What an agent is called."""
        return "somebody" if self.alike else f"Agent {uid}"

    def turn(self):
        """Everybody decides once; returns the seconds it took, of the clock and the processor."""
        self.step += 1
        with asyncio.Runner() as runner:
            begun, busy = time.perf_counter(), time.process_time()
            runner.run(self._turn())
            return time.perf_counter() - begun, time.process_time() - busy

    async def _turn(self):
        async with self.desk.seat():
            await self.desk.minds([self._mind(uid) for uid in range(self.agents)])

    async def _mind(self, uid):
        turn = make_turn(
            seat=make_seat(uid, uid=uid, name=self.name(uid)),
            rules=RULES,
            text=f"Round {self.step}. You own {uid if self.unlike else 10} units.",
            question="How many units do you give up?",
            options=self.options,
            parse=lambda text: text,
            fallback=0.0,
            answer_hint="After 'Answer:' write a number of units from 0 to 10.",
            step=self.step,
        )
        memory = None if self.streams is None else (self.streams, uid)
        ask = self.desk.asker((0, 0, 0, self.step, 0), uid, "it", memory)
        _, self.minds[uid] = await self.policy.act(ask, self.minds[uid], turn)


class Bare:
    """A prompt rendered, its key, a row in one commit, a number read from the answer; no more.

    No seats, memory, reasoning, seeds, merging, re-asking, verification: what such a step costs
    at least on this machine at this moment, which swings.
    """

    template = jinja2.Environment().from_string(
        "You are {{ name }}.\n\n{{ rules }}\n\n{{ text }}\n\n{{ question }}\n{{ hint }}"
    )
    number = re.compile(r"Answer:\s*(\d+)")

    def __init__(self, agents, folder):
        self.agents, self.step, self.asked = agents, 0, 0
        self.database = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
        for setting in ("journal_mode=WAL", "synchronous=FULL"):
            self.database.execute(f"PRAGMA {setting}")
        self.database.execute(
            "CREATE TABLE calls (step INT, uid INT, key TEXT, request TEXT, response TEXT, "
            "PRIMARY KEY (step, uid))"
        )

    def turn(self):
        """Everybody once; returns the seconds it took, as above."""
        self.step += 1
        begun, busy = time.perf_counter(), time.process_time()
        rows = []
        for uid in range(self.agents):
            text = self.template.render(
                name=f"Agent {uid}",
                rules=RULES,
                text=f"Round {self.step}. You own 10 units.",
                question="How many units do you give up?",
                hint="After 'Answer:' write a number of units from 0 to 10.",
            )
            key = hashlib.sha256(f"{self.step}/{uid}/{text}".encode()).hexdigest()
            rows.append((self.step, uid, key, text, Instant.answer.text))
        self.database.execute("BEGIN")
        self.database.executemany("INSERT INTO calls VALUES (?, ?, ?, ?, ?)", rows)
        self.database.execute("COMMIT")
        actions = [int(self.number.search(row[-1])[1]) for row in rows]
        assert actions == [4] * self.agents
        self.asked += self.agents
        return time.perf_counter() - begun, time.process_time() - busy


class Peer:
    """Concordia's minimal entities with a model that answers at once."""

    def __init__(self, agents, modules):
        minimal, memory, entity, language_model = modules
        embed = hashing_embedder()

        class Model(language_model.LanguageModel):
            asked = 0

            def sample_text(self, prompt, **settings):
                Model.asked += 1
                return "4"

            def sample_choice(self, prompt, responses, **settings):
                Model.asked += 1
                return 0, responses[0], {}

        self.model, self.step = Model, 0
        self.spec = entity.free_action_spec(call_to_action="How many units do you give up?")
        self.entities = []
        for number in range(agents):
            params = {"name": f"Agent {number}", "goal": "", "custom_instructions": RULES}
            bank = memory.AssociativeMemoryBank(sentence_embedder=embed)
            self.entities.append(minimal.Entity(params=params).build(Model(), bank))

    @property
    def asked(self):
        """Requests that reached the model so far."""
        return self.model.asked

    def turn(self):
        """Everybody observes and acts once; returns the seconds it took, as above."""
        self.step += 1
        begun, busy = time.perf_counter(), time.process_time()
        for entity in self.entities:
            entity.observe(f"Round {self.step}. You own 10 units.")
            entity.act(self.spec)
        return time.perf_counter() - begun, time.process_time() - busy


def drive(coroutine):
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        return ended.value
    raise RuntimeError("it waits for something")


def hashing_embedder():
    """Concordia's interface to our embedding."""
    embedding = Hashing()
    return lambda text: embedding.embed([text])[0]


def peer_modules(folder):
    """Concordia's modules, or a message why there are none."""
    if folder:
        sys.path.append(folder)
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            from concordia.associative_memory import basic_associative_memory
            from concordia.language_model import language_model
            from concordia.prefabs.entity import minimal
            from concordia.typing import entity
    except ImportError as error:
        return f"Concordia is left out ({error}); pip install gdm-concordia==2.1.0, or --peer"
    return minimal, basic_associative_memory, entity, language_model


def steps_table(agents, peers, rounds, modules):
    """Microseconds of an agent's step, contestants in turns."""
    print(f"\n## A step of an agent, microseconds\n\n{rounds} rounds in turns\n")
    print("| what | agents | wall, median | best | processor, median | best | requests each |")
    print("|---|---|---|---|---|---|---|")
    policies = {
        "chat, no memory": Chat(reasoning="justify", memory=NoMemory()),
        "chat, no memory, everybody sees another text": Chat(reasoning="justify", memory="none"),
        "chat, window of 10 turns": Chat(reasoning="justify", memory=Window(turns=10)),
        "chat, memory stream": Chat(reasoning="justify", memory=Stream(turns=3)),
    }
    with tempfile.TemporaryDirectory() as folder, calm_collector():
        contestants = {}
        for number, (name, policy) in enumerate(policies.items()):
            path = Path(folder) / str(number)
            path.mkdir()
            contestants[name] = Society(agents, policy, path, unlike="another" in name), agents
        bare = "bare: render, key, one commit, parse"
        contestants[bare] = Bare(agents, Path(folder)), agents
        if not isinstance(modules, str):
            contestants["Concordia, minimal entity"] = Peer(peers, modules), peers
        taken = {name: [] for name in contestants}
        for round_ in range(rounds + 1):
            for name, (contestant, count) in contestants.items():
                spent = contestant.turn()
                if round_:
                    taken[name].append([1e6 * seconds / count for seconds in spent])
        for name, (contestant, count) in contestants.items():
            each = contestant.asked / (count * (rounds + 1))
            assert not isinstance(contestant, Society) or each == 1, f"{name} asked {each} times"
            wall, busy = zip(*taken[name], strict=True)
            print(
                f"| {name} | {count} | {statistics.median(wall):.1f} | {min(wall):.1f} "
                f"| {statistics.median(busy):.1f} | {min(busy):.1f} | {each:g} |"
            )


def requests_table(agents):
    """Where prompts repeat, fewer requests go out."""
    print("\n## Requests that go out in a step\n")
    print("| prompts | agents | requests |\n|---|---|---|")
    for name, alike, options in (
        ("all different", False, None),
        ("all equal, own samples of free text", True, None),
        ("all equal, options scored by probability", True, ("J", "F")),
    ):
        with tempfile.TemporaryDirectory() as folder:
            policy = Chat(reasoning="direct", memory=NoMemory())
            society = Society(agents, policy, Path(folder), options, alike)
            society.turn()
            expected = 1 if options else agents
            assert society.backend.asked == expected, society.backend.asked
            print(f"| {name} | {agents} | {society.backend.asked} |")


def loop_table(agents, rounds):
    """A whole run: captions, device, desk, journal, checkpoints; time between two steps."""
    print("\n## A whole run, microseconds an agent's step\n")
    print("| agents | steps | median | best |\n|---|---|---|---|")
    text = RUN.replace("ROUNDS", str(rounds)).replace("AGENTS", str(agents))
    stamps = []
    progress = types.SimpleNamespace(
        begin=lambda total, generations: None,
        advance=lambda state: stamps.append(time.perf_counter()),
        end=lambda status: None,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "here.yaml"
        path.write_text(text)
        summary = run_scenario(load_scenario(path), Path(folder) / "runs", progress)
        assert summary["llm"]["calls"] == agents * rounds, summary["llm"]
    gaps = [1e6 * (b - a) / agents for a, b in itertools.pairwise(stamps[1:])]
    print(f"| {agents} | {rounds} | {statistics.median(gaps):.1f} | {min(gaps):.1f} |")


def memory_table(agents, memories, rounds, modules, limit_gb):
    """One search among everybody's memories: all at once, and one agent alone."""
    width = Hashing().size
    fits = int(0.8 * min(available_bytes(), limit_gb * 2**30) / (memories * (2 * width + 20)))
    agents = max(1, min(agents, fits))
    print(f"\n## A search among {memories:,} memories, {width} numbers each\n")
    print("| what | agents | ms a query, median | best |\n|---|---|---|---|")
    streams = filled(agents, memories, width)
    queries = [f"what did agent {uid} say about the moon" for uid in range(agents)]

    def search(count):
        asked = [(uid, Recall((queries[uid],), memories, memories, 10)) for uid in range(count)]
        begun = time.perf_counter()
        streams.search(asked)
        return 1e3 * (time.perf_counter() - begun) / count

    contestants = {
        "memory stream, all in one product": (agents, lambda: search(agents)),
        "memory stream, one alone": (1, lambda: search(1)),
    }
    if not isinstance(modules, str):
        bank = modules[1].AssociativeMemoryBank(sentence_embedder=hashing_embedder())
        bank.extend([f"memory {n} of the moon and the sea {n % 97}" for n in range(memories)])

        def peer():
            begun = time.perf_counter()
            bank.retrieve_associative(queries[0], k=10)
            return 1e3 * (time.perf_counter() - begun)

        contestants["Concordia, associative memory"] = (1, peer)
    taken = {name: [] for name in contestants}
    for round_ in range(rounds + 1):
        for name, (_, call) in contestants.items():
            spent = call()
            if round_:
                taken[name].append(spent)
    for name, times in taken.items():
        count = contestants[name][0]
        print(f"| {name} | {count} | {statistics.median(times):.3f} | {min(times):.3f} |")


def filled(agents, memories, width):
    """Streams that hold random vectors, without writing ten million texts."""
    streams = Streams(agents, Hashing(width=width), memories)
    rng = np.random.default_rng(0)
    block = rng.standard_normal((memories, width), np.float32)
    block = np.rint(4000 * block / np.linalg.norm(block, axis=1, keepdims=True))
    block = block.astype(np.int16)
    streams.vectors = np.empty((agents, memories, width), np.int16)
    for agent in range(agents):
        streams.vectors[agent] = np.roll(block, agent, axis=0)
    streams.norms = np.full((agents, memories), 4000, np.float32)
    streams.ids = np.tile(np.arange(memories), (agents, 1))
    streams.used = np.tile(np.arange(memories, dtype=np.int32), (agents, 1))
    streams.importance = rng.integers(1, 11, (agents, memories)).astype(np.float32)
    entry = Entry("saw", "a memory", 5.0)
    streams._entries = [[entry] * memories] * agents
    return streams


def available_bytes():
    """Memory that can be had without pushing anything out."""
    with open("/proc/meminfo", encoding="utf-8") as info:
        lines = dict(line.split(":") for line in info)
    return 1024 * int(lines["MemAvailable"].split()[0])


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer agents, rounds and memories")
    parser.add_argument("--peer", default="", help="site-packages that hold Concordia")
    parser.add_argument("--tables", nargs="+", default=TABLES, choices=TABLES)
    parser.add_argument("--memory-gb", type=float, default=64, help="most memory to fill")
    options = parser.parse_args()
    quick = options.quick
    modules = peer_modules(options.peer)
    print("# Language agents\n")
    print(machine("jinja2", "gdm-concordia"))
    if isinstance(modules, str):
        print(modules)
    agents = 200 if quick else 1000
    if "steps" in options.tables:
        steps_table(agents, 20 if quick else 100, 5 if quick else 15, modules)
    if "requests" in options.tables:
        requests_table(agents)
    if "run" in options.tables:
        loop_table(agents, 5 if quick else 12)
    if "memory" in options.tables:
        gc.collect()
        memory_table(agents, 2000 if quick else 10_000, 3, modules, options.memory_gb)


if __name__ == "__main__":
    main()

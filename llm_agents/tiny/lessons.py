"""Lessons: prompts exactly as agents meet them in a run, with the answers to be learnt.

A lesson is recorded while a ``Chat`` agent sits in a real world, told by its real caption and
the shipped prompts; only the answers come from a scripted teacher. So whatever changes in a
prompt or a caption changes the lessons too, at the next training.
"""

import dataclasses
import random
from collections.abc import Coroutine, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from llm_agents.backends.base import ChatMessage, Request, Response
from llm_agents.chat import Chat
from worlds.framing import Framing
from worlds.tree import as_arrays
from worlds.types import Birth, Message, Seat, Turn
from worlds.wording import caption_of, row_of

__all__ = ["NAMES", "Agent", "Lesson", "Stage", "Teacher", "finish", "seat_names"]

NAMES = (
    "Ada Ben Cleo Dan Eva Finn Gita Hugo Ida Jon Kim Lea Max Nora Olaf Pia Quin Rosa Sam Tara "
    "Uma Vic Wim Xenia Yann Zoe Isabella Klaus Maria Tom Lena Omar Priya Chen Amir Julia"
).split()
NONSENSE = ("Well.", "I do not know.", "Answer: maybe", "Let me think about it.")


@dataclasses.dataclass(frozen=True)
class Lesson:
    """One question and the answer to be learnt.

    task: what the accuracy is counted under. options: where the answer is one of them.
    """

    task: str
    messages: tuple[ChatMessage, ...]
    answer: str
    options: tuple[str, ...] | None = None


class Teacher(Protocol):
    """Whoever knows the answers of one agent."""

    def answer(self, request: Request, turn: Any) -> str:
        """What the agent should say; for choices one of the options."""
        ...


@dataclasses.dataclass
class Agent:
    """A chat policy, the teacher who answers for it, and the mind that it has by now."""

    policy: Chat
    teacher: Teacher
    kind: str
    rng: random.Random
    blunders: float = 0.02
    mind: Any = None
    lessons: list[Lesson] = dataclasses.field(default_factory=list)

    def be_born(self, birth: Birth) -> None:
        """Make the mind, perhaps with a strategy."""
        self.mind = finish(self.policy.birth(self._asker(birth), birth))

    def act(self, turn: Turn) -> Any:
        """Take a turn; returns the reply."""
        reply, self.mind = finish(self.policy.act(self._asker(turn), self.mind, turn))
        if reply.fallback:
            raise ValueError(f"the teacher of {self.kind} was not understood: {reply.notes}")
        return reply

    def _asker(self, turn: Turn | Birth) -> Any:
        blundered = False

        async def ask(request: Request) -> Response:
            nonlocal blundered
            free = request.options is None and request.purpose == "act"
            if free and not blundered and self.rng.random() < self.blunders:
                blundered = True
                return Response(text=self.rng.choice(NONSENSE))
            text = self.teacher.answer(request, turn)
            again = "/again" if blundered and request.purpose == "act" else ""
            how = f"/{self.policy.reasoning}" if request.purpose == "act" else ""
            task = f"{self.kind}/{request.purpose}{how}{again}"
            self.lessons.append(Lesson(task, request.messages, text, request.options))
            choice = request.options.index(text) if request.options else None
            return Response(text=text, choice=choice)

        return ask


class Stage:
    """A world with its caption, stepped by hand."""

    def __init__(
        self, world: Any, framing: Framing, names: Sequence[str], rng: random.Random
    ) -> None:
        """Start an episode; ``names`` are those of the slots, in order."""
        self.world = as_arrays(world)
        self.caption: Any = caption_of(self.world, framing)
        self.names = list(names)
        self.caption.names = lambda slot: self.names[int(slot)]
        self._key = jax.random.PRNGKey(rng.getrandbits(30))
        first = rng.randrange(60)
        self.seats = [
            Seat(slot, uid=_number(name, first + slot), name=name)
            for slot, name in enumerate(self.names)
        ]
        self.state = _init(self.world, self._key)
        self.steps = 0
        self._look()

    def _look(self) -> None:
        self.seen = jax.device_get(_observe(self.world, self.state))

    @property
    def acting(self) -> list[int]:
        """Slots whose turn it is."""
        return np.flatnonzero(np.asarray(self.seen.acting)).tolist()

    def row(self, slot: int) -> Any:
        """What a slot sees, as arrays."""
        return row_of(self.seen.view, slot)

    def birth(self, slot: int, texts: Sequence[str] = ()) -> Birth:
        """The birth of whoever sits in a slot."""
        seat = self.seats[slot]
        return Birth(seat, generation=int(bool(texts)), texts=texts, rules=self.caption.rules(seat))

    def turn(self, slot: int, inbox: tuple[Message, ...] = (), talk: tuple[str, ...] = ()) -> Turn:
        """The turn of a slot, as the loop would put it together."""
        caption, seat, row = self.caption, self.seats[slot], self.row(slot)
        return Turn(
            seat=seat,
            rules=caption.rules(seat),
            text=caption.words(row, seat),
            question=caption.question(row, seat),
            options=caption.options(row, seat),
            parse=lambda text: caption.action(text, row, seat),
            fallback=None,
            answer_hint=caption.answer_hint(row, seat),
            inbox=inbox,
            talk=talk,
            first=self.steps == 0,
            step=self.steps,
        )

    def step(self, actions: dict[int, Any]) -> None:
        """Move the world; slots without an action do its no-op."""
        taken = jax.tree.map(np.array, self.world.noop())
        for slot, action in actions.items():
            jax.tree.map(lambda rows, one, s=slot: rows.__setitem__(s, one), taken, action)
        self.steps += 1
        key = jax.random.fold_in(self._key, self.steps)
        self.state = _step(self.world, key, self.state, jax.tree.map(jnp.asarray, taken))
        self._look()


def finish(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never really waits."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("a mind awaited something that is no question")


def seat_names(number: int, rng: random.Random) -> list[str]:
    """Names of a table: numbered agents, as by default, or people."""
    if rng.random() < 0.7:
        first = rng.choice((0, 0, rng.randrange(90)))
        return [f"Agent {first + index}" for index in range(number)]
    return rng.sample(NAMES, number)


@jax.jit
def _init(world: Any, key: Any) -> Any:
    return world.init(key)


@jax.jit
def _observe(world: Any, state: Any) -> Any:
    return world.observe(state)


@jax.jit
def _step(world: Any, key: Any, state: Any, action: Any) -> Any:
    return world.step(key, state, action)[0]


def _number(name: str, otherwise: int) -> int:
    tail = name.rpartition(" ")[2]
    return int(tail) if tail.isdigit() else otherwise

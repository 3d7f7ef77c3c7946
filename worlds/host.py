"""HostWorld: a world whose state and actions are language, in plain Python.

It keeps the contract of ``worlds.world``: ``init``, ``observe``, ``step``, pure and without a
key of its own. Its state is a value (dicts, lists, strings, numbers, NumPy arrays) that the
checkpoint codec can store; an action is one text for each slot, "" where nobody acts. What
everybody reads is ``Observation.text``, and ``Observation.options`` the choices, if any; an
index that an array policy chooses is looked up there.
"""

import abc
import itertools
import zlib
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import gymnasium
import jax.numpy as jnp
import numpy as np

from worlds.random import named, random_bits
from worlds.spaces import AnyText
from worlds.types import Array, Observation, ParseError, Seat, Transition
from worlds.world import State, World

__all__ = [
    "HASHED",
    "AskModel",
    "Happening",
    "HostWorld",
    "Question",
    "Scene",
    "hashed_words",
    "moved",
    "option_named",
    "read_choice",
    "shown",
    "words_of",
]


HASHED = 64  # numbers that stand for a text where arrays are wanted


class Happening(NamedTuple):
    """Something worth keeping of a step: one row of the journal's events.

    kind: a name, such as "story" or "said". slot: who did it, -1 for the world itself.
    data: a value that JSON can hold.
    """

    kind: str
    slot: int
    data: Any


class Scene(NamedTuple):
    """Where everybody is, in a world of places, for pictures of it.

    places: their names. at: [N] index of each slot's place, -1 where it is nowhere.
    doing: [N] a few words each, or (). things: what lies in each place, or ().
    """

    places: tuple[str, ...]
    at: tuple[int, ...]
    doing: tuple[str, ...] = ()
    things: tuple[tuple[str, ...], ...] = ()


class Question(NamedTuple):
    """What a world asks a model in the middle of a step; the answer is a text, "" if there is none.

    rules: what the model is, and what holds. text: what it is asked now.
    options: the choices, or None for a free answer of at most ``max_tokens``.
    """

    rules: str
    text: str
    options: tuple[str, ...] | None = None
    max_tokens: int = 80
    temperature: float = 0.7


class AskModel(Protocol):
    """How a world asks: several questions at once, answers in the same order."""

    async def __call__(self, questions: Sequence[Question]) -> list[str]:
        """Ask all of them."""
        ...


class HostWorld(World[State]):
    """A world of texts; subclasses are decorated with ``worlds.tree.pytree``.

    ``asks`` worlds put questions to a language model in the middle of a step (a game master):
    they override ``play``; their ``step`` decides by rule alone, for use without a model.
    """

    backend: ClassVar[Literal["jax", "host"]] = "host"
    asks: ClassVar[bool] = False
    most_options: ClassVar[int] = 64  # choices that an array policy can tell apart
    most_chars: ClassVar[int] = 300  # of an action

    def observation_space(self, slot: int) -> gymnasium.Space:
        """There is nothing to see but the text."""
        return gymnasium.spaces.Dict({})

    def action_space(self, slot: int) -> gymnasium.Space:
        """Any text."""
        return AnyText(self.most_chars)

    def rules(self, seat: Seat) -> str:
        """How the world works for this seat; the same in every step."""
        return ""

    def question(self, state: State, slot: int) -> str:
        """What a slot is asked to decide now."""
        return "What do you do?"

    def hint(self, state: State, slot: int) -> str:
        """The form of the answer."""
        return ""

    def read(self, text: str, state: State, slot: int) -> str:
        """Read an action from a reply; raises ParseError with what was expected."""
        options = self.observe(state).options
        return read_choice(text, options[slot] if options is not None else None)

    async def play(
        self, ask: AskModel, key: Array, state: State, action: Sequence[str]
    ) -> tuple[State, Transition]:
        """Move the world once, perhaps asking a model; the default asks nobody."""
        return self.step(key, state, action)

    def happenings(self, before: State, action: Sequence[str], after: State) -> Sequence[Happening]:
        """What of this step is kept in the journal, for measures and readers."""
        return ()

    def scene(self, state: State) -> Scene | None:
        """Where everybody is, or None in a world without places."""
        return None

    @abc.abstractmethod
    def observe(self, state: State) -> Observation:
        """Show the state to everyone; ``text`` is never None."""


def shown(
    alive: Any, acting: Any, texts: Sequence[str], options: Any = None, view: Any = ()
) -> Observation:
    """An observation of NumPy arrays and texts."""
    return Observation(view, alive, acting, None, tuple(texts), options)


def moved(reward: Any, terminated: Any, truncated: Any, metrics: Any = None) -> Transition:
    """A transition of NumPy arrays."""
    return Transition(reward, terminated, truncated, metrics=metrics or {})


def hashed_words(text: str) -> np.ndarray:
    """[64] float32: hashed words and pairs of words as one unit vector; zeros for an empty text.

    Source: Weinberger et al. (2009), "Feature hashing for large scale multitask learning",
    doi:10.1145/1553374.1553516.
    """
    words = text.lower().split()
    found = np.zeros(HASHED, np.float32)
    for part in [*words, *map(" ".join, itertools.pairwise(words))]:
        code = zlib.crc32(part.encode())
        found[code % HASHED] += 1.0 if code & (1 << 20) else -1.0
    size = np.linalg.norm(found)
    return found / size if size else found


def words_of(key: Any, num: int, name: str = "") -> np.ndarray:
    """[num] uint32 random words of a step's key, or of a stream of that name."""
    key = jnp.asarray(key)
    key = named(key, name) if name else key
    return np.asarray(random_bits(key, jnp.arange(num, dtype=jnp.uint32)))


def option_named(text: str, options: Sequence[str]) -> str | None:
    """The option that a short answer names, whatever its case, quotes and final stop."""
    said = text.strip(_AROUND).casefold()
    for option in options:
        if option.strip(_AROUND).casefold() == said:
            return option
    return None


def read_choice(text: str, options: Sequence[str] | None) -> str:
    """An action from a reply: one of the options, or any text that is not empty."""
    if options:
        found = option_named(text, options)
        if found is None:
            raise ParseError(f"{text.strip()[:60]!r} is none of: {', '.join(options)}")
        return found
    said = text.strip()
    if not said:
        raise ParseError("the answer is empty; say what you do")
    return said


_AROUND = " \t\r\n\"'`*.,;:!()"

"""Channels: what can be said, to whom and when. Arrays travel on the device, texts by mail.

What travels is the channel's kind. ``vector`` and ``words`` are arrays, delivered inside the
compiled loop; ``text`` and ``forum`` are texts, delivered by ``society.mailbox``. ``words`` is
shared: an index for array policies, a word for language agents.
"""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol, cast

import jax.numpy as jnp
import numpy as np

from society.graphs.base import GraphRule, build_graph
from society.population import Population
from worlds.graph_ops import gather_neighbours, mean_neighbours, sum_neighbours
from worlds.random import named, random_bits
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array, Graph

__all__ = [
    "Channel",
    "Forum",
    "Numeric",
    "TextChannel",
    "Vector",
    "Words",
    "channel_plan",
    "deliver",
    "empty_outbox",
]

To = Literal["neighbours", "everyone", "addressed", "nearby"]
Mode = Literal["marked", "raw", "silent", "shuffled"]
When = Literal["with_action", "before_action"]
WIDEST_SAID = 64


@pytree
class Channel(abc.ABC):
    """What every channel says about itself; its kinds are pytrees under ``@component``.

    ``numeric`` channels have a ``size``, ``silence`` and ``receive``; ``mailed`` ones reach
    language agents. The graph is the channel's own, or None for the world's.
    """

    numeric: ClassVar[bool] = False
    mailed: ClassVar[bool] = True

    to: To = doc_field("neighbours", "who hears it")
    mode: Mode = doc_field("marked", "marked, raw, or a null: silent, shuffled (wrong senders)")
    when: When = doc_field("with_action", "said with the act, or in turns of talk before it")
    rounds: int = doc_field(1, "turns of talk before the act", ge=1)
    inbox: int = doc_field(20, "texts that wait for one reader; older ones are dropped", ge=1)
    graph: Any = doc_field(None, "a graph of its own", component="graph")

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """Width of a vector, number of words; 0 for texts."""

    @property
    def talk_turns(self) -> int:
        """Turns of talk that this channel needs before the act."""
        return self.rounds if self.when == "before_action" else 0

    def check(self, name: str) -> None:
        """Raise ValueError, saying what is allowed, where the channel makes no sense."""
        if self.numeric and self.to == "addressed":
            raise ValueError(
                f"channel {name!r} carries arrays, which are broadcast; only texts are addressed. "
                "Use to: neighbours or everyone"
            )


class Numeric(Protocol):
    """A channel of arrays: what silence is, and what is heard of what was said."""

    @property
    def size(self) -> int:
        """Width of a vector, number of words."""
        ...

    def silence(self, num: int) -> Array:
        """[num, ...] what those who say nothing say."""
        ...

    def receive(self, said: Array, graph: Graph, alive: Array) -> dict[str, Array]:
        """Part of the inbox ("" is the channel itself) -> [N, ...] what each slot hears."""
        ...


@component("channel", "vector")
@pytree
class Vector(Channel):
    """Each says a vector of numbers and hears the mean of what its in-neighbours said."""

    numeric: ClassVar[bool] = True
    mailed: ClassVar[bool] = False

    width: int = doc_field(8, "numbers in a message", ge=1)

    @property
    def size(self) -> int:
        """Width."""
        return self.width

    def silence(self, num: int) -> Array:
        """[num, width] zeros."""
        return jnp.zeros((num, self.width), jnp.float32)

    def receive(self, said: Array, graph: Graph, alive: Array) -> dict[str, Array]:
        """{"": [N, width] float32 mean over living in-neighbours, zeros where there are none}."""
        return {"": mean_neighbours(graph, said, alive)}


@component("channel", "words")
@pytree
class Words(Channel):
    """Each says one word of a vocabulary or nothing; learners and language agents share it."""

    numeric: ClassVar[bool] = True

    vocabulary: tuple[str, ...] = doc_field(dataclasses.MISSING, "the words")

    @property
    def size(self) -> int:
        """Number of words."""
        return len(self.vocabulary)

    def check(self, name: str) -> None:
        """Words must differ, also when case and spaces are ignored."""
        Channel.check(self, name)
        plain = [_plain(word) for word in self.vocabulary]
        if not plain or len(set(plain)) < len(plain) or not all(plain):
            raise ValueError(
                f"channel {name!r} has the vocabulary {list(self.vocabulary)}; "
                "give at least one word, and no word twice"
            )

    def index(self, text: str) -> int | None:
        """The word that a text stands for, ignoring case, spaces and full stops; or None."""
        plain = _plain(text)
        words = [_plain(word) for word in self.vocabulary]
        return words.index(plain) if plain in words else None

    def silence(self, num: int) -> Array:
        """[num] int32, -1 = nothing said."""
        return jnp.full(num, -1, jnp.int32)

    def receive(self, said: Array, graph: Graph, alive: Array) -> dict[str, Array]:
        """Count the words heard; and who said which, where neighbours fit in a table.

        Returns:
          "": [N, words] int32. "/said": [N, K] int32 word of each in-neighbour, -1 = none;
          only where K is at most 64.
        """
        said = jnp.where(alive, said, -1)
        each = said[:, None] == jnp.arange(self.size, dtype=said.dtype)
        heard = {"": sum_neighbours(graph, each, weighted=False)}
        if _columns(graph) <= WIDEST_SAID:
            heard["/said"] = gather_neighbours(graph, said, fill=-1)
        return heard


@component("channel", "text")
@pytree
class TextChannel(Channel):
    """Each writes a text that is put into the others' inboxes."""

    max_chars: int = doc_field(1000, "longest text; the rest is cut off", ge=1)

    @property
    def size(self) -> int:
        """Texts have no size on the device."""
        return 0


@component("channel", "forum")
@pytree
class Forum(Channel):
    """Each posts to a board and reads the best posts of its neighbours; posts can be liked.

    A text ``like #12``, ``unlike #12`` or ``repost #12`` reacts to a post instead of writing one.

    Source: the forum of Yang et al. (2025), "TwinMarket", arXiv:2502.01506: the ``hot``
    score is log10(likes) / (age + 1)^1.8, or minus the age without likes; age in steps.
    """

    max_chars: int = doc_field(1000, "longest post; the rest is cut off", ge=1)
    top: int = doc_field(5, "posts shown to a reader", ge=1)
    ranking: Literal["hot", "new", "liked"] = doc_field("hot", "which posts come first")
    kept: int = doc_field(1000, "posts on the board; older ones are dropped", ge=1)

    @property
    def size(self) -> int:
        """Texts have no size on the device."""
        return 0


def channel_plan(
    specs: Mapping[str, Any], population: Population, *, places: bool = False
) -> tuple[dict[str, Channel], dict[str, Channel], int]:
    """Sort the channels of a scenario by how they travel.

    Args:
      specs: name -> a Channel, or something that ``build()``s one.
      population: for graphs that a channel has for itself (seed 0, all replicates alike).
      places: whether the world says who is where, for ``to: nearby``.

    Returns:
      The numeric channels; those that language agents use (empty without such agents);
      and the turns of talk before every act.
    """
    numeric: dict[str, Channel] = {}
    mailed: dict[str, Channel] = {}
    turns = 0
    for name, spec in specs.items():
        channel: Channel = spec.build() if hasattr(spec, "build") else spec
        channel.check(name)
        if channel.to == "nearby":
            _check_nearby(name, channel, places)
        if isinstance(channel.graph, GraphRule):
            graph = build_graph(channel.graph, population.num_slots, present=population.alive())
            channel = dataclasses.replace(channel, graph=graph)
        if channel.numeric:
            numeric[name] = channel
        if channel.mailed and population.text_groups:
            mailed[name] = channel
        turns = max(turns, channel.talk_turns)
    return numeric, mailed, turns


def _check_nearby(name: str, channel: Channel, places: bool) -> None:
    """Raise ValueError unless a channel can carry words to those in the same place."""
    if not places:
        raise ValueError(
            f"channel {name!r}: this world does not say who is near whom (rooms and town do); "
            "use to: neighbours, everyone or addressed"
        )
    if not isinstance(channel, TextChannel):
        raise ValueError(
            f"channel {name!r}: only texts are heard nearby; use use: text, or to: everyone"
        )


def empty_outbox(channels: Mapping[str, Channel], num: int) -> dict[str, Array]:
    """What ``num`` agents who say nothing have in their outboxes."""
    return {
        name: cast(Numeric, channel).silence(num)
        for name, channel in channels.items()
        if channel.numeric
    }


def deliver(
    channels: Mapping[str, Channel],
    outbox: Mapping[str, Array],
    graph: Graph | None,
    alive: Array,
    key: Array | None,
) -> dict[str, Array]:
    """Bring what was said to those who hear it.

    Args:
      channels: numeric ones are delivered, others skipped.
      outbox: channel -> [N, ...] what every slot said last.
      graph: ties of the world; None = everybody hears everybody.
      alive: [N] bool; the dead say nothing.
      key: fresh for this turn; used by ``mode: shuffled`` only.

    Returns:
      channel -> [N, ...], and "<channel>/said" for words that fit in a table.
    """
    inbox: dict[str, Array] = {}
    for name, channel in channels.items():
        if not channel.numeric:
            continue
        said = outbox[name]
        if channel.mode == "shuffled":
            assert key is not None, "shuffled channels need a key"
            said = _shuffle(named(key, name), said, alive)
        if channel.mode == "silent":
            said = cast(Numeric, channel).silence(alive.shape[0])
        ties = _ties(channel, graph, alive.shape[0])
        heard = cast(Numeric, channel).receive(said, ties, alive)
        inbox.update({name + part: value for part, value in heard.items()})
    return inbox


def _ties(channel: Channel, graph: Graph | None, num: int) -> Graph:
    """The ties that a channel runs along."""
    own = channel.graph if channel.graph is not None else graph
    if channel.to == "everyone" or own is None:
        return Graph(num_slots=num, complete=True)
    return own


def _shuffle(key: Array, said: Array, alive: Array) -> Array:
    """Let every living slot say what a random living slot said; a permutation of the living.

    Dead and padding slots take no part, so the result does not depend on how many there are.
    """
    slots = jnp.arange(alive.shape[0], dtype=jnp.int32)
    order = jnp.lexsort((random_bits(key, slots), ~alive))
    rank = jnp.cumsum(alive) - 1
    return jnp.where(alive.reshape(alive.shape + (1,) * (said.ndim - 1)), said[order[rank]], said)


def _columns(graph: Graph) -> int:
    if graph.complete:
        return graph.num_slots - 1
    return np.iinfo(np.int32).max if graph.table is None else graph.table.shape[1]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .,;:!?\"'")

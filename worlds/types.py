"""All that crosses the line between worlds and minds.

``N`` is the number of slots of a world, ``n`` the number of rows of one group.
A *slot* is a row of an array; a *uid* is an individual and is never reused.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax

from worlds.framing import Framing
from worlds.records import record
from worlds.tree import pytree

__all__ = [
    "Array",
    "Birth",
    "Births",
    "Decision",
    "Draft",
    "Graph",
    "Message",
    "Mind",
    "Observation",
    "ParseError",
    "Percept",
    "Reply",
    "Seat",
    "Seats",
    "Transition",
    "Turn",
]

Array = jax.Array


class Observation(NamedTuple):
    """What a world shows at the start of a step.

    view: pytree of arrays, each with leading axis N; may be ``()``.
    alive: [N] bool, slots that hold an individual.
    acting: [N] bool, slots whose turn it is; implies ``alive``.
    legal: [N, A] bool for discrete actions, or None where all are legal.
    text: one text per slot (host worlds) or None.
    options: one tuple of choices per slot (host worlds) or None.
    """

    view: Any
    alive: Array
    acting: Array
    legal: Array | None = None
    text: tuple[str, ...] | None = None
    options: tuple[tuple[str, ...] | None, ...] | None = None


class Transition(NamedTuple):
    """What a step did.

    reward, terminated, truncated speak of whoever held the slot *before* the step;
    parents of whoever holds it *after*.

    reward: [N] float32.
    terminated: [N] bool, the individual's life or the episode ended by the rules.
    truncated: [N] bool, the episode was cut by a limit that is not part of the rules.
    parents: [N, P] int32 slots of the newborn's parents, -1 = none, P at most ``World.births``;
      None in worlds without births.
    metrics: name -> scalar (or small fixed-shape array) that the recorder keeps.
    refused: [N] bool slots that would have given birth but found no free slot, or None.
    """

    reward: Array
    terminated: Array
    truncated: Array
    parents: Array | None = None
    metrics: Mapping[str, Array] = {}
    refused: Array | None = None


class Percept(NamedTuple):
    """A group's rows of an Observation, plus what reached it through channels.

    view: pytree of arrays with leading axis n.
    alive, acting: [n] bool; in a turn of talk nobody acts.
    first: [n] bool, the episode has just begun or the individual was just born; True in one
      turn only, so that what is heard in talk is still known in the act.
    legal: [n, A] bool or None.
    inbox: channel name -> array with leading axis n.
    """

    view: Any
    alive: Array
    acting: Array
    first: Array
    legal: Array | None = None
    inbox: Mapping[str, Array] = {}


class Mind(NamedTuple):
    """An array group's minds: ``params`` are learned and inherited, ``memory`` lives one life."""

    params: Any = ()
    memory: Any = ()


class Decision(NamedTuple):
    """What a group does: actions and numeric messages, its new memory, and extras for learners."""

    action: Any
    memory: Any = ()
    outbox: Mapping[str, Array] = {}
    extras: Mapping[str, Array] = {}


class Births(NamedTuple):
    """Who takes over which row, within one index space.

    child: [B] int32 rows that a newcomer takes; a row equal to the number of rows is padding.
    parent: [B, P] int32 rows inherited from, -1 = none.
    dense: True when ``child`` is ``arange(n)`` (every row takes part), so that gathers suffice.
    """

    child: Array
    parent: Array
    dense: bool = False


@pytree
class Graph:
    """Ties among N slots, as arrays sorted by receiver.

    senders, receivers: [E] int32; padding rows hold N. An undirected tie is two rows.
    offsets: [N + 1] int32; the in-neighbours of i are ``senders[offsets[i]:offsets[i + 1]]``.
    weights: [E] float32 or None (all 1).
    table: [N, K] int32 in-neighbours padded with N, or None where degrees vary too much.
    blocks: [R, W] int32 in-neighbours in pieces of W, padded with N, and owners: [R] int32
      whose they are; large graphs with varied degrees are summed over these. Or None.
    A complete graph keeps no arrays (``complete=True``); ``regular`` says the table has no padding.
    """

    senders: Any = None
    receivers: Any = None
    offsets: Any = None
    weights: Any = None
    table: Any = None
    blocks: Any = None
    owners: Any = None
    num_slots: int = 0
    complete: bool = False
    directed: bool = False
    regular: bool = False


@record
class Seat:
    """One place at the table, as a caption or a language agent knows it.

    slot is the row; role and group are names; name is what others call the individual.
    """

    slot: int
    group: str = ""
    role: str = ""
    uid: int = 0
    name: str = ""
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])


class Seats(NamedTuple):
    """What an array policy is told when its minds are made.

    num: number of rows n. start: first slot of the group. world: the world it will play.
    action_space, observation_space: of its rows (all alike). attributes: name -> array [n].
    channels: name -> width (vector) or vocabulary size (words) of the numeric channels.
    words: names of those among them that carry words.
    fixed: True where nothing in the run changes what a row inherited (no selection, births
      or swaps), so that policies may specialise on it.
    """

    num: int
    start: int
    world: Any
    action_space: Any
    observation_space: Any = None
    attributes: Mapping[str, Any] = {}
    channels: Mapping[str, int] = {}
    words: tuple[str, ...] = ()
    fixed: bool = False


@record
class Message:
    """A text that was delivered. The engine writes the speaker; it is never read from the text.

    mode: how it is shown, with a mark before every line or raw (see ``worlds.messages``).
    """

    channel: str
    speaker: int
    speaker_name: str
    text: str
    generation: int = 0
    episode: int = 0
    step: int = 0
    turn: int = 0
    mode: Literal["marked", "raw"] = "marked"


@record
class Draft:
    """A text that an agent wants to send; ``to`` holds uids, or None for the channel's rule."""

    channel: str
    text: str
    to: tuple[int, ...] | None = None


class ParseError(ValueError):
    """A reply could not be read as an action; the message says what was expected."""


@record
class Turn:
    """Everything a text policy learns when it is its turn.

    rules: how the world works, for this seat, generated from the engine's own parameters.
    text: what the agent sees now. question: what it is asked to decide.
    options: the choices, or None for a free answer; `answer_hint` then says the form.
    parse: text -> action, raising ParseError. fallback: the action taken when nothing parses.
    schema: JSON schema of the answer where it is a number, for whoever answers in JSON.
    inbox: messages since the last turn, oldest first. talk: channels that it may write to now.
    vocabulary: the words of those among them on which only certain words can be said.
    hearers: of channels where one can speak to somebody alone, to whom: name -> uid.
    addressed: those of them on which every message must name its reader.
    others: what the others did last, each as one of the options; None where nobody can tell.
    acting: False in a talk turn, where only messages count.
    """

    seat: Seat
    rules: str
    text: str
    question: str
    options: tuple[str, ...] | None
    parse: Callable[[str], Any]
    fallback: Any
    answer_hint: str = ""
    inbox: tuple[Message, ...] = ()
    talk: tuple[str, ...] = ()
    vocabulary: Mapping[str, tuple[str, ...]] = dataclasses.field(
        default_factory=dict[str, tuple[str, ...]]
    )
    hearers: Mapping[str, Mapping[str, int]] = dataclasses.field(
        default_factory=dict[str, Mapping[str, int]]
    )
    addressed: tuple[str, ...] = ()
    others: tuple[str, ...] | None = None
    schema: Mapping[str, Any] | None = None
    acting: bool = True
    first: bool = False
    generation: int = 0
    episode: int = 0
    step: int = 0
    turn: int = 0


@record
class Reply:
    """What a text policy answers: an action, drafts of messages, and whether it is the fallback.

    notes: how it went; kept with a fallback, and counts named ``..._left_out`` are summed up.
    events: what the journal should hold of this turn, kind -> data.
    """

    action: Any
    messages: tuple[Draft, ...] = ()
    fallback: bool = False
    notes: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])
    events: Mapping[str, Any] = dataclasses.field(default_factory=dict[str, Any])


@record
class Birth:
    """What a text mind is made from.

    parents: uids of the models. texts: what transmission passes on, one text per model.
    rules: how the world works for this seat. generation: of the newborn.
    framing: how the world is told to this seat, where the scenario says.
    """

    seat: Seat
    generation: int = 0
    parents: tuple[int, ...] = ()
    texts: Sequence[str] = ()
    rules: str = ""
    inherited: Any = None
    framing: Framing | None = None

"""Negotiation: two who value things differently divide them, by talk and offers."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from worlds.host import Happening, HostWorld, moved, read_choice, shown, words_of
from worlds.messages import render_messages
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Message, Observation, ParseError, Seat, Transition

__all__ = ["Negotiation"]

_WORTH = 10


@component("world", "negotiation")
@pytree
class Negotiation(HostWorld[dict[str, Any]]):
    """Two players divide some things; what each of them is worth, each knows for itself alone.

    Player by player, a turn is: say something in free words (``talk``), then ``accept`` the
    other's last offer, offer a division (``take 2 books, 1 hat``: the other gets the rest),
    ``pass`` or ``leave``; each is one step of the one whose turn it is, and everybody sees it.
    Everything together is worth 10 points to each player; every thing is worth something to
    somebody, and some thing to both. Reward: on agreement, points of one's own part / 10; without
    one, 0. It ends with an agreement, when somebody leaves, or after ``turns``. Random: how many
    of each thing there are, and what they are worth. Outcomes besides ``score``: ``agreed``,
    ``efficiency`` (points of both / most points possible, 0 without agreement), ``pareto`` (no
    division is better for one and not worse for the other) and ``turns``.
    Source: Lewis et al. (2017), "Deal or no deal? End-to-end learning of negotiation dialogues",
    arXiv:1706.05125; their rule of values, offers as commands are our own.
    """

    fitness: ClassVar[str] = "score"

    things: tuple[str, ...] = doc_field(("book", "hat", "ball"), "kinds of things, in singular")
    pieces: int = doc_field(6, "things of all kinds together; at least one of each kind", ge=2)
    turns: int = doc_field(10, "turns of both players together", ge=2)
    talk: bool = doc_field(True, "whether a turn begins with free words")
    num_slots: int = provided(2)
    names: tuple[str, ...] = provided(())

    @property
    def horizon(self) -> int:
        """A step for words and one for the offer, every turn."""
        return self.turns * (2 if self.talk else 1)

    @property
    def ends_early(self) -> bool:
        """With an agreement, or when somebody leaves."""
        return True

    def check_params(self) -> None:
        """Two players, and few enough divisions to choose from."""
        if self.num_slots != 2:
            raise ValueError(f"negotiation is for two players, not {self.num_slots}")
        if len(set(self.things)) < 2 or len(set(self.things)) != len(self.things):
            raise ValueError("things: name at least two different kinds, such as [book, hat]")
        most = (self.pieces / len(self.things) + 1) ** len(self.things)
        if self.pieces < len(self.things) or most + 3 > self.most_options:
            raise ValueError(
                f"pieces: {self.pieces} of {len(self.things)} kinds makes too few things or more "
                f"than {self.most_options} choices; 6 of three kinds are common"
            )
        if not _amounts(len(self.things), self.pieces):
            raise ValueError(
                f"pieces: {self.pieces} things of {len(self.things)} kinds can never be worth "
                f"{_WORTH} points to both; choose another number"
            )

    # ---- the contract ---------------------------------------------------------------

    def init(self, key: Array) -> dict[str, Any]:
        """Things and values are drawn; nothing is said yet."""
        rng = np.random.default_rng(words_of(key, 4).tolist())
        every = _amounts(len(self.things), self.pieces)
        amounts = every[rng.integers(len(every))]
        return {
            "step": 0,
            "amounts": list(amounts),
            "values": _values(rng, amounts),
            "log": [],
            "offer": None,
            "by": -1,
            "over": False,
            "score": [0.0, 0.0],
            "agreed": False,
        }

    def observe(self, state: dict[str, Any]) -> Observation:
        """Things, one's own values, and what has been said and offered."""
        acting = np.zeros(2, bool)
        if self._playing(state):
            acting[self._whose(state)] = True
        options = tuple(self._options(state) or None if acting[slot] else None for slot in (0, 1))
        texts = tuple(self._text(state, slot) for slot in (0, 1))
        return shown(np.ones(2, bool), acting, texts, options)

    def step(
        self, key: Array, state: dict[str, Any], action: Sequence[str]
    ) -> tuple[dict[str, Any], Transition]:
        """Take up the words or the decision of the one whose turn it is."""
        if not self._playing(state):
            return state, self._moved(state, state)
        who = self._whose(state)
        said = str(action[who]).strip()[: self.most_chars]
        after = {**state, "step": state["step"] + 1}
        if self._talking(state):
            after["log"] = [*state["log"], [who, "said", said]] if said else state["log"]
            return after, self._moved(state, after)
        choice = said if said in self._options(state) else "pass"
        after["log"] = [*state["log"], [who, "did", choice]]
        if choice == "accept":
            shares = self._shares(state, state["offer"], state["by"])
            after["score"] = [self._points(state, slot, shares[slot]) / _WORTH for slot in (0, 1)]
            after["agreed"] = after["over"] = True
        elif choice == "leave":
            after["over"] = True
        elif choice != "pass":
            after["offer"], after["by"] = list(self._divisions(state)[choice]), who
        return after, self._moved(state, after)

    def _moved(self, before: dict[str, Any], after: dict[str, Any]) -> Transition:
        gain = np.array(after["score"], np.float32) - np.array(before["score"], np.float32)
        over = np.full(2, not self._playing(after))
        return moved(gain, over, np.zeros(2, bool), {"agreed": np.float32(after["agreed"])})

    def outcome(self, state: dict[str, Any]) -> dict[str, Any]:
        """Score of both, whether they agreed, how good it was, and how many turns it took."""
        points = [
            [self._points(state, slot, shares[slot]) for slot in (0, 1)]
            for shares in (self._shares(state, one, 0) for one in self._divisions(state).values())
        ]
        own = [score * _WORTH for score in state["score"]]
        better = any(
            all(a >= b - 1e-6 for a, b in zip(some, own, strict=True))
            and sum(some) > sum(own) + 0.5
            for some in points
        )
        agreed = state["agreed"]
        return {
            "score": np.array(state["score"], np.float32),
            "agreed": np.float32(agreed),
            "efficiency": np.float32(sum(own) / max(map(sum, points)) if agreed else 0.0),
            "pareto": np.float32(agreed and not better),
            "turns": np.float32(-(-state["step"] // (2 if self.talk else 1))),
        }

    def noop(self) -> list[str]:
        """Both say nothing, and pass."""
        return ["", ""]

    # ---- words ----------------------------------------------------------------------

    def rules(self, seat: Seat) -> str:
        """How the negotiation goes."""
        talk = "You can talk before every decision. " if self.talk else ""
        return (
            f"You and {self._name(1 - seat.slot)} divide some things. The same thing can be worth "
            f"more to one of you than to the other. {talk}In your turn you accept the other's "
            "offer, or offer a division by saying what you take (the other gets the rest). If you "
            "agree, each earns the points of its own part; otherwise nobody earns anything. There "
            f"are {self.turns} turns, one after the other."
        )

    def question(self, state: dict[str, Any], slot: int) -> str:
        """What is decided now."""
        return "What do you say?" if self._talking(state) else "What do you do?"

    def hint(self, state: dict[str, Any], slot: int) -> str:
        """The form of an answer in free words."""
        return "Answer with the words you say." if self._talking(state) else ""

    def read(self, text: str, state: dict[str, Any], slot: int) -> str:
        """Words, or one of the choices."""
        if not self._talking(state):
            return read_choice(text, self._options(state))
        if not text.strip():
            raise ParseError("the answer is empty; say something")
        return text.strip()[: self.most_chars]

    def happenings(
        self, before: dict[str, Any], action: Sequence[str], after: dict[str, Any]
    ) -> list[Happening]:
        """What was said, offered and agreed."""
        rows = [
            Happening(kind, who, text) for who, kind, text in after["log"][len(before["log"]) :]
        ]
        if after["agreed"] and not before["agreed"]:
            parts = self._shares(after, after["offer"], after["by"])
            rows.append(Happening("agreed", -1, {"parts": parts, "values": after["values"]}))
        return rows

    # ---- whose turn, and what can be done ---------------------------------------------

    def _playing(self, state: dict[str, Any]) -> bool:
        return not state["over"] and state["step"] < self.horizon

    def _talking(self, state: dict[str, Any]) -> bool:
        return self.talk and state["step"] % 2 == 0

    def _whose(self, state: dict[str, Any]) -> int:
        return (state["step"] // (2 if self.talk else 1)) % 2

    def _options(self, state: dict[str, Any]) -> tuple[str, ...]:
        if self._talking(state):
            return ()
        accept = ("accept",) if state["by"] == 1 - self._whose(state) else ()
        last = state["step"] + 1 >= self.horizon
        return (*accept, *(() if last else self._divisions(state)), "pass", "leave")

    def _divisions(self, state: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        return _divisions(self.things, tuple(state["amounts"]))

    def _shares(self, state: dict[str, Any], taken: Sequence[int], by: int) -> list[list[int]]:
        rest = [all_ - some for all_, some in zip(state["amounts"], taken, strict=True)]
        return [list(taken), rest] if by == 0 else [rest, list(taken)]

    def _points(self, state: dict[str, Any], slot: int, part: Sequence[int]) -> int:
        return sum(n * value for n, value in zip(part, state["values"][slot], strict=True))

    def _text(self, state: dict[str, Any], slot: int) -> str:
        worth = zip(self.things, state["values"][slot], strict=True)
        parts = [
            f"There are {_counted(self.things, state['amounts'])}.",
            "To you, " + ", ".join(f"a {name} is worth {value}" for name, value in worth) + ".",
        ]
        left = self.turns - state["step"] // (2 if self.talk else 1)
        parts.append(f"Turns left, this one included: {left}.")
        lines = [self._line(number, *entry) for number, entry in enumerate(state["log"])]
        return "\n".join([" ".join(parts), *lines])

    def _line(self, number: int, who: int, kind: str, text: str) -> str:
        if kind == "said":
            return render_messages([Message("table", who, self._name(who), text, step=number)])
        return f"{self._name(who)} chose: {text}."

    def _name(self, slot: int) -> str:
        return self.names[slot] if self.names else f"Player {slot + 1}"


def _counted(things: Sequence[str], amounts: Sequence[int]) -> str:
    """Things in words.

    >>> _counted(["book", "hat"], [2, 1])
    '2 books, 1 hat'
    """
    some = zip(things, amounts, strict=True)
    words = [f"{n} {thing}{'' if n == 1 else 's'}" for thing, n in some if n]
    return ", ".join(words) or "nothing"


@functools.lru_cache(maxsize=256)
def _divisions(things: tuple[str, ...], amounts: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """What a player may take, by its command; everything first, nothing last."""
    every = itertools.product(*(range(n, -1, -1) for n in amounts))
    return {f"take {_counted(things, some)}": some for some in every}


@functools.lru_cache(maxsize=64)
def _amounts(kinds: int, pieces: int) -> list[tuple[int, ...]]:
    """How many there may be of each kind, so that everything can be worth something to both."""
    every = itertools.product(range(1, pieces + 1), repeat=kinds)
    fitting = (some for some in every if sum(some) == pieces)
    return [some for some in fitting if any(map(all, _worths(some, _WORTH)))]


@functools.lru_cache(maxsize=1024)
def _worths(amounts: tuple[int, ...], total: int) -> list[tuple[int, ...]]:
    """All whole values of the kinds at which everything together is worth ``total``."""
    first, *rest = amounts
    if not rest:
        return [(total // first,)] if total % first == 0 else []
    return [
        (value, *others)
        for value in range(total // first + 1)
        for others in _worths(tuple(rest), total - value * first)
    ]


def _values(rng: np.random.Generator, amounts: tuple[int, ...]) -> list[list[int]]:
    """Two players' values: all is wanted by somebody, something by both."""
    every = _worths(amounts, _WORTH)
    for index in rng.permutation(len(every)):
        mine = every[index]
        fitting = [
            other
            for other in every
            if all(a or b for a, b in zip(mine, other, strict=True))
            and any(a and b for a, b in zip(mine, other, strict=True))
        ]
        if fitting:
            return [list(mine), list(fitting[rng.integers(len(fitting))])]
    raise AssertionError(f"no values for {amounts}")

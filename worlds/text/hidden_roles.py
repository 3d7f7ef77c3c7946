"""Hidden roles: by day a village talks and votes, by night its wolves choose a victim."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from worlds.host import Happening, HostWorld, moved, read_choice, shown, words_of
from worlds.messages import render_messages
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Message, Observation, ParseError, Seat, Transition

__all__ = ["HiddenRoles"]

_MOST_PLAYERS = 32


@component("world", "hidden_roles")
@pytree
class HiddenRoles(HostWorld[dict[str, Any]]):
    """A village looks for the wolves among its players, who know each other.

    A day is ``talks`` rounds in which all who are in the game say something at the same time,
    then a vote in which each names another; whoever is named most leaves the game, and its role
    is shown (``reveal``). In the night that follows every wolf names a villager, and the one
    named most leaves too; with ``seer`` one villager learns the role of a player of its choice
    each night. Each round, vote and night is one step, and all who act in it are one batch. Of
    several who are named equally often the lot decides. The village wins when no wolf is left,
    the wolves when they are as many as the others. Reward: 1 at the end to everybody of the side
    that wins, also to those who left. Random: roles and lots.
    Outcomes besides ``score``: ``survived``, ``wolves_won``, ``days`` and ``detection``, the share
    of villagers' votes that named a wolf.
    Source: Braverman, Etesami & Mossel (2008), "Mafia: a theoretical study of players and
    coalitions in a partial information environment", doi:10.1214/07-AAP456 (without words; where
    everybody votes at random, their chance of winning holds here).
    """

    fitness: ClassVar[str] = "score"

    wolves: int = doc_field(1, "wolves among the players", ge=1)
    talks: int = doc_field(2, "rounds of talk a day", ge=0)
    seer: bool = doc_field(False, "one villager may look at a player every night")
    reveal: bool = doc_field(True, "whether the role of whoever leaves is shown")
    num_slots: int = provided(5)
    names: tuple[str, ...] = provided(())

    @property
    def horizon(self) -> int:
        """Days enough for everybody to leave: each costs two of them."""
        return (self.num_slots + 1) // 2 * (self.talks + 2)

    @property
    def ends_early(self) -> bool:
        """When one side has won."""
        return True

    def check_params(self) -> None:
        """Wolves must be fewer than villagers at first."""
        if not 3 <= self.num_slots <= _MOST_PLAYERS:
            raise ValueError(f"hidden_roles is for 3 to {_MOST_PLAYERS}, not {self.num_slots}")
        if 2 * self.wolves >= self.num_slots:
            raise ValueError(
                f"wolves: {self.wolves} of {self.num_slots} players have won before it begins; "
                f"at most {(self.num_slots - 1) // 2}"
            )

    # ---- the contract ---------------------------------------------------------------

    def init(self, key: Array) -> dict[str, Any]:
        """Roles are dealt; the first day begins."""
        order = np.argsort(words_of(key, self.num_slots), kind="stable")
        roles = ["villager"] * self.num_slots
        for place in order[: self.wolves]:
            roles[place] = "wolf"
        if self.seer:
            roles[order[self.wolves]] = "seer"
        return {
            "step": 0,
            "roles": roles,
            "out": [],
            "said": [],
            "past": [],
            "seen": [],
            "votes": 0,
            "right": 0,
            "won": "",
        }

    def observe(self, state: dict[str, Any]) -> Observation:
        """One's own role, what the village knows, and what was said today."""
        slots = range(self.num_slots)
        acting = np.array([self._acts(state, slot) for slot in slots], bool)
        options = tuple(self._options(state, slot) or None if acting[slot] else None
                        for slot in slots)  # fmt: skip
        texts = tuple(self._text(state, slot) if acting[slot] else "" for slot in slots)
        return shown(np.ones(self.num_slots, bool), acting, texts, options)

    def step(
        self, key: Array, state: dict[str, Any], action: Sequence[str]
    ) -> tuple[dict[str, Any], Transition]:
        """Take up what all who act say or choose."""
        if not self._playing(state):
            return state, self._moved(state, state)
        after = {**state, "step": state["step"] + 1}
        chosen = {slot: str(action[slot]).strip()[:self.most_chars]
                  for slot in range(self.num_slots) if self._acts(state, slot)}  # fmt: skip
        phase = self._phase(state)
        if phase == "talk":
            spoken = [[self._day(state), slot, text] for slot, text in chosen.items() if text]
            after["said"] = [*state["said"], *spoken]
        else:
            named = {
                slot: self._slot_of(text)
                for slot, text in chosen.items()
                if text in self._options(state, slot)
            }
            (self._voted if phase == "vote" else self._slept)(after, state, named, key)
            after["won"] = self._winner(after)
        return after, self._moved(state, after)

    def _moved(self, before: dict[str, Any], after: dict[str, Any]) -> Transition:
        gain = self._score(after) - self._score(before)
        over = np.full(self.num_slots, bool(after["won"]))
        late = np.full(self.num_slots, after["step"] >= self.horizon) & ~over
        metrics = {
            "players_left": np.float32(self.num_slots - len(after["out"])),
            "wolves_left": np.float32(len(self._pack(after))),
        }
        return moved(gain, over, late, metrics)

    def outcome(self, state: dict[str, Any]) -> dict[str, Any]:
        """Who won and who is left, after how many days, and how well the village voted."""
        survived = np.ones(self.num_slots, np.float32)
        survived[state["out"]] = 0.0
        return {
            "score": self._score(state),
            "survived": survived,
            "wolves_won": np.float32(state["won"] == "wolves"),
            "days": np.float32(-(-state["step"] // (self.talks + 2))),
            "detection": np.float32(state["right"] / max(state["votes"], 1)),
        }

    def noop(self) -> list[str]:
        """Nobody says or chooses anything."""
        return [""] * self.num_slots

    # ---- words ----------------------------------------------------------------------

    def rules(self, seat: Seat) -> str:
        """The game; who one is stands in every observation."""
        seer = (
            " One villager is a seer, who learns a player's role every night." if self.seer else ""
        )
        wolves = "1 is a wolf" if self.wolves == 1 else f"{self.wolves} are wolves"
        return (
            f"{self.num_slots} players live in a village; {wolves}, and only wolves know who."
            f"{seer} By day all talk, then vote on who leaves the game. By night the wolves choose "
            "a villager who leaves it. The village wins when no wolf is left; the wolves win when "
            "they are as many as the others. You win with your side, even if you have left."
        )

    def question(self, state: dict[str, Any], slot: int) -> str:
        """What is said or decided now."""
        phase = self._phase(state)
        if phase == "talk":
            return "What do you say to the village?"
        if phase == "vote":
            return "Who shall leave the game?"
        return (
            "Whose role do you look at?" if state["roles"][slot] == "seer" else "Who is the victim?"
        )

    def hint(self, state: dict[str, Any], slot: int) -> str:
        """The form of an answer in free words."""
        return "Answer with the words you say." if self._phase(state) == "talk" else ""

    def read(self, text: str, state: dict[str, Any], slot: int) -> str:
        """Words by day, a name in votes and nights."""
        if self._phase(state) != "talk":
            return read_choice(text, self._options(state, slot))
        if not text.strip():
            raise ParseError("the answer is empty; say something")
        return text.strip()[: self.most_chars]

    def happenings(
        self, before: dict[str, Any], action: Sequence[str], after: dict[str, Any]
    ) -> list[Happening]:
        """Words, choices, who left and who won."""
        rows = [Happening("said", slot, text)
                for _, slot, text in after["said"][len(before["said"]) :]]  # fmt: skip
        if self._phase(before) != "talk":
            rows += [Happening("chose", slot, str(action[slot]))
                     for slot in range(self.num_slots) if self._acts(before, slot)]  # fmt: skip
        rows += [Happening("left", slot, after["roles"][slot])
                 for slot in after["out"][len(before["out"]) :]]  # fmt: skip
        if after["won"] and not before["won"]:
            rows.append(Happening("won", -1, after["won"]))
        return rows

    # ---- days and nights ------------------------------------------------------------

    def _playing(self, state: dict[str, Any]) -> bool:
        return not state["won"] and state["step"] < self.horizon

    def _phase(self, state: dict[str, Any]) -> str:
        part = state["step"] % (self.talks + 2)
        return "talk" if part < self.talks else "vote" if part == self.talks else "night"

    def _day(self, state: dict[str, Any]) -> int:
        return state["step"] // (self.talks + 2) + 1

    def _acts(self, state: dict[str, Any], slot: int) -> bool:
        if not self._playing(state) or slot in state["out"]:
            return False
        return self._phase(state) != "night" or state["roles"][slot] != "villager"

    def _options(self, state: dict[str, Any], slot: int) -> tuple[str, ...]:
        """Names that may be chosen now."""
        phase = self._phase(state)
        if phase == "talk":
            return ()
        victims = phase == "night" and state["roles"][slot] == "wolf"
        return tuple(
            self._name(other)
            for other in self._left(state)
            if other != slot and not (victims and state["roles"][other] == "wolf")
        )

    def _voted(
        self, after: dict[str, Any], state: dict[str, Any], named: dict[int, int], key: Array
    ) -> None:
        by_village = {s: other for s, other in named.items() if state["roles"][s] != "wolf"}
        after["votes"] = state["votes"] + len(by_village)
        right = sum(state["roles"][other] == "wolf" for other in by_village.values())
        after["right"] = state["right"] + right
        told = [f"{self._name(slot)} named {self._name(other)}" for slot, other in named.items()]
        self._leave(after, _most_named(named.values(), key), "vote", told)

    def _slept(
        self, after: dict[str, Any], state: dict[str, Any], named: dict[int, int], key: Array
    ) -> None:
        by_wolves = [other for slot, other in named.items() if state["roles"][slot] == "wolf"]
        looked = [[slot, other] for slot, other in named.items() if state["roles"][slot] == "seer"]
        after["seen"] = [*state["seen"], *looked]
        self._leave(after, _most_named(by_wolves, key), "night", [])

    def _leave(self, after: dict[str, Any], slot: int, how: str, told: list[str]) -> None:
        """Let somebody leave the game, or nobody (-1), and write down what all know of it."""
        if slot >= 0:
            after["out"] = [*after["out"], slot]
            role = f", a {after['roles'][slot]}," if self.reveal else ""
            end = f"{self._name(slot)}{role} left the game"
        else:
            end = "nobody left the game"
        day = -(-after["step"] // (self.talks + 2))
        votes = f" ({', '.join(told)})" if told else ""
        after["past"] = [*after["past"], f"{how.capitalize()} of day {day}: {end}{votes}."]

    def _winner(self, state: dict[str, Any]) -> str:
        wolves = len(self._pack(state))
        if not wolves:
            return "village"
        return "wolves" if 2 * wolves >= len(self._left(state)) else ""

    def _score(self, state: dict[str, Any]) -> np.ndarray:
        side = {"village": ("villager", "seer"), "wolves": ("wolf",), "": ()}[state["won"]]
        return np.array([role in side for role in state["roles"]], np.float32)

    def _left(self, state: dict[str, Any]) -> list[int]:
        return [slot for slot in range(self.num_slots) if slot not in state["out"]]

    def _pack(self, state: dict[str, Any]) -> list[int]:
        return [slot for slot in self._left(state) if state["roles"][slot] == "wolf"]

    # ---- what a player reads ----------------------------------------------------------

    def _text(self, state: dict[str, Any], slot: int) -> str:
        role, day = state["roles"][slot], self._day(state)
        parts = [f"It is day {day}.", f"You are {self._name(slot)}, a {role}."]
        pack = [self._name(other) for other in self._pack(state) if other != slot]
        if role == "wolf" and pack:
            parts.append(f"The other wolves: {', '.join(pack)}.")
        parts += [f"You saw that {self._name(other)} is a {state['roles'][other]}."
                  for one, other in state["seen"] if one == slot]  # fmt: skip
        left = ", ".join(self._name(other) for other in self._left(state))
        parts.append(f"In the game: {left}.")
        said = [
            Message("village", who, self._name(who), words, step=number)
            for number, (when, who, words) in enumerate(state["said"])
            if when == day
        ]
        today = ["Said today:", render_messages(said)] if said else []
        return "\n".join([" ".join(parts), *state["past"], *today])

    def _name(self, slot: int) -> str:
        return self.names[slot] if self.names else f"Player {slot + 1}"

    def _slot_of(self, name: str) -> int:
        return next(slot for slot in range(self.num_slots) if self._name(slot) == name)


def _most_named(named: Any, key: Array) -> int:
    """Who is named most often; of several, the lot decides; -1 where nobody is named."""
    counts = Counter(named)
    if not counts:
        return -1
    most = max(counts.values())
    first = sorted(slot for slot, number in counts.items() if number == most)
    return first[int(words_of(key, 1)[0]) * len(first) >> 32]

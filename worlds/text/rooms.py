"""Rooms: a text adventure for several players, generated from a seed and a difficulty."""

import functools
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from worlds.host import Happening, HostWorld, Scene, moved, read_choice, shown
from worlds.messages import render_messages
from worlds.registry import component
from worlds.text.house import House, build_house
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Message, Observation, Seat, Transition

__all__ = ["Rooms"]

_WIN = 10.0
_Spots = dict[str, list[str]]


@component("world", "rooms")
@pytree
class Rooms(HostWorld[dict[str, Any]]):
    """Players find ingredients behind locks and in boxes, make a dish and bring it to the hall.

    Everybody acts in each step with one command: go, take, drop, open, unlock, make, give, say,
    wait. ``Observation.options`` lists the commands that are possible now; besides, ``say`` takes
    any words, which those in the same room hear in the next step. Commands are carried out one
    after the other, beginning with another player in each step (step number modulo players);
    what a command needs is looked at when its turn comes, so of two who take the same thing the
    earlier gets it and the other is told. Reward: 1 to whoever first takes each ingredient, or
    makes the dish, and 10 to all when it lies in the hall, which ends the episode; ``shared``
    gives everybody the mean. Truncated after ``max_steps``.
    ``archive: players`` adds a memory of states: every ``explore`` steps the first player may
    return to an archived state of its choice (one for each set of facts that was new), from
    which exploration goes on; ``archive: rarest`` returns to the one visited least.
    Source: Cote et al. (2018), "TextWorld", arXiv:1806.11532; Lu, Hu & Clune (2024),
    "Intelligent Go-Explore", arXiv:2405.15143 (archive). The game is our own.
    """

    fitness: ClassVar[str] = "score"
    most_options: ClassVar[int] = 48

    difficulty: int = doc_field(2, "rooms, locks, boxes and ingredients", ge=1, le=5)
    max_steps: int = doc_field(60, "steps after which an episode is cut", ge=1)
    reward: Literal["own", "shared"] = doc_field("own", "who is paid for what is found")
    archive: Literal["none", "players", "rarest"] = doc_field(
        "none", "whether earlier states can be returned to, and who chooses"
    )
    explore: int = doc_field(10, "steps between two returns", ge=2)
    kept: int = doc_field(12, "most archived states; those visited most are dropped", ge=2)
    house_seed: int | None = doc_field(None, "the same house in every episode; none: drawn anew")
    num_slots: int = provided(2)

    @property
    def horizon(self) -> int:
        """``max_steps``."""
        return self.max_steps

    @property
    def ends_early(self) -> bool:
        """When the dish is in the hall."""
        return True

    # ---- the contract ---------------------------------------------------------------

    def init(self, key: Array) -> dict[str, Any]:
        """Everybody stands in the hall of a new house."""
        words = np.asarray(key)
        seed = (
            self.house_seed if self.house_seed is not None else int(words[0]) << 32 | int(words[1])
        )
        house = _house(int(seed), self.difficulty)
        state = {
            "seed": int(seed),
            "step": 0,
            "at": [0] * self.num_slots,
            "where": dict(house.places),
            "open": [],
            "unlocked": [],
            "found": [],
            "told": [""] * self.num_slots,
            "heard": [[] for _ in range(self.num_slots)],
            "score": [0.0] * self.num_slots,
            "won": False,
            "choosing": False,
            "cells": [],
        }
        return self._archived(state)

    def observe(self, state: dict[str, Any]) -> Observation:
        """Each sees its room, what it holds, what it heard, and what it can do."""
        playing = not state["won"] and state["step"] < self.max_steps
        slots = range(self.num_slots)
        acting = np.array([playing and (not state["choosing"] or slot == 0) for slot in slots])
        house = _house(state["seed"], self.difficulty)
        spots = _spots(house, state)
        texts = tuple(self._text(state, slot, house, spots) for slot in slots)
        options = tuple(
            tuple(self._commands(state, slot, house, spots)) if acting[slot] else None
            for slot in slots
        )
        return shown(np.ones(self.num_slots, bool), acting, texts, options)

    def step(
        self, key: Array, state: dict[str, Any], action: Sequence[str]
    ) -> tuple[dict[str, Any], Transition]:
        """Carry out one command of each."""
        after = _copied(state)
        gains = [0.0] * self.num_slots
        if state["choosing"]:
            after = self._returned(after, str(action[0]))
        elif not state["won"] and state["step"] < self.max_steps:
            for turn in range(self.num_slots):
                slot = (state["step"] + turn) % self.num_slots
                after["told"][slot], gain = self._done(after, slot, str(action[slot]).strip())
                gains[slot] += gain
            if after["won"]:
                gains = [gain + _WIN for gain in gains]
            after["step"] += 1
            after = self._archived(after)
        if self.reward == "shared":
            gains = [sum(gains) / self.num_slots] * self.num_slots
        after["score"] = [old + new for old, new in zip(state["score"], gains, strict=True)]
        won = np.full(self.num_slots, after["won"])
        late = np.full(self.num_slots, after["step"] >= self.max_steps and not after["won"])
        metrics = {
            "found": np.float32(len(after["found"])),
            "won": np.float32(after["won"]),
            "cells": np.float32(len(after["cells"])),
        }
        return after, moved(np.asarray(gains, np.float32), won, late, metrics)

    def outcome(self, state: dict[str, Any]) -> dict[str, Any]:
        """Score of each, whether all won, and how much was found."""
        return {
            "score": np.asarray(state["score"], np.float32),
            "won": np.float32(state["won"]),
            "found": np.float32(len(state["found"])),
        }

    def noop(self) -> list[str]:
        """Everybody waits."""
        return ["wait"] * self.num_slots

    # ---- words ----------------------------------------------------------------------

    def rules(self, seat: Seat) -> str:
        """How the game goes."""
        others = "You play alone. " if self.num_slots == 1 else (
            f"You are one of {self.num_slots} players who act at the same time. "
        )  # fmt: skip
        return (
            f"{others}Somewhere in this house are the ingredients of a dish. Find them, make the "
            "dish where the stove is, and bring it to the hall. Doors may be locked; a key of the "
            "same colour opens them. Things may lie in closed boxes. One command a step. "
            f"The game ends after {int(self.max_steps)} steps. 'say' and any words are heard by "
            "everybody in the same room."
        )

    def question(self, state: dict[str, Any], slot: int) -> str:
        """What is decided: a command, or where to go on exploring."""
        return "Where do you go on from?" if state["choosing"] else "What do you do?"

    def read(self, text: str, state: dict[str, Any], slot: int) -> str:
        """One of the possible commands, or say with any words."""
        if text.strip().lower().startswith("say "):
            return text.strip()[: self.most_chars]
        return read_choice(text, self.commands(state, slot))

    def happenings(
        self, before: dict[str, Any], action: Sequence[str], after: dict[str, Any]
    ) -> list[Happening]:
        """Every command, and what came of it."""
        return [
            Happening("command", slot, {"did": str(action[slot]), "told": after["told"][slot]})
            for slot in range(self.num_slots)
        ]

    def scene(self, state: dict[str, Any]) -> Scene:
        """Where players are, what they hold, and what lies open in the rooms."""
        house, where = _house(state["seed"], self.difficulty), state["where"]
        held = [
            [item for item, place in where.items() if place == f"a{slot}"]
            for slot in range(self.num_slots)
        ]
        doing = tuple(f"holds {', '.join(items)}" if items else "" for items in held)
        spots = _spots(house, state)
        things = tuple(tuple(spots.get(f"r{room}", ())) for room in range(len(house.rooms)))
        return Scene(house.rooms, tuple(state["at"]), doing, things)

    # ---- commands -------------------------------------------------------------------

    def commands(self, state: dict[str, Any], slot: int) -> list[str]:
        """What a player can do now, in a fixed order; the first is to wait."""
        house = _house(state["seed"], self.difficulty)
        return self._commands(state, slot, house, _spots(house, state))

    def _commands(self, state: dict[str, Any], slot: int, house: House, spots: _Spots) -> list[str]:
        if state["choosing"]:
            return [f"return to {number + 1}" for number in range(len(state["cells"]))]
        room, held = state["at"][slot], spots.get(f"a{slot}", ())
        found = ["wait"]
        for way in house.ways[room]:
            if not way.colour or list(way.door) in state["unlocked"]:
                found.append(f"go {way.direction}")
            elif f"{way.colour} key" in held:
                found.append(f"unlock door {way.direction}")
        found += [f"open {box}" for box in house.boxes_in[room] if box not in state["open"]]
        found += [f"take {item}" for item in spots.get(f"r{room}", ())]
        if held:
            near = _near(state, slot)
            found += [f"drop {item}" for item in held]
            found += [f"give {item} to player {other + 1}" for item in held for other in near]
            if room == house.stove and all(item in held for item in house.ingredients):
                found.append(f"make {house.dish}")
        return found[: self.most_options]

    def _done(self, state: dict[str, Any], slot: int, command: str) -> tuple[str, float]:
        """Carry out a command on a state of one's own; returns what its player is told, and pay."""
        if command.lower().startswith("say "):
            return self._said(state, slot, command[4:].strip()[: self.most_chars]), 0.0
        house = _house(state["seed"], self.difficulty)
        if command not in self._commands(state, slot, house, _spots(house, state)):
            return f"You cannot do that now: {command[:60]!r}.", 0.0
        verb, _, rest = command.partition(" ")
        room = state["at"][slot]
        if verb == "go":
            state["at"][slot] = house.exits[room][rest]
            return f"You go {rest}.", 0.0
        if verb == "unlock":
            other = house.exits[room][rest.removeprefix("door ")]
            state["unlocked"] = [*state["unlocked"], [min(room, other), max(room, other)]]
            return f"You unlock the {rest}.", 0.0
        if verb == "open":
            state["open"] = [*state["open"], rest]
            return f"You open the {rest}.", 0.0
        if verb == "make":
            return self._made(state, house, slot)
        return self._moved(state, house, slot, verb, rest) if verb != "wait" else ("", 0.0)

    def _moved(
        self, state: dict[str, Any], house: House, slot: int, verb: str, rest: str
    ) -> tuple[str, float]:
        """Take, drop or give."""
        if verb == "take":
            state["where"][rest] = f"a{slot}"
            new = rest in house.ingredients and rest not in state["found"]
            state["found"] = [*state["found"], rest] if new else state["found"]
            return f"You take the {rest}.", float(new)
        if verb == "give":
            item, _, player = rest.rpartition(" to player ")
            state["where"][item] = f"a{int(player) - 1}"
            return f"You give the {item} to player {player}.", 0.0
        state["where"][rest] = f"r{state['at'][slot]}"
        state["won"] = rest == house.dish and state["at"][slot] == 0
        return f"You drop the {rest}.", 0.0

    def _made(self, state: dict[str, Any], house: House, slot: int) -> tuple[str, float]:
        for item in house.ingredients:
            del state["where"][item]
        state["where"][house.dish] = f"a{slot}"
        state["found"] = [*state["found"], house.dish]
        return f"You make the {house.dish}.", 1.0

    def _said(self, state: dict[str, Any], slot: int, words: str) -> str:
        for other in range(self.num_slots):
            if other != slot and state["at"][other] == state["at"][slot]:
                state["heard"][other] = [*state["heard"][other], [slot, words]]
        return "You speak."

    # ---- what a player reads ----------------------------------------------------------

    def _text(self, state: dict[str, Any], slot: int, house: House, spots: _Spots) -> str:
        if state["choosing"]:
            return self._archive_text(state) if slot == 0 else "The first player chooses."
        room = state["at"][slot]
        parts = [state["told"][slot]] if state["told"][slot] else []
        stove = " There is a stove." if room == house.stove else ""
        parts.append(f"You are in the {house.rooms[room]}.{stove}")
        for way in house.ways[room]:
            shut = way.colour and list(way.door) not in state["unlocked"]
            what = f"a locked {way.colour} door" if shut else "a way"
            parts.append(f"{way.direction.capitalize()} is {what}.")
        parts += [f"The {box} is {'open' if box in state['open'] else 'closed'}."
                  for box in house.boxes_in[room]]  # fmt: skip
        here, held = spots.get(f"r{room}"), spots.get(f"a{slot}")
        parts += [f"Here: {', '.join(here)}."] if here else []
        parts.append(f"You hold {', '.join(held)}." if held else "You hold nothing.")
        near = ", ".join(f"player {other + 1}" for other in _near(state, slot))
        parts += [f"With you: {near}."] if near else []
        recipe = ", ".join(house.ingredients)
        parts.append(f"Wanted in the hall: {house.dish}, made from {recipe}.")
        text = " ".join(parts)
        if not state["heard"][slot]:
            return text
        step = state["step"]
        said = [Message("room", who, f"Player {who + 1}", words, step=step)
                for who, words in state["heard"][slot]]  # fmt: skip
        return f"{text}\nYou hear:\n{render_messages(said)}"

    # ---- archive ----------------------------------------------------------------------

    def _archived(self, state: dict[str, Any]) -> dict[str, Any]:
        """Keep a state whose facts are new; from time to time choose where to go on."""
        if self.archive == "none":
            return state
        cells = [dict(cell) for cell in state["cells"]]
        facts = _facts(state)
        known = next((cell for cell in cells if cell["facts"] == facts), None)
        if known is None:
            bare = {name: value for name, value in _copied(state).items() if name != "cells"}
            cells.append({"facts": facts, "visits": 1, "state": bare})
        else:
            known["visits"] += 1
        if len(cells) > self.kept:
            worst = max(range(len(cells) - 1), key=lambda i: (cells[i]["visits"], -i))
            cells.pop(worst)
        state = {**state, "cells": cells}
        if state["step"] and state["step"] % self.explore == 0 and not state["won"]:
            if self.archive == "players":
                return {**state, "choosing": True}
            rarest = min(range(len(cells)), key=lambda i: (cells[i]["visits"], -i))
            return self._returned(state, f"return to {rarest + 1}")
        return state

    def _returned(self, state: dict[str, Any], choice: str) -> dict[str, Any]:
        number = choice.removeprefix("return to ")
        index = int(number) - 1 if number.isdigit() else len(state["cells"]) - 1
        index = min(max(index, 0), len(state["cells"]) - 1)
        cells = [dict(cell) for cell in state["cells"]]
        cells[index]["visits"] += 1
        kept = _copied(cells[index]["state"])
        # Time and score are those of the player, not of the memory.
        own = {name: state[name] for name in ("step", "score", "found")}
        return {**kept, **own, "cells": cells, "choosing": False}

    def _archive_text(self, state: dict[str, Any]) -> str:
        lines = [
            f"{number + 1}. {cell['facts']} (visited {cell['visits']} times)"
            for number, cell in enumerate(state["cells"])
        ]
        return "You can go on from one of these moments:\n" + "\n".join(lines)


@functools.lru_cache(maxsize=256)
def _house(seed: int, difficulty: int) -> House:
    return build_house(np.random.default_rng(seed), difficulty)


def _spots(house: House, state: dict[str, Any]) -> _Spots:
    """What can be seen of things: "r<room>" -> what lies open there, "a<slot>" -> what is held."""
    found: _Spots = {}
    for item, place in state["where"].items():
        if place[0] == "b":
            if place[1:] not in state["open"]:
                continue
            place = f"r{house.boxes[place[1:]]}"
        found.setdefault(place, []).append(item)
    return found


def _near(state: dict[str, Any], slot: int) -> list[int]:
    """The other players in the same room."""
    room = state["at"][slot]
    return [other for other, at in enumerate(state["at"]) if at == room and other != slot]


def _facts(state: dict[str, Any]) -> str:
    """What makes one state worth keeping beside another."""
    held = sorted(item for item, place in state["where"].items() if place.startswith("a"))
    doors, boxes = len(state["unlocked"]), len(state["open"])
    return f"rooms {sorted(state['at'])}, held {held}, {doors} doors unlocked, {boxes} boxes open"


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    """A state whose parts that commands change are its own; texts heard are gone."""
    return {
        **state,
        "at": list(state["at"]),
        "where": dict(state["where"]),
        "told": list(state["told"]),
        "heard": [[] for _ in state["heard"]],
    }

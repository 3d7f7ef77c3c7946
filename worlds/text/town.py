"""A town: residents who live by the clock, meet, talk, and spread what they hear."""

import functools
import re
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from worlds.host import Happening, HostWorld, Scene, moved, option_named, shown
from worlds.messages import render_messages
from worlds.registry import component
from worlds.text.maps import frozen, thawed
from worlds.text.places import Places
from worlds.text.words import tokens
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Message, Observation, ParseError, Seat, Transition

__all__ = ["Town"]

_MOST_SAID = 400
_DAY = 24 * 60
_FOR = re.compile(r"^(?:do )?(.*?)(?: for (\d{1,3}) minutes?)?[.]?$", re.I | re.S)


@component("world", "town")
@pytree
class Town(HostWorld[dict[str, Any]]):
    """Residents go about a town of places and objects, by the clock, and talk where they meet.

    A step is ``tick_s`` seconds. A resident is asked only when there is something to decide: its
    activity is over, somebody has come or gone, or it is its turn in a conversation. All who
    are asked in a step decide at once; between decisions activities go on without a call
    (metric ``asked`` counts the calls). Commands: ``go to PLACE``, ``use OBJECT``, ``talk to
    NAME``, ``sleep``, ``carry on``, or in free words ``do ACTIVITY for N minutes``; in a
    conversation ``say WORDS`` or ``leave``. Two who want the same object: the lower slot gets
    it. Conversations are between two, a line a step, at most ``chat_lines``; who was just
    spoken to is not spoken to again for ``chat_pause`` minutes.
    ``news`` tells some residents something at the start; who hears a sentence that holds all
    words of ``topic`` counts as informed (outcome ``informed``), and who is at ``venue``
    between ``venue_from`` and ``venue_until`` (minutes of the run) as a guest (``attended``).
    ``measures: [town_life]`` tells what came of it and who knows whom.
    ``cheap`` leaves out being asked again when somebody comes or goes.
    Source: Park et al. (2023), "Generative agents", arXiv:2304.03442; our places, commands and
    clock are our own, and decisions of one moment are one batch.
    """

    fitness: ClassVar[str] = "informed"
    most_chars: ClassVar[int] = _MOST_SAID
    most_options: ClassVar[int] = 64

    map: Any = doc_field(
        None, "sector: {arena: [objects]}, also as YAML text; a village by default", static=True
    )
    tick_s: int = doc_field(60, "seconds of a step", ge=1, le=3600)
    minutes: int = doc_field(0, "minutes of an episode; 0: as many as the scenario says", ge=0)
    start: int = doc_field(
        360, "minute of the first day at which it begins (360: six o'clock)", ge=0
    )
    nap: int = doc_field(30, "minutes of an activity that names no time", ge=1)
    chat_lines: int = doc_field(8, "most lines of a conversation", ge=2)
    chat_pause: int = doc_field(60, "minutes before the same two talk again", ge=0)
    news: Any = doc_field(None, "name: sentence that this resident knows at the start", static=True)
    topic: tuple[str, ...] = doc_field((), "words by which one hears that somebody is informed")
    venue: str = doc_field("", "place at which guests are counted")
    venue_from: int = doc_field(0, "minute of the run from which guests are counted", ge=0)
    venue_until: int = doc_field(0, "minute until which they are counted", ge=0)
    cheap: bool = doc_field(False, "ask only at the end of activities and in conversations")
    num_slots: int = provided(2)
    names: tuple[str, ...] = provided(())

    def __post_init__(self) -> None:
        """Keep maps as nested pairs, which can be part of a compiled program."""
        for name in ("map", "news"):
            object.__setattr__(self, name, frozen(getattr(self, name)))

    @property
    def horizon(self) -> int | None:
        """Steps of ``minutes``."""
        return max(round(self.minutes * 60 / self.tick_s), 1) if self.minutes else None

    @property
    def ends_early(self) -> bool:
        """Never."""
        return False

    def check_params(self) -> None:
        """Refuse places that are no tree, unknown venues, and news for nobody."""
        known = self._town
        if self.venue and known.find(self.venue) is None:
            raise ValueError(
                f"venue: {self.venue!r} is no place; there are {', '.join(known.names[:12])}"
            )
        for name in thawed(self.news) or {}:
            if name not in self._names:
                raise ValueError(
                    f"news: nobody is called {name!r}; there are {', '.join(self._names[:12])}"
                )

    # ---- the contract ---------------------------------------------------------------

    def init(self, key: Array) -> dict[str, Any]:
        """Everybody is at home and has yet to decide what to do."""
        num = self.num_slots
        news = thawed(self.news) or {}
        told = [str(news.get(name, "")) for name in self._names]
        return {
            "step": 0,
            "at": list(self._town.homes),
            "going": [-1] * num,
            "doing": ["waking up"] * num,
            "until": [0] * num,
            "using": [""] * num,
            "asleep": [False] * num,
            "stirred": [False] * num,
            "chat": [-1] * num,
            "chats": {},
            "next_chat": 0,
            "met": {},
            "ended": [],
            "told": told,
            "result": [""] * num,
            "informed": [self._holds_topic(text) for text in told],
            "attended": [False] * num,
            "asked": 0,
        }

    def observe(self, state: dict[str, Any]) -> Observation:
        """Where one is, who is there, what they do, and what is being said."""
        slots = range(self.num_slots)
        acting = np.array([self._due(state, slot) for slot in slots], bool)
        texts = tuple(self._text(state, slot) if acting[slot] else "" for slot in slots)
        options = tuple(
            self._commands(state, slot) or None if acting[slot] else None for slot in slots
        )
        return shown(np.ones(self.num_slots, bool), acting, texts, options)

    def step(
        self, key: Array, state: dict[str, Any], action: Sequence[str]
    ) -> tuple[dict[str, Any], Transition]:
        """Take decisions up in slot order, then let the clock run."""
        after: dict[str, Any] = _copied(state) | {"ended": []}
        due = [slot for slot in range(self.num_slots) if self._due(state, slot)]
        for slot in due:
            after["stirred"][slot] = False
            if after["chat"][slot] < 0 or state["chat"][slot] >= 0:
                self._decided(after, slot, str(action[slot]).strip())
            # else somebody of a lower slot has just begun to talk to it
        after["step"] += 1
        self._clock(after)
        after["asked"] = state["asked"] + len(due)
        reward = np.array(after["informed"], np.float32) - np.array(state["informed"], np.float32)
        over = np.full(self.num_slots, self.horizon is not None and after["step"] >= self.horizon)
        metrics = {
            "asked": np.float32(len(due)),
            "talking": np.float32(sum(chat >= 0 for chat in after["chat"])),
            "informed": np.float32(sum(after["informed"])),
        }
        return after, moved(reward, np.zeros_like(over), over, metrics)

    def outcome(self, state: dict[str, Any]) -> dict[str, Any]:
        """Who is informed and who came, how many have met, and calls per agent and hour."""
        num = self.num_slots
        hours = max(state["step"] * self.tick_s / 3600, 1e-9)
        pairs = max(num * (num - 1) / 2, 1)
        return {
            "informed": np.array(state["informed"], np.float32),
            "attended": np.array(state["attended"], np.float32),
            "acquaintance": np.float32(len(state["met"]) / pairs),
            "calls_per_agent_hour": np.float32(state["asked"] / num / hours),
        }

    def noop(self) -> list[str]:
        """Everybody carries on."""
        return ["carry on"] * self.num_slots

    # ---- words ----------------------------------------------------------------------

    def rules(self, seat: Seat) -> str:
        """How one lives here, and what one knew before the first morning."""
        news = (thawed(self.news) or {}).get(self._names[seat.slot], "")
        known = f" You know this: {news}" if news else ""
        return (
            "You live in a small town. You decide what you do next, where you go and with whom "
            "you talk. Answer with one of the choices, or in your own words: do ACTIVITY for N "
            f"minutes.{known}"
        )

    def question(self, state: dict[str, Any], slot: int) -> str:
        """What is decided."""
        return "What do you say?" if state["chat"][slot] >= 0 else "What do you do next?"

    def hint(self, state: dict[str, Any], slot: int) -> str:
        """The form of an answer in a conversation."""
        return "Answer with the words you say, or: leave" if state["chat"][slot] >= 0 else ""

    def read(self, text: str, state: dict[str, Any], slot: int) -> str:
        """A command; in a conversation, words."""
        said = text.strip()
        if not said:
            raise ParseError("the answer is empty; choose something to do")
        if state["chat"][slot] >= 0:
            plain = said.casefold().strip(".!\"'")
            return "leave" if plain == "leave" else f"say {said.removeprefix('say ')}"[:_MOST_SAID]
        options = self._commands(state, slot)
        found = option_named(said, options)
        if found is None and said.casefold().startswith("do ") and len(said) > 4:
            return said[:_MOST_SAID]
        if found is None:
            raise ParseError(
                f"{said[:60]!r} is none of: {', '.join(options)}; nor does it begin with 'do'"
            )
        return found

    def happenings(
        self, before: dict[str, Any], action: Sequence[str], after: dict[str, Any]
    ) -> list[Happening]:
        """Decisions, lines that were said, conversations that ended, who became informed."""
        rows = []
        for slot in range(self.num_slots):
            if self._due(before, slot):
                kind = "said" if before["chat"][slot] >= 0 else "decided"
                place = self._town.names[after["at"][slot]]
                rows.append(Happening(kind, slot, {"words": str(action[slot]), "place": place}))
            if after["informed"][slot] and not before["informed"][slot]:
                rows.append(Happening("informed", slot, {"step": after["step"]}))
        rows += [Happening("conversation", one, {"with": other, "lines": lines})
                 for one, other, lines in after["ended"]]  # fmt: skip
        return rows

    def scene(self, state: dict[str, Any]) -> Scene:
        """Where residents are and what they do."""
        places = tuple(name.removesuffix(": room") for name in self._town.names)
        return Scene(places, tuple(state["at"]), tuple(state["doing"]))

    # ---- who decides what -----------------------------------------------------------

    def _due(self, state: dict[str, Any], slot: int) -> bool:
        """Whether a resident has something to decide now."""
        if self.horizon is not None and state["step"] >= self.horizon:
            return False
        chat = state["chat"][slot]
        if chat >= 0:
            return state["chats"][str(chat)]["turn"] == slot
        if state["going"][slot] >= 0:
            return False
        if state["until"][slot] <= state["step"]:
            return True
        return state["stirred"][slot] and not state["asleep"][slot]

    def _commands(self, state: dict[str, Any], slot: int) -> tuple[str, ...]:
        if state["chat"][slot] >= 0:
            return ()
        town, place = self._town, state["at"][slot]
        found = ["carry on"]
        found += [f"talk to {self._names[other]}" for other in self._near(state, slot)
                  if self._may_talk(state, slot, other)]  # fmt: skip
        used = set(state["using"])
        found += [f"use {thing}" for thing in town.objects[place] if f"{place}/{thing}" not in used]
        public = range(len(town.names) - self.num_slots)
        home = town.homes[slot]
        found += [f"go to {town.names[goal]}" for goal in (*public, home) if goal != place]
        found.append("sleep") if place == home else None
        return tuple(found[: self.most_options])

    def _decided(self, state: dict[str, Any], slot: int, command: str) -> None:
        """Take up one decision; what has become impossible becomes waiting."""
        if state["chat"][slot] >= 0:
            self._spoken(state, slot, command)
            return
        possible = command in self._commands(state, slot)
        verb, _, rest = command.partition(" ")
        state["result"][slot] = ""
        if possible and command == "carry on":
            if state["until"][slot] <= state["step"]:
                self._busy(state, slot, state["doing"][slot], self.nap)
            return
        state["using"][slot], state["asleep"][slot] = "", False
        if possible and verb == "go":
            self._set_off(state, slot, rest.removeprefix("to "))
        elif possible and verb == "talk":
            self._begin_chat(state, slot, self._names.index(rest.removeprefix("to ")))
        elif possible and verb == "use":
            state["using"][slot] = f"{state['at'][slot]}/{rest}"
            self._busy(state, slot, f"using the {rest}", self.nap)
        elif possible and verb == "sleep":
            state["asleep"][slot] = True
            minute = self._minute(state) % _DAY
            self._busy(state, slot, "sleeping", (7 * 60 - minute) % _DAY or _DAY)
        elif verb == "do" and rest:
            match = _FOR.match(command)
            activity, minutes = (match[1], match[2]) if match else (rest, None)
            self._busy(state, slot, activity[:120], int(minutes or self.nap) or 1)
        else:
            state["result"][slot] = f"That was not possible: {command[:60]}."
            self._busy(state, slot, "waiting", 1)

    def _busy(self, state: dict[str, Any], slot: int, activity: str, minutes: int) -> None:
        state["doing"][slot] = activity
        state["until"][slot] = state["step"] + max(round(minutes * 60 / self.tick_s), 1)

    def _set_off(self, state: dict[str, Any], slot: int, name: str) -> None:
        goal = self._town.find(name)
        assert goal is not None
        minutes = self._town.minutes(state["at"][slot], goal)
        self._busy(state, slot, f"walking to {self._town.names[goal]}", minutes)
        state["going"][slot] = goal

    # ---- conversations ----------------------------------------------------------------

    def _may_talk(self, state: dict[str, Any], slot: int, other: int) -> bool:
        last = state["met"].get(_pair(slot, other), -(10**9))
        rested = (state["step"] - last) * self.tick_s >= self.chat_pause * 60
        free = state["chat"][other] < 0 and state["going"][other] < 0
        return free and rested and not state["asleep"][other] and state["chat"][slot] < 0

    def _begin_chat(self, state: dict[str, Any], slot: int, other: int) -> None:
        number = state["next_chat"]
        state["next_chat"] = number + 1
        state["chats"][str(number)] = {"who": [slot, other], "turn": slot, "lines": []}
        for one, two in ((slot, other), (other, slot)):
            state["chat"][one] = number
            state["doing"][one] = f"talking with {self._names[two]}"
        state["met"][_pair(slot, other)] = state["step"]

    def _spoken(self, state: dict[str, Any], slot: int, command: str) -> None:
        """Say a line, or leave; the other is asked next."""
        number = str(state["chat"][slot])
        chat = {**state["chats"][number]}
        state["chats"][number] = chat
        other = next(one for one in chat["who"] if one != slot)
        words = command.removeprefix("say ").strip()
        if command in ("leave", "carry on") or not words:
            self._end_chat(state, number)
            return
        chat["lines"] = [*chat["lines"], [slot, words]]
        chat["turn"] = other
        if self._holds_topic(words):
            state["informed"][slot] = state["informed"][other] = True
        if len(chat["lines"]) >= self.chat_lines:
            self._end_chat(state, number)

    def _end_chat(self, state: dict[str, Any], number: str) -> None:
        chat = state["chats"].pop(number)
        state["ended"].append([*chat["who"], len(chat["lines"])])
        for slot in chat["who"]:
            state["chat"][slot] = -1
            state["met"][_pair(*chat["who"])] = state["step"]
            state["result"][slot] = "The conversation is over."
            self._busy(state, slot, "thinking about what was said", 1)

    # ---- time -------------------------------------------------------------------------

    def _clock(self, state: dict[str, Any]) -> None:
        """Let those who arrive arrive, stir those who see them, and count guests."""
        moved = []
        for slot in range(self.num_slots):
            goal = state["going"][slot]
            if goal >= 0 and state["until"][slot] <= state["step"]:
                moved += [(slot, state["at"][slot]), (slot, goal)]
                state["at"][slot], state["going"][slot] = goal, -1
                state["doing"][slot] = "arriving"
        for slot, place in () if self.cheap else moved:
            for other in range(self.num_slots):
                if other != slot and state["at"][other] == place:
                    state["stirred"][other] = True
        minute = self._minute(state) - self.start
        if self.venue and self.venue_from <= minute < self.venue_until:
            sector = self._town.sector(self._town.find(self.venue) or 0)
            for slot in range(self.num_slots):
                here = self._town.sector(state["at"][slot]) == sector
                state["attended"][slot] |= here and state["going"][slot] < 0

    def _minute(self, state: dict[str, Any]) -> int:
        """Minutes since the first midnight."""
        return self.start + state["step"] * self.tick_s // 60

    # ---- what a resident reads ----------------------------------------------------------

    def _near(self, state: dict[str, Any], slot: int) -> list[int]:
        place = state["at"][slot]
        return [
            other
            for other in range(self.num_slots)
            if other != slot and state["at"][other] == place and state["going"][other] < 0
        ]

    def _text(self, state: dict[str, Any], slot: int) -> str:
        minute = self._minute(state)
        day, hour, rest = minute // _DAY + 1, minute % _DAY // 60, minute % 60
        parts = [f"It is {hour:02d}:{rest:02d} of day {day}."]
        if state["result"][slot]:
            parts.append(state["result"][slot])
        parts.append(f"You are at {self._town.names[state['at'][slot]]}.")
        parts.append(f"You were {_plain(state['doing'][slot])}.")
        parts += [
            f"{self._names[other]} is here, {_plain(state['doing'][other])}."
            for other in self._near(state, slot)
        ]
        text = " ".join(parts)
        chat = state["chat"][slot]
        if chat < 0:
            return text
        lines = state["chats"][str(chat)]["lines"]
        if not lines:
            return f"{text}\nYou begin the conversation."
        said = [Message("talk", who, self._names[who], words, step=number)
                for number, (who, words) in enumerate(lines)]  # fmt: skip
        return f"{text}\nWhat was said:\n{render_messages(said)}"

    def _holds_topic(self, text: str) -> bool:
        said = set(tokens(text))
        return bool(self.topic) and all(word.casefold() in said for word in self.topic)

    @property
    def _names(self) -> tuple[str, ...]:
        return self.names or tuple(f"Agent {slot}" for slot in range(self.num_slots))

    @property
    def _town(self) -> Places:
        return _places(self.map, self._names)


@functools.lru_cache(maxsize=64)
def _places(tree: Any, names: tuple[str, ...]) -> Places:
    return Places.of(thawed(tree), names)


def _pair(one: int, other: int) -> str:
    return f"{min(one, other)}-{max(one, other)}"


def _plain(activity: str) -> str:
    """An activity in one line without marks, since a resident may have worded it."""
    return " ".join(re.sub(r"[^\w ,.'-]", " ", activity).split())[:120] or "waiting"


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    """A state whose lists and maps are its own."""
    return {
        name: part.copy() if isinstance(part, list | dict) else part for name, part in state.items()
    }

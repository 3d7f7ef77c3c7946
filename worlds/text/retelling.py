"""Retelling: texts pass along a graph and change as they pass."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import gymnasium
import numpy as np

from worlds.host import Happening, HostWorld, moved, shown, words_of
from worlds.messages import render_messages
from worlds.registry import component
from worlds.spaces import AnyText
from worlds.text.words import tokens
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Message, Observation, Seat, Transition

__all__ = ["TASKS", "Retelling"]

TASKS = {
    "retell": "Tell this story again to somebody who has not heard it.",
    "retell_to_child": "Tell this story again to your child.",
    "rephrase": "Say the same in other words.",
    "take_inspiration": "Let this story inspire a story of your own.",
    "continue": "Continue from where this story ends.",
    "combine_two_favourites": "Choose the two of these stories that you like best and make one "
    "story of them.",
    "combine_all": "Make one story of all these stories.",
    "small_changes": "Tell one of these stories again with small changes.",
    "as_different_as_possible": "Tell a story that differs from these as much as possible.",
    "repeat": "Repeat this story word for word.",
    "pick_one": "Pick one of these stories and repeat it.",
    "invert_the_truth": "Tell this story so that what was true is false and what was false is "
    "true.",
}
BEGINNINGS = {
    "story": "Tell a story.",
    "story_for_child": "Tell a story to your child.",
    "short_story": "Tell a story of about a hundred words.",
    "two_sentences": "Tell a story in two sentences.",
}


@component("world", "retelling")
@pytree
class Retelling(HostWorld[dict[str, Any]]):
    """Texts told and told again along the social graph, all tellers at once or one by one.

    In each step every teller reads what its neighbours told in the step before (and what it
    told itself, where there is nobody it can hear) and tells anew, all from the same moment.
    ``schedule: chain`` lets a teller speak once, in the step after its neighbours first spoke:
    along a directed path one teller a step. With ``texts`` the first of them are given, the
    others ask for a beginning. ``bias`` says which texts are read where ``shown`` limits them:
    any (``none``), those that most resemble the others (``conformist``), those of the tellers
    with most ties (``prestige``), or those with most of the ``liked`` words (``content``).
    ``turnover`` is the share of tellers who are new in each step: they have heard nothing yet,
    and read only their neighbours. Reward: 1 for a told text; measures read the texts.
    Source: Perez et al. (2024), "Cultural evolution in populations of large language models",
    arXiv:2403.08882; Perez et al. (2025), "When LLMs play the telephone game", arXiv:2407.04503.
    The tasks are theirs, in our own words.
    """

    measures: ClassVar[tuple[str, ...]] = ("text_similarity",)
    fitness: ClassVar[str] = "told"

    task: str = doc_field("retell", "what is asked: a named task or a sentence of one's own")
    beginning: str = doc_field("story", "what the first tellers are asked: a name or a sentence")
    texts: tuple[str, ...] = doc_field((), "texts to begin with, dealt out to those who begin")
    schedule: Literal["all", "chain"] = doc_field("all", "everybody in each step, or once each")
    max_steps: int = doc_field(0, "steps of an episode; 0: as many as the scenario says", ge=0)
    max_chars: int = doc_field(2000, "longer texts are cut", ge=20)
    shown: int = doc_field(0, "most texts that a teller reads; 0: all that reach it", ge=0)
    bias: Literal["none", "conformist", "prestige", "content"] = doc_field(
        "none", "which texts are read where shown limits them"
    )
    liked: tuple[str, ...] = doc_field((), "words that a content bias looks for")
    own: Literal["never", "alone", "always"] = doc_field(
        "alone", "whether a teller reads its own last text: where it hears nobody, or always"
    )
    turnover: float = doc_field(0.0, "share of tellers replaced by new ones a step", ge=0, le=1)
    num_slots: int = provided(2)
    graph: Any = provided(None)

    @property
    def horizon(self) -> int | None:
        """``max_steps``, where given."""
        return self.max_steps or None

    @property
    def ends_early(self) -> bool:
        """Never."""
        return False

    def check_params(self) -> None:
        """Refuse unknown tasks, and a content bias that likes nothing."""
        for name, known, what in (
            (self.task, TASKS, "task"),
            (self.beginning, BEGINNINGS, "beginning"),
        ):
            if name not in known and " " not in name.strip():
                raise ValueError(
                    f"{what}: {name!r} is not known; use one of {', '.join(known)}, or a sentence"
                )
        if self.bias == "content" and not self.liked:
            raise ValueError("bias: content needs liked: [words that are looked for]")
        if self.bias != "none" and not self.shown:
            raise ValueError(f"bias: {self.bias} chooses among texts; set shown: (how many)")
        if len(self.texts) > self.num_slots:
            raise ValueError(
                f"{len(self.texts)} texts for {self.num_slots} tellers; give at most one each"
            )

    # ---- the contract ---------------------------------------------------------------

    def init(self, key: Array) -> dict[str, Any]:
        """Nobody has told anything but the given texts."""
        texts = [""] * self.num_slots
        for slot, text in zip(self._openers(), self.texts, strict=False):
            texts[slot] = text
        new = [False] * self.num_slots
        return {"step": 0, "texts": texts, "told": [0] * self.num_slots, "new": new}

    def observe(self, state: dict[str, Any]) -> Observation:
        """What each reads: the texts that reach it, marked as others' words."""
        acting = np.array([self._speaks(state, slot) for slot in range(self.num_slots)], bool)
        texts = tuple(
            self._shown_to(state, slot) if acting[slot] else "" for slot in range(self.num_slots)
        )
        return shown(np.ones(self.num_slots, bool), acting, texts)

    def step(
        self, key: Array, state: dict[str, Any], action: Sequence[str]
    ) -> tuple[dict[str, Any], Transition]:
        """Put what was told in the place of what was told before."""
        texts, told = list(state["texts"]), list(state["told"])
        reward = np.zeros(self.num_slots, np.float32)
        for slot in range(self.num_slots):
            said = str(action[slot]).strip()[: self.max_chars]
            if said and self._speaks(state, slot):
                texts[slot] = said
                told[slot] += 1
                reward[slot] = 1.0
        step = state["step"] + 1
        after = {"step": step, "texts": texts, "told": told, "new": self._newcomers(key)}
        over = bool(self.max_steps) and step >= self.max_steps
        ends = np.full(self.num_slots, over)
        lengths = [len(tokens(text)) for text, one in zip(texts, reward, strict=True) if one]
        metrics = {
            "told": np.float32(reward.sum()),
            "words": np.float32(np.mean(lengths) if lengths else 0.0),
        }
        return after, moved(reward, np.zeros_like(ends), ends, metrics)

    def outcome(self, state: dict[str, Any]) -> dict[str, Any]:
        """How many texts each told."""
        return {"told": np.asarray(state["told"], np.float32)}

    def action_space(self, slot: int) -> gymnasium.Space:
        """Any text."""
        return AnyText(self.max_chars)

    def noop(self) -> list[str]:
        """Nobody tells anything."""
        return [""] * self.num_slots

    # ---- words ----------------------------------------------------------------------

    def rules(self, seat: Seat) -> str:
        """What happens here."""
        return (
            "You and others tell each other short texts. You read what reaches you, then you "
            "tell a text of your own, which others read next. Answer with the text alone."
        )

    def question(self, state: dict[str, Any], slot: int) -> str:
        """The task, or how to begin where there is nothing to tell again."""
        if self._heard(state, slot):
            return TASKS.get(self.task, self.task)
        return BEGINNINGS.get(self.beginning, self.beginning)

    def happenings(
        self, before: dict[str, Any], action: Sequence[str], after: dict[str, Any]
    ) -> list[Happening]:
        """Each text that was told, and in the first step the given ones (kind "given")."""
        rows = []
        if before["step"] == 0:
            given = enumerate(before["texts"])
            rows = [Happening("given", slot, text) for slot, text in given if text]
        for slot in range(self.num_slots):
            if after["told"][slot] > before["told"][slot]:
                rows.append(Happening("text", slot, after["texts"][slot]))
        return rows

    # ---- parts ----------------------------------------------------------------------

    def _neighbours(self, slot: int) -> list[int]:
        graph = self.graph
        if graph is None or graph.complete:
            return [other for other in range(self.num_slots) if other != slot]
        first, last = int(graph.offsets[slot]), int(graph.offsets[slot + 1])
        return [int(other) for other in np.asarray(graph.senders[first:last])]

    def _openers(self) -> list[int]:
        """To whom texts are dealt out: who begins a chain, or everybody."""
        slots = range(self.num_slots)
        if self.schedule == "all":
            return list(slots)
        return [slot for slot in slots if not self._neighbours(slot)]

    def _speaks(self, state: dict[str, Any], slot: int) -> bool:
        if self.max_steps and state["step"] >= self.max_steps:
            return False
        if self.schedule == "all":
            return True
        if state["told"][slot]:
            return False
        near = self._neighbours(slot)
        return not near or any(state["told"][other] for other in near)

    def _heard(self, state: dict[str, Any], slot: int) -> list[int]:
        """Whose texts a teller reads, in slot order."""
        texts = state["texts"]
        near = [other for other in self._neighbours(slot) if texts[other]]
        near = self._chosen(texts, near)
        remembers = texts[slot] and not state["new"][slot]
        if remembers and (self.own == "always" or (self.own == "alone" and not near)):
            near = sorted([*near, slot])
        return near

    def _chosen(self, texts: list[str], near: list[int]) -> list[int]:
        if not self.shown or len(near) <= self.shown:
            return near
        ranks = {
            "none": lambda slot: 0,
            "prestige": lambda slot: len(self._neighbours(slot)),
            "content": lambda slot: sum(w in self.liked for w in tokens(texts[slot])),
            "conformist": lambda slot: _likeness(texts, slot, near),
        }[self.bias]
        best = sorted(near, key=lambda slot: (-ranks(slot), slot))[: self.shown]
        return sorted(best)

    def _shown_to(self, state: dict[str, Any], slot: int) -> str:
        heard = self._heard(state, slot)
        if not heard:
            return "Nothing has been told to you yet."
        messages = [
            Message("story", other, f"Teller {other + 1}" if other != slot else "Yourself",
                    state["texts"][other], step=state["step"])
            for other in heard
        ]  # fmt: skip
        return "These texts reached you:\n" + render_messages(messages)

    def _newcomers(self, key: Array) -> list[bool]:
        if self.turnover <= 0:
            return [False] * self.num_slots
        words = words_of(key, self.num_slots, "turnover")
        return [bool(word < float(self.turnover) * 2.0**32) for word in words]


def _likeness(texts: list[str], slot: int, near: list[int]) -> float:
    """Mean share of words that a text has in common with the others (Jaccard)."""
    own = set(tokens(texts[slot]))
    shares = []
    for other in near:
        if other != slot:
            theirs = set(tokens(texts[other]))
            shares.append(len(own & theirs) / max(len(own | theirs), 1))
    return float(np.mean(shares)) if shares else 0.0

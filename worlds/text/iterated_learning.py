"""Iterated learning: an artificial language is learned from examples and passed on."""

import itertools
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from worlds.host import Happening, HostWorld, moved, shown
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Observation, ParseError, Seat, Transition

__all__ = ["IteratedLearning", "topographic_similarity"]

_SYLLABLES = tuple(a + b for a in "bdgklmnprst" for b in "aeiou")
_SHAPES = ("circle", "square", "star", "heart", "moon")
_COLOURS = ("red", "blue", "green", "black", "white")
_MOST = 24


@component("world", "iterated_learning")
@pytree
class IteratedLearning(HostWorld[dict[str, Any]]):
    """Chains of learners who name things after seeing some names that the last learner gave.

    Meanings are all pairs of a shape and a colour. In each generation (``meanings`` steps) the
    learner of every chain names each meaning once, having read ``bottleneck`` of the names of
    the generation before (of the first: random syllables). Reward: 1 where the name given is
    the one that was taught. With ``expressive`` a name that was already given to another
    meaning is refused by adding a syllable. Metrics: ``topographic`` (Spearman correlation of
    distances between meanings and between names: compositionality), ``error`` (normalised edit
    distance to the taught names), ``distinct`` (share of different names), at the last step of
    each generation; NaN at the others.
    Every slot is a chain. Its learner forgets between generations: use ``memory: none``.
    Source: Kirby, Cornish & Smith (2008), doi:10.1073/pnas.0707835105; Brighton & Kirby
    (2006), doi:10.1162/106454606776073323 (topographic similarity).
    """

    fitness: ClassVar[str] = "learned"
    most_chars: ClassVar[int] = _MOST

    shapes: int = doc_field(3, "shapes", ge=2, le=5)
    colours: int = doc_field(3, "colours", ge=2, le=5)
    bottleneck: int = doc_field(6, "names that a learner reads", ge=0)
    chain: int = doc_field(5, "generations of learners in an episode", ge=1)
    expressive: Literal["no", "yes"] = doc_field("no", "names of different meanings must differ")
    num_slots: int = provided(1)

    @property
    def meanings(self) -> tuple[tuple[str, str], ...]:
        """All pairs (colour, shape)."""
        return tuple(itertools.product(_COLOURS[: self.colours], _SHAPES[: self.shapes]))

    @property
    def horizon(self) -> int:
        """One step for each meaning and generation."""
        return self.chain * len(self.meanings)

    @property
    def ends_early(self) -> bool:
        """Never."""
        return False

    def check_params(self) -> None:
        """Nobody can be taught more names than there are meanings."""
        if self.bottleneck > len(self.meanings):
            raise ValueError(
                f"bottleneck: {self.bottleneck}, but there are {len(self.meanings)} meanings "
                f"(shapes {self.shapes} times colours {self.colours})"
            )

    def init(self, key: Array) -> dict[str, Any]:
        """Random names to begin with, one language for each chain."""
        rng = np.random.default_rng(np.asarray(key).tolist())
        num = len(self.meanings)
        languages = [
            ["".join(rng.choice(_SYLLABLES, size=rng.integers(2, 4))) for _ in range(num)]
            for _ in range(self.num_slots)
        ]
        state = {"step": 0, "taught": languages, "given": [[] for _ in languages]}
        return self._lesson(state, rng)

    def observe(self, state: dict[str, Any]) -> Observation:
        """The names that were taught, and the thing to be named now."""
        playing = state["step"] < self.horizon
        texts = tuple(self._text(state, slot) for slot in range(self.num_slots))
        acting = np.full(self.num_slots, playing)
        return shown(np.ones(self.num_slots, bool), acting, texts)

    def step(
        self, key: Array, state: dict[str, Any], action: Sequence[str]
    ) -> tuple[dict[str, Any], Transition]:
        """Write down the names; after the last meaning the next learners are taught."""
        if state["step"] >= self.horizon:
            return state, self._moved(state, np.zeros(self.num_slots, np.float32))
        meaning = state["order"][state["step"] % len(self.meanings)]
        given = [dict(names) for names in map(dict, state["given"])]
        reward = np.zeros(self.num_slots, np.float32)
        for slot in range(self.num_slots):
            name = _word(str(action[slot])) or "?"
            if self.expressive == "yes" and name in given[slot].values():
                name = (name + _SYLLABLES[meaning % len(_SYLLABLES)])[:_MOST]
            given[slot][meaning] = name
            reward[slot] = float(name == state["taught"][slot][meaning])
        after = {
            **state,
            "step": state["step"] + 1,
            "given": [sorted(names.items()) for names in given],
        }
        if after["step"] % len(self.meanings) == 0:
            after = self._next_generation(key, after)
        return after, self._moved(after, reward)

    def _next_generation(self, key: Array, state: dict[str, Any]) -> dict[str, Any]:
        languages = [[name for _, name in names] for names in state["given"]]
        taught = state["taught"]
        marks = {
            "topographic": [self._topographic(names) for names in languages],
            "error": [_error(names, old) for names, old in zip(languages, taught, strict=True)],
            "distinct": [len(set(names)) / len(names) for names in languages],
        }
        after = {**state, "taught": languages, "given": [[] for _ in languages], "marks": marks}
        return self._lesson(after, np.random.default_rng(np.asarray(key).tolist()))

    def _lesson(self, state: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        """Draw what is taught, and in which order things are named."""
        num = len(self.meanings)
        shown = [sorted(map(int, rng.permutation(num)[: self.bottleneck])) for _ in state["taught"]]
        order = list(map(int, rng.permutation(num)))
        start = {"topographic": [self._topographic(names) for names in state["taught"]],
                 "error": [0.0] * self.num_slots,
                 "distinct": [len(set(names)) / num for names in state["taught"]]}  # fmt: skip
        return {"marks": start} | state | {"shown": shown, "order": order}

    def _moved(self, state: dict[str, Any], reward: np.ndarray) -> Transition:
        over = np.full(self.num_slots, state["step"] >= self.horizon)
        done = state["step"] % len(self.meanings) == 0  # between learners there is no language
        metrics = {
            name: np.float32(np.mean(values) if done else np.nan)
            for name, values in state["marks"].items()
        }
        return moved(reward, over, np.zeros_like(over), metrics)

    def outcome(self, state: dict[str, Any]) -> dict[str, Any]:
        """Marks of the last language of each chain."""
        marks = {name: np.array(values, np.float32) for name, values in state["marks"].items()}
        return {"learned": 1.0 - marks["error"], **marks}

    def _topographic(self, names: Sequence[str]) -> float:
        return topographic_similarity(self.meanings, names)

    def noop(self) -> list[str]:
        """No name."""
        return [""] * self.num_slots

    def rules(self, seat: Seat) -> str:
        """What is asked."""
        return (
            "You learn a language from examples. Each thing has one name. Some things you have "
            "to name without having seen their name; name them as the language would."
        )

    def question(self, state: dict[str, Any], slot: int) -> str:
        """The thing to be named."""
        colour, shape = self.meanings[state["order"][state["step"] % len(self.meanings)]]
        return f"What is the name of the {colour} {shape}?"

    def hint(self, state: dict[str, Any], slot: int) -> str:
        """One word."""
        return "Answer with the name alone, one word in small letters."

    def read(self, text: str, state: dict[str, Any], slot: int) -> str:
        """The last word of the answer in the letters of the language."""
        word = _word(text)
        if not word:
            raise ParseError("there is no name in the answer; give one word in small letters")
        return word

    def _text(self, state: dict[str, Any], slot: int) -> str:
        taught, shown = state["taught"][slot], state["shown"][slot]
        lines = [f"{self.meanings[m][0]} {self.meanings[m][1]}: {taught[m]}" for m in shown]
        return "Names of this language:\n" + "\n".join(lines) if lines else "You know no names."

    def happenings(
        self, before: dict[str, Any], action: Sequence[str], after: dict[str, Any]
    ) -> list[Happening]:
        """Each chain's language when a generation is over."""
        if after["step"] == before["step"] or after["step"] % len(self.meanings):
            return []
        return [Happening("language", slot, names) for slot, names in enumerate(after["taught"])]


def topographic_similarity(meanings: Sequence[Sequence[Any]], names: Sequence[str]) -> float:
    """Spearman correlation of distances: meanings (features that differ), names (edit distance).

    0 where all names are the same.

    >>> pairs = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    >>> round(topographic_similarity(pairs, ["bako", "bati", "neko", "neti"]), 6)
    1.0
    """
    from scipy.stats import rankdata

    far, wide = [], []
    for (one, name), (two, other) in itertools.combinations(zip(meanings, names, strict=True), 2):
        far.append(sum(a != b for a, b in zip(one, two, strict=True)))
        wide.append(edit_distance(name, other))
    if len(set(far)) < 2 or len(set(wide)) < 2:
        return 0.0
    return float(np.corrcoef(rankdata(far), rankdata(wide))[0, 1])


def edit_distance(one: Sequence[str], two: Sequence[str]) -> int:
    """Fewest insertions, deletions and replacements of letters, or words (Levenshtein)."""
    row = list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(two, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]


def _error(names: Sequence[str], taught: Sequence[str]) -> float:
    """Mean edit distance over the length of the longer name."""
    parts = [
        edit_distance(a, b) / max(len(a), len(b), 1) for a, b in zip(names, taught, strict=True)
    ]
    return float(np.mean(parts))


def _word(text: str) -> str:
    words = ["".join(c for c in word if "a" <= c <= "z") for word in text.lower().split()]
    words = [word for word in words if word]
    return words[-1][:_MOST] if words else ""

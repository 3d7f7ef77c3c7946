"""What the society floor asks of its components: selection, transmission, measures, interventions.

All are frozen dataclasses declared with ``@component``. Those that run inside the compiled
loop (selection, the array half of transmission, the device half of a measure) are also
pytrees (``worlds.tree.pytree``) and pure.
"""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from worlds.policy import ArrayPolicy
from worlds.tree import pytree
from worlds.types import Array, Births, Graph, Mind, Observation, Seats, Transition

__all__ = ["GroupSlice", "Measure", "Moment", "Pool", "Record", "Selection", "Transmission"]


@pytree
class Pool:
    """Everybody among whom selection chooses, M rows (one group, or the whole population).

    fitness: [M] float32. alive: [M] bool. group: [M] int32 group index.
    types: [M] int32 strategy index, 0 where a policy has none. graph: over these M rows, or None.
    full: nobody can be missing, now or later (static), so that rules may skip asking.
    """

    fitness: Array
    alive: Array
    group: Array
    types: Array
    graph: Graph | None = None
    full: bool = False


class Selection(abc.ABC):
    """Who copies whom at the end of a generation: yields (child, parent) pairs.

    ``imitates`` is True where an individual changes its mind (it keeps its uid), False where
    a newcomer with a new uid takes the slot of one who is gone.
    ``reads`` says which parts of the pool a rule needs, so that the loop prepares no more.
    """

    imitates: ClassVar[bool] = False
    reads: ClassVar[tuple[str, ...]] = ("fitness", "graph")
    among: Literal["group", "neighbours", "population"]
    fitness: str

    def fitted(self, world: Any) -> "Selection":
        """The rule as the builder should use it in this world (scales taken from its payoffs)."""
        return self

    @abc.abstractmethod
    def select(self, key: Array, pool: Pool) -> Births:
        """Choose; ``child`` and ``parent`` are rows of the pool, padding rows hold M.

        ``key`` is fresh for this generation. The number of pairs is static; where every row
        takes part the result is ``dense`` (child = arange(M), and parent = own row means
        nothing changes).
        """


class Transmission(abc.ABC):  # noqa: B024 - every part has a default
    """What passes from parents to newcomers, at births and between generations."""

    def check(self, policies: Sequence[Any]) -> None:
        """Raise ValueError, saying what fits, where a policy cannot pass on what is asked."""

    def pass_on(
        self,
        key: Array,
        policy: ArrayPolicy,
        mind: Mind,
        births: Births,
        seats: Seats | None = None,
    ) -> Mind:
        """The array half: runs inside the compiled loop, on one group's rows.

        ``seats`` is what the group's minds were made from; needed to make minds anew.
        """
        return policy.inherit(key, mind, births)

    def texts(self, legacies: Mapping[int, str], parents: Sequence[int]) -> tuple[str, ...]:
        """The text half: what one newcomer may read.

        Args:
          legacies: slot -> the text that each survivor, and each of this newcomer's parents
            (who may be gone), passes on, in slot order.
          parents: the slots selection chose for this newcomer.
        """
        return tuple(legacies[slot] for slot in parents if slot in legacies)


@dataclasses.dataclass(frozen=True)
class GroupSlice:
    """A group as measures and selection see it: name, slots [start, stop), strategy names."""

    name: str
    start: int
    stop: int
    type_names: tuple[str, ...] = ()
    role: str = ""


class Moment(NamedTuple):
    """One step, as the device half of a measure sees it.

    types: [N] int32 strategy index of each slot. action: what every slot did.
    generation, episode, step: int32 scalars. replay: asks minds again, had something been said
    otherwise (``society.counterfactual.Replay``); None outside of the loop.
    """

    observation: Observation
    action: Any
    transition: Transition
    types: Array
    generation: Array
    episode: Array
    step: Array
    replay: Any = None


@dataclasses.dataclass(frozen=True)
class Record:
    """What is known of one replicate after it has run.

    series: metric name -> [T, ...] one row per recorded step; `clock` [T, 3] int32 holds
      (generation, episode, step) of each row.
    generations: name -> [G, ...]: outcomes reduced over individuals ("fitness" [G],
      "<outcome>" [G] means over the living, "types/<group>" [G, K] counts of strategies).
    outcome: name -> array at the end of the last generation, [N] or any fixed shape.
    fitness: [N] of the last generation. alive: [N] bool. types: [N] int32.
    lineage: rows (uid, parent uid, generation, step, slot).
    pedigree: who was born and died inside steps (``society.phylogeny.Pedigree``), or None.
    events: rows of the journal that worlds of texts wrote (``kind`` "world"), in order.
    """

    world: Any
    groups: tuple[GroupSlice, ...]
    series: Mapping[str, np.ndarray]
    clock: np.ndarray
    generations: Mapping[str, np.ndarray]
    outcome: Mapping[str, np.ndarray]
    fitness: np.ndarray
    alive: np.ndarray
    types: np.ndarray
    graph: Graph | None = None
    lineage: Sequence[tuple[int, int, int, int, int]] = ()
    pedigree: Any = None
    events: Sequence[Any] = ()


class Measure(abc.ABC):
    """A number (or table) about a run, with an optional half that runs on the device.

    ``begin`` and ``update`` accumulate inside the compiled loop at every step; ``finish``
    turns the accumulator and the record of one replicate into named values: numbers
    (averaged over replicates with intervals), arrays, or lists of names.
    """

    streams: ClassVar[bool] = False  # True: begin and update are used
    needs_reward: ClassVar[bool] = False  # True: ``record.outcome`` must hold "reward"

    def check(self, world: Any, groups: tuple[GroupSlice, ...]) -> None:
        """Raise ValueError, saying what fits, where the measure cannot be taken."""

    def begin(self, world: Any, groups: tuple[GroupSlice, ...]) -> Any:
        """An empty accumulator (a pytree of arrays)."""
        return ()

    def update(self, acc: Any, moment: Moment) -> Any:
        """Add one step; pure, inside jit. Rows that do not act must not count."""
        return acc

    @abc.abstractmethod
    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Named values of one replicate."""

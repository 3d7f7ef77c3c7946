"""Groups and the population: who holds which slots, with which attributes."""

import bisect
import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from society.contract import GroupSlice
from worlds.policy import ArrayPolicy, TextPolicy
from worlds.types import Seats

__all__ = ["Group", "Population"]


@dataclasses.dataclass(frozen=True)
class Group:
    """One group of the scenario, placed: slots [start, stop), the first ``count`` held.

    columns: attribute name -> array [stop - start] (values for free slots are drawn too).
    every: a text group is asked at steps divisible by it.
    """

    name: str
    policy: ArrayPolicy | TextPolicy
    start: int
    stop: int
    count: int
    role: str = ""
    every: int = 1
    columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def rows(self) -> slice:
        """The group's slots, as a slice of any per-slot array."""
        return slice(self.start, self.stop)

    @property
    def size(self) -> int:
        """Slots of the group, held or free."""
        return self.stop - self.start

    @property
    def is_text(self) -> bool:
        """True where minds read and write texts on the host."""
        return self.policy.kind == "text"

    def seats(self, world: Any) -> Seats:
        """The group's place in a world, as policies are told of it before a run."""
        return Seats(
            num=self.size,
            start=self.start,
            world=world,
            action_space=world.action_space(self.start),
            observation_space=world.observation_space(self.start),
            attributes=self.columns,
        )


@dataclasses.dataclass(frozen=True)
class Population:
    """All groups in slot order."""

    groups: tuple[Group, ...]

    @property
    def num_slots(self) -> int:
        """Rows of every per-slot array."""
        return self.groups[-1].stop if self.groups else 0

    @property
    def num_players(self) -> int:
        """Individuals alive at the start."""
        return sum(group.count for group in self.groups)

    @property
    def text_groups(self) -> tuple[Group, ...]:
        """Groups whose minds ask a model, a person or a script for words."""
        return tuple(group for group in self.groups if group.is_text)

    @property
    def full(self) -> bool:
        """True for one group without spare slots: only births and deaths can leave a slot free."""
        return len(self.groups) == 1 and self.groups[0].count == self.groups[0].size

    def alive(self) -> np.ndarray:
        """[N] bool: who holds a slot at the start."""
        held = np.zeros(self.num_slots, bool)
        for group in self.groups:
            held[group.start : group.start + group.count] = True
        return held

    def group_index(self) -> np.ndarray:
        """[N] int32 index of each slot's group."""
        return np.concatenate(
            [np.full(group.size, index, np.int32) for index, group in enumerate(self.groups)]
        )

    def slices(self) -> tuple[GroupSlice, ...]:
        """The groups as measures see them."""
        return tuple(
            GroupSlice(group.name, group.start, group.stop, _type_names(group), group.role)
            for group in self.groups
        )

    def attributes(self, slot: int) -> dict[str, Any]:
        """Attribute values of whoever holds a slot."""
        group = self.group_of(slot)
        return {name: _plain(column[slot - group.start]) for name, column in group.columns.items()}

    def group_of(self, slot: int) -> Group:
        """The group that owns a slot."""
        if not 0 <= slot < self.num_slots:
            raise IndexError(f"slot {slot} of {self.num_slots}")
        return self.groups[bisect.bisect_right(self._starts, slot) - 1]

    @functools.cached_property
    def _starts(self) -> list[int]:
        return [group.start for group in self.groups]


def _type_names(group: Group) -> tuple[str, ...]:
    return group.policy.type_names() if isinstance(group.policy, ArrayPolicy) else ()


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value

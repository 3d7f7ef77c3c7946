"""What is told again and again: rows of what is seen, and rules that stay as they are."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from society.population import Population
from worlds.captions import Caption
from worlds.records import maker
from worlds.types import Seat

__all__ = ["RulesBook", "SeatBook", "rows_of", "same_values"]

_seat = maker(Seat)


def rows_of(tree: Any) -> Callable[[int], Any]:
    """Take one slot's row of a pytree of arrays, many times, flattening it once."""
    leaves, shape = jax.tree.flatten(tree)
    arrays = [np.asarray(leaf) for leaf in leaves]
    return lambda slot: shape.unflatten([array[slot] for array in arrays])


def same_values(one: Any, other: Any) -> bool:
    """True where two pytrees of host arrays hold the same."""
    if one is other:
        return True
    (first, shape), (second, other_shape) = jax.tree.flatten(one), jax.tree.flatten(other)
    return shape == other_shape and all(
        a is b or np.array_equal(a, b) for a, b in zip(first, second, strict=True)
    )


class SeatBook:
    """The seat of each individual, made once: names and attributes stay for life."""

    def __init__(self, population: Population) -> None:
        """Of the groups of a population, which does not change in a run."""
        self._population = population
        self._seats: dict[int, Seat] = {}

    def given(self, slot: int, uid: int) -> Seat:
        """The seat as a mind gets it: what it writes to its attributes, nobody reads later."""
        seat = self.seat(slot, uid)
        return _seat(slot, seat.group, seat.role, uid, seat.name, dict(seat.attributes))

    def seat(self, slot: int, uid: int) -> Seat:
        """The seat of whoever holds a slot now."""
        held = self._seats.get(slot)
        if held is None or held.uid != uid:
            group = self._population.group_of(slot)
            attributes = self._population.attributes(slot)
            held = self._seats[slot] = Seat(
                slot=slot,
                group=group.name,
                role=group.role,
                uid=uid,
                name=str(attributes.get("name") or f"Agent {uid}"),
                attributes=attributes,
            )
        return held


class RulesBook:
    """The rules that each seat has been told, while neither world nor people change."""

    def __init__(self) -> None:
        """Nothing has been told."""
        self._told: dict[int, tuple[Caption, Seat, str]] = {}
        self._uids: np.ndarray | None = None

    def rules(self, caption: Caption, seat: Seat, uids: np.ndarray) -> str:
        """The rules as a prompt shows them.

        Args:
          caption: of the present world. seat: who reads.
          uids: [N] of everybody; where somebody else has come, names may have changed.
        """
        if uids is not self._uids:
            if self._uids is None or not np.array_equal(uids, self._uids):
                self._told.clear()
            self._uids = uids
        held = self._told.get(seat.slot)
        if held is not None and held[0] is caption and held[1] == seat:
            return held[2]
        text = caption.framing.spaced(caption.rules(seat))
        self._told[seat.slot] = (caption, seat, text)
        return text

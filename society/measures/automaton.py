"""Whether machines computed what an elementary cellular automaton computes."""

import dataclasses
from typing import Any

import numpy as np

from society.contract import Measure, Record
from worlds.registry import component

__all__ = ["Automaton", "elementary"]


def elementary(rule: int, bits: np.ndarray, generations: int, *, ring: bool) -> np.ndarray:
    """[R] bits after some generations; beyond the ends lie zeros, or the other end.

    Source: Wolfram (1983), doi:10.1103/RevModPhys.55.601, for the numbering of rules.
    """
    bits = np.asarray(bits, int)
    for _ in range(generations):
        ends = (bits[-1:], bits[:1]) if ring else (np.zeros(1, int), np.zeros(1, int))
        wide = np.concatenate([ends[0], bits, ends[1]])
        bits = (rule >> (4 * wide[:-2] + 2 * wide[1:-1] + wide[2:])) & 1
    return bits


@component("measure", "automaton")
@dataclasses.dataclass(frozen=True)
class Automaton(Measure):
    """Automaton: share of a row of machines whose last bit is what their rule computes.

    ``automaton_agreement`` is 1 where all bits are right; ``automaton_ones`` their sum.
    """

    def check(self, world: Any, groups: Any) -> None:
        """A row of machines with a rule and a tape."""
        if getattr(world, "layout", "") != "row" or world.rule < 0 or not world.tape:
            raise ValueError("automaton needs layout: row, a rule and a tape, as in life_rule110")

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Compare the end with a plain computation from the tape."""
        world = record.world
        tape = np.array([bit == "1" for bit in world.tape], int)
        steps = int(record.clock[-1, 2]) + 1
        expected = elementary(
            world.rule, tape, steps * world.ticks, ring=world.robots == world.size
        )
        found = np.asarray(record.outcome["bits"]).astype(int)
        return {
            "automaton_agreement": float((found == expected).mean()),
            "automaton_ones": float(found.sum()),
        }

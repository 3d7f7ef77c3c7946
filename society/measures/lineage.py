"""Descent: how many lived, how deep the tree is, how many founders are left."""

import dataclasses
from typing import Any

import numpy as np

from society.contract import Measure, Record
from society.phylogeny import Pedigree
from worlds.registry import component

__all__ = ["Lineage", "coalescence", "lineage_numbers"]


@component("measure", "lineage")
@dataclasses.dataclass(frozen=True)
class Lineage(Measure):
    """Lineage: births, deaths, depth of the tree of descent, founders whose line lives.

    ``lived`` counts all individuals, ``children_mean`` and ``children_max`` their children
    (first parents), ``depth_mean`` births between the living and their founders,
    ``founders_left`` founders with living descendants, ``coalescence`` ticks back to the
    last common ancestor of all living (NaN where they have none), ``lifespan_mean`` ticks of
    those who died, ``mutation_mean`` mean distance of children's minds from their parents'.
    """

    def check(self, world: Any, groups: Any) -> None:
        """Steps must give birth."""
        if not world.births:
            raise ValueError("lineage needs a world that gives birth inside its steps, as life")

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Numbers from the pedigree."""
        return lineage_numbers(record.pedigree)


def lineage_numbers(pedigree: Pedigree) -> dict[str, float]:
    """The numbers that ``Lineage`` describes."""
    parent = pedigree.row_of(pedigree.parent)
    children = np.bincount(parent[parent >= 0], minlength=len(pedigree))
    alive, born = pedigree.alive, pedigree.parent >= 0
    life = (pedigree.died - pedigree.born)[~alive]
    return {
        "lived": float(len(pedigree)),
        "births": float(born.sum()),
        "deaths": float((~alive).sum()),
        "children_mean": _mean(children),
        "children_max": float(children.max(initial=0)),
        "depth_mean": _mean(pedigree.depth()[alive]),
        "founders_left": float(len(np.unique(pedigree.founder()[alive]))),
        "coalescence": coalescence(pedigree),
        "lifespan_mean": _mean(life),
        "mutation_mean": _mean(pedigree.distance[born]),
    }


def coalescence(pedigree: Pedigree) -> float:
    """Ticks from the birth of the living's last common ancestor to the end; NaN without one."""
    rows = np.flatnonzero(pedigree.alive)
    if not len(rows) or len(np.unique(pedigree.founder()[rows])) > 1:
        return float("nan")
    parent = pedigree.row_of(pedigree.parent)
    front = set(rows.tolist())
    while len(front) > 1:  # the youngest gives way to its parent until one is left
        youngest = max(front)
        front.remove(youngest)
        front.add(int(parent[youngest]))
    end = max(int(pedigree.born.max()), int(pedigree.died.max()))
    return float(end - pedigree.born[front.pop()])


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")

"""Selection: who copies whom at the end of a generation.

Rules that replace individuals (truncation, tournament, roulette, rank, Moran) and rules by
which individuals imitate (Fermi, replicator, best neighbour, conformist), all pure functions
of a key and a pool; ``assign_slots`` and ``localise`` turn their pairs into slots and rows.
"""

from society.selection.generational import NoSelection, Rank, Roulette, Tournament, Truncation
from society.selection.imitation import BestNeighbour, Conformist, Fermi, Replicator
from society.selection.moran import MoranBirthDeath, MoranDeathBirth
from society.selection.pairs import (
    Placement,
    assign_slots,
    births_among,
    dense_births,
    keep_within_groups,
    localise,
    newborns,
)

__all__ = [
    "BestNeighbour",
    "Conformist",
    "Fermi",
    "MoranBirthDeath",
    "MoranDeathBirth",
    "NoSelection",
    "Placement",
    "Rank",
    "Replicator",
    "Roulette",
    "Tournament",
    "Truncation",
    "assign_slots",
    "births_among",
    "dense_births",
    "keep_within_groups",
    "localise",
    "newborns",
]

"""Ties of those who are born between two generations, where the graph names an ``attach`` rule.

The slot's former ties are cut and the rule ties the newcomer, within the room that the graph
was built with; ties that find none are refused, counted and journalled. Without a rule a
newcomer takes over its slot's ties. This happens on the host, after selection and before
interventions.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from society.carry import Carry
from society.graphs.attachment import AttachRule, attach_newborns
from society.graphs.rewiring import Situation
from society.journal_rows import StoredEvent
from society.selection.pairs import births_among
from worlds.types import Births

__all__ = ["make_attach", "tie_newcomers"]

_STREAM = 0x617474


def make_attach(scenario: Any, selection: Any) -> AttachRule | None:
    """The rule that ties newcomers, or None.

    Raises:
      ScenarioError: Nobody is born between generations, or there are no ties to give.
    """
    graph = scenario.graph
    if graph is None or graph.attach is None:
        return None
    with scenario.locating("graph.attach"):
        if graph.rule.use == "complete":
            raise ValueError(
                "attach ties newcomers, but everybody is tied to everybody; choose another graph"
            )
        generational = selection and not selection.imitates and scenario.generations > 1
        if not generational and not scenario.world.load().births:
            raise ValueError(
                "attach ties those who are born between generations, and nobody is; give "
                "generations: and a selection in which newcomers replace others (truncation, "
                "tournament, moran)"
            )
        return graph.attach.build()


def tie_newcomers(
    rule: AttachRule,
    carry: Carry,
    births: Births,
    situation: Situation,
    *,
    seed: int,
    tick: int,
    replicate: int,
    generation: int,
) -> tuple[Carry, list[StoredEvent]]:
    """Cut the ties of slots that changed hands, then tie those who hold them now.

    Args:
      rule: how. carry: after selection. births: what selection came to.
      situation: the society as it is now.
      seed, tick: of the draws. replicate, generation: for the journal.
    """
    num = len(np.asarray(carry.alive))
    real = np.asarray(births_among(births, num))
    newborns, parents = np.asarray(births.child)[real], np.asarray(births.parent)[real]
    if not len(newborns):
        return carry, []
    # Whoever lost its slot to a newcomer is gone and has no ties to pass on.
    parents = np.where(np.isin(parents, newborns), -1, parents)
    graph = jax.tree.map(np.asarray, carry.graph)
    rng = np.random.default_rng([seed, _STREAM, tick])
    edited = attach_newborns(graph, rule, rng, newborns, parents, situation)
    data = {"newborns": len(newborns), "refused": int(edited.refused)}
    event = StoredEvent(replicate, generation, 0, 0, 0, "attach", -1, 0, data)
    return carry._replace(graph=jax.tree.map(jnp.asarray, edited.graph)), [event]

"""How ties come to change during a run, and which changes a scenario cannot have."""

from collections.abc import Sequence
from typing import Any

from society.graphs.rewiring import RewireRule
from society.interventions import AddTies, CutTies, Rewire, Scheduled
from society.plan import Plan
from society.population import Population
from society.scenario import Scenario

__all__ = ["TIE_CHANGES", "attaches", "check_ties", "make_rewiring", "ties_change"]

TIE_CHANGES = (CutTies, AddTies, Rewire)


def check_ties(
    scenario: Scenario,
    plan: Plan,
    population: Population,
    world: Any,
    rewiring: RewireRule | None,
    interventions: Sequence[Scheduled],
) -> None:
    """Refuse changes of ties that the world, or newcomers without ties, could not follow."""
    if getattr(world, "ties_are_seats", False):
        message = (
            "ties would change while each is a seat of a match under way; "
            "set world.actions: same, or change ties only where episodes have one step"
        )
        if rewiring is not None and plan.horizon != 1:
            raise scenario.error("graph.rewire", message)
        for event in interventions:
            inside = [tick for tick in event.ticks if tick % (plan.horizon or plan.total)]
            if isinstance(event.what, (CutTies, AddTies, Rewire)) and (plan.steps or inside):
                raise scenario.error(f"interventions.{event.name}", message)
    selection = scenario.selection
    spare = any(group.size > group.count for group in population.groups)
    moves = selection is not None and selection.params.get("among") == "population"
    if (
        spare
        and moves
        and not attaches(scenario)
        and scenario.graph is not None
        and scenario.graph.rule.use != "complete"
    ):
        raise scenario.error(
            "selection.among",
            "newcomers would take spare slots, which have no ties on this graph; "
            "say how they get some with graph.attach (random, preferential, parents_neighbours), "
            "leave capacity out, choose among: group, or graph: complete",
        )


def ties_change(rewiring: RewireRule | None, interventions: Sequence[Scheduled]) -> bool:
    """True where rewiring or an intervention changes the graph during the run."""
    return rewiring is not None or any(
        isinstance(event.what, TIE_CHANGES) for event in interventions
    )


def attaches(scenario: Scenario) -> bool:
    """True where newcomers of a generation get ties of their own."""
    return scenario.graph is not None and scenario.graph.attach is not None


def make_rewiring(scenario: Scenario, world: Any) -> RewireRule | None:
    """The rule by which ties change between steps, or None."""
    spec = scenario.graph.rewire if scenario.graph is not None else None
    if spec is None:
        return None
    with scenario.locating("graph.rewire"):
        rule = spec.build()
        knows = hasattr(world, "defected") and getattr(world, "cooperates", True)
        if "defected" in rule.reads and not knows:
            raise ValueError(
                f"{spec.use} must know who defected, and world {scenario.world.use!r} does not "
                "say; use a world with cooperation, or rewire: random"
            )
        return rule

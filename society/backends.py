"""The backends of a run: named in the scenario, held to its limits."""

from llm_agents.backends.base import Backend
from llm_agents.backends.replay import Replay
from llm_agents.backends.wrappers import Budget, Spent
from society.build import Simulation
from society.journal import Journal

__all__ = ["make_backends"]


def make_backends(
    simulation: Simulation, journal: Journal, *, offline: bool = False
) -> dict[str, Backend]:
    """Build every backend that some group uses.

    What an interrupted run has already spent counts: budgets go on from the journal's sums.

    Args:
      simulation: whose scenario names backends and limits.
      journal: of the run.
      offline: build none that could answer; the journal alone does.
    """
    limits = simulation.scenario.limits
    counts = journal.counts()
    spent = Spent(counts.calls, counts.prompt_tokens + counts.completion_tokens, counts.cost_usd)
    found: dict[str, Backend] = {}
    for name in simulation.backend_names:
        if offline:
            found[name] = Replay()
            continue
        with simulation.scenario.locating(f"backends.{name}"):
            inner = simulation.scenario.backend_component(name).build()
            inner.check_params()
        found[name] = Budget(
            inner, calls=limits.calls, tokens=limits.tokens, cost_usd=limits.cost_usd, spent=spent
        )
    return found

"""What theory predicts for a run, as lines beside its data, where an oracle exists.

Equilibria say what self-interested one-shot players do, not what a society of imitators or
language models must do: the line is there to show the distance.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["theory_of"]

Line = dict[str, Any]


def theory_of(run: Path) -> dict[str, list[Line]]:
    """Return measure -> lines (``label``, ``value``, ``source``) for the scenario of a run.

    Nothing for worlds without an oracle, and for scenarios with code of their own.
    """
    from society.errors import ScenarioError
    from society.scenario import load_resolved

    try:
        scenario = load_resolved(run / "scenario.yaml")
    except (ScenarioError, OSError):
        return {}
    oracle = _ORACLES.get(scenario.world.use)
    found: dict[str, list[Line]] = {}
    for measure, line in oracle(scenario) if oracle else ():
        found.setdefault(measure, []).append(line)
    return found


def _matrix_game(scenario: Any) -> Iterator[tuple[str, Line]]:
    from worlds.games.equilibria import interior_mixed, pure_equilibria

    world = scenario.world.build(num_slots=max(2, sum(scenario.counts.values())))
    table = np.asarray(world.table(), np.float64)
    yield from _moran(scenario, table)
    if not getattr(world, "cooperates", False) or table.shape != (2, 2, 2):
        return
    source = "Nash equilibrium of one round"
    cells = [tuple(sorted(cell)) for cell in pure_equilibria(table)]
    cells = [cell for cell in cells if len(set(cell)) == 1] or cells  # alike, where there are
    for cell in dict.fromkeys(cells):
        value = sum(action == 0 for action in cell) / len(cell)
        for measure in ("cooperation", "cooperation_final"):
            yield measure, {"label": "Nash", "value": value, "source": source}
    mixed = interior_mixed(table)
    if mixed is not None:
        value = float(np.mean(mixed))
        yield "cooperation", {"label": "mixed Nash", "value": value, "source": source}


def _moran(scenario: Any, table: np.ndarray) -> Iterator[tuple[str, Line]]:
    """Chance that one mutant takes over: birth-death, everybody meets everybody once."""
    from worlds.games.equilibria import moran_fixation_payoffs

    selection, groups = scenario.selection, list(scenario.groups.values())
    graph = scenario.graph.rule.use if scenario.graph else "complete"
    if selection is None or selection.use != "moran_birth_death" or len(groups) != 1:
        return
    mix = groups[0].policy.params.get("mix")
    known = isinstance(mix, Mapping) and {*mix} == {"always_cooperate", "always_defect"}
    world = scenario.world.params
    once = world.get("rounds", 1) == 1 and not world.get("noise") and world.get("pairs") == "all"
    if not (known and once and graph == "complete") or table.shape != (2, 2, 2):
        return
    payoff = table[0]
    for own, name in enumerate(("always_cooperate", "always_defect")):
        if mix[name] == 1 and payoff.min() > 0:
            mutant = payoff if own == 0 else payoff[::-1, ::-1]
            size = sum(scenario.counts.values())
            yield (
                f"fixation.{name}",
                {
                    "label": "Moran",
                    "value": moran_fixation_payoffs(mutant, size),
                    "source": "Nowak et al. (2004), doi:10.1038/nature02414",
                },
            )


def _public_goods(scenario: Any) -> Iterator[tuple[str, Line]]:
    world = scenario.world.build()
    if world.punishment != "none" or world.participation != "compulsory":
        return
    value = float(float(world.multiplier) > world.group_size)
    source = "Nash equilibrium of one round: give all where multiplier > group size, else nothing"
    for measure in ("contribution", "contribution_mean"):
        yield measure, {"label": "Nash", "value": value, "source": source}


def _donor_game(scenario: Any) -> Iterator[tuple[str, Line]]:
    source = "subgame-perfect equilibrium of finitely many rounds"
    yield "generosity", {"label": "Nash", "value": 0.0, "source": source}


_ORACLES = {
    "matrix_game": _matrix_game,
    "public_goods": _public_goods,
    "donor_game": _donor_game,
}

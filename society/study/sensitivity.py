"""Designs for sensitivity analysis, and what a number owes to each factor.

Morris (1991), doi:10.1080/00401706.1991.10484804: ``morris``, elementary effects along
trajectories, cheap screening. Saltelli et al. (2010), doi:10.1016/j.cpc.2009.09.018:
``saltelli``, shares of variance (Sobol' indices). Both through SALib (Herman & Usher 2017,
doi:10.21105/joss.00097), which is an extra; everything is seeded.
"""

import importlib.util
from collections.abc import Sequence
from typing import Any

__all__ = ["DESIGNS", "HOW_TO_INSTALL", "design", "indices", "installed"]

DESIGNS = ("morris", "saltelli")
HOW_TO_INSTALL = "pip install 'societylab[sensitivity]'"
_LEVELS = 4
_SEED = 0


def installed() -> bool:
    """True where SALib can be imported."""
    return importlib.util.find_spec("SALib") is not None


def design(method: str, dimensions: int, samples: int) -> Any:
    """Return the points of a design in the unit cube.

    Args:
      method: "morris": ``samples`` trajectories of dimensions + 1 points each. "saltelli":
        ``samples`` times dimensions + 2 points; a power of 2 serves best.
      dimensions: number of factors.
      samples: base size.

    Returns:
      [points, dimensions] float64; a 1 becomes the largest number below it, so that a place
      maps to a level of a discrete factor.
    """
    import numpy as np

    problem = _problem([f"x{index}" for index in range(dimensions)])
    if method == "morris":
        from SALib.sample import morris

        points = morris.sample(problem, samples, num_levels=_LEVELS, seed=_SEED)
    else:
        from SALib.sample import sobol

        points = sobol.sample(problem, samples, calc_second_order=False, seed=_SEED)
    return np.clip(points, 0.0, np.nextafter(1.0, 0.0))


def indices(
    method: str, names: Sequence[str], units: Any, values: Any
) -> dict[str, dict[str, float]]:
    """Return what a number owes to each factor.

    Args:
      method: of the design. names: of the factors.
      units: [points, factors] the design, in its order. values: [points] a mean over runs each.

    Returns:
      factor -> named indices. morris: ``effect`` (mean absolute elementary effect, in units of
      the number per range of the factor), ``sd`` (interaction or curvature), ``effect_half``
      (half width of the 95 % interval). saltelli: ``first`` and ``total`` (shares of variance,
      alone and with interactions), ``first_half``, ``total_half``.
    """
    import numpy as np

    problem = _problem(list(names))
    if method == "morris":
        from SALib.analyze import morris

        found = morris.analyze(
            problem, np.asarray(units), np.asarray(values), num_levels=_LEVELS, seed=_SEED
        )
        keys = {"effect": "mu_star", "sd": "sigma", "effect_half": "mu_star_conf"}
    else:
        from SALib.analyze import sobol

        found = sobol.analyze(problem, np.asarray(values), calc_second_order=False, seed=_SEED)
        keys = {"first": "S1", "total": "ST", "first_half": "S1_conf", "total_half": "ST_conf"}
    return {
        name: {key: float(found[column][place]) for key, column in keys.items()}
        for place, name in enumerate(names)
    }


def _problem(names: list[str]) -> dict[str, Any]:
    return {"num_vars": len(names), "names": names, "bounds": [[0.0, 1.0]] * len(names)}

"""What theory predicts for a game: equilibria, dynamics, fixation, stationary payoffs.

Small NumPy and SciPy functions for hosts: they are references for what is simulated and
lines to draw beside data, not part of any step. A two-player table is [2, A, B].
"""

import itertools
from typing import NamedTuple

import numpy as np
from scipy.integrate import solve_ivp

__all__ = [
    "Stationary",
    "dominant_strategies",
    "fermi_fixation",
    "interior_mixed",
    "maximin",
    "moran_fixation",
    "moran_fixation_payoffs",
    "pareto_cells",
    "pure_equilibria",
    "repeated_threshold",
    "replicator",
    "stationary_memory_one",
    "zero_determinant",
]

Cell = tuple[int, ...]


class Stationary(NamedTuple):
    """Long-run averages of two memory-one players.

    distribution: [4] shares of (CC, CD, DC, DD), seen by the row player.
    row, column: payoffs per round.
    """

    distribution: np.ndarray
    row: float
    column: float


def pure_equilibria(table: np.ndarray) -> list[Cell]:
    """Return the cells where nobody gains by deviating alone; ``table`` is [n, A1, ..., An]."""
    table = np.asarray(table, np.float64)
    best = [
        table[player] >= table[player].max(axis=player, keepdims=True)
        for player in range(len(table))
    ]
    return [tuple(int(i) for i in cell) for cell in np.argwhere(np.logical_and.reduce(best))]


def interior_mixed(table: np.ndarray) -> tuple[float, float] | None:
    """Return the fully mixed equilibrium of a 2x2 game, or None.

    The result is the probability of action 0 of the row and of the column player; each
    makes the other indifferent.
    """
    row, column = np.asarray(table, np.float64)
    by_row = column[0, 0] - column[0, 1] - column[1, 0] + column[1, 1]
    by_column = row[0, 0] - row[0, 1] - row[1, 0] + row[1, 1]
    if by_row == 0 or by_column == 0:
        return None
    first = (column[1, 1] - column[1, 0]) / by_row
    second = (row[1, 1] - row[0, 1]) / by_column
    return (float(first), float(second)) if 0 < first < 1 and 0 < second < 1 else None


def dominant_strategies(table: np.ndarray, player: int) -> list[int]:
    """Return the actions that are strictly best whatever the others do (one or none)."""
    own = np.moveaxis(np.asarray(table, np.float64)[player], player, 0)
    own = own.reshape(len(own), -1)
    return [
        action
        for action in range(len(own))
        if all((own[action] > own[other]).all() for other in range(len(own)) if other != action)
    ]


def pareto_cells(table: np.ndarray) -> list[Cell]:
    """Return the cells that no other cell beats for one player and matches for the rest."""
    table = np.asarray(table, np.float64)
    cells = list(itertools.product(*(range(size) for size in table.shape[1:])))
    values = np.array([table[(slice(None), *cell)] for cell in cells])
    return [
        cell
        for cell, value in zip(cells, values, strict=True)
        if not ((values >= value).all(axis=1) & (values > value).any(axis=1)).any()
    ]


def maximin(table: np.ndarray, player: int) -> int:
    """Return the pure action with the best guaranteed payoff (the first of equals)."""
    own = np.moveaxis(np.asarray(table, np.float64)[player], player, 0)
    return int(np.argmax(own.reshape(len(own), -1).min(axis=1)))


def repeated_threshold(
    reward: float, sucker: float, temptation: float, punishment: float
) -> dict[str, float]:
    """Return the least discount at which grim trigger and tit for tat sustain cooperation.

    Source: Friedman (1971), doi:10.2307/2296617; Axelrod (1984), The Evolution of
    Cooperation, appendix B.
    """
    grim = (temptation - reward) / (temptation - punishment)
    return {"grim": grim, "tit_for_tat": max(grim, (temptation - reward) / (reward - sucker))}


def replicator(payoff: np.ndarray, start: np.ndarray, time: float) -> np.ndarray:
    """Integrate dx_i/dt = x_i [(Ax)_i - x'Ax] and return the shares at ``time``.

    Source: Taylor & Jonker (1978), doi:10.1016/0025-5564(78)90077-9.
    """
    matrix = np.asarray(payoff, np.float64)

    def change(_: float, shares: np.ndarray) -> np.ndarray:
        fitness = matrix @ shares
        return shares * (fitness - shares @ fitness)

    solved = solve_ivp(change, (0.0, time), np.asarray(start, np.float64), rtol=1e-10, atol=1e-12)
    return solved.y[:, -1]


def moran_fixation(size: int, fitness: float) -> float:
    """Return the chance that one mutant of constant relative fitness takes over.

    Source: Moran (1958), doi:10.1017/S0305004100033193.
    """
    if fitness == 1:
        return 1 / size
    return (1 - 1 / fitness) / (1 - fitness ** -float(size))


def moran_fixation_payoffs(payoff: np.ndarray, size: int) -> float:
    """Return the chance that one player of type 0 takes over a Moran process of type 1.

    Fitness is the mean payoff against all others, without self-play.

    Source: Nowak, Sasaki, Taylor, Fudenberg (2004), doi:10.1038/nature02414.
    """
    count = np.arange(1, size)
    mutant, resident = _mean_payoffs(payoff, count, size)
    return float(1 / (1 + np.cumprod(resident / mutant).sum()))


def fermi_fixation(payoff: np.ndarray, size: int, strength: float) -> float:
    """Return the chance that one player of type 0 takes over by pairwise comparison.

    Payoffs are means over all others; ``strength`` is beta of 1 / (1 + exp(-beta d)).

    Source: Traulsen, Nowak, Pacheco (2006), doi:10.1103/PhysRevE.74.011909.
    """
    count = np.arange(1, size)
    mutant, resident = _mean_payoffs(payoff, count, size)
    return float(1 / (1 + np.exp(np.cumsum(-strength * (mutant - resident))).sum()))


def stationary_memory_one(
    row: np.ndarray, column: np.ndarray, table: np.ndarray, noise: float = 0.0
) -> Stationary:
    """Return the long-run play of two memory-one strategies.

    Args:
      row, column: [4] chances to cooperate after (CC, CD, DC, DD), each from its own seat.
      table: [2, 2, 2], action 0 is C.
      noise: chance that an action is flipped as it is carried out.

    Source: Nowak & Sigmund (1993), doi:10.1038/364056a0.
    """
    first = _with_noise(row, noise)
    second = _with_noise(column, noise)[[0, 2, 1, 3]]
    matrix = np.stack(
        [first * second, first * (1 - second), (1 - first) * second, (1 - first) * (1 - second)],
        axis=1,
    )
    system = np.vstack([matrix.T - np.eye(4), np.ones(4)])
    distribution = np.linalg.lstsq(system, np.array([0, 0, 0, 0, 1.0]), rcond=None)[0]
    cells = np.asarray(table, np.float64).reshape(2, 4)
    return Stationary(distribution, float(cells[0] @ distribution), float(cells[1] @ distribution))


def zero_determinant(
    reward: float,
    sucker: float,
    temptation: float,
    punishment: float,
    *,
    slope: float,
    baseline: float,
    phi: float,
) -> np.ndarray:
    """Return the memory-one strategy that forces slope (own - baseline) = other - baseline.

    Extortion has the punishment as its baseline and the factor chi = 1 / slope; generosity
    has the reward as its baseline. Returns [4] chances to cooperate after (CC, CD, DC, DD).

    Source: Press & Dyson (2012), doi:10.1073/pnas.1206569109, in the form of Hilbe, Nowak,
    Sigmund (2013), doi:10.1073/pnas.1214834110, eq. 14.
    """
    chances = np.array(
        [
            1 - phi * (1 - slope) * (reward - baseline),
            1 - phi * (slope * (baseline - sucker) + temptation - baseline),
            phi * (baseline - sucker + slope * (temptation - baseline)),
            phi * (1 - slope) * (baseline - punishment),
        ]
    )
    if (chances < -1e-12).any() or (chances > 1 + 1e-12).any():
        raise ValueError(
            f"slope {slope}, baseline {baseline}, phi {phi} give chances "
            f"{chances.round(4).tolist()}, which must lie in [0, 1]; choose a smaller phi"
        )
    return np.clip(chances, 0, 1)


def _mean_payoffs(
    payoff: np.ndarray, count: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean payoffs of types 0 and 1 when ``count`` of ``size`` are of type 0."""
    matrix = np.asarray(payoff, np.float64)
    mutant = (matrix[0, 0] * (count - 1) + matrix[0, 1] * (size - count)) / (size - 1)
    resident = (matrix[1, 0] * count + matrix[1, 1] * (size - count - 1)) / (size - 1)
    return mutant, resident


def _with_noise(chances: np.ndarray, noise: float) -> np.ndarray:
    chances = np.asarray(chances, np.float64)
    return chances * (1 - noise) + (1 - chances) * noise

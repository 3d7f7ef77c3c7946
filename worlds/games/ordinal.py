"""All 144 strict ordinal 2x2 games, by number and by family.

Each player ranks the four outcomes 1 (worst) to 4 (best). Of the 24 x 24 = 576 pairs of
rankings, those that differ only in the names of the rows and columns are one game; a game
is written as the lexicographically smallest of its four forms, and numbered in that order.

Source: Rapoport & Guyer (1966), "A taxonomy of 2x2 games"; families as in Bruns (2015),
"Names for games: locating 2x2 games", doi:10.3390/g6040495, by the best equilibrium.
"""

import functools
import itertools

import numpy as np

from worlds.games.equilibria import pareto_cells, pure_equilibria

__all__ = ["FAMILIES", "family", "ordinal_games", "ordinal_table"]

FAMILIES = ("win_win", "biased", "second_best", "unfair", "tragic", "prisoners_dilemma", "cyclic")


@functools.cache
def ordinal_games() -> tuple[np.ndarray, ...]:
    """Return the 144 tables, each [2, 2, 2] int64, in canonical order."""
    rankings = list(itertools.permutations((1, 2, 3, 4)))
    forms = {_canonical(row, column) for row in rankings for column in rankings}
    return tuple(np.asarray(form).reshape(2, 2, 2) for form in sorted(forms))


def ordinal_table(number: int, within: str = "") -> np.ndarray:
    """Return game ``number`` as a [2, 2, 2] table: of all 144, or of one family."""
    games = ordinal_games() if not within else _family_games(within)
    if not 0 <= number < len(games):
        whose = f" of family {within}" if within else ""
        raise ValueError(
            f"ordinal game {number}{whose} does not exist; numbers are 0 to {len(games) - 1}"
        )
    return games[number]


def family(table: np.ndarray) -> str:
    """Return the family of a strict ordinal game, one of ``FAMILIES``.

    The best equilibrium gives (4, 4): win_win; (4, 3): biased; (4, 2): unfair;
    (3, 3): second_best; less, tragic, or prisoners_dilemma where another outcome is
    better for both; without a pure equilibrium: cyclic.
    """
    cells = pure_equilibria(table)
    if not cells:
        return "cyclic"
    best = max(cells, key=lambda cell: sum(table[:, cell[0], cell[1]]))
    high, low = sorted((int(rank) for rank in table[:, best[0], best[1]]), reverse=True)
    named = {(4, 4): "win_win", (4, 3): "biased", (4, 2): "unfair", (3, 3): "second_best"}
    if (high, low) in named:
        return named[high, low]
    return "tragic" if best in pareto_cells(table) else "prisoners_dilemma"


@functools.cache
def _family_games(within: str) -> tuple[np.ndarray, ...]:
    if within not in FAMILIES:
        raise ValueError(f"family {within!r} is unknown; choose one of {', '.join(FAMILIES)}")
    return tuple(table for table in ordinal_games() if family(table) == within)


def _canonical(row: tuple[int, ...], column: tuple[int, ...]) -> tuple[int, ...]:
    """The smallest of the four forms that renaming rows and columns gives."""
    orders = ((0, 1, 2, 3), (2, 3, 0, 1), (1, 0, 3, 2), (3, 2, 1, 0))
    return min(
        tuple(row[cell] for cell in order) + tuple(column[cell] for cell in order)
        for order in orders
    )

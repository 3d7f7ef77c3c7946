"""Named two-player games: payoffs, what the actions are called, and where they come from.

A table is [players, A, A]: ``table[p, a, b]`` is what player p gets when the row player
takes action a and the column player action b. Where a game has a cooperative action it is
action 0, which is what scripted strategies call C.
"""

import dataclasses
from typing import Any

import numpy as np

__all__ = ["LEVELS", "PRESETS", "Preset", "nested_shape", "symmetric"]

# The four payoffs of a symmetric dilemma: own action, the other's.
LEVELS = {"reward": (0, 0), "sucker": (0, 1), "temptation": (1, 0), "punishment": (1, 1)}


@dataclasses.dataclass(frozen=True)
class Preset:
    """A named game.

    actions: names of the actions, in order. table: [2, A, A] float64.
    cooperative: True where action 0 is the cooperative one.
    levels: True where the four payoffs are the reward, sucker, temptation and punishment
      of a symmetric game, so that each can be set on its own.
    """

    about: str
    actions: tuple[str, ...]
    table: np.ndarray
    cooperative: bool = False
    levels: bool = False

    @property
    def symmetric(self) -> bool:
        """True where both seats face the same payoffs."""
        return bool(np.array_equal(self.table[1], self.table[0].T))


def symmetric(row: list[list[float]]) -> np.ndarray:
    """Return the [2, A, A] table of a symmetric game from the row player's payoffs."""
    own = np.asarray(row, np.float64)
    return np.stack([own, own.T])


def _dilemma(
    about: str,
    reward: float,
    sucker: float,
    temptation: float,
    punishment: float,
    actions: tuple[str, str] = ("cooperate", "defect"),
) -> Preset:
    table = symmetric([[reward, sucker], [temptation, punishment]])
    return Preset(about, actions, table, cooperative=True, levels=True)


def _bimatrix(about: str, actions: tuple[str, ...], row: list, column: list) -> Preset:
    return Preset(about, actions, np.asarray([row, column], np.float64))


PRESETS: dict[str, Preset] = {
    "prisoners_dilemma": _dilemma(
        "Prisoner's Dilemma, payoffs of Axelrod (1980), doi:10.1177/002200278002400101", 3, 0, 5, 1
    ),
    "prisoners_dilemma_akata": _dilemma(
        "Prisoner's Dilemma, payoffs of Akata et al. (2025), arXiv:2305.16867", 8, 0, 10, 5
    ),
    "weak_prisoners_dilemma": _dilemma(
        "Prisoner's Dilemma on graphs, Nowak & May (1992), doi:10.1038/359826a0: only "
        "the temptation counts",
        1,
        0,
        1.3,
        0,
    ),
    "donation": _dilemma(
        "Donation game, benefit 3 and cost 1: Sigmund (2010), The Calculus of Selfishness",
        2,
        -1,
        3,
        0,
    ),
    "stag_hunt": _dilemma("Stag Hunt: Skyrms (2004)", 4, 1, 3, 2, ("stag", "hare")),
    "chicken": _dilemma("Chicken", 3, 2, 4, 1, ("swerve", "straight")),
    "hawk_dove": _dilemma(
        "Hawk-Dove with V = 2, C = 4: Maynard Smith & Price (1973), doi:10.1038/246015a0",
        1,
        0,
        2,
        -1,
        ("dove", "hawk"),
    ),
    "snowdrift": _dilemma(
        "Snowdrift with benefit 2, cost 1: Hauert & Doebeli (2004), doi:10.1038/nature02360",
        1.5,
        1,
        2,
        0,
        ("shovel", "wait"),
    ),
    "harmony": _dilemma("Harmony: cooperating is dominant", 4, 2, 3, 1),
    "deadlock": _dilemma("Deadlock: defecting is dominant, and both prefer it", 2, 1, 4, 3),
    "battle_of_the_sexes": _bimatrix(
        "Battle of the Sexes, payoffs of Akata et al. (2025), arXiv:2305.16867",
        ("football", "ballet"),
        [[10, 0], [0, 7]],
        [[7, 0], [0, 10]],
    ),
    "matching_pennies": _bimatrix(
        "Matching Pennies: the row player wants a match",
        ("heads", "tails"),
        [[1, -1], [-1, 1]],
        [[-1, 1], [1, -1]],
    ),
    "coordination": Preset(
        "Pure coordination: any match is good", ("left", "right"), symmetric([[1, 0], [0, 1]])
    ),
    "rock_paper_scissors": Preset(
        "Rock, Paper, Scissors",
        ("rock", "paper", "scissors"),
        symmetric([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]),
    ),
}


def nested_shape(values: Any) -> tuple[int, ...]:
    """Return the shape of nested lists whose leaves may be arrays."""
    if isinstance(values, (list, tuple)):
        return (len(values), *(nested_shape(values[0]) if values else ()))
    return tuple(np.shape(values))

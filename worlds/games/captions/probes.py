"""Questions about games with right answers, from the parameters that pay.

Right and wrong answers are all made from the world, so a probe cannot ask about another game
than the one being played. Wrong answers are what a plausible mistake would come to.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from worlds.games.captions.wording import exact
from worlds.probes import Probe

__all__ = ["choice_of", "donor_probes", "matrix_probes", "public_goods_probes"]

_MOST_OUTCOMES = 4


def matrix_probes(
    table: np.ndarray,
    role: int | None,
    labels: Sequence[str],
    rounds: int | None,
    words: tuple[str, str, str],
) -> tuple[Probe, ...]:
    """What one earns in up to four outcomes of a game of two, and how long it lasts.

    Args:
      table: [2, A, B] payoffs of row and column player.
      role: which of them one is; None where that changes from round to round.
      labels: names of the actions. rounds: None where nobody knows.
      words: the other player, the option and the payoff ("points") as the story calls them.
    """
    probes = []
    other, option, unit = words
    if table.ndim == 3 and role is not None:
        mine = table[role] if role == 0 else table[role].T
        values = sorted({float(value) for value in mine.ravel()})
        outcomes = list(itertools.product(range(mine.shape[0]), range(mine.shape[1])))
        for own, theirs in outcomes[:_MOST_OUTCOMES]:
            ask = (
                f"If you choose {option} {labels[own]} and {other} chooses {option} "
                f"{labels[theirs]}, how many {unit} do you get in that round?"
            )
            probe_id = f"payoff_{own}_{theirs}"
            probes += choice_of(probe_id, ask, float(mine[own, theirs]), values)
    if rounds is not None:
        ask = "How many rounds are played in all?"
        probes += choice_of("rounds", ask, rounds, (rounds + 1, 2 * rounds, max(rounds // 2, 1)))
    return tuple(probes)


def donor_probes(world: Any, unit: str) -> tuple[Probe, ...]:
    """What a gift does to both sides, and how long a game lasts."""
    gift, factor = 4.0, float(world.multiplier)
    start, rounds = float(world.endowment), world.rounds
    return (
        *choice_of(
            "recipient",
            f"The donor gives up {exact(gift)} {unit}. How many {unit} does the recipient get?",
            factor * gift,
            (gift, gift / 2, factor * gift + gift, gift + 1),
        ),
        *choice_of(
            "donor",
            f"A donor who has {exact(2 * gift)} {unit} gives up {exact(gift)} of them. How many "
            f"{unit} does the donor have then?",
            gift,
            (2 * gift, factor * gift, gift + factor * gift),
        ),
        *choice_of(
            "start",
            f"How many {unit} does everybody start with?",
            start,
            (2 * start, start / 2, start + 1),
        ),
        *choice_of("rounds", "How many rounds does a game have?", rounds, (rounds + 1, 2 * rounds)),
    )


def public_goods_probes(world: Any, unit: str) -> tuple[Probe, ...]:
    """What one earns when all, none, or all others put everything in (before any fines)."""
    own, size = float(world.endowment), world.group_size
    factor, threshold = float(world.multiplier), float(world.threshold)

    def earned(mine: float, others: float) -> float:
        total = mine + (size - 1) * others
        paid = total >= threshold
        kept = mine if not paid and world.below_threshold == "returned" else 0.0
        return own - mine + (factor * total / size if paid else 0.0) + kept

    cases = {
        "all": (own, own, f"Everybody in your group contributes all {exact(own)} {unit}"),
        "none": (0.0, 0.0, "Nobody in your group contributes anything"),
        "free_ride": (0.0, own, f"You contribute nothing, all others all {exact(own)} {unit}"),
        "alone": (own, 0.0, f"You contribute all {exact(own)} {unit}, all others nothing"),
    }
    values = [earned(mine, others) for mine, others, _ in cases.values()]
    return tuple(
        probe
        for name, (mine, others, case) in cases.items()
        for probe in choice_of(
            f"payoff_{name}",
            f"{case}. How many {unit} does that leave you with in this round, before any points "
            "are spent on others?",
            earned(mine, others),
            values,
        )
    )


def choice_of(probe_id: str, ask: str, right: float, wrong: Iterable[float]) -> tuple[Probe, ...]:
    """One probe with numbers in ascending order as options; none where all are the same."""
    texts = {exact(value): float(np.float32(value)) for value in (right, *wrong)}
    options = tuple(sorted(texts, key=lambda text: texts[text]))
    if len(options) < 2:
        return ()
    return (Probe(probe_id, ask, options, options.index(exact(right))),)

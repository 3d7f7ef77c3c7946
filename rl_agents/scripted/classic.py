"""Deterministic strategies of the repeated Prisoner's Dilemma.

Each class is a policy under its own name and may be part of ``strategies: {mix: ...}``.
Where a strategy is also in the Axelrod library (4.14), it plays the same move by move,
with or without noise; the tests hold both side by side.
"""

import jax.numpy as jnp
import numpy as np

from rl_agents.scripted.strategy import Last, Strategy
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array, Seats

__all__ = [
    "Alternator",
    "AlwaysCooperate",
    "AlwaysDefect",
    "AntiTitForTat",
    "ContriteTitForTat",
    "Cycler",
    "DefectOnce",
    "Gradual",
    "Grudger",
    "HardTitForTat",
    "HardTitForTatAkata",
    "ReverseTitForTat",
    "SuspiciousTitForTat",
    "TitForTat",
    "TitForTwoTats",
    "TwoTitsForTat",
    "WinStayLoseShift",
]

_COUNT = 1 << 16  # Gradual keeps two 16-bit counters in one word


@component("policy", "always_cooperate")
@pytree
class AlwaysCooperate(Strategy):
    """Always cooperates."""

    sees = "nothing"

    def move(self, memory: Array, last: Last) -> Array:
        """C."""
        return jnp.bool_(False)


@component("policy", "always_defect")
@pytree
class AlwaysDefect(Strategy):
    """Always defects."""

    sees = "nothing"
    opening = 1

    def move(self, memory: Array, last: Last) -> Array:
        """D."""
        return jnp.bool_(True)


@component("policy", "tit_for_tat")
@pytree
class TitForTat(Strategy):
    """Cooperates first, then does what the other did last.

    Source: Rapoport in Axelrod (1980), doi:10.1177/002200278002400101.
    """

    def move(self, memory: Array, last: Last) -> Array:
        """The other's last action."""
        return last.other == 1


@component("policy", "alternator")
@pytree
class Alternator(Strategy):
    """Cooperates first, then does the opposite of what it did last.

    Source: Axelrod (1984), The Evolution of Cooperation.
    """

    sees = "own"

    def move(self, memory: Array, last: Last) -> Array:
        """The opposite of the own last action."""
        return last.own == 0


@component("policy", "grudger")
@pytree
class Grudger(Strategy):
    """Cooperates until the other defects once, then defects for ever (grim trigger).

    Source: Friedman (1971), doi:10.2307/2296617.
    """

    blank = np.int8(0)

    def update(self, memory: Array, last: Last) -> Array:
        """1 once the other has defected."""
        return memory | last.other

    def move(self, memory: Array, last: Last) -> Array:
        """D with a grudge."""
        return memory == 1


@component("policy", "tit_for_two_tats")
@pytree
class TitForTwoTats(Strategy):
    """Defects only after two defections in a row.

    Source: Maynard Smith in Axelrod (1980), doi:10.1177/002200278002400301.
    """

    blank = np.int8(0)

    def update(self, memory: Array, last: Last) -> Array:
        """Length of the other's run of defections, at most 2."""
        return jnp.where(last.other == 1, jnp.minimum(memory + 1, 2), 0)

    def move(self, memory: Array, last: Last) -> Array:
        """D after two."""
        return memory == 2


@component("policy", "two_tits_for_tat")
@pytree
class TwoTitsForTat(Strategy):
    """Answers each defection with two.

    Source: Axelrod (1984), The Evolution of Cooperation.
    """

    blank = np.int8(0)

    def update(self, memory: Array, last: Last) -> Array:
        """Punishments still due."""
        return jnp.where(last.other == 1, 2, jnp.maximum(memory - 1, 0))

    def move(self, memory: Array, last: Last) -> Array:
        """D while punishing."""
        return memory > 0


@component("policy", "suspicious_tit_for_tat")
@pytree
class SuspiciousTitForTat(Strategy):
    """Tit for tat that opens with a defection.

    Source: Boyd & Lorberbaum (1987), doi:10.1038/327058a0.
    """

    opening = 1

    def move(self, memory: Array, last: Last) -> Array:
        """The other's last action."""
        return last.other == 1


@component("policy", "anti_tit_for_tat")
@pytree
class AntiTitForTat(Strategy):
    """Cooperates first, then does the opposite of what the other did last.

    Source: Hilbe, Nowak, Sigmund (2013), doi:10.1073/pnas.1214834110.
    """

    def move(self, memory: Array, last: Last) -> Array:
        """The opposite of the other's last action."""
        return last.other == 0


@component("policy", "reverse_tit_for_tat")
@pytree
class ReverseTitForTat(Strategy):
    """Defects first, then does the opposite of what the other did last.

    Source: Akata et al. (2025), arXiv:2305.16867 ("reverse TFT").
    """

    opening = 1

    def move(self, memory: Array, last: Last) -> Array:
        """The opposite of the other's last action."""
        return last.other == 0


@component("policy", "hard_tit_for_tat")
@pytree
class HardTitForTat(Strategy):
    """Cooperates first; defects if the other defected in any of the last three rounds.

    Source: Axelrod library 4.14, "Hard Tit For Tat".
    """

    blank = np.int8(0)

    def update(self, memory: Array, last: Last) -> Array:
        """Rounds until the other's last defection is forgotten."""
        return jnp.where(last.other == 1, 3, jnp.maximum(memory - 1, 0))

    def move(self, memory: Array, last: Last) -> Array:
        """D while one is remembered."""
        return memory > 0


@component("policy", "hard_tit_for_tat_akata")
@pytree
class HardTitForTatAkata(Strategy):
    """Defects first; then defects if the other defected in any of the last three rounds.

    Source: Akata et al. (2025), arXiv:2305.16867; their code opens with D, unlike Axelrod's.
    """

    opening = 1
    blank = np.int8(0)

    def update(self, memory: Array, last: Last) -> Array:
        """Rounds until the other's last defection is forgotten."""
        return jnp.where(last.other == 1, 3, jnp.maximum(memory - 1, 0))

    def move(self, memory: Array, last: Last) -> Array:
        """D while one is remembered."""
        return memory > 0


@component("policy", "win_stay_lose_shift")
@pytree
class WinStayLoseShift(Strategy):
    """Repeats its action after a reward, changes it after a punishment (Pavlov).

    Source: Nowak & Sigmund (1993), doi:10.1038/364056a0.
    """

    def move(self, memory: Array, last: Last) -> Array:
        """D where the two actions differed."""
        return last.own != last.other


@component("policy", "gradual")
@pytree
class Gradual(Strategy):
    """Answers the n-th defection with n defections, then two cooperations to calm down.

    As in the Axelrod library 4.14: the n that counts is the number of the other's
    defections so far, those during punishments included. Exact up to 65,000 rounds.

    Source: Beaufils, Delahaye, Mathieu (1997), "Our meeting with Gradual".
    """

    blank = np.uint32(0)

    def update(self, memory: Array, last: Last) -> Array:
        """High half: defections seen. Low half: moves left of a reaction, two of them C."""
        seen = (memory >> 16) + (last.other == 1).astype(jnp.uint32)
        left = memory & (_COUNT - 1)
        provoked = (left == 0) & (last.other == 1)
        left = jnp.where(provoked, seen + 1, jnp.maximum(left, 1) - 1)
        return (seen << 16) | left

    def move(self, memory: Array, last: Last) -> Array:
        """D until only the two calming moves are left."""
        return (memory & (_COUNT - 1)) >= 2


@component("policy", "contrite_tit_for_tat")
@pytree
class ContriteTitForTat(Strategy):
    """Tit for tat that does not strike back when its own slip provoked the other.

    Source: Boyd (1989), doi:10.1016/S0022-5193(89)80188-2; Wu & Axelrod (1995),
    doi:10.1177/0022002795039001008.
    """

    blank = np.int8(0)

    def update(self, memory: Array, last: Last) -> Array:
        """Bit 0: the move intended now. Bit 1: contrite."""
        intended, contrite = memory & 1, memory & 2
        apologised = (contrite > 0) & (last.own == 0)
        slipped = (intended == 0) & (last.own == 1) & (last.other == 0) & ~apologised
        contrite = jnp.where(apologised, 0, jnp.where(slipped, 2, contrite))
        return contrite | jnp.where(apologised, 0, last.other)

    def move(self, memory: Array, last: Last) -> Array:
        """As intended."""
        return (memory & 1) == 1


@component("policy", "defect_once")
@pytree
class DefectOnce(Strategy):
    """Defects in the first round, then always cooperates.

    Source: Akata et al. (2025), arXiv:2305.16867.
    """

    sees = "own"
    opening = 1

    def move(self, memory: Array, last: Last) -> Array:
        """C."""
        return jnp.bool_(False)


@component("policy", "cycler")
@pytree
class Cycler(Strategy):
    """Plays a fixed pattern over and over.

    Source: Axelrod library 4.14, "Cycler".
    """

    blank = np.int32(0)
    sees = "own"
    pattern: str = doc_field("CCD", "letters C and D, repeated")

    @property
    def opening(self) -> int:
        """The first letter."""
        return int(self.pattern[0] == "D")

    def check(self, seats: Seats) -> None:
        """Refuse patterns that hold anything but C and D."""
        if not self.pattern or set(self.pattern) - {"C", "D"}:
            raise ValueError(f"pattern {self.pattern!r} must consist of the letters C and D")
        super().check(seats)

    def update(self, memory: Array, last: Last) -> Array:
        """Place in the pattern."""
        return (memory + 1) % len(self.pattern)

    def move(self, memory: Array, last: Last) -> Array:
        """The letter at that place."""
        moves = jnp.zeros(memory.shape, bool)
        for place, letter in enumerate(self.pattern):
            moves = moves | ((memory == place) & (letter == "D"))
        return moves

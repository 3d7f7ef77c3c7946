"""Words for the planet, so that language agents can live on it."""

from typing import Any

import numpy as np

from worlds.captions import Caption
from worlds.life.body import ACTS, width_of
from worlds.life.terrain import FIELDS
from worlds.types import ParseError, Seat

__all__ = ["LifeCaption"]

_WAYS = {"north": (-1.0, 0.0), "south": (1.0, 0.0), "east": (0.0, 1.0), "west": (0.0, -1.0)}
_DEEDS = {
    "eat": {"eat": 1.0},
    "rest": {},
    "have a child": {"birth": 1.0, "eat": 1.0},
    "attack": {"attack": 1.0},
    "call out": {"speak": 1.0, "eat": 1.0},
    **{f"go {way}": {"south": s, "east": e, "eat": 1.0} for way, (s, e) in _WAYS.items()},
}


class LifeCaption(Caption):
    """One body's view in words; nine deeds as options."""

    def rules(self, seat: Seat) -> str:
        """What living costs and brings, from the world's own prices."""
        world, prices = self.world, self.world.prices
        return (
            f"You live on a round world of {world.size} by {world.size} cells; its edges meet. "
            f"Being alive costs {float(prices.living):g} energy a step and "
            f"{float(prices.ageing):.3g} more for each step of your age. Plants grow where the "
            f"ground is fertile; who eats takes {float(world.bite):.0%} of the plants in its "
            f"cell. Moving brings you {float(world.speed):g} cells further and costs up to "
            f"{2 * float(prices.move):g}. A child costs you {float(world.gift):g} energy, which "
            f"it is given, and up to {2 * float(prices.birth):g} more; you must keep "
            f"{float(world.reserve):g}. An attack costs {float(prices.attack):g} and takes up to "
            f"{float(world.power):g} from everybody within {float(world.reach):g} cells; you keep "
            f"{float(world.loot):.0%} of it. Who has no energy left dies."
        )

    def words(self, row: Any, seat: Seat) -> str:
        """Energy, age, the ground around, and who is near."""
        side = 2 * self.world.patch + 1
        fields = np.asarray(row["ground"]).reshape(side, side, len(FIELDS) + 1)
        plants, middle = fields[..., 0] * 8, side // 2
        energy = float(np.expm1(4 * np.asarray(row["own"])[0]))
        age = round(256 * float(np.asarray(row["own"])[1]))
        around = {
            "north": plants[:middle].mean() if middle else 0.0,
            "south": plants[middle + 1 :].mean() if middle else 0.0,
            "west": plants[:, :middle].mean() if middle else 0.0,
            "east": plants[:, middle + 1 :].mean() if middle else 0.0,
        }
        ground = ", ".join(f"{value:.1f} to the {way}" for way, value in around.items())
        return (
            f"You have {energy:.1f} energy and are {age} steps old. Plants in your cell: "
            f"{plants[middle, middle]:.1f} energy; mean of the cells that you see: {ground}. "
            f"{self._company(np.asarray(row['others']))}"
        )

    def _company(self, others: np.ndarray) -> str:
        near = [self._one(other) for other in others if other[2] > 0]
        return f"Near you: {'; '.join(near[:5])}." if near else "Nobody is near you."

    def _one(self, other: np.ndarray) -> str:
        sight = self.world.sight
        parts = []
        for way, amount in (("south", other[0]), ("east", other[1])):
            opposite = {"south": "north", "east": "west"}[way]
            if abs(amount) * sight >= 0.5:
                parts.append(f"{abs(amount) * sight:.0f} {way if amount > 0 else opposite}")
        where = " and ".join(parts) or "beside you"
        kin = "one of your group" if other[5] > 0 else "one of another group"
        return f"{kin}, {where}, with {np.expm1(4 * other[3]):.0f} energy"

    def question(self, row: Any, seat: Seat) -> str:
        """What to do."""
        return "What do you do now?"

    def options(self, row: Any, seat: Seat) -> tuple[str, ...]:
        """Nine deeds; going and calling include eating on the way."""
        return tuple(_DEEDS)

    def action(self, text: str, row: Any, seat: Seat) -> np.ndarray:
        """The deed as numbers."""
        name = text.strip().strip(".!\"'").lower()
        if name not in _DEEDS:
            raise ParseError(f"expected one of: {', '.join(_DEEDS)}")
        action = np.zeros(width_of(self.world.words), np.float32)
        for act, value in _DEEDS[name].items():
            action[ACTS.index(act)] = value
        if name == "call out":
            action[len(ACTS) + self.world.words : len(ACTS) + 2 * self.world.words] = 1.0
        return action

    def describe(self, action: Any, row: Any, seat: Seat) -> str:
        """The deed that comes nearest."""
        given = np.asarray(action)[: len(ACTS)]
        deeds = {}
        for name, acts in _DEEDS.items():
            wanted = np.zeros(len(ACTS), np.float32)
            for act, value in acts.items():
                wanted[ACTS.index(act)] = value
            deeds[name] = float(np.abs(given - wanted).sum())
        return min(deeds, key=deeds.__getitem__)

"""The epidemic in words."""

from typing import Any, ClassVar

import numpy as np

from worlds.captions import Caption, Framing
from worlds.games.captions.reading import read_answer
from worlds.games.captions.wording import amount, check_story, exact, joined, ordered, plural
from worlds.populations.epidemic import Epidemic
from worlds.types import ParseError, Seat

__all__ = ["EpidemicCaption"]

_CHOICES = ("go out", "stay at home")
_HEALTH = (
    "You feel well and have not noticed any sign of the disease.",
    "You are ill with the disease and infectious.",
    "You have had the disease and are immune now.",
)


class EpidemicCaption(Caption):
    """Tells a resident the news of the day and asks whether it stays at home."""

    world: Epidemic
    situated: ClassVar[tuple[str, ...] | None] = ("health",)

    def __init__(self, world: Epidemic, framing: Framing | None = None) -> None:
        """Hold the world whose current parameters are put into words."""
        super().__init__(world, framing)
        check_story(self.framing, "epidemic")

    def rules(self, seat: Seat) -> str:
        """The disease and what it costs."""
        world, unit = self.world, self.framing.currency
        return "\n".join(
            [
                f"A new disease spreads in a city of {world.num_players:,} residents. You are "
                "one of them.",
                "Whoever is infectious passes it on to people it meets. An infectious person who "
                "goes out every day, among people who do the same and are not immune, infects "
                f"{exact(world.r0)} others on average.",
                f"People are infectious for {exact(world.infectious_days)} days on average"
                f"{self._incubation()}, and immune afterwards.",
                "Every day you choose whether to go out or to stay at home. A day at home has "
                f"{amount(100 * float(world.home_contact))}% of the contacts of a day out.",
                f"A day at home costs you {plural(exact(world.home_cost), unit)}. Catching the "
                f"disease costs you {plural(exact(world.illness_cost), unit)}.",
                f"Your goal is to lose as few {unit} as possible.",
            ]
        )

    def words(self, row: Any, seat: Seat) -> str:
        """The day, the cases, and how one feels."""
        cases, before = float(row["cases"]), float(row["cases_before"])
        lines = [
            f"Day {int(row['day']) + 1}.",
            f"In the latest week {_count(cases)} of every 100,000 residents were infected"
            f"{_trend(cases, before)}.",
        ]
        if int(row["day"]):
            lines.append(f"Yesterday {amount(100 * float(row['home']))}% stayed at home.")
        if self.world.awareness == "own":
            lines.append(_HEALTH[int(row["health"])])
        return "\n".join(lines)

    def question(self, row: Any, seat: Seat) -> str:
        """Ask what one does today."""
        return "What do you do today?"

    def options(self, row: Any, seat: Seat) -> tuple[str, ...]:
        """The two choices, in this individual's order."""
        return ordered(_CHOICES, self.framing, seat, "epidemic")

    def answer_hint(self, row: Any, seat: Seat) -> str:
        """The form of the answer."""
        return f"After 'Answer:' write {joined(self.options(row, seat), 'or')}, nothing else."

    def action(self, text: str, row: Any, seat: Seat) -> np.int32:
        """Read one of the two choices."""
        return read_answer(text, _choice)

    def describe(self, action: Any, row: Any, seat: Seat) -> str:
        """An action in words."""
        return ("goes out", "stays at home")[int(action)]

    def _incubation(self) -> str:
        days = float(self.world.incubation_days)
        return f", starting {exact(days)} days after they were infected" if days else ""


def _choice(answer: str) -> np.int32:
    said = answer.casefold().replace("stay home", "stay at home")
    if said not in _CHOICES:
        raise ParseError(f"{answer[:60]!r} is neither {_CHOICES[0]} nor {_CHOICES[1]}")
    return np.int32(_CHOICES.index(said))


def _count(cases: float) -> str:
    return f"{cases:,.0f}" if cases >= 1 or cases == 0 else "less than 1"


def _trend(now: float, before: float) -> str:
    if not before:
        return ""
    change = 100 * (now - before) / before
    if abs(change) < 1:
        return ", about as many as in the week before"
    return f", {abs(change):,.0f}% {'more' if change > 0 else 'fewer'} than in the week before"

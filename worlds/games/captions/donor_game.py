"""The Donor Game in words."""

import re
from typing import Any

import numpy as np

from worlds.captions import Caption, Framing
from worlds.games.captions.reading import Amount, read_amount, read_answer
from worlds.games.captions.wording import amount, check_story, exact, plural, unit_words
from worlds.games.donor_game import REFUSED, DonorGame
from worlds.types import ParseError, Seat

__all__ = ["DonorGameCaption"]

_VERB = re.compile(
    r"(?i)(?:i(?:'ll|\s+will|\s+would)?\s+)?(?P<verb>donate|give(?:\s+up)?|punish|refuse)\b[\s,:]*"
)


class DonorGameCaption(Caption):
    """Tells a donor about its partner and reads an amount of units or percent.

    The framing's currency names the resource (default: units).
    """

    world: DonorGame

    def __init__(self, world: DonorGame, framing: Framing | None = None) -> None:
        """Hold the world whose current parameters are put into words."""
        super().__init__(world, framing)
        check_story(self.framing, "donor_game")
        self.unit = "units" if self.framing.currency == "points" else self.framing.currency
        self.punishes = world.punishment == "costly"
        self.refuses = world.partner_choice == "refuse"

    def rules(self, seat: Seat) -> str:
        """The game as it is paid."""
        world, unit = self.world, self.unit
        lines = [
            f"You are one of {world.num_players} players in a game about a valuable resource.",
            f"Everybody starts with {amount(world.endowment)} {unit} of it.",
            f"The game has {world.rounds} rounds. In every round you are paired with another "
            "player. One of you is the donor, the other is the recipient.",
            f"The donor gives up some of its {unit}: anything between nothing and all.",
            f"The recipient gets {exact(world.multiplier)} times what the donor gives up.",
            self._roles(),
            self._trace_rule(),
        ]
        if self.punishes:
            lines.append(
                f"Instead of giving, the donor may punish: for every unit that the donor gives "
                f"up, the recipient loses {exact(world.punishment_loss)}, but never more than "
                "it has. Others may punish you too."
            )
        if self.refuses:
            lines.append(
                "The donor may also refuse to play with this recipient; then nothing changes "
                "hands. Others may refuse to play with you too."
            )
        lines.append(
            f"After the last round a second game begins: everybody starts anew with "
            f"{amount(world.endowment)} {unit} and meets the same partners, but whoever was "
            "the donor is now the recipient, and the other way round."
        )
        lines.append(f"Your goal is to own as many {unit} as possible after the last round.")
        return "\n".join(line for line in lines if line)

    def words(self, row: Any, seat: Seat) -> str:
        """Where the game stands, and what is known about the partner."""
        world, own = self.world, f"{amount(row['resources'])} {self.unit}"
        round_, game = int(row["round"]), int(row["game"])
        if round_ >= world.rounds:
            return f"Both games are over. You own {own}."
        name = self._name(seat.slot, seat)
        place = f"Round {round_ + 1} of {world.rounds} in game {game + 1} of 2."
        opening = f"Your name is {name}. {place}"
        if int(row["partner"]) < 0:
            return f"{opening}\nYou have no partner in this round. You own {own}."
        partner = self._name(int(row["partner"]), seat)
        theirs = f"{amount(row['partner_resources'])} {self.unit}"
        if not int(row["donor"]):
            return (
                f"{opening}\nYou are the recipient. Your partner {partner} owns {theirs} and "
                f"decides how many to give up. You own {own}."
            )
        return (
            f"{opening}\nYou are the donor. You have been paired with {partner}, who owns "
            f"{theirs}.{self._history(row, partner, seat)}\nYou own {own}."
        )

    def question(self, row: Any, seat: Seat) -> str:
        """Ask how much is given up."""
        choices = ["donate"] + ["punish"] * self.punishes + ["refuse"] * self.refuses
        if len(choices) == 1:
            return f"How many {self.unit} do you give up?"
        listed = f"{', '.join(choices[:-1])} or {choices[-1]}"
        return f"Do you {listed}, and how many {self.unit} do you give up?"

    def answer_hint(self, row: Any, seat: Seat) -> str:
        """The form of the answer."""
        most = f"a number of {self.unit} from 0 to {amount(row['resources'])}"
        forms = [f"'Donate' and {most}" if self.punishes else most]
        if self.punishes:
            forms.append(f"'Punish' and {most}")
        if self.refuses:
            forms.append("'Refuse'")
        return f"After 'Answer:' write {', or '.join(forms)}."

    def action(self, text: str, row: Any, seat: Seat) -> np.float32:
        """Read the share of the own resources; below 0 to punish, -2 to refuse."""
        form = self.answer_hint(row, seat)
        own = float(row["resources"])
        return read_answer(text, lambda answer: self._share(answer, own, form))

    def describe(self, action: Any, row: Any, seat: Seat) -> str:
        """An action in words."""
        partner = self._name(int(row["partner"]), seat)
        share = float(action)
        if share < -1.0:
            return f"refuses to play with {partner}"
        units = plural(amount(abs(share) * float(row["resources"])), self.unit)
        if share < 0.0:
            return f"spends {units} ({amount(-100 * share)}%) on punishing {partner}"
        return f"gives {units} ({amount(100 * share)}%) to {partner}"

    def _roles(self) -> str:
        if self.world.protocol == "corrected":
            return "If you are the donor in one round, you are the recipient in the next."
        return "You are the donor in some rounds and the recipient in the others."

    def _trace_rule(self) -> str:
        trace = self.world.trace
        if not trace:
            return "The donor learns nothing about what the recipient did before."
        rule = "The donor learns what the recipient did when it was last a donor"
        if trace == 1:
            return f"{rule}."
        return (
            f"{rule}, what that recipient's partner had done before that, and so on along the "
            f"chain of partners, {trace} steps at most. It does not learn anything else about "
            "the recipient."
        )

    def _history(self, row: Any, partner: str, seat: Seat) -> str:
        if not self.world.trace:
            return ""
        entries = [entry for entry in np.asarray(row["trace"]) if entry[0] >= 0]
        said = [self._entry(entry, seat) for entry in entries]
        if len(entries) < self.world.trace:
            first = self._name(int(entries[-1][2]), seat) if entries else partner
            said.append(f"{first} had not been a donor in this game before.")
        return "\n" + " ".join(said)

    def _entry(self, entry: np.ndarray, seat: Seat) -> str:
        round_, donor, recipient = (int(number) for number in entry[:3])
        share = float(entry[3])
        who, whom = self._name(donor, seat), self._name(recipient, seat)
        when = f"In round {round_ + 1}, {who}"
        if share == REFUSED:
            return f"{when} refused to play with {whom}."
        if share < 0.0:
            return f"{when} spent {amount(-100 * share)}% of its {self.unit} on punishing {whom}."
        return f"{when} gave {amount(100 * share)}% of its {self.unit} to {whom}."

    def _name(self, slot: int, seat: Seat) -> str:
        return seat.name if slot == seat.slot and seat.name else self.names(slot)

    def _share(self, answer: str, own: float, form: str) -> np.float32:
        verb, rest = self._verb(answer, form)
        if verb == "refuse":
            return np.float32(REFUSED)
        given = read_amount(rest, unit_words("units", "resources", self.unit), form)
        share = self._as_share(given, own, form)
        return np.float32(-share if verb == "punish" else share)

    def _verb(self, answer: str, form: str) -> tuple[str, str]:
        match = _VERB.match(answer)
        verb = match["verb"].lower() if match else ""
        rest = answer[match.end() :] if match else answer
        if verb == "refuse" and self.refuses and re.fullmatch(r"(?i)|to play.{0,60}", rest):
            return verb, ""
        if verb in ("refuse", "punish") and not (verb == "punish" and self.punishes):
            raise ParseError(f"you cannot {verb} here. {form}")
        if self.punishes and not verb:
            raise ParseError(f"say whether you donate or punish. {form}")
        return verb, rest

    def _as_share(self, given: Amount, own: float, form: str) -> float:
        if given.percent:
            if given.value > 100:
                raise ParseError(f"{given.value:g}% is more than you own. {form}")
            return given.value / 100
        # The agent reads its resources rounded to two decimals, and may answer what it read.
        if given.value > max(own, float(amount(own))):
            raise ParseError(f"you own {amount(own)} and cannot give up {given.value:g}. {form}")
        return min(given.value / own, 1.0) if own > 0 else 0.0

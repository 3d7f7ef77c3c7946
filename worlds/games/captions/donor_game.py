"""The Donor Game in words."""

import re
from typing import Any

import numpy as np

from worlds.captions import Caption, Framing
from worlds.games.captions.probes import donor_probes
from worlds.games.captions.reading import Amount, read_amount, read_answer
from worlds.games.captions.wording import amount, check_story, exact, plural, unit_words
from worlds.games.donor_game import REFUSED, DonorGame
from worlds.probes import Probe
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
    paraphrased = True

    def __init__(self, world: DonorGame, framing: Framing | None = None) -> None:
        """Hold the world whose current parameters are put into words."""
        super().__init__(world, framing)
        check_story(self.framing, "donor_game")
        self.unit = "units" if self.framing.currency == "points" else self.framing.currency
        self.punishes = world.punishment == "costly"
        self.refuses = world.partner_choice == "refuse"

    def rules(self, seat: Seat) -> str:
        """The game as it is paid."""
        lines = [*self._opening(), self._roles(), self._trace_rule(), *self._instead()]
        unit, start = self.unit, amount(self.world.endowment)
        lines += [
            self.framing.phrase(
                f"After the last round a second game begins: everybody starts anew with "
                f"{start} {unit} and meets the same partners, but whoever was "
                "the donor is now the recipient, and the other way round.",
                f"There is a second game after the last round. In it, all own {start} {unit} "
                "again and meet the same partners with the roles of donor and recipient swapped.",
                f"Then the game is played once more: everybody has {start} {unit} again, partners "
                "come in the same order, and who gave before now receives.",
            ),
            self.framing.phrase(
                f"Your goal is to own as many {unit} as possible after the last round.",
                f"Try to own as many {unit} as you can when the last round is over.",
                f"What counts for you is how many {unit} you own in the end.",
            ),
        ]
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
            return self.framing.phrase(
                f"How many {self.unit} do you give up?",
                f"What number of {self.unit} do you give up?",
                f"Please decide: how many {self.unit} will you give up?",
            )
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

    def schema(self, row: Any, seat: Seat) -> dict[str, Any] | None:
        """A number of units, where giving is all that a donor can do."""
        if self.punishes or self.refuses:
            return None
        return {"type": "number", "minimum": 0, "maximum": float(amount(row["resources"]))}

    def action(self, text: str, row: Any, seat: Seat) -> np.float32:
        """Read the share of the own resources; below 0 to punish, -2 to refuse."""
        form = self.answer_hint(row, seat)
        own = float(row["resources"])
        return read_answer(text, lambda answer: self._share(answer, own, form))

    def probes(self, seat: Seat) -> tuple[Probe, ...]:
        """What a gift does, and how the game begins and ends."""
        return donor_probes(self.world, self.unit)

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

    def _opening(self) -> list[str]:
        """Who plays, what a round is, and what it pays."""
        world, unit, say = self.world, self.unit, self.framing.phrase
        players, start = world.num_players, amount(world.endowment)
        rounds, factor = world.rounds, exact(world.multiplier)
        return [
            say(
                f"You are one of {players} players in a game about a valuable resource.",
                f"A valuable resource is at stake among {players} players; you are one of them.",
                f"{players} players, you among them, play a game about a valuable resource.",
            ),
            say(
                f"Everybody starts with {start} {unit} of it.",
                f"At the beginning each of you owns {start} {unit}.",
                f"All of you are given {start} {unit} of it to begin with.",
            ),
            say(
                f"The game has {rounds} rounds. In every round you are paired with another "
                "player. One of you is the donor, the other is the recipient.",
                f"There are {rounds} rounds. Each time you meet one other player: one of you two "
                "is the donor and the other the recipient.",
                f"You play {rounds} rounds. A round brings two players together, a donor and a "
                "recipient.",
            ),
            say(
                f"The donor gives up some of its {unit}: anything between nothing and all.",
                f"The donor decides how many of its {unit} to give up, from none to all.",
                f"It is up to the donor what part of its {unit} it gives up, be it nothing, all or "
                "anything between.",
            ),
            say(
                f"The recipient gets {factor} times what the donor gives up.",
                f"Whatever the donor gives up is multiplied by {factor} and goes to the recipient.",
                f"For every unit that the donor gives up, the recipient gets {factor}.",
            ),
        ]

    def _instead(self) -> list[str]:
        """What a donor may do instead of giving."""
        say, loss = self.framing.phrase, exact(self.world.punishment_loss)
        lines = []
        if self.punishes:
            lines.append(
                say(
                    f"Instead of giving, the donor may punish: for every unit that the donor gives "
                    f"up, the recipient loses {loss}, but never more than "
                    "it has. Others may punish you too.",
                    f"A donor may also punish instead of giving. Each unit that it gives up then "
                    f"costs the recipient {loss}, though no more than it has. Others may do so "
                    "to you.",
                    f"Rather than give, a donor may punish: the recipient loses {loss} for every "
                    "unit that the donor gives up, until it has nothing. So may others with you.",
                )
            )
        if self.refuses:
            lines.append(
                say(
                    "The donor may also refuse to play with this recipient; then nothing changes "
                    "hands. Others may refuse to play with you too.",
                    "A donor may refuse to play with its recipient, and nothing changes hands. "
                    "Others may refuse you as well.",
                    "It is also possible to refuse a recipient: then nobody gives or gets "
                    "anything. You may be refused, too.",
                )
            )
        return lines

    def _roles(self) -> str:
        if self.world.protocol == "corrected":
            return self.framing.phrase(
                "If you are the donor in one round, you are the recipient in the next.",
                "You are the donor in every other round, and the recipient in those between.",
                "Roles alternate: after a round as donor you are the recipient, and so on.",
            )
        return self.framing.phrase(
            "You are the donor in some rounds and the recipient in the others.",
            "In some rounds you are the donor; in all others you are the recipient.",
            "Which of the two you are changes from round to round.",
        )

    def _trace_rule(self) -> str:
        trace = self.world.trace
        if not trace:
            return self.framing.phrase(
                "The donor learns nothing about what the recipient did before.",
                "What the recipient did before is not told to the donor.",
                "Nobody tells the donor how the recipient has behaved so far.",
            )
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

"""Public goods in words."""

import re
from typing import Any

import numpy as np

from worlds.captions import Caption, Framing
from worlds.games.captions.probes import public_goods_probes
from worlds.games.captions.reading import read_amount, read_answer
from worlds.games.captions.wording import (
    amount,
    check_story,
    exact,
    joined,
    plural,
    unit_words,
)
from worlds.games.public_goods import ABSTAINED, UNKNOWN, PublicGoods
from worlds.probes import Probe
from worlds.types import ParseError, Seat

__all__ = ["PublicGoodsCaption"]

_CONTRIBUTE = re.compile(r"(?i)(?:i(?:'ll|\s+will|\s+would)?\s+)?(?:contribute|put\s+in)\b[\s,:]*")
_ABSTAIN = re.compile(r"(?i)(?:i\s+(?:will\s+)?)?(?:abstain|stay out)")
_NOBODY = re.compile(r"(?i)(?:0(?:\s+points?)?|no points|none|nobody|no one|nothing)")
_ENTRY = re.compile(r"(?i)(?:(?P<verb>fine|reward)\s+)?(?P<name>[^:;,=]+?)\s*[:=]\s*(?P<points>.+)")


class PublicGoodsCaption(Caption):
    """Tells a member the state of its group; reads contributions, then points by member.

    Strangers are called member 1, member 2, ... in an order drawn with the groups, so that
    nobody can be recognised; partners by their names, where no two are alike.
    """

    world: PublicGoods
    paraphrased = True

    def __init__(self, world: PublicGoods, framing: Framing | None = None) -> None:
        """Hold the world whose current parameters are put into words."""
        super().__init__(world, framing)
        check_story(self.framing, "public_goods")
        self.unit = self.framing.currency
        self.punishes = world.punishment == "costly"
        self.rewards = world.reward == "costly"

    # ---- the contract ---------------------------------------------------------------

    def rules(self, seat: Seat) -> str:
        """The game as it is paid."""
        world, unit = self.world, self.unit
        members = "members taking part"
        if not self._voluntary:
            members = f"{world.group_size} members of the group"
        say, steps = self.framing.phrase, self._steps()
        size, rounds = world.group_size, plural(str(world.rounds), "rounds")
        start, factor = plural(exact(world.endowment), unit), exact(world.multiplier)
        lines = [
            say(
                f"You are in a group of {size}. There "
                f"{'is' if world.rounds == 1 else 'are'} {rounds}.",
                f"Your group has {size} members. It plays {rounds}.",
                f"A group of {size}, you included, goes through {rounds}.",
            ),
            *self._groups(),
            say(
                f"In every round each member gets {start} and "
                "decides how many of them to put into a common account, between none and all. "
                f"You keep what you do not put in{steps}.",
                f"Each member is given {start} in every round and puts any part of them into a "
                f"common account, from nothing to everything. The rest you keep{steps}.",
                f"Every round begins with {start} for each member, who decides what share of them "
                f"goes into a common account. What stays out of it is yours{steps}.",
            ),
            say(
                f"The {unit} in the common account are multiplied by {factor} and "
                f"shared equally by the {members}, whatever each of them put in.",
                f"What is in the common account is multiplied by {factor}; the {members} get "
                "equal parts of it, also those who put in little.",
                f"The {members} then divide {factor} times the content of the common account "
                "equally, no matter who put in what.",
            ),
            *self._threshold(),
            *self._loners(),
            *self.examples(),
            *self._points_rules(),
            say(
                f"Your goal is to earn as many {unit} as possible.",
                f"Try to earn as many {unit} as you can.",
                f"What counts for you is how many {unit} you earn in all.",
            ),
        ]
        return "\n".join(lines)

    def examples(self) -> list[str]:
        """Three outcomes in numbers, computed as the world pays them."""
        size, unit = self.world.group_size, self.unit
        everyone = [1.0] * size
        nobody = [0.0] * size
        riding = [0.0] + [1.0] * (size - 1)
        full, none = exact(self.payoffs(everyone)[0]), exact(self.payoffs(nobody)[0])
        one, others = (exact(paid) for paid in self.payoffs(riding)[:2])
        say = self.framing.phrase
        return [
            say(
                f"If all put in everything, each earns {full} {unit} in "
                f"that round; if nobody puts in anything, each earns {none}.",
                f"Where everybody puts in everything, each earns {full} {unit} in that round, and "
                f"where nobody puts in anything, each earns {none}.",
                f"A round in which all put in everything: each earns {full} {unit}. A round in "
                f"which nobody puts in anything: each earns {none}.",
            ),
            say(
                f"If one puts in nothing and all others everything, that one earns "
                f"{one} and each of the others {others}.",
                f"Where one puts in nothing but all others everything, that one earns {one}, and "
                f"each of the others {others}.",
                f"A round in which all but one put in everything: that one earns {one}, each of "
                f"the others {others}.",
            ),
        ]

    def payoffs(self, shares: list[float]) -> list[float]:
        """What each member of one full group earns from contributions (shares), in points."""
        world = self.world
        endowment = float(world.endowment)
        given = [share * endowment for share in shares]
        if sum(given) >= float(world.threshold):
            back = [sum(given) * float(world.multiplier) / len(given)] * len(given)
        else:
            back = given if world.below_threshold == "returned" else [0.0] * len(given)
        return [endowment - own + got for own, got in zip(given, back, strict=True)]

    def words(self, row: Any, seat: Seat) -> str:
        """Which round it is, what the group did, and the account."""
        world, unit = self.world, self.unit
        round_, phase = int(row["round"]), int(row["phase"])
        account = f"So far you have earned {plural(amount(row['earnings']), unit)} in all."
        if round_ >= world.rounds:
            over = "The game is over. In the last round:"
            return "\n".join([over, *self._report(row, seat), account])
        if phase:
            now = f"Round {round_ + 1} of {world.rounds}, contributions are made:"
            return "\n".join([now, *self._report(row, seat), account])
        now = f"Round {round_ + 1} of {world.rounds}."
        if not round_ or float(row["share"]) == UNKNOWN:
            return now
        return "\n".join([now, "In the last round:", *self._report(row, seat), account])

    def question(self, row: Any, seat: Seat) -> str:
        """Ask for a contribution, or for points."""
        if int(row["phase"]):
            verbs = ["fine"] * self.punishes + ["reward"] * self.rewards
            return f"How many {self.unit} do you spend to {joined(verbs, 'or')} each member?"
        ask = f"How many {self.unit} do you put into the common account?"
        return f"Do you take part, and if so: {ask[0].lower()}{ask[1:]}" if self._voluntary else ask

    def options(self, row: Any, seat: Seat) -> tuple[str, ...] | None:
        """The allowed contributions where there are few; None for a free answer."""
        levels = self.world.levels
        if int(row["phase"]) or not levels:
            return None
        step = float(self.world.endowment) / (levels - 1)
        amounts = tuple(amount(step * level) for level in range(levels))
        return (*amounts, "abstain") if self._voluntary else amounts

    def answer_hint(self, row: Any, seat: Seat) -> str:
        """The form of the answer."""
        if int(row["phase"]):
            names = self._names(row, seat)
            verb = "'fine' or 'reward', " if self.punishes and self.rewards else ""
            most = exact(self.world.max_points)
            return (
                f"After 'Answer:' write {verb}a member, a colon and a number from 0 to {most}, "
                f"entries separated by commas ({joined(names)}), or 'none'."
            )
        abstain = ", or 'abstain'" if self._voluntary else ""
        options = self.options(row, seat)
        if options:
            return f"After 'Answer:' write {joined(options, 'or')}."
        most = exact(self.world.endowment)
        return f"After 'Answer:' write a number of {self.unit} from 0 to {most}{abstain}."

    def schema(self, row: Any, seat: Seat) -> dict[str, Any] | None:
        """A contribution between nothing and all, where everybody takes part."""
        if int(row["phase"]) or self.world.levels or self._voluntary:
            return None
        return {"type": "number", "minimum": 0, "maximum": float(self.world.endowment)}

    def action(self, text: str, row: Any, seat: Seat) -> np.ndarray:
        """Read a contribution as a share, or points for each fellow member.

        Returns:
          [W] float32 in the shape of the world's action; points below 0 are fines.
        """
        hint = self.answer_hint(row, seat)
        width = self.world.group_size if self.world.two_phases else 1
        if int(row["phase"]):
            names = self._names(row, seat)
            points = read_answer(text, lambda a: self._points(a, names, hint), lines=True)
            return np.asarray([0.0, *points], np.float32)
        share = read_answer(text, lambda answer: self._share(answer, row, seat, hint))
        return np.asarray([share] + [0.0] * (width - 1), np.float32)

    def probes(self, seat: Seat) -> tuple[Probe, ...]:
        """What one earns when all, some or none contribute."""
        return public_goods_probes(self.world, self.unit)

    def describe(self, action: Any, row: Any, seat: Seat) -> str:
        """An action in words."""
        values = [float(value) for value in np.atleast_1d(action)]
        if not int(row["phase"]):
            if values[0] < 0.0:
                return "abstains"
            return f"puts in {plural(amount(values[0] * float(self.world.endowment)), self.unit)}"
        said = [
            f"{'fines' if points < 0 else 'rewards'} {name} with {amount(abs(points))}"
            for name, points in zip(self._names(row, seat), values[1:], strict=True)
            if points
        ]
        return joined(said) or "spends nothing"

    # ---- lines of the rules ---------------------------------------------------------

    @property
    def _voluntary(self) -> bool:
        return self.world.participation == "voluntary"

    def _groups(self) -> list[str]:
        if self.world.rounds == 1:
            return []
        if self.world.matching == "strangers":
            return ["The groups are drawn anew in every round; nobody is told who is in them."]
        return ["The groups stay the same in all rounds."]

    def _steps(self) -> str:
        if not self.world.levels:
            return ""
        step = exact(float(self.world.endowment) / (self.world.levels - 1))
        return f"; you can put in a multiple of {step}"

    def _threshold(self) -> list[str]:
        world = self.world
        if not float(world.threshold):
            return []
        lost = "lost" if world.below_threshold == "lost" else "given back"
        return [
            f"If the account holds less than {exact(world.threshold)} in all, it pays nothing "
            f"and what was put in is {lost}."
        ]

    def _loners(self) -> list[str]:
        if not self._voluntary:
            return []
        alone = exact(float(self.world.endowment) + float(self.world.loner_payoff))
        return [
            f"You may abstain and earn {alone} in that round for sure. Whoever is the only one "
            "to take part earns the same."
        ]

    def _points_rules(self) -> list[str]:
        world, unit = self.world, self.unit
        if not world.two_phases:
            return []
        lines = [
            "Then everybody sees what the others of the group put in and may spend up to "
            f"{exact(world.max_points)} {unit} on each of them, together not more than was "
            "earned in this round."
        ]
        if self.punishes:
            lines.append(f"A fine takes {exact(world.punishment_effect)} for each that is spent.")
        if self.rewards:
            lines.append(f"A reward gives {exact(world.reward_effect)} for each that is spent.")
        return lines

    # ---- lines about the round ------------------------------------------------------

    def _report(self, row: Any, seat: Seat) -> list[str]:
        unit, endowment = self.unit, float(self.world.endowment)
        own = float(row["share"])
        if own == UNKNOWN:
            return ["You had no group."]
        said = [f"You {self._did(own, endowment)}."]
        for name, share in zip(self._names(row, seat), np.asarray(row["others"]), strict=True):
            if share != UNKNOWN:
                said.append(f"{name[0].upper()}{name[1:]} {self._did(float(share), endowment)}.")
        if float(row["spent"]):
            said.append(f"You spent {plural(amount(row['spent']), unit)} on others.")
        received = float(row["received"])
        if received:
            kind = "fine" if received < 0 else "reward"
            said.append(f"The others spent {plural(amount(abs(received)), unit)} to {kind} you.")
        earned = plural(amount(row["income"]), unit)
        said.append(f"This earned you {earned}.")
        return [" ".join(said)]

    def _did(self, share: float, endowment: float) -> str:
        if share == ABSTAINED:
            return "abstained"
        return f"put in {plural(amount(share * endowment), self.unit)}"

    def _names(self, row: Any, seat: Seat) -> list[str]:
        slots = [int(slot) for slot in np.asarray(row["other_slots"])]
        named = [self.names(slot) for slot in slots if slot >= 0]
        alike = len({name.lower() for name in named}) < len(slots)
        if self.world.matching == "strangers" or alike:
            return [f"member {place + 1}" for place in range(len(slots))]
        return named

    # ---- reading --------------------------------------------------------------------

    def _share(self, answer: str, row: Any, seat: Seat, hint: str) -> float:
        if _ABSTAIN.fullmatch(answer):
            if self._voluntary:
                return ABSTAINED
            raise ParseError(f"you cannot abstain here. {hint}")
        units = unit_words("points", self.unit)
        given = read_amount(_CONTRIBUTE.sub("", answer, count=1), units, hint)
        endowment = float(self.world.endowment)
        share = given.value / 100 if given.percent else given.value / endowment
        if share > 1.0:
            raise ParseError(f"you have {exact(endowment)} to put in, not {answer}. {hint}")
        steps = share * (self.world.levels - 1)
        if self.world.levels and abs(steps - round(steps)) > 1e-3:
            raise ParseError(f"{answer} is not one of the allowed contributions. {hint}")
        return share

    def _points(self, answer: str, names: list[str], hint: str) -> tuple[float, ...]:
        if _NOBODY.fullmatch(answer):
            return (0.0,) * len(names)
        points = dict.fromkeys([name.lower() for name in names], None)
        for part in re.split(r"[;,\n]", answer):
            entry = _ENTRY.fullmatch(part.strip(" \t*-_`."))
            name = entry["name"].strip(" \t*_`").lower() if entry else ""
            if not entry or name not in points:
                raise ParseError(f"{part.strip()!r} does not name a member and a number. {hint}")
            value = self._signed(entry["verb"], entry["points"].strip(" \t*_`"), hint)
            if points[name] not in (None, value):
                raise ParseError(f"{name} is named twice with different numbers. {hint}")
            points[name] = value
        return tuple(value or 0.0 for value in points.values())

    def _signed(self, verb: str | None, text: str, hint: str) -> float:
        both = self.punishes and self.rewards
        verb = (verb or "").lower()
        if both and not verb:
            raise ParseError(f"say for each member whether you fine or reward. {hint}")
        if (verb == "fine" and not self.punishes) or (verb == "reward" and not self.rewards):
            raise ParseError(f"you cannot {verb} here. {hint}")
        given = read_amount(text, unit_words("points", self.unit), hint)
        if given.percent or given.value > float(self.world.max_points):
            raise ParseError(f"{text} is not within the limits. {hint}")
        fines = verb == "fine" or (not verb and self.punishes)
        return -given.value if fines else given.value

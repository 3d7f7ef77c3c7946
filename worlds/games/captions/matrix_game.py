"""Matrix games in words: payoffs as the seat reading them gets them."""

import dataclasses
import functools
import itertools
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from worlds.captions import Caption, Framing
from worlds.games.captions.probes import matrix_probes
from worlds.games.captions.reading import read_answer
from worlds.games.captions.wording import amount, exact, joined, ordered, plural
from worlds.games.matrix_game import MatrixGame
from worlds.probes import Probe
from worlds.types import ParseError, Seat

__all__ = ["MatrixGameCaption", "Story"]

# Letters that are no words and hint at no order of merit; pairs as in Akata et al. (2025).
_LETTERS = "JFQXRHYWTNPMKVGZDLSUCB"
_MOST_LINES = 64


@dataclasses.dataclass(frozen=True)
class Story:
    """A cover story: what the options, the rounds and the others are called.

    intro: three wordings with {others} and {labels}. gains: what a payoff does ("win", "wins").
    """

    intro: tuple[str, str, str]
    option: str
    round: str
    other: str
    others: str
    gains: tuple[str, str]


STORIES = {
    "game": Story(
        (
            "You are playing a game with {others}. In every round each of you chooses one of the "
            "options {labels}.",
            "This is a game between you and {others}. There are the options {labels}; in every "
            "round each of you takes one of them.",
            "You and {others} meet in a game. Each of you has to settle, round by round, on one "
            "of the options {labels}.",
        ),
        "option",
        "round",
        "the other player",
        "the other players",
        ("win", "wins"),
    ),
    "cooking": Story(
        (
            "You are preparing dinners together with {others}. Every evening each of you brings "
            "one of the dishes {labels}.",
            "You and {others} make dinner together. There are the dishes {labels}; every evening "
            "each of you brings one of them.",
            "Together with {others} you cook in the evenings. Each of you has to settle, evening "
            "by evening, on one of the dishes {labels}.",
        ),
        "dish",
        "evening",
        "the other cook",
        "the other cooks",
        ("receive", "receives"),
    ),
    "project": Story(
        (
            "You are working on a project with {others}. Every week each of you follows one of "
            "the plans {labels}.",
            "You and {others} share a project. There are the plans {labels}; every week each of "
            "you follows one of them.",
            "A project brings you together with {others}. Each of you has to settle, week by "
            "week, on one of the plans {labels}.",
        ),
        "plan",
        "week",
        "the other partner",
        "the other partners",
        ("earn", "earns"),
    ),
}


class MatrixGameCaption(Caption):
    """Tells a seat its own payoffs first, whichever player of the game it is.

    Options are called by the framing's labels: letters ("JF") or words ("tea, coffee"), in
    the order of the actions; they are listed in an order of each individual's own. Agents
    that read decide on one action a step, so each meets one partner or all in the same way.

    Source for the protocol: Akata, Schulz, Coda-Forno, Oh, Bethge and Schulz (2025),
    "Playing repeated games with large language models", arXiv:2305.16867. There, one player
    of the asymmetric games was told the transposed payoffs; here they come from the table
    that pays.
    """

    world: MatrixGame
    paraphrased = True

    def __init__(self, world: MatrixGame, framing: Framing | None = None) -> None:
        """Hold the world; refuse games whose actions or payoffs cannot be told."""
        super().__init__(world, framing)
        self.story = STORIES[self.framing.story]
        self.table = np.asarray(world.table(), np.float32)
        self.labels = _labels(self.framing, world.num_actions)
        if world.seat_shape:
            raise ValueError(
                f"language agents take one action a step, but each would take "
                f"{'x'.join(map(str, world.seat_shape))} here (one per partner and copy); set "
                "world.actions: same, or world.pairs: random or fixed, and world.repetitions: 1"
            )
        if np.prod(self.table.shape[1:]) > _MOST_LINES:
            raise ValueError(
                f"a game with {int(np.prod(self.table.shape[1:]))} outcomes is too long to tell; "
                f"language agents play games of at most {_MOST_LINES}"
            )

    def rules(self, seat: Seat) -> str:
        """The game as it is paid; payoffs too, unless one's part in it is drawn each round."""
        world, story = self.world, self.story
        say = self.framing.phrase
        intro = say(*story.intro).format(others=self._others(), labels=joined(self._listed(seat)))
        lines = [intro, *self._meetings()]
        if world.order == "simultaneous":
            lines.append(
                say(
                    "You choose at the same time, without knowing each other's choice.",
                    "Nobody learns what anybody else chooses before all have chosen.",
                    "All choices are made at once; none is known when you make yours.",
                )
            )
        else:
            lines.append(
                say(
                    f"You choose one after the other; whoever chooses later in a {story.round} "
                    "knows what was chosen before.",
                    f"Choices are made in turn; those made earlier in a {story.round} are known.",
                    f"You take turns: later in a {story.round}, one knows what was chosen before.",
                )
            )
        if self._known_role(seat) is not None:
            lines += self.payoff_lines(self._known_role(seat), seat)
        lines += [*self._lengths(), *self._noise()]
        gain, unit = story.gains[0], self.framing.currency
        lines.append(
            say(
                f"Your goal is to {gain} as many {unit} as possible.",
                f"Try to {gain} as many {unit} as you can.",
                f"What counts for you is how many {unit} you {gain} in all.",
            )
        )
        return "\n".join(lines)

    def payoff_lines(self, role: int | None, seat: Seat) -> list[str]:
        """One line for every outcome, own choice and own payoff first."""
        table, role = self.table, role or 0
        sizes = table.shape[1:]
        others = [player for player in range(len(sizes)) if player != role]
        lines = []
        for mine in self._order(sizes[role], seat):
            choices = [self._order(sizes[player], seat) for player in others]
            for theirs in itertools.product(*choices):
                cell = list(theirs)
                cell.insert(role, mine)
                paid = table[(slice(None), *cell)]
                lines.append(self._payoff_line(role, mine, others, theirs, paid))
        return lines

    def words(self, row: Any, seat: Seat) -> str:
        """Which round it is, what happened in the last one, and the total so far."""
        world, story = self.world, self.story
        played = int(row.round)
        noun = story.round.capitalize()
        known = world.end_probability is None
        now = f"{noun} {played + 1} of {world.rounds}." if known else f"{noun} {played + 1}."
        lines = [f"The game is over after {played} {story.round}s." if self._over(played) else now]
        if self._known_role(seat) is None:
            lines += self.payoff_lines(int(row.role), seat)
        lines += self._last_round(row, seat, played)
        if played:
            total = plural(exact(row.score), self.framing.currency)
            lines.append(f"So far you have {total}.")
        return "\n".join(lines)

    def question(self, row: Any, seat: Seat) -> str:
        """Ask for an option."""
        return self.framing.phrase(
            f"Which {self.story.option} do you choose?",
            f"What is your choice of {self.story.option}?",
            f"Please choose: which {self.story.option} is it?",
        )

    def options(self, row: Any, seat: Seat) -> tuple[str, ...]:
        """The labels, in this individual's order."""
        return tuple(self.labels[index] for index in self._order(self._size(row, seat), seat))

    def answer_hint(self, row: Any, seat: Seat) -> str:
        """The form of the answer."""
        return f"After 'Answer:' write {joined(self.options(row, seat), 'or')}, nothing else."

    def action(self, text: str, row: Any, seat: Seat) -> np.int32:
        """Read the index of one option."""
        return read_answer(text, lambda answer: self._index(answer, row, seat))

    def others(self, row: Any, seat: Seat) -> tuple[str, ...] | None:
        """What the others chose in the last round, where it is known."""
        if self.world.shares_action:
            counts = _numbers(row.counts)
            found = [
                label
                for label, count in zip(self.labels, counts, strict=True)
                for _ in range(int(count))
            ]
            return tuple(found) if int(row.own_last) >= 0 and found else None
        theirs = _numbers(row.other_last)
        return tuple(self.labels[index] for index in theirs) if min(theirs) >= 0 else None

    def probes(self, seat: Seat) -> tuple[Probe, ...]:
        """What one earns in each outcome, and how many rounds there are."""
        world, story = self.world, self.story
        rounds = world.rounds if world.end_probability is None else None
        words = (story.other, story.option, self.framing.currency)
        return matrix_probes(self.table, self._known_role(seat), self.labels, rounds, words)

    def describe(self, action: Any, row: Any, seat: Seat) -> str:
        """An action in words, with the name that the game gives it."""
        index = int(action)
        return f"chooses {self.labels[index]} ({self.world.action_names[index]})"

    # ---- who is who -----------------------------------------------------------------

    def _known_role(self, seat: Seat) -> int | None:
        """Which player of the game the seat is; None where every round may change it."""
        world = self.world
        if self._symmetric:
            return 0
        if world.pairs == "fixed":
            return int(self._fixed_roles[seat.slot])
        if world.tabled:
            return None
        if world.pairs == "across_groups":
            sizes = world.group_sizes or (world.num_slots // 2,)
            return int(seat.slot >= sizes[0])
        # Whoever comes first in slot order is the row player of a pair.
        if world.pairs == "neighbours" and world.graph is not None and not world.graph.complete:
            return int(seat.slot > int(world.graph.table[seat.slot, 0]))
        return int(seat.slot != 0)

    @functools.cached_property
    def _symmetric(self) -> bool:
        table = self.table
        return table.ndim == 3 and np.array_equal(table[1], table[0].T)

    @functools.cached_property
    def _fixed_roles(self) -> np.ndarray:
        return np.asarray(self.world.init(jax.random.PRNGKey(0)).tables.role)

    def _size(self, row: Any, seat: Seat) -> int:
        role = self._known_role(seat)
        return self.table.shape[1:][int(row.role) if role is None else role]

    def _order(self, size: int, seat: Seat) -> tuple[int, ...]:
        return ordered(range(size), self.framing, seat, self._topic)

    @functools.cached_property
    def _topic(self) -> str:
        return "/".join(self.labels)

    def _listed(self, seat: Seat) -> list[str]:
        return [self.labels[index] for index in self._order(len(self.labels), seat)]

    def _others(self) -> str:
        world, story = self.world, self.story
        noun = story.other.removeprefix("the other ")
        if world.num_roles > 2:
            return f"{world.num_roles - 1} other {noun}s"
        return f"other {noun}s" if world.shares_action else f"another {noun}"

    # ---- lines of the rules ---------------------------------------------------------

    def _meetings(self) -> list[str]:
        world, story = self.world, self.story
        if world.shares_action:
            how = "the mean" if world.neighbour_payoff == "mean" else "the sum"
            return [
                f"Every {story.round} your choice counts against each of them, and you "
                f"{story.gains[0]} {how} of what the single meetings pay."
            ]
        if world.pairs == "random" and world.rematch == "round":
            return [f"Whom you meet is drawn anew every {story.round}."]
        return []

    def _payoff_line(
        self, role: int, mine: int, others: Sequence[int], theirs: Sequence[int], paid: np.ndarray
    ) -> str:
        gain, gains = self.story.gains
        own = plural(exact(paid[role]), self.framing.currency)
        if len(others) == 1:
            other, theirs_paid = self.story.other, exact(paid[others[0]])
            one, two = self.labels[mine], self.labels[theirs[0]]
            return self.framing.phrase(
                f"If you choose {one} and {other} chooses {two}, you {gain} {own} and {other} "
                f"{gains} {theirs_paid}.",
                f"When your choice is {one} and that of {other} is {two}, you {gain} {own}, and "
                f"{other} {gains} {theirs_paid}.",
                f"You choose {one}, {other} chooses {two}: you {gain} {own}, {other} {gains} "
                f"{theirs_paid}.",
            )
        noun = self.story.other.removeprefix("the other ")
        names = [f"{noun} {player + 1}" for player in others]
        chosen = [f"{name} {self.labels[index]}" for name, index in zip(names, theirs, strict=True)]
        earned = [
            f"{name} {exact(paid[player])}" for name, player in zip(names, others, strict=True)
        ]
        return (
            f"If you ({noun} {role + 1}) choose {self.labels[mine]}, {joined(chosen)}, "
            f"you {gain} {own}, {joined(earned)}."
        )

    def _lengths(self) -> list[str]:
        world, noun = self.world, self.story.round
        lines = []
        if world.end_probability is None:
            lines.append(
                f"There {'is' if world.rounds == 1 else 'are'} "
                f"{plural(str(world.rounds), noun + 's')}."
            )
        else:
            chance = amount(100 * float(world.end_probability))
            lines.append(f"After every {noun} the game ends with a chance of {chance}%.")
        if world.discount is not None:
            lines.append(
                f"What a {noun} pays counts {exact(world.discount)} times as much as what the "
                f"{noun} before it pays."
            )
        return lines

    def _noise(self) -> list[str]:
        chance = 100 * float(self.world.noise)
        if not chance:
            return []
        return [
            f"With a chance of {amount(chance)}% what somebody chooses is carried out as "
            "another option. You see what was carried out, of yourself and of others."
        ]

    # ---- lines about the last round -------------------------------------------------

    def _over(self, played: int) -> bool:
        return played >= self.world.rounds

    def _last_round(self, row: Any, seat: Seat, played: int) -> list[str]:
        world = self.world
        if world.order == "alternating":
            return self._earlier_moves(row, seat, played)
        mine = int(row.own_last)
        if not played or mine < 0:
            return []
        when = f"In {self.story.round} {played}"
        if world.shares_action:
            return [self._against_many(row, mine, when)]
        # A seat that changes every round does not know which one it had before.
        if self._known_role(seat) is None and world.pairs == "random":
            return [f"{when}, {self._told(row, mine)}."]
        role = self._known_role(seat)
        role = int(row.role) if role is None else role
        theirs = _numbers(row.other_last)
        if min(theirs) < 0:
            return [f"{when}, you met nobody."]
        cell = list(theirs)
        cell.insert(role, mine)
        paid = self.table[(slice(None), *cell)]
        return [f"{when}, {self._told(row, mine)}; {self._paid(role, paid)}."]

    def _told(self, row: Any, mine: int) -> str:
        theirs = _numbers(row.other_last)
        chosen = joined([self.labels[index] for index in theirs])
        other = self.story.other if len(theirs) == 1 else self.story.others
        return f"you chose {self.labels[mine]} and {other} chose {chosen}"

    def _paid(self, role: int, paid: np.ndarray) -> str:
        gain = {"win": "won", "receive": "received", "earn": "earned"}[self.story.gains[0]]
        own = plural(exact(paid[role]), self.framing.currency)
        others = [exact(paid[player]) for player in range(len(paid)) if player != role]
        other = self.story.other if len(others) == 1 else self.story.others
        return f"you {gain} {own} and {other} {gain} {joined(others)}"

    def _against_many(self, row: Any, mine: int, when: str) -> str:
        counts = np.asarray(row.counts)
        chosen = [
            f"{count} chose {self.labels[index]}" for index, count in enumerate(counts) if count
        ]
        if not chosen:
            return f"{when}, you chose {self.labels[mine]} and met nobody."
        paid = np.float32((self.table[0][mine] * counts).sum())
        if self.world.neighbour_payoff == "mean":
            paid = paid / np.float32(counts.sum())
        own = plural(exact(paid), self.framing.currency)
        gain = {"win": "won", "receive": "received", "earn": "earned"}[self.story.gains[0]]
        return (
            f"{when}, you chose {self.labels[mine]}; of the others, {joined(chosen)}. "
            f"You {gain} {own}."
        )

    def _earlier_moves(self, row: Any, seat: Seat, played: int) -> list[str]:
        """What is known when players move in turn: latest choices, this round's first."""
        lines = []
        mine = int(row.own_last)
        theirs = _numbers(row.other_last)
        role = int(row.role)
        earlier = [index for index in theirs[:role] if index >= 0]
        if earlier and not self._over(played):
            chosen = joined([self.labels[index] for index in earlier])
            other = self.story.other if len(earlier) == 1 else self.story.others
            verb = "has" if len(earlier) == 1 else "have"
            lines.append(f"In this {self.story.round}, {other} {verb} already chosen {chosen}.")
        if played and mine >= 0:
            when = f"In {self.story.round} {played}"
            if role == 0 or self._over(played):
                lines.append(f"{when}, {self._told(row, mine)}.")
            else:
                lines.append(f"{when}, you chose {self.labels[mine]}.")
        return lines

    def _index(self, answer: str, row: Any, seat: Seat) -> np.int32:
        bare = self._lead.sub("", answer).strip(" \t*_`\"'").lower()
        for index, label in enumerate(self.labels[: self._size(row, seat)]):
            if bare == label.lower():
                return np.int32(index)
        shown = answer if len(answer) <= 60 else answer[:57] + "..."
        hint = self.answer_hint(row, seat)
        raise ParseError(f"{shown!r} is not one of the {self.story.option}s. {hint}")

    @functools.cached_property
    def _lead(self) -> re.Pattern[str]:
        return re.compile(rf"(?i)^(?:i\s+choose\s+)?(?:{self.story.option}\s+)?")


def _numbers(values: Any) -> list[int]:
    """Whole numbers of an array, or the one number that it is."""
    found = np.asarray(values).tolist()
    return found if isinstance(found, list) else [found]


def _labels(framing: Framing, number: int) -> tuple[str, ...]:
    """What the actions are called, in the order of the actions."""
    given = framing.labels or _LETTERS
    words = [word.strip() for word in given.split(",")] if "," in given else list(given.strip())
    if not framing.labels:
        words = words[:number]
    folded = {word.lower() for word in words}
    if len(words) != number or len(folded) != len(words) or "" in folded:
        raise ValueError(
            f"framing.labels: {framing.labels or '(default)'} names {len(words)} options, but this "
            f"game has {number} actions; give as many different letters ('JF'), or words "
            "separated by commas"
        )
    return tuple(words)

"""Gridworlds in words: what lies where, as seen from the reader, and moves by name."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from worlds.captions import Caption, Framing
from worlds.games.captions.reading import read_answer
from worlds.games.captions.wording import check_story, joined, ordered
from worlds.types import ParseError, Seat

__all__ = ["GridCaption", "Tellable"]

_MOST_LISTED = 8  # things of one kind, nearest first
_COMPASS = ("north", "south", "east", "west")
_OWN = ("ahead", "behind", "to your right", "to your left")


class Tellable(Protocol):
    """What a gridworld offers to be told in words.

    channels: what each channel of ``view["grid"]`` shows, in words; "wall" is told apart.
    moves: the name of each action. centre: row and column of the viewer in the view.
    oriented: the view turns with the viewer (ahead is up); otherwise north is up.
    """

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels."""
        ...

    @property
    def moves(self) -> tuple[str, ...]:
        """Names of the actions."""
        ...

    @property
    def centre(self) -> tuple[int, int]:
        """Row and column of the viewer."""
        ...

    @property
    def oriented(self) -> bool:
        """Whether the view turns with the viewer."""
        ...

    def tell_rules(self, seat: Seat) -> Sequence[str]:
        """The rules, a sentence or two a line."""
        ...

    def tell(self, row: Any, seat: Seat) -> Sequence[str]:
        """What is known beside the picture, a sentence a line."""
        ...


class GridCaption(Caption):
    """Lists what a seat sees, nearest first, and reads the name of a move."""

    world: Any

    def __init__(self, world: Any, framing: Framing | None = None) -> None:
        """Hold the world whose current parameters are put into words."""
        super().__init__(world, framing)
        check_story(self.framing, "gridworlds")

    def rules(self, seat: Seat) -> str:
        """The world's own rules, and how to read what is seen."""
        where = _OWN if self.world.oriented else _COMPASS
        lines = [
            *self.world.tell_rules(seat),
            f"Places are given as steps {joined(where, 'or')} of you; all move at the same time.",
            *self._crowding(),
            f"In every step you choose one of: {joined(self.world.moves, 'or')}.",
        ]
        return "\n".join(lines)

    def words(self, row: Any, seat: Seat) -> str:
        """What the seat sees now."""
        grid = np.asarray(row["grid"])
        lines = list(self.world.tell(row, seat))
        if grid.any():
            lines += [
                f"{name[:1].upper()}{name[1:]}: {self._places(grid[:, :, index])}."
                for index, name in enumerate(self.world.channels)
                if name != "wall"
            ]
            lines += self._blocked(grid)
        return "\n".join(lines) or "You see nothing."

    def question(self, row: Any, seat: Seat) -> str:
        """Ask for a move."""
        return "What do you do in this step?"

    def options(self, row: Any, seat: Seat) -> tuple[str, ...]:
        """The moves, ordered as the framing says."""
        return ordered(self.world.moves, self.framing, seat, "moves")

    def answer_hint(self, row: Any, seat: Seat) -> str:
        """The form of the answer."""
        return "After 'Answer:' write one of the moves."

    def action(self, text: str, row: Any, seat: Seat) -> np.int32:
        """Read a move by its name."""
        return read_answer(text, self._move)

    def describe(self, action: Any, row: Any, seat: Seat) -> str:
        """A move in words."""
        return f"chooses {self.world.moves[int(action)]!r}"

    def _crowding(self) -> list[str]:
        if getattr(self.world, "collisions", "refused") == "allowed":
            return ["Several can stand in one place."]
        return ["Two cannot stand in one place: if several want it, chance decides who gets it."]

    def _move(self, answer: str) -> np.int32:
        wanted = " ".join(answer.lower().replace("_", " ").split())
        names = [move.lower() for move in self.world.moves]
        if wanted not in names:
            raise ParseError(f"{answer[:60]!r} is none of {joined(self.world.moves, 'or')}")
        return np.int32(names.index(wanted))

    def _places(self, held: np.ndarray) -> str:
        """Where a channel is set, nearest first."""
        offsets = np.argwhere(held) - np.asarray(self.world.centre)
        if not len(offsets):
            return "none in sight"
        distance = np.abs(offsets).sum(axis=1)
        order = np.argsort(distance, kind="stable")
        told = [self._place(*offsets[index].tolist()) for index in order[:_MOST_LISTED]]
        more = len(order) - len(told)
        return "; ".join(told) + (f"; and {more} more farther away" if more else "")

    def _place(self, down: int, right: int) -> str:
        up, low, east, west = _OWN if self.world.oriented else _COMPASS
        parts = []
        if down:
            parts.append(f"{abs(down)} {low if down > 0 else up}")
        if right:
            parts.append(f"{abs(right)} {east if right > 0 else west}")
        return " and ".join(parts) or "where you stand"

    def _blocked(self, grid: np.ndarray) -> list[str]:
        """Which ways are shut right beside the seat."""
        if "wall" not in self.world.channels:
            return []
        walls = grid[:, :, self.world.channels.index("wall")]
        row, column = self.world.centre
        up, low, east, west = _OWN if self.world.oriented else _COMPASS
        beside = {up: (-1, 0), low: (1, 0), east: (0, 1), west: (0, -1)}
        shut = []
        for name, (down, right) in beside.items():
            place = row + down, column + right
            inside = 0 <= place[0] < walls.shape[0] and 0 <= place[1] < walls.shape[1]
            if inside and walls[place]:
                shut.append(name)
        if not shut:
            return []
        return [f"A wall is right {joined(shut)}{'' if self.world.oriented else ' of you'}."]

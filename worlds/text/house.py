"""Houses for ``rooms``: generated from a seed and a difficulty, and always solvable."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["OPPOSITE", "House", "Way", "build_house", "solution"]

OPPOSITE = {"north": "south", "south": "north", "east": "west", "west": "east"}
_STEPS = {"north": (0, 1), "south": (0, -1), "east": (1, 0), "west": (-1, 0)}
_ROOMS = (
    "hall", "kitchen", "library", "cellar", "attic", "garden", "workshop", "chapel", "stable",
    "pantry", "tower", "gallery", "bath", "study", "laundry", "orchard",
)  # fmt: skip
_COLOURS = ("red", "blue", "green", "yellow", "white", "black")
_BOXES = ("chest", "cupboard", "barrel", "basket", "drawer", "trunk")
_DISHES = {
    "soup": ("onion", "carrot", "bone", "salt"),
    "cake": ("flour", "egg", "honey", "butter"),
    "salad": ("lettuce", "tomato", "olive", "cheese"),
    "tea": ("water", "leaf", "sugar", "lemon"),
}


class Way(NamedTuple):
    """A way out of a room: where it leads; the door's rooms and colour, (0, 0) and "" without."""

    direction: str
    other: int
    door: tuple[int, int]
    colour: str


@dataclasses.dataclass(frozen=True)
class House:
    """What does not change while one plays.

    rooms: names; room 0 is the hall, where all begin and the dish must be brought.
    exits: per room, direction -> room. doors: (room, room) with the smaller number first ->
    colour of the lock. boxes: name -> room. places: item -> "r<room>" or "b<box>" at the
    start. dish: what must be made, from ``ingredients``, in the room ``stove``.
    """

    rooms: tuple[str, ...]
    exits: tuple[dict[str, int], ...]
    doors: dict[tuple[int, int], str]
    boxes: dict[str, int]
    places: dict[str, str]
    dish: str
    ingredients: tuple[str, ...]
    stove: int

    @functools.cached_property
    def ways(self) -> tuple[tuple[Way, ...], ...]:
        """Per room, its exits with their doors."""
        found = []
        for room, exits in enumerate(self.exits):
            doors = {name: (min(room, other), max(room, other)) for name, other in exits.items()}
            found.append(
                tuple(
                    Way(name, other, doors[name], self.doors[doors[name]])
                    if doors[name] in self.doors
                    else Way(name, other, (0, 0), "")
                    for name, other in exits.items()
                )
            )
        return tuple(found)

    @functools.cached_property
    def boxes_in(self) -> tuple[tuple[str, ...], ...]:
        """Per room, its boxes."""
        return tuple(
            tuple(box for box, place in self.boxes.items() if place == room)
            for room in range(len(self.rooms))
        )


def build_house(rng: np.random.Generator, difficulty: int) -> House:
    """Draw a house: a tree of rooms with a few shortcuts, locks, closed boxes and a recipe.

    A lock stands on the way to a room, its key in a room that was laid out before; rooms
    before it need only keys that lie still earlier, so every house can be solved.

    Args:
      difficulty: 1 to 5; rooms 3 + 2 d, locks d - 1, boxes d, ingredients min(1 + d, 4).
    """
    num = 3 + 2 * difficulty
    cells, parents = _layout(rng, num)
    exits = _exits(cells, parents)
    names = (_ROOMS[0], *(_ROOMS[1 + i] for i in rng.permutation(len(_ROOMS) - 1)[: num - 1]))
    later = list(range(1, num))
    locked = sorted(int(room) for room in rng.choice(later, size=difficulty - 1, replace=False))
    colours = rng.permutation(len(_COLOURS))
    doors: dict[tuple[int, int], str] = {}
    places: dict[str, str] = {}
    for index, room in enumerate(locked):
        colour = _COLOURS[colours[index]]
        doors[min(room, parents[room]), max(room, parents[room])] = colour
        places[f"{colour} key"] = f"r{int(rng.integers(0, room))}"
    boxes = {
        _BOXES[i]: int(rng.integers(0, num)) for i in rng.permutation(len(_BOXES))[:difficulty]
    }
    dish = list(_DISHES)[int(rng.integers(len(_DISHES)))]
    ingredients = _DISHES[dish][: min(1 + difficulty, 4)]
    for item in ingredients:
        box = list(boxes)[int(rng.integers(len(boxes)))]
        hidden = rng.random() < 0.5
        places[item] = f"b{box}" if hidden else f"r{int(rng.integers(0, num))}"
    return House(names, exits, doors, boxes, places, dish, ingredients, int(rng.integers(0, num)))


def _layout(rng: np.random.Generator, num: int) -> tuple[list[tuple[int, int]], list[int]]:
    """Rooms on a square grid, each beside one that was there before."""
    cells, parents = [(0, 0)], [-1]
    while len(cells) < num:
        parent = int(rng.integers(len(cells)))
        step = list(_STEPS.values())[int(rng.integers(4))]
        cell = (cells[parent][0] + step[0], cells[parent][1] + step[1])
        if cell not in cells:
            cells.append(cell)
            parents.append(parent)
    return cells, parents


def _exits(cells: Sequence[tuple[int, int]], parents: Sequence[int]) -> tuple[dict[str, int], ...]:
    exits: list[dict[str, int]] = [{} for _ in cells]
    for room, parent in enumerate(parents):
        if parent < 0:
            continue
        step = (cells[room][0] - cells[parent][0], cells[room][1] - cells[parent][1])
        direction = next(name for name, move in _STEPS.items() if move == step)
        exits[parent][direction] = room
        exits[room][OPPOSITE[direction]] = parent
    return tuple(dict(sorted(some.items())) for some in exits)


def solution(house: House) -> list[str]:
    """Commands by which one player alone solves a house from the start, not the shortest.

    Goes for whatever can be reached: keys first as they come, then ingredients, then the
    stove, then the hall.
    """
    walker = _Walker(house)
    wanted = [item for item in house.places if item.endswith("key")] + list(house.ingredients)
    left = list(wanted)
    while left:
        item = next((one for one in left if walker.path(walker.room_of(one)) is not None), None)
        if item is None:
            raise ValueError("this house cannot be solved")
        walker.fetch(item)
        left.remove(item)
    walker.go(house.stove)
    walker.commands.append(f"make {house.dish}")
    walker.go(0)
    walker.commands.append(f"drop {house.dish}")
    return walker.commands


class _Walker:
    """Somebody who knows the house."""

    def __init__(self, house: House) -> None:
        self.house, self.room, self.keys = house, 0, set()
        self.opened: set[tuple[int, int]] = set()
        self.commands: list[str] = []

    def room_of(self, item: str) -> int:
        place = self.house.places[item]
        return self.house.boxes[place[1:]] if place[0] == "b" else int(place[1:])

    def path(self, goal: int) -> list[str] | None:
        """Directions from here, through doors that are open or can be unlocked."""
        seen, queue = {self.room: []}, [self.room]
        while queue:
            room = queue.pop(0)
            for direction, other in self.house.exits[room].items():
                door = (min(room, other), max(room, other))
                colour = self.house.doors.get(door)
                if other in seen or (colour and colour not in self.keys | self._open_colours()):
                    continue
                seen[other] = [*seen[room], direction]
                queue.append(other)
        return seen.get(goal)

    def _open_colours(self) -> set[str]:
        return {self.house.doors[door] for door in self.opened}

    def go(self, goal: int) -> None:
        for direction in self.path(goal) or ():
            other = self.house.exits[self.room][direction]
            door = (min(self.room, other), max(self.room, other))
            if door in self.house.doors and door not in self.opened:
                self.commands.append(f"unlock door {direction}")
                self.opened.add(door)
            self.commands.append(f"go {direction}")
            self.room = other

    def fetch(self, item: str) -> None:
        self.go(self.room_of(item))
        place = self.house.places[item]
        if place[0] == "b" and f"open {place[1:]}" not in self.commands:
            self.commands.append(f"open {place[1:]}")
        self.commands.append(f"take {item}")
        if item.endswith(" key"):
            self.keys.add(item.removesuffix(" key"))

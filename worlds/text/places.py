"""Places of a town as a tree: sectors, their arenas (rooms), and objects in them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

__all__ = ["VILLAGE", "Places"]

VILLAGE: dict[str, dict[str, list[str]]] = {
    "Hobbs Cafe": {"counter": ["coffee machine", "till"], "tables": ["piano", "sofa"]},
    "Market": {"stalls": ["scales", "crates"], "office": ["ledger"]},
    "College": {"library": ["bookshelf", "desk"], "classroom": ["blackboard"]},
    "Park": {"meadow": ["bench", "fountain"], "pond": ["boat"]},
    "Pub": {"bar": ["tap", "dartboard"]},
    "Town Hall": {"hall": ["podium", "notice board"]},
}


@dataclasses.dataclass(frozen=True)
class Places:
    """Arenas by number, with names ``Sector: arena`` and the objects in each.

    ``homes[i]`` is the arena where resident i lives. Two arenas of one sector are one minute
    apart, others ``minutes_between``.
    """

    names: tuple[str, ...]
    objects: tuple[tuple[str, ...], ...]
    homes: tuple[int, ...]
    minutes_between: int = 5

    @classmethod
    def of(cls, tree: Mapping[str, Any] | str | None, residents: Sequence[str]) -> "Places":
        """The places of a tree (the village by default), and a home for each resident.

        Raises:
          ValueError: The tree is not sector -> arena -> list of objects.
        """
        names: list[str] = []
        objects: list[tuple[str, ...]] = []
        for sector, arenas in _read(tree).items():
            if not isinstance(arenas, Mapping) or not arenas:
                raise ValueError(
                    f"map.{sector}: give its arenas as a map, such as {{counter: [till]}}"
                )
            for arena, things in arenas.items():
                if not isinstance(things, Sequence) or isinstance(things, str):
                    raise ValueError(f"map.{sector}.{arena}: give a list of objects, such as []")
                names.append(f"{sector}: {arena}")
                objects.append(tuple(map(str, things)))
        homes = []
        for resident in residents:
            homes.append(len(names))
            names.append(f"House of {resident}: room")
            objects.append(("bed", "stove"))
        return cls(tuple(names), tuple(objects), tuple(homes))

    def sector(self, place: int) -> str:
        """The name of the sector that an arena is in."""
        return self.names[place].split(":")[0]

    def minutes(self, start: int, goal: int) -> int:
        """How long the way takes."""
        if start == goal:
            return 0
        return 1 if self.sector(start) == self.sector(goal) else self.minutes_between

    def find(self, name: str) -> int | None:
        """The arena of that name; of a sector, its first arena."""
        wanted = name.strip().strip(".!\"'").casefold()
        for place, known in enumerate(self.names):
            if wanted in (known.casefold(), known.casefold().replace(": ", " ")):
                return place
        for place in range(len(self.names)):
            if wanted == self.sector(place).casefold():
                return place
        return None


def _read(tree: Mapping[str, Any] | str | None) -> Mapping[str, Any]:
    """A tree that is given, or written down as YAML; the village where there is none."""
    if isinstance(tree, str):
        given, tree = tree, yaml.safe_load(tree)
        if not isinstance(tree, Mapping):
            raise ValueError(
                f"map: {given[:40]!r} is no map of sectors; for a file write map: {{file: {given}}}"
            )
    return tree or VILLAGE

"""Who descends from whom: a pedigree from the journal, as a table and as a Newick tree.

Every birth and death inside steps is in the journal (events "lives"), with both parents'
uids and the distance of the child's mind from its first parent's. A tree has one parent for
each, so it follows the first one; the table has both.
"""

import csv
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Pedigree", "newick", "pedigree_of", "write_table"]

_HEAD = ("uid", "parent", "other_parent", "born", "died", "slot", "distance")


@dataclasses.dataclass(frozen=True)
class Pedigree:
    """Everybody who ever lived, in the order of uids; one row each.

    uid: [B] int64. parent, other_parent: [B] uids, -1 = none (founders). born, died: [B]
    ticks of the run, died -1 where still alive. slot: [B]. distance: [B] float.
    """

    uid: np.ndarray
    parent: np.ndarray
    other_parent: np.ndarray
    born: np.ndarray
    died: np.ndarray
    slot: np.ndarray
    distance: np.ndarray

    def __len__(self) -> int:
        """How many ever lived."""
        return len(self.uid)

    @property
    def alive(self) -> np.ndarray:
        """[B] bool: has not died yet."""
        return self.died < 0

    def row_of(self, uid: np.ndarray) -> np.ndarray:
        """Rows of uids; -1 for -1 and for the unknown."""
        uid = np.asarray(uid)
        place = np.minimum(np.searchsorted(self.uid, uid), max(len(self.uid) - 1, 0))
        if not len(self.uid):
            return np.full(uid.shape, -1)
        return np.where(self.uid[place] == uid, place, -1)

    def depth(self) -> np.ndarray:
        """[B] int: births between each and its founder, along first parents."""
        parent, depth = self.row_of(self.parent), np.zeros(len(self), int)
        for row in range(len(self)):  # parents have smaller uids than their children
            if parent[row] >= 0:
                depth[row] = depth[parent[row]] + 1
        return depth

    def founder(self) -> np.ndarray:
        """[B] uid of each one's founder, along first parents."""
        parent, founder = self.row_of(self.parent), self.uid.copy()
        for row in range(len(self)):
            if parent[row] >= 0:
                founder[row] = founder[parent[row]]
        return founder

    def ancestors_of_living(self) -> np.ndarray:
        """[B] bool: lives, or has a living descendant along first parents."""
        kept, parent = self.alive.copy(), self.row_of(self.parent)
        for row in range(len(self) - 1, -1, -1):
            if kept[row] and parent[row] >= 0:
                kept[parent[row]] = True
        return kept

    def cut(self, kept: np.ndarray) -> "Pedigree":
        """The rows that are kept, which must include every kept row's parent or none of it."""
        return Pedigree(*(getattr(self, field.name)[kept] for field in dataclasses.fields(self)))


def pedigree_of(events: Iterable[Any]) -> Pedigree:
    """Put the journal's lives together: its events of kind "lives", in order."""
    born: dict[int, list[float]] = {}
    died: dict[int, int] = {}
    for event in events:
        tick = event.data["tick"]
        for uid, parent, other, slot, distance in event.data["born"]:
            born[uid] = [parent, other, tick, slot, distance]
        for uid, slot in event.data["died"]:
            died[uid] = tick
            born.setdefault(uid, [-1, -1, 0, slot, 0.0])
    uids = np.array(sorted(born), np.int64)
    table = np.array([born[uid] for uid in uids.tolist()], float).reshape(len(uids), 5)
    whole = table[:, :4].astype(np.int64)
    return Pedigree(
        uid=uids,
        parent=whole[:, 0],
        other_parent=whole[:, 1],
        born=whole[:, 2],
        died=np.array([died.get(uid, -1) for uid in uids.tolist()], np.int64),
        slot=whole[:, 3],
        distance=table[:, 4],
    )


def newick(pedigree: Pedigree, *, end: int | None = None) -> str:
    """Return the forest as one Newick tree under a root without a name.

    Branch lengths are ticks from birth to birth of the next, or to death. Each individual is
    a node called by its uid.

    Args:
      end: tick at which the living are cut off; by default the last tick in the pedigree.
    """
    last = max([int(pedigree.born.max(initial=0)), int(pedigree.died.max(initial=0))])
    end = last if end is None else end
    children: dict[int, list[int]] = {}
    parent = pedigree.row_of(pedigree.parent)
    for row in range(len(pedigree)):
        children.setdefault(int(parent[row]), []).append(row)
    texts: dict[int, str] = {}
    for row in range(len(pedigree) - 1, -1, -1):  # children before their parents
        inner = [texts.pop(child) for child in children.get(row, [])]
        since = int(pedigree.born[parent[row]]) if parent[row] >= 0 else 0
        until = int(pedigree.born[row]) if inner else int(pedigree.died[row])
        length = (until if until >= 0 else end) - since
        group = f"({','.join(inner)})" if inner else ""
        texts[row] = f"{group}{pedigree.uid[row]}:{max(length, 0)}"
    return f"({','.join(texts[row] for row in children.get(-1, []))});"


def write_table(pedigree: Pedigree, path: str | Path) -> None:
    """Write one CSV row for each individual."""
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_HEAD)
        columns = [getattr(pedigree, name).tolist() for name in _HEAD]
        writer.writerows(zip(*columns, strict=True))

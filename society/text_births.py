"""Births and deaths of language agents inside steps, applied in order at the next host turn.

The device moves on without them: whoever was born acts by the world's no-op until its mind
has been asked for, and the minds of the dead are kept until then, so that a child can still
read what its parent leaves.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from society.newborns import BORN

__all__ = ["TextLives"]


class TextLives:
    """Language agents who were born and died since the last host turn.

    waiting: slot -> [uid, first parent, second parent] of whoever holds it now, [] if nobody.
    uids: slot -> uid of whoever's mind is there.
    """

    def __init__(self) -> None:
        self.waiting: dict[int, list[int]] = {}
        self.uids: dict[int, int] = {}

    @property
    def state(self) -> dict[str, Any]:
        """Plain values, which a checkpoint stores."""
        return {
            "waiting": {str(slot): held for slot, held in sorted(self.waiting.items())},
            "uids": {str(slot): uid for slot, uid in sorted(self.uids.items())},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` once was."""
        self.waiting = {int(slot): list(held) for slot, held in state["waiting"].items()}
        self.uids = {int(slot): int(uid) for slot, uid in state["uids"].items()}

    def gather(self, log: Any, text_slots: Collection[int]) -> None:
        """Add a chunk's births and deaths of language agents to those that wait."""
        if not log:
            return
        for row in np.asarray(log.rows)[: int(log.used)].tolist():
            _, kind, uid, slot, first, second, *_ = row
            if slot not in text_slots or (kind == BORN and self.uids.get(slot) == uid):
                continue
            self.waiting[slot] = [uid, first, second] if kind == BORN else []

    def settle(
        self, legacies: Mapping[int, str]
    ) -> tuple[list[int], list[tuple[int, tuple[int, ...], tuple[str, ...]]]]:
        """Slots that somebody left, and newborns as (slot, parents' uids, parents' texts).

        Args:
          legacies: slot -> what its mind, perhaps of somebody who died, passes on.
        """
        left = {self.uids[slot]: text for slot, text in legacies.items() if slot in self.uids}
        gone, born = sorted(self.waiting), []
        for slot in gone:
            self.uids.pop(slot, None)
            if held := self.waiting[slot]:
                parents = tuple(uid for uid in held[1:] if uid >= 0)
                texts = tuple(left[uid] for uid in parents if left.get(uid))
                born.append((slot, parents, texts))
        self.waiting = {}
        return gone, born

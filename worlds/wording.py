"""A world's caption, tied to the seats of one episode."""

import functools
import importlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from worlds.captions import Caption, Framing
from worlds.types import Observation, Seat
from worlds.world import World

__all__ = ["Wording", "caption_of", "row_of"]


def caption_of(world: World[Any], framing: Framing | None = None) -> Caption | None:
    """Load the caption that a world declares, holding the world's values as NumPy arrays."""
    if world.caption is None:
        return None
    module, _, name = world.caption.partition(":")
    cls = getattr(importlib.import_module(module), name)
    return cls(jax.tree.map(np.asarray, world), framing)


def row_of(view: Any, slot: int) -> Any:
    """One slot's row of a view, as captions read it."""
    return jax.tree.map(lambda part: np.asarray(part)[slot], view)


class Wording:
    """Puts one world into words, seat by seat, and reads answers."""

    def __init__(self, caption: Caption) -> None:
        self.caption = caption

    @classmethod
    def of(cls, world: World[Any], framing: Framing | None = None) -> "Wording | None":
        """The wording of a world with a caption, else None."""
        caption = caption_of(world, framing)
        return None if caption is None else cls(caption)

    def rules(self, slot: int, name: str) -> str:
        """How the world works."""
        return self.caption.framing.spaced(self.caption.rules(_seat(slot, name)))

    def words(
        self, observation: Observation, slot: int, name: str, names: Mapping[int, str]
    ) -> str:
        """What an agent sees, what it is asked, and how it should answer."""
        self.caption.names = functools.partial(_named, names)
        row, seat = row_of(observation.view, slot), _seat(slot, name)
        parts = [self.caption.words(row, seat)]
        if bool(observation.acting[slot]):
            parts.append(self.caption.question(row, seat))
            options = self.caption.options(row, seat)
            parts += [f"- {option}" for option in options or ()]
            parts.append(self.caption.answer_hint(row, seat))
        return self.caption.framing.spaced("\n".join(part for part in parts if part))

    def action(self, text: str, observation: Observation, slot: int, name: str) -> Any:
        """Read an action; raises ParseError with what was expected."""
        return self.caption.action(text, row_of(observation.view, slot), _seat(slot, name))


def _seat(slot: int, name: str) -> Seat:
    return Seat(slot=slot, uid=int(name.rpartition("_")[2]), name=name)


def _named(names: Mapping[int, str], slot: int) -> str:
    return names.get(slot, f"agent in slot {slot}")

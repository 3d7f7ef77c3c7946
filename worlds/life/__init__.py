"""Artificial life: evolving minds on a living planet."""

from worlds.life.life import Life
from worlds.life.state import LifeState

__all__ = ["Life", "LifeState"]

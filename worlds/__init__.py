"""Worlds: bodies, rules, and the contract that both sides of the line speak."""

from worlds.registry import make
from worlds.world import World

__all__ = ["World", "aec_env", "make", "parallel_env"]


def __getattr__(name: str) -> object:
    """Load the PettingZoo edge only when it is used."""
    if name in ("parallel_env", "aec_env"):
        from worlds import pettingzoo

        return getattr(pettingzoo, name)
    raise AttributeError(f"module 'worlds' has no attribute {name!r}")

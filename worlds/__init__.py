"""Worlds: bodies, rules, and the contract that both sides of the line speak."""

from typing import TYPE_CHECKING

from worlds.registry import make

if TYPE_CHECKING:
    from worlds.pettingzoo import aec_env, parallel_env
    from worlds.world import World

__all__ = ["World", "aec_env", "make", "parallel_env"]


def __getattr__(name: str) -> object:
    """Load JAX and the PettingZoo edge only when they are used."""
    if name == "World":
        from worlds.world import World

        return World
    if name in ("parallel_env", "aec_env"):
        from worlds import pettingzoo

        return getattr(pettingzoo, name)
    raise AttributeError(f"module 'worlds' has no attribute {name!r}")

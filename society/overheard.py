"""Words that array minds say while no language agent is asked: kept, and delivered later.

The loop runs several steps at once between two turns of an ``every: k`` language agent. What
is said in them would be lost with the outbox of the next step; so a chunk notes the words
of its first k - 1 steps, and the host puts them into mailboxes, each at its own step. There
they are bounded like all that waits for a reader: a channel's ``inbox`` newest are kept.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from society.population import Population
from worlds.types import Array

__all__ = ["note", "room"]


def room(
    channels: Mapping[str, Any], outbox: Mapping[str, Array], population: Population
) -> dict[str, Array]:
    """Channel -> [k - 1, N] int32, -1 = nothing said; empty where nobody could miss a word."""
    ticks = max((group.every for group in population.text_groups), default=1) - 1
    if ticks < 1:
        return {}
    return {
        name: jnp.full((ticks, *outbox[name].shape), -1, outbox[name].dtype)
        for name, channel in channels.items()
        if channel.numeric and channel.mailed
    }


def note(said: Mapping[str, Array], outbox: Mapping[str, Array], index: Array) -> dict[str, Array]:
    """The words with those of tick ``index`` of the chunk, where there is room for them."""
    return {name: rows.at[index].set(outbox[name], mode="drop") for name, rows in said.items()}

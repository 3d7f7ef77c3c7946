"""Which games, pairings and orders of a matrix game fit each other."""

from typing import TYPE_CHECKING

import numpy as np

from worlds.games.ordinal import ordinal_table
from worlds.games.presets import LEVELS, PRESETS

if TYPE_CHECKING:
    from worlds.games.matrix_game import MatrixGame

__all__ = ["check_game", "check_pairs"]


def check_game(world: "MatrixGame") -> None:
    """Refuse unknown games, payoffs of the wrong shape, and levels a game does not have."""
    known = [*PRESETS, "ordinal", "custom"]
    if world.game not in known:
        raise ValueError(f"game {world.game!r} is unknown; choose one of {', '.join(known)}")
    if world.game == "ordinal":
        ordinal_table(world.number, world.family)
    given = [name for name in LEVELS if getattr(world, name) is not None]
    if given and not (world.game in PRESETS and PRESETS[world.game].levels):
        raise ValueError(
            f"{given[0]} does not apply to game {world.game!r}; give payoffs with game: custom"
        )
    if world.game != "custom":
        if world.payoffs is not None or world.bimatrix is not None:
            raise ValueError(f"payoffs are set but game is {world.game!r}; set game: custom")
        return
    if (world.payoffs is None) == (world.bimatrix is None):
        raise ValueError("game: custom needs exactly one of payoffs and bimatrix")
    table = np.asarray(world.table())
    if table.ndim < 3 or len(table) != table.ndim - 1 or min(table.shape[1:]) < 1:
        raise ValueError(
            f"payoffs have shape {table.shape}; they must be [A, A] for a symmetric game or "
            "[players, A1, ..., An] with one axis of actions for each player"
        )
    if not np.isfinite(table).all():
        raise ValueError("payoffs must be finite numbers")


def check_pairs(world: "MatrixGame") -> None:
    """Refuse pairings and orders that the game cannot be played in."""
    if world.num_roles > 2 and not world.tabled:
        raise ValueError(
            f"game {world.game!r} has {world.num_roles} players, which pairs: {world.pairs} "
            "cannot seat; set pairs: random or fixed"
        )
    if len(set(world.sizes)) > 1 and not (world.tabled or world.num_seats == 1):
        raise ValueError(
            "players with different numbers of actions must sit in one seat each; set pairs: fixed"
        )
    if world.self_play and world.pairs != "all":
        raise ValueError(f"self_play needs pairs: all, not {world.pairs}")
    if world.actions == "same" and not (world.shares_action or world.num_seats == 1):
        raise ValueError(f"actions: same needs pairs: neighbours or all, not {world.pairs}")
    if world.pairs == "across_groups" and len(world.group_sizes) not in (0, 2):
        raise ValueError(f"pairs: across_groups needs two groups, not {len(world.group_sizes)}")
    if world.order == "alternating" and not (world.tabled or world.pairs == "across_groups"):
        raise ValueError(
            f"order: alternating needs pairs: fixed, random or across_groups, not {world.pairs}"
        )
    if world.shares_action:
        _check_shared(world)
    if world.num_slots < world.num_roles:
        raise ValueError(f"{world.num_slots} players cannot fill a game of {world.num_roles}")


def _check_shared(world: "MatrixGame") -> None:
    table = np.asarray(world.table())
    if not np.array_equal(table[1], table[0].T):
        raise ValueError(
            f"game {world.game!r} gives the two players different payoffs, so one action "
            "cannot meet all partners; set actions: each"
        )
    if world.repetitions > 1:
        raise ValueError("repetitions need actions: each")
    if world.self_play:
        raise ValueError("self_play needs actions: each")

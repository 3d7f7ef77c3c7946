"""Where energy came from and went, and whether the books balance."""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from society.contract import GroupSlice, Measure, Moment, Record
from worlds.registry import component
from worlds.types import Array

__all__ = ["EnergyAudit"]

_FLOWS = ("sun", "faded", "spent", "fought", "eaten", "looted", "given", "carrion")


class _Books(NamedTuple):
    """totals, lost: [8] float32 sums of flows and what rounding lost of them (Kahan).

    first: stored before the first step of the latest episode. gap: summed |imbalance| of
    finished episodes. stored: after the latest step. done: sums when that episode began.
    """

    totals: Array
    lost: Array
    stored: Array
    first: Array
    begun: Array
    gap: Array


@component("measure", "energy_audit")
@dataclasses.dataclass(frozen=True)
class EnergyAudit(Measure):
    """Energy audit: all flows summed, and how far the books are from closing.

    ``energy.NAME`` is the sum of each flow over the run; ``audit_error`` is what is missing
    (stored before + sun - faded - spent - fought - stored now), summed over episodes,
    relative to all that came in or was there, to six places. Sums on the device are
    compensated, so what is left is the rounding of the world's own arithmetic.
    Source: Kahan (1965), doi:10.1145/363707.363723.
    """

    streams = True

    def check(self, world: Any, groups: tuple[GroupSlice, ...]) -> None:
        """The world must tell its flows."""
        if not hasattr(world, "prices") or not world.births:
            raise ValueError("energy_audit needs a world that accounts for energy, as life")

    def begin(self, world: Any, groups: tuple[GroupSlice, ...]) -> _Books:
        """Empty books."""
        zero = jnp.zeros(len(_FLOWS), jnp.float32)
        nothing = jnp.float32(0)
        return _Books(zero, zero, nothing, nothing, zero, nothing)

    def update(self, acc: _Books, moment: Moment) -> _Books:
        """Add a step's flows; at the first step of an episode, open a new account."""
        metrics = moment.transition.metrics
        flows = jnp.stack([metrics[f"energy_{name}"] for name in _FLOWS])
        stored = metrics["energy_stored"]
        opens = moment.step == 0
        before = stored - flows[0] + flows[1] + flows[2] + flows[3]
        gap = acc.gap + jnp.where(opens, jnp.abs(_missing(acc)), 0.0)
        first = jnp.where(opens, before, acc.first)
        begun = jnp.where(opens, acc.totals, acc.begun)
        change = flows - acc.lost
        totals = acc.totals + change
        lost = (totals - acc.totals) - change
        return _Books(totals, lost, stored, first, begun, gap)

    def finish(self, acc: _Books, record: Record) -> dict[str, Any]:
        """Sums and the relative error."""
        totals = np.asarray(acc.totals, np.float64) - np.asarray(acc.lost, np.float64)
        missing = float(acc.gap) + abs(float(_missing(acc)))
        scale = max(float(acc.first) + float(totals[0]), 1e-30)
        found = {f"energy.{name}": float(total) for name, total in zip(_FLOWS, totals, strict=True)}
        return {**found, "audit_error": round(missing / scale, 6)}


def _missing(acc: _Books) -> Any:
    """What the latest episode's books lack."""
    sums = acc.totals - acc.begun
    return acc.first + sums[0] - sums[1] - sums[2] - sums[3] - acc.stored

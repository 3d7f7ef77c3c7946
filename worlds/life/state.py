"""What a planet is between two steps, and what a step cost."""

from typing import NamedTuple

from worlds.life.machines import Machines
from worlds.life.terrain import Lattice
from worlds.tree import doc_field, pytree
from worlds.types import Array

__all__ = ["Flows", "LifeState", "Prices"]


@pytree
class Prices:
    """What living and acting cost, in energy a step; the ground's factors multiply some."""

    living: float = doc_field(0.2, "being alive", ge=0)
    ageing: float = doc_field(1 / 256, "being alive, for each step of age", ge=0)
    move: float = doc_field(0.1, "moving, times roughness and |south| + |east|", ge=0)
    push: float = doc_field(0.1, "pushing or pulling, times friction and |push|", ge=0)
    attack: float = doc_field(0.2, "attacking, times strength", ge=0)
    speak: float = doc_field(0.02, "speaking, and programming, times noise", ge=0)
    terraform: float = doc_field(0.01, "terraforming, times the sum of |changes|", ge=0)
    birth: float = doc_field(2.0, "giving birth, times hardship, beside what the child gets", ge=0)


class Flows(NamedTuple):
    """Energy that came, went and moved in the latest step; float32 sums.

    sun: grown on the ground. faded: lost by the ground. spent: paid for living, acting and
    giving birth. fought: lost in fights (what attackers did not keep). eaten, looted, given
    (to children) and carrion (left by the dead) only move. stored: what is there afterwards,
    ground and bodies. So stored now = stored before + sun - faded - spent - fought.
    """

    sun: Array
    faded: Array
    spent: Array
    fought: Array
    eaten: Array
    looted: Array
    given: Array
    carrion: Array
    stored: Array


class LifeState(NamedTuple):
    """A planet.

    tick: int32 steps so far. points: of the base maps. made: [5, S * S] what terraforming
    added. fields: [6, S, S] the ground now, as in ``Ground``. energy: [S * S] of the ground.
    bits: [S * S] bool, the machines' tape.
    alive: [N] bool. stock: [N] energy of bodies. age: [N] int32 steps. position: [N, 2].
    identity: [N, 8] in [-1, 1], inherited with changes. voice: [N, W] shown all the time.
    inbox: [N, W] words last heard. last: [N, 8] latest acts. children: [N] int32.
    machines.
    flows: of the latest step.
    """

    tick: Array
    points: Lattice
    made: Array
    fields: Array
    energy: Array
    bits: Array
    alive: Array
    stock: Array
    age: Array
    position: Array
    identity: Array
    voice: Array
    inbox: Array
    last: Array
    children: Array
    machines: Machines
    flows: Flows

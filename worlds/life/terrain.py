"""The ground: base maps made from a few numbers, climate drift, seasons, terraforming.

A base map is a smooth function of lattice angles that drift, each at a rate of its own, so
climate needs no random draw after the beginning. Perlin noise is linear in the gradients at
its lattice points and its weights separate into rows and columns; a whole map is two small
matrix products instead of a loop over cells.

Source: Perlin (1985), doi:10.1145/325165.325247 (gradient noise, one octave); the terraformed
planet follows Lu et al. (2024), JaxLife, arXiv:2409.00853, with fields of our own scaling.
"""

from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from worlds.random import uniform
from worlds.tree import doc_field, pytree
from worlds.types import Array

__all__ = ["CHANGEABLE", "FIELDS", "TERRAINS", "Climate", "Ground", "Lattice", "lattice", "maps"]

FIELDS = ("fertility", "roughness", "friction", "noise", "hardship", "capacity")
CHANGEABLE = 5  # the first five can be terraformed; capacity cannot
TERRAINS = ("perlin", "fractal", "flat", "bands", "islands", "patches")
Terrain = Literal["perlin", "fractal", "flat", "bands", "islands", "patches"]
_POINTS = 4  # lattice points along one side of the coarsest map
_GAIN = 0.75  # one octave lies within about +-0.66


@pytree
class Climate:
    """How the ground changes by itself.

    Angles of the lattice turn by up to ``drift`` radians a step. Fertility rises and falls
    by ``season`` around the year of ``year`` steps, in opposite phase in the two halves.
    """

    drift: float = doc_field(0.001, "most radians that a lattice angle turns in a step", ge=0)
    season: float = doc_field(0.0, "how much fertility rises in summer, falls in winter", ge=0)
    year: float = doc_field(512.0, "steps of a year", gt=0)


class Lattice(NamedTuple):
    """What base maps are made from: start: [F, P] radians; rate: [F, P], in [0, 1)."""

    start: Array
    rate: Array


class Ground(NamedTuple):
    """All fields now, [6, S, S] float32 in the order of FIELDS, each in its own unit.

    fertility: energy a cell gains a step, before decay. roughness, friction, noise, hardship:
    what moving, pushing, speaking and giving birth cost there, as factors. capacity: most
    energy that growth fills a cell with.
    """

    fields: Array

    def at(self, cell: Array) -> dict[str, Array]:
        """Every field at the given cells, by name."""
        here = self.fields.reshape(len(FIELDS), -1)[:, cell]
        return dict(zip(FIELDS, here, strict=True))


def lattice(key: Array) -> Lattice:
    """Draw the angles and their rates."""
    size = (len(FIELDS), sum(points**2 for points in _octaves("fractal")))
    lane = jnp.arange(size[0] * size[1])
    start = uniform(key, lane, 8) * (2 * np.pi)
    rate = uniform(key, lane, 9)
    return Lattice(start.reshape(size), rate.reshape(size))


def maps(terrain: str, points: Lattice, climate: Climate, tick: Array, size: int) -> Array:
    """[F, S, S] float32 in [0, 1]: the base maps at a step."""
    angle = points.start + points.rate * (climate.drift * tick.astype(jnp.float32))
    if terrain == "flat":
        return jnp.full((len(FIELDS), size, size), 0.5)
    if terrain == "bands":
        return _bands(angle, size)
    if terrain == "islands":
        return _islands(angle, size)
    noise = _noise(angle, size, terrain)
    if terrain == "patches":
        return jnp.clip(0.5 + 4.0 * noise, 0.0, 1.0)
    return jnp.clip(0.5 + _GAIN * noise, 0.0, 1.0)


def season(climate: Climate, tick: Array, size: int) -> Array:
    """[S] float32: what the season adds to the fertility of each row."""
    turn = 2 * np.pi * tick.astype(jnp.float32) / climate.year
    north = jnp.cos(2 * np.pi * (jnp.arange(size) + 0.5) / size)
    return climate.season * jnp.sin(turn) * north


def _octaves(terrain: str) -> tuple[int, ...]:
    return (_POINTS, 2 * _POINTS, 4 * _POINTS) if terrain == "fractal" else (_POINTS,)


def _noise(angle: Array, size: int, terrain: str) -> Array:
    """Sum of octaves of gradient noise, each finer one half as strong; about +-0.66."""
    total, first, strength = 0.0, 0, 1.0
    for points in _octaves(terrain):
        here = angle[:, first : first + points**2].reshape(-1, points, points)
        plain, sloped = _weights(size, points)
        # Gradients times ways, southward and eastward, as one product of three matrices.
        left, right = np.hstack([sloped, plain]), np.hstack([plain, sloped])
        cosine, sine = jnp.cos(here), jnp.sin(here)
        none = jnp.zeros_like(here)
        core = jnp.block([[cosine, none], [none, sine]])
        total = total + strength * jnp.einsum("ia,fab,jb->fij", left, core, right)
        first, strength = first + points**2, strength / 2
    return jnp.asarray(total)


def _weights(size: int, points: int) -> tuple[np.ndarray, np.ndarray]:
    """[S, P] fade weights of each cell's two lattice points, plain and times the way there."""
    place = (np.arange(size) + 0.5) * points / size
    low = np.floor(place).astype(int)
    way = place - low
    fade = way**3 * (way * (way * 6 - 15) + 10)
    plain, sloped = np.zeros((size, points)), np.zeros((size, points))
    rows = np.arange(size)
    for corner, share in ((0, 1 - fade), (1, fade)):
        column = (low + corner) % points
        np.add.at(plain, (rows, column), share)
        np.add.at(sloped, (rows, column), share * (way - corner))
    return plain.astype(np.float32), sloped.astype(np.float32)


def _bands(angle: Array, size: int) -> Array:
    """Stripes from west to east, two to five of them, each field with a phase of its own."""
    waves = np.array([2, 3, 4, 5, 3, 2])[:, None]
    phase = angle[:, :1]
    rows = 0.5 + 0.5 * jnp.sin(2 * np.pi * waves * (jnp.arange(size) + 0.5) / size + phase)
    return jnp.broadcast_to(rows[:, :, None], (len(FIELDS), size, size)).astype(jnp.float32)


def _islands(angle: Array, size: int) -> Array:
    """Round hills that wander: eight centres a field, each on a slow circle of its own."""
    turns = angle[:, :16] / (2 * np.pi)
    centre = jnp.mod(turns.reshape(-1, 8, 2), 1.0) * size
    cell = jnp.arange(size) + 0.5
    way = cell - centre[..., None]
    way = way - size * jnp.round(way / size)
    height = jnp.exp(-0.5 * (way / (size / 12)) ** 2)
    hills = jnp.einsum("fki,fkj->fij", height[:, :, 0], height[:, :, 1])
    return jnp.clip(hills, 0.0, 1.0)

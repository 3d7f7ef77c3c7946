"""Pictures of the planet: ground, bodies, machines and messages, without a plotting library."""

from typing import TYPE_CHECKING, Any

import numpy as np

from worlds.life.terrain import FIELDS

if TYPE_CHECKING:
    from worlds.life.life import Life
    from worlds.life.state import LifeState

__all__ = ["paint"]

_SOIL = np.array([38, 30, 26], float)  # bare ground
_ROCK = np.array([86, 82, 92], float)  # where moving is dear
_GRASS = np.array([74, 158, 74], float)  # where there is much to eat
_BLOOM = np.array([196, 222, 108], float)  # where it is full
_MACHINE, _TAPE = np.array([235, 235, 240], np.uint8), np.array([250, 210, 80], np.uint8)
_HALO, _BLOW = np.array([255, 255, 255], float), np.array([225, 50, 40], float)
_EDGE = np.array([12, 12, 16], float)  # keeps a body apart from its ring, whatever its colour


def paint(world: "Life", state: "LifeState", scale: int = 5) -> np.ndarray:
    """Return uint8 [H, W, 3]: one planet, ``scale`` pixels a cell.

    Green is energy on the ground, grey is rough ground. Bodies are discs in the colour of
    their identity, larger with more energy; a white ring has just spoken, a red one has just
    attacked. Machines are white crosses; yellow specks are the tape.
    """
    size = int(world.size)
    ground = np.asarray(world.ground(state).fields)
    energy = np.asarray(state.energy).reshape(size, size) / max(float(world.richness), 1e-9)
    rough = ground[FIELDS.index("roughness")] / 2
    picture = _mix(_SOIL, _ROCK, np.clip(rough * 0.9, 0, 1)[..., None])
    picture = _mix(picture, _GRASS, np.clip(energy * 1.6, 0, 1)[..., None])
    picture = _mix(picture, _BLOOM, np.clip(energy * 1.6 - 1.0, 0, 1)[..., None] * 0.7)
    picture = np.kron(picture, np.ones((scale, scale, 1)))
    bits = np.asarray(state.bits).reshape(size, size)
    for row, column in np.argwhere(bits).tolist():
        middle = scale // 2
        picture[row * scale + middle, column * scale + middle] = _TAPE
    for place in np.asarray(state.machines.position):
        _cross(picture, place * scale, max(scale // 2, 1))
    _bodies(picture, state, scale)
    return np.clip(picture, 0, 255).astype(np.uint8)


def _bodies(picture: np.ndarray, state: Any, scale: int) -> None:
    position, stock = np.asarray(state.position), np.asarray(state.stock)
    identity, last = np.asarray(state.identity), np.asarray(state.last)
    for slot in np.flatnonzero(np.asarray(state.alive)).tolist():
        radius = scale * (0.45 + 0.25 * np.log10(1.0 + stock[slot]))
        colour = _colour(identity[slot])
        if last[slot, 5] > 0.3:
            _disc(picture, position[slot] * scale, radius + 2.6, _BLOW)
        elif last[slot, 6] > 0:
            _disc(picture, position[slot] * scale, radius + 2.2, _HALO)
        _disc(picture, position[slot] * scale, radius + 1.0, _EDGE)
        _disc(picture, position[slot] * scale, radius, colour)


def _colour(identity: np.ndarray) -> np.ndarray:
    """Three numbers of the identity as a bright colour that stands out from the ground."""
    turn = np.arctan2(identity[0], identity[1])
    shade = 0.5 + 0.5 * np.cos(turn - np.array([0.0, 2.1, 4.2]))
    light = 0.75 + 0.25 * identity[2]
    warm = np.array([1.0, 0.55, 1.0])  # little green, which is the ground's
    return 255 * np.clip((0.25 + 0.75 * shade) * light, 0, 1) * warm


def _disc(picture: np.ndarray, middle: np.ndarray, radius: float, colour: np.ndarray) -> None:
    """A filled disc with soft edges that wraps around the torus."""
    size = picture.shape[0]
    reach = int(np.ceil(radius)) + 1
    spread = np.arange(-reach, reach + 1)
    rows, columns = np.floor(middle).astype(int)[:, None] + spread
    south = (rows + 0.5 - middle[0])[:, None]
    east = (columns + 0.5 - middle[1])[None]
    cover = np.clip(radius + 0.5 - np.sqrt(south**2 + east**2), 0, 1)[..., None]
    where = np.ix_(rows % size, columns % size)
    picture[where] = picture[where] * (1 - cover) + colour * cover


def _cross(picture: np.ndarray, middle: np.ndarray, arm: int) -> None:
    size = picture.shape[0]
    row, column = np.floor(middle).astype(int)
    for step in range(-arm, arm + 1):
        picture[(row + step) % size, column % size] = _MACHINE
        picture[row % size, (column + step) % size] = _MACHINE


def _mix(one: np.ndarray, two: np.ndarray, share: np.ndarray) -> np.ndarray:
    return one * (1 - share) + two * share

"""Pictures of grids, for people: flat colours, rounded shapes, smooth edges."""

import functools
from typing import Literal

import numpy as np

__all__ = ["PALETTE", "Picture", "colour_of", "draw"]

Colour = tuple[int, int, int]
Shape = Literal[
    "face", "arrow", "coin", "apple", "square", "dirt", "beam", "ring", "diamond", "monster"
]

CELL = 24  # pixels of a cell's side
_FINE = 4  # samples along a side of each pixel
PALETTE: dict[str, Colour] = {
    "floor": (244, 240, 230),
    "floor_alt": (238, 233, 221),
    "grass": (222, 232, 205),
    "grass_alt": (215, 227, 196),
    "sand": (240, 228, 202),
    "sand_alt": (235, 221, 192),
    "water": (155, 200, 220),
    "water_alt": (146, 193, 215),
    "wall": (88, 92, 105),
    "wall_light": (112, 117, 132),
    "apple": (206, 60, 58),
    "leaf": (84, 140, 74),
    "dirt": (120, 94, 66),
    "beam": (250, 212, 96),
    "clean": (198, 232, 244),
    "monster": (70, 52, 82),
    "ink": (46, 48, 58),
}
_PLAYERS: tuple[Colour, ...] = (
    (214, 84, 66),
    (58, 110, 196),
    (240, 168, 48),
    (94, 158, 92),
    (146, 92, 170),
    (70, 168, 176),
    (224, 118, 160),
    (140, 112, 84),
    (120, 134, 44),
    (92, 92, 120),
)


def colour_of(slot: int) -> Colour:
    """A player's colour; they repeat after ten."""
    return _PLAYERS[slot % len(_PLAYERS)]


class Picture:
    """A grid of cells to draw on, row by row."""

    def __init__(self, height: int, width: int, ground: str = "floor") -> None:
        self.height, self.width = height, width
        base = {"tiles": "floor"}.get(ground, ground)
        one, two = PALETTE[base], PALETTE[f"{base}_alt"]
        rows, columns = np.indices((height, width))
        odd = ((rows + columns) % 2)[..., None]
        tiles = np.where(odd, np.array(two), np.array(one)).astype(np.float32)
        self._canvas = tiles.repeat(CELL, axis=0).repeat(CELL, axis=1)

    def fill(self, cells: np.ndarray, ground: str) -> None:
        """Give cells ([C] bool) another ground."""
        for cell in np.flatnonzero(cells):
            row, column = divmod(int(cell), self.width)
            name = f"{ground}_alt" if (row + column) % 2 and f"{ground}_alt" in PALETTE else ground
            self._tile(int(cell))[:] = PALETTE[name]

    def walls(self, cells: np.ndarray) -> None:
        """Draw walls with a lighter upper edge."""
        for cell in np.flatnonzero(cells):
            tile = self._tile(int(cell))
            tile[:] = PALETTE["wall"]
            tile[: CELL // 6] = PALETTE["wall_light"]

    def blend(self, cell: int, cover: np.ndarray, colour: Colour) -> None:
        """Paint a colour where ``cover`` ([CELL, CELL] in [0, 1]) says."""
        tile = self._tile(cell)
        tile[:] = tile * (1 - cover[..., None]) + np.array(colour, np.float32) * cover[..., None]

    def pixels(self) -> np.ndarray:
        """[height * CELL, width * CELL, 3] uint8."""
        return np.clip(self._canvas + 0.5, 0, 255).astype(np.uint8)

    def _tile(self, cell: int) -> np.ndarray:
        row, column = divmod(cell, self.width)
        return self._canvas[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]


def draw(picture: Picture, cell: int, shape: Shape, colour: Colour, facing: int = 0) -> None:
    """Draw a shape in a cell; ``facing`` turns arrows (0 north, then clockwise)."""
    dark = tuple(int(part * 0.72) for part in colour)
    if shape in ("face", "arrow"):
        picture.blend(cell, _mask("disc", 0.41), dark)  # type: ignore[arg-type]
        picture.blend(cell, _mask("disc", 0.36), colour)
        if shape == "face":
            picture.blend(cell, _mask("eyes", 0.0), (255, 255, 255))
            picture.blend(cell, _mask("pupils", 0.0), PALETTE["ink"])
        else:
            picture.blend(cell, np.rot90(_mask("wedge", 0.0), -facing), (255, 255, 255))
    elif shape == "coin":
        picture.blend(cell, _mask("disc", 0.30), dark)  # type: ignore[arg-type]
        picture.blend(cell, _mask("disc", 0.26), colour)
        picture.blend(cell, _mask("ring", 0.19), (255, 244, 214))
    elif shape == "apple":
        picture.blend(cell, _mask("disc", 0.27), colour)
        picture.blend(cell, _mask("leaf", 0.0), PALETTE["leaf"])
        picture.blend(cell, _mask("shine", 0.0), (255, 226, 220))
    elif shape == "monster":
        picture.blend(cell, _mask("spikes", 0.0), colour)
        picture.blend(cell, _mask("eyes", 0.0), (255, 214, 90))
        picture.blend(cell, _mask("pupils", 0.0), PALETTE["ink"])
    else:
        kind = {"square": "square", "dirt": "blob", "beam": "soft", "diamond": "diamond"}
        picture.blend(cell, _mask(kind.get(shape, "ring"), 0.34), colour)


@functools.cache
def _mask(kind: str, radius: float) -> np.ndarray:
    """[CELL, CELL] float32 coverage of a shape, averaged over finer samples."""
    side = CELL * _FINE
    axis = (np.arange(side) + 0.5) / side - 0.5
    down, right = np.meshgrid(axis, axis, indexing="ij")
    far = np.hypot(down, right)
    held = {
        "disc": far < radius,
        "ring": (far < radius) & (far > radius - 0.05),
        "square": (np.abs(down) < 0.36) & (np.abs(right) < 0.36),
        "diamond": np.abs(down) + np.abs(right) < radius + 0.06,
        "soft": far < 1.0,
        "blob": (np.hypot(down - 0.1, right + 0.12) < 0.2)
        | (np.hypot(down + 0.14, right - 0.1) < 0.17)
        | (np.hypot(down - 0.16, right - 0.18) < 0.12),
        "eyes": (np.hypot(down + 0.06, np.abs(right) - 0.13) < 0.085),
        "pupils": (np.hypot(down + 0.06, np.abs(right) - 0.13) < 0.04),
        "wedge": (down > -0.24) & (down < 0.02) & (np.abs(right) < (down + 0.24) * 0.7),
        "spikes": far < 0.36 + 0.07 * np.cos(9 * np.arctan2(down, right)),
        "leaf": np.hypot((down + 0.29) * 1.6, right - 0.07) < 0.11,
        "shine": np.hypot(down + 0.08, right + 0.1) < 0.06,
    }[kind]
    cover = held.reshape(CELL, _FINE, CELL, _FINE).mean(axis=(1, 3)).astype(np.float32)
    return cover * 0.45 if kind == "soft" else cover

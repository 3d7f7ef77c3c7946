"""Films and pictures of worlds that give birth: GIF, curves, and the tree of descent.

``python -m society.film life_quick planet.gif`` runs a scenario and films its first replicate;
``--plots FOLDER`` also draws curves and the lineage tree. Needs the extra ``viz``.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from society.newborns import events_of
from society.phylogeny import Pedigree, newick, pedigree_of, write_table

__all__ = ["draw_curves", "draw_tree", "film", "main", "write_film"]

_INK, _PAPER = "#1d1d1f", "#fbfaf7"
_COLOURS = ("#2f6f4f", "#c8553d", "#3d6ea8", "#c99a2e", "#7a5195", "#6b6b6b")


class Film:
    """What was seen: frames (uint8 [H, W, 3]), metrics by name [T], and who lived."""

    def __init__(self) -> None:
        self.frames: list[np.ndarray] = []
        self.series: dict[str, np.ndarray] = {}
        self.pedigree: Pedigree | None = None


def film(scenario: Any, every: int = 8) -> Film:
    """Run a scenario's first seed to its end and keep a frame every so many steps."""
    from society.build import build
    from society.carry import placed
    from society.machine import Machine, unstack

    simulation = build(scenario)
    if simulation.has_text or len(simulation.seeds) != 1:
        raise ValueError("films show one replicate of arrays alone; set seeds: 1")
    if not hasattr(simulation.world, "frame"):
        raise ValueError("this world has no pictures (World.frame)")
    machine, result = Machine(simulation), Film()
    carries, rows, events = machine.start([0]), [], []
    tick, total = 0, simulation.plan.total
    while tick < total:
        ticks = min(every, total - tick, simulation.engine.capacity)
        carries, chunk = machine.advance(carries, ticks)
        carry, chunk = unstack(carries, 0), unstack(chunk, 0)
        result.frames.append(placed(carry).frame(carry.state))
        rows.append(np.asarray(chunk.ticks)[:ticks])
        if simulation.world.births:
            events += events_of(0, chunk.lives, np.asarray(chunk.clock))
        tick += ticks
    table = np.concatenate(rows)
    result.series = {name: table[:, i] for i, name in enumerate(machine.metric_names)}
    result.pedigree = pedigree_of(events) if events else None
    return result


def write_film(frames: Sequence[np.ndarray], path: str | Path, fps: int = 12) -> None:
    """Write frames as GIF or MP4, by the ending of the path."""
    imageio = _need("imageio.v3")
    options = {"loop": 0, "duration": 1000 // fps} if str(path).endswith(".gif") else {"fps": fps}
    imageio.imwrite(path, np.stack(frames), **options)


def draw_curves(series: dict[str, np.ndarray], path: str | Path) -> None:
    """Population, births and deaths, energy flows and minds' behaviour over time."""
    plt = _pyplot()
    panels = {
        "population": ("population",),
        "births and deaths a step": ("born", "died"),
        "energy a step": ("energy_sun", "energy_eaten", "energy_spent", "energy_faded"),
        "energy stored": ("energy_stored",),
        "bodies that speak, attack": ("speaking", "attacking"),
        "mean age, mean energy of bodies": ("mean_age", "mean_stock"),
    }
    figure, axes = plt.subplots(3, 2, figsize=(11, 8), sharex=True, facecolor=_PAPER)
    for axis, (title, names) in zip(axes.ravel(), panels.items(), strict=True):
        for name, colour in zip(names, _COLOURS, strict=False):
            values = _smooth(series[name]) if name != "population" else series[name]
            axis.plot(
                values, color=colour, lw=1.1, label=name.removeprefix("energy_").replace("_", " ")
            )
        axis.set_title(title, loc="left", fontsize=10, color=_INK)
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_facecolor(_PAPER)
        if len(names) > 1:
            axis.legend(frameon=False, fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("step")
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_tree(pedigree: Pedigree, path: str | Path, most: int = 4000) -> None:
    """The tree of descent: time to the right, a line for each life, living lines in colour."""
    plt = _pyplot()
    if len(pedigree) > most:
        kept = pedigree.ancestors_of_living()
        pedigree = pedigree.cut(kept)
    end = max(int(pedigree.born.max(initial=0)), int(pedigree.died.max(initial=0)), 1)
    height = _layout(pedigree)
    parent, lives = pedigree.row_of(pedigree.parent), pedigree.ancestors_of_living()
    until = np.where(pedigree.alive, end, pedigree.died)
    line = _lines(pedigree, end)
    colours = {name: n for n, name in enumerate(dict.fromkeys(line[lives].tolist()))}
    figure, axis = plt.subplots(figsize=(11, 8), facecolor=_PAPER)
    for row in sorted(range(len(pedigree)), key=lambda row: bool(lives[row])):
        colour = _COLOURS[colours[line[row]] % len(_COLOURS)] if lives[row] else "#c9c5bc"
        wide = 1.0 if lives[row] else 0.5
        axis.plot([pedigree.born[row], until[row]], [height[row]] * 2, color=colour, lw=wide)
        if parent[row] >= 0:
            ends = [height[parent[row]], height[row]]
            axis.plot([pedigree.born[row]] * 2, ends, color=colour, lw=wide * 0.7)
    axis.set_yticks([])
    axis.set_xlabel("step")
    axis.set_title(
        f"{len(pedigree)} lives, {int(pedigree.alive.sum())} alive at the end; "
        "lines with living descendants in colour",
        loc="left",
        fontsize=10,
        color=_INK,
    )
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.set_facecolor(_PAPER)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; see the module."""
    from society.scenario import load_scenario

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario")
    parser.add_argument("film", type=Path, help="where the .gif or .mp4 goes")
    parser.add_argument("--set", action="append", default=[], help="path=value, as in run")
    parser.add_argument("--every", type=int, default=8, help="steps from frame to frame")
    parser.add_argument("--plots", type=Path, help="folder for curves.png, tree.png, tree.nwk")
    given = parser.parse_args(arguments)
    seen = film(load_scenario(given.scenario, tuple(given.set)), given.every)
    write_film(seen.frames, given.film)
    if given.plots:
        given.plots.mkdir(parents=True, exist_ok=True)
        draw_curves(seen.series, given.plots / "curves.png")
        if seen.pedigree is not None:
            draw_tree(seen.pedigree, given.plots / "tree.png")
            (given.plots / "tree.nwk").write_text(newick(seen.pedigree), encoding="utf-8")
            write_table(seen.pedigree, given.plots / "lives.csv")


def _layout(pedigree: Pedigree) -> np.ndarray:
    """[B] height of each line, so that children lie beside their parents."""
    children: dict[int, list[int]] = {}
    parent = pedigree.row_of(pedigree.parent)
    for row in range(len(pedigree)):
        children.setdefault(int(parent[row]), []).append(row)
    height = np.zeros(len(pedigree))
    for place, row in enumerate(_walk(children)):
        height[row] = place
    return height


def _lines(pedigree: Pedigree, end: int) -> np.ndarray:
    """[B] row of each one's ancestor who was born last before two thirds of the time."""
    parent, line = pedigree.row_of(pedigree.parent), np.arange(len(pedigree))
    trunk = line.copy()
    for row in range(len(pedigree)):
        if pedigree.born[row] > 2 * end / 3 and parent[row] >= 0:
            line[row] = line[parent[row]]
    lives = pedigree.ancestors_of_living()
    heirs = {int(name) for name in line[lives & pedigree.alive]}
    for row in range(len(pedigree) - 1, -1, -1):  # the trunk takes the colour of one heir
        if int(line[row]) not in heirs and lives[row]:
            below = [r for r in np.flatnonzero(parent == row) if lives[r]]
            trunk[row] = trunk[below[0]] if below else line[row]
        else:
            trunk[row] = line[row]
    return trunk


def _walk(children: dict[int, list[int]]) -> Iterator[int]:
    """Rows from the top down: the last child's line lies next to its parent's."""
    stack = list(reversed(children.get(-1, [])))
    while stack:
        row = stack.pop()
        yield row
        stack.extend(children.get(row, []))


def _smooth(values: np.ndarray, window: int = 50) -> np.ndarray:
    if len(values) < window:
        return values
    ones = np.ones(window)
    return np.convolve(values, ones, "same") / np.convolve(np.ones(len(values)), ones, "same")


def _pyplot() -> Any:
    _need("matplotlib").use("Agg")
    return _need("matplotlib.pyplot")


def _need(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"pictures need {module}; install the extra: pip install 'societylab[viz]'"
        ) from error


if __name__ == "__main__":
    main()

"""From a replicate between two ticks to what the page draws of it."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from society.build import Simulation
from society.carry import Carry, placed
from society.hosted import Hosted
from society.speakers import Speakers
from society.ties import ties_change
from society.view.film_store import FilmStore
from society.view.png import png

__all__ = ["Camera", "stage_of"]

_MOST_NAMED = 5000
_MOST_TIES = 60_000
_MOST_LAID_OUT = 3000
_MOST_MINDS = 200
_MOST_ENTRIES = 14
_MOST_CHARS = 700


class Camera:
    """Takes snapshots of one replicate and puts them into a store."""

    def __init__(self, simulation: Simulation, store: FilmStore) -> None:
        self._simulation = simulation
        self._store = store
        self._ties: tuple[Any, int] = (None, 0)
        self._places: Any = None
        self._minds: dict[int, Any] = {}

    def take(self, tick: int, carry: Carry, speakers: Speakers | None) -> None:
        """Keep what there is before a tick.

        Args:
          carry: of one replicate, NumPy or device arrays. speakers: its language half.
        """
        simulation = self._simulation
        population = simulation.population
        alive, uid = np.asarray(carry.alive, bool), np.asarray(carry.uid)
        types = None
        if any(group.type_names for group in population.slices()):
            types = np.asarray(simulation.engine.types(simulation.parts, carry.minds)).tolist()
        clock = [int(carry.generation), int(carry.episode), int(carry.step)]
        if simulation.plan.instant:  # selection is part of the tick: these played in the one before
            clock[0] = max(clock[0] - 1, 0)
        data: dict[str, Any] = {
            "clock": clock,
            "alive": None if alive.all() else alive.astype(int).tolist(),
            "uid": None if (uid == np.arange(len(uid))).all() else uid.tolist(),
            "types": types,
            "edges": self._tied(carry.graph),
            **self._scene(speakers),
        }
        self._store.add(tick, data, self._picture(carry), self._changed(speakers))

    def _tied(self, graph: Any) -> int:
        """Number of the present ties; 0 as long as they are those of the stage."""
        simulation = self._simulation
        dynamic = ties_change(simulation.rewiring, simulation.interventions)
        if not dynamic and simulation.attach is None:
            return 0
        edges = _edges(graph)
        if edges is None:
            return 0
        if self._ties[0] != edges:
            self._ties = edges, self._store.add_edges(edges)
        return self._ties[1]

    def _scene(self, speakers: Speakers | None) -> dict[str, Any]:
        """Where everybody is in a world of places; names of places only when they change."""
        host = None if speakers is None else speakers.host
        if host is None or host.state is None:
            return {"at": None, "doing": None, "things": None, "places": None}
        scene = self._simulation.world.world.scene(host.state)
        if scene is None:
            return {"at": None, "doing": None, "things": None, "places": None}
        places = None if scene.places == self._places else list(scene.places)
        self._places = scene.places
        return {
            "at": list(map(int, scene.at)),
            "doing": list(scene.doing),
            "things": [list(things) for things in scene.things],
            "places": places,
        }

    def _picture(self, carry: Carry) -> bytes | None:
        world = placed(carry)
        if not hasattr(world, "frame") or isinstance(world, Hosted):
            return None
        return png(np.asarray(world.frame(carry.state)))

    def _changed(self, speakers: Speakers | None) -> dict[int, Any]:
        """Minds of language agents that are not as they were, cut to what can be read."""
        if speakers is None:
            return {}
        state = speakers.state
        found = {}
        for slot, mind in list(state["minds"].items())[:_MOST_MINDS]:
            shown = _readable(mind)
            memories = self._memories(state, int(slot))
            if memories and isinstance(shown, dict):
                shown["memories"] = memories
            if self._minds.get(int(slot)) != shown:
                self._minds[int(slot)] = found[int(slot)] = shown
        return found

    def _memories(self, state: Mapping[str, Any], slot: int) -> list[str]:
        """The latest entries of an agent's memory stream."""
        group = self._simulation.population.group_of(slot)
        stream = state["streams"].get(group.name)
        if stream is None:
            return []
        agent = slot - group.start
        entries, ids = stream["entries"][agent], stream["ids"][agent]
        order = np.argsort(ids[: len(entries)], kind="stable")
        latest = [entries[place] for place in order.tolist()][-_MOST_ENTRIES:]
        return [f"{kind}: {text[:_MOST_CHARS]}" for kind, text, *_ in latest]


def stage_of(simulation: Simulation, replicate: int) -> dict[str, Any]:
    """What does not change: groups, names, attributes, and the ties at the start, laid out."""
    population = simulation.population
    slices = population.slices()
    groups = []
    for group, part in zip(population.groups, slices, strict=True):
        policy = getattr(type(group.policy), "component_name", type(group.policy).__name__)
        groups.append(
            {
                "name": group.name, "start": group.start, "stop": group.stop,
                "text": group.is_text, "policy": policy, "role": group.role,
                "types": list(part.type_names),
            }
        )  # fmt: skip
    num = population.num_slots
    attributes = {}
    if num <= _MOST_NAMED and any(group.columns for group in population.groups):
        attributes = {str(slot): _readable(population.attributes(slot)) for slot in range(num)}
    names = {slot: str(row["name"]) for slot, row in attributes.items() if "name" in row}
    graph = simulation.graphs[replicate]
    edges = _edges(graph)
    hosted = isinstance(simulation.world, Hosted)
    return {
        "num_slots": num,
        "groups": groups,
        "names": names,
        "attributes": attributes,
        "edges": edges if num <= _MOST_LAID_OUT else None,
        "directed": bool(graph is not None and graph.directed),
        "places": None if edges is None or num > _MOST_LAID_OUT else laid_out(num, edges),
        "pictures": hasattr(simulation.world, "frame") and not hosted,
        "interviews": bool(population.text_groups),
    }


def laid_out(num: int, edges: list[list[int]]) -> list[list[float]]:
    """A place for everybody, so that those who are tied lie near: [N][2] within the unit square.

    Rings and lattices keep their shape: Fruchterman and Reingold's forces start from a circle.

    Source: Fruchterman & Reingold (1991), doi:10.1002/spe.4380211102.
    """
    import networkx

    net = networkx.Graph()
    net.add_nodes_from(range(num))
    net.add_edges_from([(a, b) for a, b in edges])
    if num > 700:
        return _by_spectrum(net)
    start = {i: (math.cos(2 * math.pi * i / num), math.sin(2 * math.pi * i / num)) for i in net}
    rounds = 200 if num <= 150 else 80
    placed_at = networkx.spring_layout(
        net, seed=1, iterations=rounds, k=1.6 / math.sqrt(num), pos=start
    )
    return _squared(np.array([placed_at[i] for i in range(num)]))


def _by_spectrum(net: Any) -> list[list[float]]:
    """Large graphs: a few rounds of forces from a spiral, by degree, hubs inside."""
    import networkx

    order = sorted(net, key=lambda node: -net.degree(node))
    turn = math.pi * (3 - math.sqrt(5))
    start = {
        node: (math.sqrt(rank / len(order)) * math.cos(rank * turn),
               math.sqrt(rank / len(order)) * math.sin(rank * turn))
        for rank, node in enumerate(order)
    }  # fmt: skip
    found = networkx.spring_layout(
        net, seed=1, iterations=30, k=1.2 / math.sqrt(len(order)), pos=start
    )
    return _squared(np.array([found[i] for i in range(len(order))]))


def _squared(points: np.ndarray) -> list[list[float]]:
    """Places within the unit square; those far out are drawn in, so that the rest fills it."""
    offset = points - np.median(points, axis=0)
    radius = np.linalg.norm(offset, axis=1, keepdims=True)
    far = max(1.3 * float(np.percentile(radius, 95)), 1e-9)
    beyond = np.maximum(radius / far - 1, 0)
    points = offset * np.where(beyond > 0, (1 + 0.2 * np.tanh(beyond / 0.2)) / (1 + beyond), 1)
    low, high = points.min(0), points.max(0)
    return np.round((points - low) / np.maximum(high - low, 1e-9), 4).tolist()


def _edges(graph: Any) -> list[list[int]] | None:
    """Ties as pairs with the smaller slot first, each once; None where all are tied to all."""
    if graph is None or graph.complete or graph.senders is None:
        return None
    senders, receivers = np.asarray(graph.senders), np.asarray(graph.receivers)
    real = (senders < graph.num_slots) & (receivers < graph.num_slots)
    pairs = np.sort(np.stack([senders[real], receivers[real]], 1), axis=1)
    return np.unique(pairs, axis=0)[:_MOST_TIES].tolist()


def _readable(value: Any, depth: int = 0) -> Any:
    """A value as JSON that a person can read: long lists keep their end, long texts their start."""
    if isinstance(value, Mapping):
        return {str(name): _readable(item, depth + 1) for name, item in value.items()}
    if isinstance(value, np.ndarray):
        return _readable(value.tolist(), depth) if value.size <= 64 else f"array {value.shape}"
    if isinstance(value, list | tuple):
        return [_readable(item, depth + 1) for item in value[-_MOST_ENTRIES:]]
    if isinstance(value, np.generic):
        return _readable(value.item(), depth)
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, str):
        return value if len(value) <= _MOST_CHARS else f"{value[:_MOST_CHARS]}…"
    return value if isinstance(value, bool | int | None) else str(value)[:_MOST_CHARS]

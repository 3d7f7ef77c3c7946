"""Interventions: what an experimenter does to a society at given steps of the run.

An intervention happens between two steps, on the host, in every replicate. It sees a
``Scene`` and returns the carry that the run goes on with. Its randomness comes from
(seed, its name, the step), so it does not depend on chunks or on other interventions.
"""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from society.carry import Carry
from society.graphs import edit
from society.mailbox import Mailboxes
from society.plan import Plan
from society.population import Population
from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import doc_field
from worlds.types import Graph

__all__ = ["Intervention", "Scene", "Scheduled", "choose_slots", "ticks_of"]


@dataclasses.dataclass
class Scene:
    """One replicate at the moment of an intervention.

    slots: int array of the slots that ``who`` named (alive ones). rng: for this event only.
    mail: text mailboxes, None where nobody reads.
    """

    carry: Carry
    population: Population
    slots: np.ndarray
    rng: np.random.Generator
    mail: Mailboxes | None = None


class Intervention(abc.ABC):
    """Something done to a society; a frozen dataclass declared with ``@component``."""

    def check(self, world: Any, population: Population, channels: Sequence[str]) -> None:
        """Raise ValueError, saying what fits, where this cannot be done to that society."""

    @abc.abstractmethod
    def apply(self, scene: Scene) -> Carry:
        """Do it; returns the carry to go on with."""


@dataclasses.dataclass(frozen=True)
class Scheduled:
    """An intervention with its name, its ticks and whom it concerns."""

    name: str
    what: Intervention
    ticks: tuple[int, ...]
    who: Any = "everyone"


@component("intervention", "message")
@dataclasses.dataclass(frozen=True)
class SendMessage(Intervention):
    """Put a text into the inbox of those named by ``who``; the sender is the experimenter."""

    text: str
    channel: str = ""
    sender: str = "Announcement"

    def check(self, world: Any, population: Population, channels: Sequence[str]) -> None:
        """Somebody must be able to read."""
        if not population.text_groups:
            raise ValueError(
                "a message needs readers, but no group of this scenario reads texts; "
                "use set, swap_policy or a graph intervention for array policies"
            )
        if self.channel and self.channel not in channels:
            raise ValueError(
                f"no channel {self.channel!r} carries texts; "
                f"channels that do: {', '.join(channels) or 'none'}"
            )

    def apply(self, scene: Scene) -> Carry:
        """Deliver to every named slot."""
        assert scene.mail is not None
        scene.mail.announce(
            self.text, [int(slot) for slot in scene.slots], self.sender, self.channel or None
        )
        return scene.carry


@component("intervention", "broadcast")
@dataclasses.dataclass(frozen=True)
class Broadcast(SendMessage):
    """Put a text into everybody's inbox, and into the prompts of archetypes."""

    def check(self, world: Any, population: Population, channels: Sequence[str]) -> None:
        """Somebody must be able to read, or be asked."""
        if not any(getattr(group.policy, "asks", False) for group in population.groups):
            super().check(world, population, channels)

    def apply(self, scene: Scene) -> Carry:
        """Deliver to all the living."""
        alive = np.flatnonzero(np.asarray(scene.carry.alive))
        return super().apply(dataclasses.replace(scene, slots=alive))


@component("intervention", "set")
@dataclasses.dataclass(frozen=True)
class SetParameter(Intervention):
    """Give a number of the world a new value: ``{use: set, path: world.noise, value: 0.1}``.

    Only numbers and tables that are not part of the compiled program can change.
    """

    path: str
    value: Any

    def check(self, world: Any, population: Population, channels: Sequence[str]) -> None:
        """The path must name a leaf, and the value must have its shape."""
        self._new_world(world)

    def apply(self, scene: Scene) -> Carry:
        """Replace the leaf."""
        return scene.carry._replace(world=self._new_world(scene.carry.world))

    def _new_world(self, world: Any) -> Any:
        name = self.path.removeprefix("world.")
        leaves = {
            field.name: getattr(world, field.name)
            for field in dataclasses.fields(world)
            if not isinstance(getattr(world, field.name), (int, bool, str, tuple, type(None)))
            and not field.metadata.get("provided")
        }
        if name not in leaves:
            allowed = ", ".join(f"world.{leaf}" for leaf in leaves) or "none here"
            raise ValueError(f"cannot set {self.path!r} during a run; possible paths: {allowed}")
        old = jnp.asarray(leaves[name])
        new = jnp.asarray(self.value, old.dtype)
        if new.shape != old.shape:
            raise ValueError(f"{self.path} has shape {old.shape}, the new value {new.shape}")
        changed = dataclasses.replace(world, **{name: new})
        changed.check_params()
        return changed


@component("intervention", "swap_policy")
@dataclasses.dataclass(frozen=True)
class SwapPolicy(Intervention):
    """Let those named by ``who`` play another of their group's strategies from now on."""

    policy: str

    def check(self, world: Any, population: Population, channels: Sequence[str]) -> None:
        """Some group must know the strategy."""
        known = [name for group in population.slices() for name in group.type_names]
        if self.policy not in known:
            raise ValueError(
                f"no group can play {self.policy!r}; strategies here: {', '.join(known) or 'none'}"
                " (list it in the group's mix)"
            )

    def apply(self, scene: Scene) -> Carry:
        """Assign the strategy to the named slots of groups that know it."""
        minds = list(scene.carry.minds)
        for index, group in enumerate(scene.population.groups):
            policy = group.policy
            if isinstance(policy, ArrayPolicy) and self.policy in policy.type_names():
                mine = scene.slots[(scene.slots >= group.start) & (scene.slots < group.stop)]
                kind = policy.type_names().index(self.policy)
                rows = jnp.asarray(mine - group.start, jnp.int32)
                minds[index] = policy.assign(minds[index], rows, kind)
        return scene.carry._replace(minds=tuple(minds))


@component("intervention", "cut_ties")
@dataclasses.dataclass(frozen=True)
class CutTies(Intervention):
    """Remove the ties of those named by ``who``: all, or a share of them."""

    share: float = doc_field(1.0, "share of their ties", ge=0, le=1)

    def apply(self, scene: Scene) -> Carry:
        """Cut."""
        graph = edit.cut_ties(_graph(scene), scene.slots, self.share, scene.rng)
        return scene.carry._replace(graph=graph)


@component("intervention", "add_ties")
@dataclasses.dataclass(frozen=True)
class AddTies(Intervention):
    """Give those named by ``who`` new random ties, within the graph's capacity."""

    count: int = doc_field(1, "new ties for each of them", ge=1)

    def apply(self, scene: Scene) -> Carry:
        """Tie."""
        graph = edit.add_ties(_graph(scene), scene.slots, self.count, scene.rng)
        return scene.carry._replace(graph=graph)


@component("intervention", "rewire")
@dataclasses.dataclass(frozen=True)
class Rewire(Intervention):
    """Rewire the whole graph at random: keep the degrees, or only the number of ties."""

    keep: Literal["degrees", "ties"] = "degrees"

    def apply(self, scene: Scene) -> Carry:
        """Rewire."""
        return scene.carry._replace(graph=edit.randomise(_graph(scene), self.keep, scene.rng))


def ticks_of(at: Any, plan: Plan) -> tuple[int, ...]:
    """Ticks before which something happens.

    Args:
      at: a step, a list of steps, "start", "end", {"every": k} or {"generation": g, "step": s}.
      plan: the run's clock; "end" is the tick after the last.
    """
    if isinstance(at, (list, tuple)):
        return tuple(sorted({tick for one in at for tick in ticks_of(one, plan)}))
    if at == "start":
        return (0,)
    if at == "end":
        return (plan.total,)
    if isinstance(at, Mapping) and "every" in at:
        return tuple(range(0, plan.total, int(at["every"])))
    if isinstance(at, Mapping):
        step, length = int(at.get("step", 0)), plan.ticks_per_generation
        if step >= length:
            raise ValueError(
                f"at: a generation lasts {length} steps, so its last is step {length - 1}, "
                f"not {step}"
            )
        return ticks_of(int(at.get("generation", 0)) * length + step, plan)
    if isinstance(at, int) and 0 <= at <= plan.total:
        return (at,)
    raise ValueError(
        f"at: {at!r} is outside this run of {plan.total} steps; give a step from 0 to "
        f"{plan.total}, a list, start, end, {{every: k}} or {{generation: g, step: s}}"
    )


def choose_slots(
    who: Any, population: Population, carry: Carry, rng: np.random.Generator
) -> np.ndarray:
    """The living slots that ``who`` names: everyone, a group, or a filtered part of one.

    Args:
      who: a group's name, "everyone", or {group, where, number, by} as scenarios write it.
    """
    alive = np.asarray(carry.alive)
    wanted = who if isinstance(who, Mapping) else {"group": who}
    slots = np.arange(population.num_slots)[alive]
    name = wanted.get("group", "everyone")
    if name != "everyone":
        group = next((group for group in population.groups if group.name == name), None)
        if group is None:
            return slots[:0]  # a group with count 0
        slots = slots[(slots >= group.start) & (slots < group.stop)]
    for name, value in wanted.get("where", {}).items():
        kept = [slot for slot in slots if population.attributes(int(slot)).get(name) == value]
        slots = np.asarray(kept, dtype=int)
    number = wanted.get("number")
    if number is None or number >= len(slots):
        return slots
    if wanted.get("by") == "degree":
        everybody = Graph(num_slots=population.num_slots, complete=True)
        degree = edit.degrees(carry.graph or everybody)[slots]
        return np.sort(slots[np.argsort(-degree, kind="stable")[:number]])
    return np.sort(rng.choice(slots, size=number, replace=False))


def _graph(scene: Scene) -> Any:
    graph = scene.carry.graph
    if graph is None or graph.complete:
        raise ValueError("this intervention changes ties, but the graph is complete (implicit)")
    return jax.tree.map(np.asarray, graph)

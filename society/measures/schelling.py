"""Schelling diagrams: what cooperation and defection pay by the number of other cooperators."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from society.contract import GroupSlice, Measure, Record
from worlds.random import fold, named
from worlds.registry import component, load
from worlds.tree import as_arrays, doc_field
from worlds.types import Percept, Seats

__all__ = ["Schelling", "diagram", "pressures"]


@component("measure", "schelling")
@dataclasses.dataclass(frozen=True)
class Schelling(Measure):
    """Schelling diagram: mean returns of cooperators and defectors by how many others cooperate.

    Plays the run's world anew with k players of the policy ``cooperator`` and the rest of
    ``defector``, in ``episodes`` episodes for each k; the places of cooperators rotate.
    ``schelling_cooperate``[k] = R_C(k) and ``schelling_defect``[k] = R_D(k) for k = 0 .. n - 1
    other cooperators; ``schelling_fear`` = R_D(0) - R_C(0); ``schelling_greed`` =
    R_D(n - 1) - R_C(n - 1); ``schelling_dilemma`` is 1 where R_C(n - 1) > R_D(0) (mutual
    cooperation beats mutual defection), R_C(n - 1) > R_C(0), and fear or greed is positive.
    Source: Hughes et al. (2018), arXiv:1803.08884, section 2.1; Schelling (1973),
    doi:10.1177/002200277301700302.
    """

    cooperator: str = doc_field("sustainable", "Policy of those who cooperate (its defaults).")
    defector: str = doc_field("wanderer", "Policy of those who defect (its defaults).")
    episodes: int = doc_field(4, "Episodes for each number of cooperators.", ge=1)
    steps: int = doc_field(200, "Most steps of an episode.", ge=1)

    def check(self, world: Any, groups: tuple[GroupSlice, ...]) -> None:
        """Demand a world on the device that both policies can play."""
        if getattr(world, "backend", "") != "jax" or getattr(world, "births", 0):
            raise ValueError("measure schelling plays worlds on the device without births")
        if not hasattr(world, "max_steps"):
            raise ValueError(
                "measure schelling compares policies in gridworlds with max_steps; use it in "
                "coin_game, commons_harvest or clean_up"
            )
        for name in (self.cooperator, self.defector):
            load("policy", name)().check(_seats(world))

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """The diagram and what follows from it."""
        policies = [load("policy", name)() for name in (self.cooperator, self.defector)]
        cooperate, defect = diagram(
            record.world, *policies, episodes=self.episodes, steps=self.steps
        )
        found = {"cooperate": cooperate.tolist(), "defect": defect.tolist()}
        return {f"schelling_{k}": v for k, v in {**found, **pressures(cooperate, defect)}.items()}


def diagram(
    world: Any, cooperator: Any, defector: Any, *, episodes: int, steps: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """R_C and R_D, [n] each: mean return with k = 0 .. n - 1 other cooperators."""
    world = as_arrays(world)
    num = int(world.num_players)
    length = min(steps, int(world.horizon or steps))
    cooperator, defector = as_arrays(cooperator), as_arrays(defector)

    def episode(key: Any, count: Any, turn: Any) -> Any:
        slots = jnp.arange(world.num_slots)
        cooperates = (slots + turn) % num < count
        seats = _seats(world)
        minds = tuple(p.init(named(key, "mind"), seats) for p in (cooperator, defector))

        def step(carry: Any, clock: Any) -> Any:
            state, memories, total = carry
            seen = world.observe(state)
            first = jnp.broadcast_to(clock == 0, slots.shape)
            percept = Percept(seen.view, seen.alive, seen.acting, first, seen.legal)
            decisions = [
                policy.act(fold(key, clock, index), mind._replace(memory=memory), percept)
                for index, (policy, mind, memory) in enumerate(
                    zip((cooperator, defector), minds, memories, strict=True)
                )
            ]
            action = jnp.where(cooperates, decisions[0].action, decisions[1].action)
            state, moved = world.step(fold(key, clock, 2), state, action)
            memories = tuple(decision.memory for decision in decisions)
            return (state, memories, total + moved.reward), None

        begun = (world.init(key), tuple(mind.memory for mind in minds), jnp.zeros(world.num_slots))
        total = jax.lax.scan(step, begun, jnp.arange(length))[0][2]
        living = slots < num
        kinds = [cooperates & living, ~cooperates & living]
        return jnp.stack([jnp.sum(jnp.where(kind, total, 0.0)) for kind in kinds])

    keys = jax.vmap(lambda n: fold(jax.random.PRNGKey(seed), n))(jnp.arange(episodes))
    over_episodes = jax.vmap(episode, (0, None, 0))
    sums = jax.jit(jax.vmap(lambda count: over_episodes(keys, count, jnp.arange(episodes)).mean(0)))
    found = np.asarray(sums(jnp.arange(num + 1)))
    counts = np.arange(num + 1)
    cooperate = found[1:, 0] / counts[1:]  # k + 1 cooperators: each has k others
    defect = found[:-1, 1] / (num - counts[:-1])  # k cooperators: each defector has k others
    return cooperate, defect


def pressures(cooperate: np.ndarray, defect: np.ndarray) -> dict[str, float]:
    """Fear, greed and whether it is a dilemma."""
    fear, greed = float(defect[0] - cooperate[0]), float(defect[-1] - cooperate[-1])
    better = cooperate[-1] > defect[0] and cooperate[-1] > cooperate[0]
    return {"fear": fear, "greed": greed, "dilemma": float(better and (fear > 0 or greed > 0))}


def _seats(world: Any) -> Seats:
    num = world.num_slots
    return Seats(num, 0, world, world.action_space(0), world.observation_space(0))

"""The compiled functions of a simulation, for all its replicates.

Replicates run one after the other inside one program (``lax.map``, ``repro: strict``: the
same bits alone or together) or side by side (``vmap``, ``repro: fast``).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from society.build import Simulation, roots
from society.carry import Carry, Chunk
from society.learning import learn
from worlds.types import Array, Observation

__all__ = ["Machine", "stack", "unstack"]

# A planet is hundreds of small kernels. XLA's fusion emitters on CPU set up a compiler for each:
# without them life_planet compiles in half the time and memory, and runs as fast.
_MANY_KERNELS = {"xla_cpu_use_fusion_emitters": False}


class Machine:
    """Compiles on first use; nothing here decides a result."""

    def __init__(self, simulation: Simulation) -> None:
        """Wrap the engine's functions for jit; ``simulation`` is only read."""
        self.simulation = simulation
        self.parts = simulation.parts
        engine = simulation.engine
        across = _vmapped if simulation.scenario.repro == "fast" else _mapped
        if simulation.world.births and len(simulation.seeds) == 1:
            across = _alone
        options = _MANY_KERNELS if simulation.world.births else None
        self._start = jax.jit(
            lambda parts, world, graphs, keys: across(
                lambda both: engine.start(parts, world, both[0], both[1]), (graphs, keys)
            ),
            compiler_options=options,
        )
        self._advance = jax.jit(
            lambda parts, carries, ticks: across(
                lambda carry: engine.advance(parts, carry, ticks), carries
            ),
            donate_argnums=1,
            compiler_options=options,
        )
        self._begin = jax.jit(lambda parts, carry: engine.begin(parts, carry)[0])
        self._observe = jax.jit(engine.observe)
        self._talk = jax.jit(engine.talk)
        self._decide = jax.jit(engine.decide)
        self._renew = jax.jit(lambda parts, carry: engine.renew(parts, carry))
        self._some = jax.jit(engine.advance)
        self._learn = jax.jit(
            lambda parts, carries, groups: across(
                lambda carry: learn(engine, parts, carry, groups), carries
            ),
            static_argnums=2,
            donate_argnums=1,
        )
        self._learn_one = jax.jit(
            lambda parts, carry, groups: learn(engine, parts, carry, groups), static_argnums=2
        )

    def start(self, replicates: Sequence[int]) -> Carry:
        """The carries of replicates before their first tick, stacked [R, ...]."""
        seeds = [self.simulation.seeds[index] for index in replicates]
        graphs = stack([self.simulation.graphs[index] for index in replicates])
        return self._start(self.parts, self.simulation.world, graphs, roots(seeds))

    def advance(self, carries: Carry, ticks: int) -> tuple[Carry, Chunk]:
        """Run every replicate for ``ticks`` ticks; the carries given are consumed."""
        return self._advance(self.parts, carries, jnp.int32(ticks))

    def begin(self, carry: Carry) -> Carry:
        """Set up the episode of one replicate where one is due."""
        return self._begin(self.parts, carry)

    def observe(self, carry: Carry) -> Observation:
        """What everybody in one replicate sees now."""
        return self._observe(carry)

    def talk(self, carry: Carry, turn: int) -> Carry:
        """One talk turn of one replicate's array groups."""
        return self._talk(self.parts, carry, jnp.int32(turn))

    def decide(self, carry: Carry, turn: int) -> Any:
        """What array groups of one replicate choose now, [N] with text groups' rows idle."""
        return self._decide(self.parts, carry, jnp.int32(turn))

    def renew(self, carry: Carry) -> tuple[Carry, Any, Array]:
        """Select and transmit in one replicate: (carry, births, rows of newcomers)."""
        return self._renew(self.parts, carry)

    def some(self, carry: Carry, ticks: int) -> tuple[Carry, Chunk]:
        """Some ticks of one replicate, with the actions that its text groups decided."""
        return self._some(self.parts, carry, jnp.int32(ticks))

    def learn(self, carries: Carry, groups: tuple[int, ...]) -> Carry:
        """Let groups of every replicate learn; the carries given are consumed."""
        return self._learn(self.parts, carries, groups) if groups else carries

    def learn_one(self, carry: Carry, groups: tuple[int, ...]) -> Carry:
        """Let groups of one replicate learn."""
        return self._learn_one(self.parts, carry, groups) if groups else carry

    @functools.cached_property
    def metric_names(self) -> tuple[str, ...]:
        """Columns of a chunk's ticks."""
        return self.simulation.engine.metric_names(self.parts, self._shape)

    @functools.cached_property
    def generation_names(self) -> tuple[str, ...]:
        """Columns of a chunk's generations."""
        return self.simulation.engine.generation_names(self.parts, self._shape)

    @functools.cached_property
    def _shape(self) -> Any:
        sim = self.simulation
        return jax.eval_shape(sim.engine.start, self.parts, sim.world, sim.graphs[0], roots([0])[0])


def stack(trees: Sequence[Any]) -> Any:
    """Pytrees with equal shapes as one, with a leading axis (NumPy: nothing is compiled)."""
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *trees)


def unstack(tree: Any, index: int) -> Any:
    """One replicate of stacked pytrees, as NumPy arrays."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index], jax.device_get(tree))


def _mapped(function: Callable, arguments: Any) -> Any:
    return jax.lax.map(function, arguments)


def _alone(function: Callable, arguments: Any) -> Any:
    """One replicate without a loop around it, which would copy all weights in and out."""
    one = function(jax.tree.map(lambda leaf: jnp.squeeze(leaf, 0), arguments))
    return jax.tree.map(lambda leaf: jnp.expand_dims(leaf, 0), one)


def _vmapped(function: Callable, arguments: Any) -> Any:
    return jax.vmap(function)(arguments)

"""The compiled functions of a simulation, for all its replicates.

Replicates run one after the other inside one program (``lax.map``, ``repro: strict``: the
same bits alone or together) or side by side (``vmap``, ``repro: fast``). Where worlds give
birth a strict run calls the program of one replicate for each: a loop around it would copy all
weights in and out, and round differently.
"""

import contextlib
import functools
import threading
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
# without them life_planet compiles in half the time and memory, and runs as fast. The rewriter of
# reductions makes trees of them, three to five kernels for each; sums of many cells are made in
# two steps instead (rows, then columns), which is as exact. The mover of reshapes would undo flat
# loops (``rl_agents.evolved.networks``), and what the passes for loops find does not pay. LLVM
# copies all kernels for each part it is given: a few parts are enough for the cores of a desk.
_NOT_WORTH_IT = (
    "tree_reduction_rewriter",
    "reshape-mover",
    "simplify-while-loops",
    "while-loop-invariant-code-motion",
    "while-loop-constant-sinking",
)
_MANY_KERNELS = {
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 4,
    "xla_disable_hlo_passes": ",".join(_NOT_WORTH_IT),
}


class Machine:
    """Compiles on first use; nothing here decides a result."""

    def __init__(self, simulation: Simulation) -> None:
        """Wrap the engine's functions for jit; ``simulation`` is only read."""
        self.simulation = simulation
        self.parts = simulation.parts
        self._ahead: threading.Thread | None = None
        engine = simulation.engine
        fast, births = simulation.scenario.repro == "fast", bool(simulation.world.births)
        self._apart = births and not fast
        across = _vmapped if fast else _mapped
        if self._apart or (births and len(simulation.seeds) == 1):
            across = _alone
        self._pick = jax.jit(_row)
        self._put = jax.jit(_with_row, donate_argnums=0)
        options = _MANY_KERNELS if births and jax.default_backend() == "cpu" else None
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
        graphs = [self.simulation.graphs[index] for index in replicates]
        if not self._apart or len(seeds) == 1:
            return self._started(stack(graphs), roots(seeds))

        def one(index: int) -> Carry:
            return self._started(stack([graphs[index]]), roots([seeds[index]]))

        carries = jax.tree.map(
            lambda leaf: jnp.asarray(np.zeros(leaf.shape, leaf.dtype)), self.template(len(seeds))
        )
        for index in range(len(seeds)):
            carries = self._put(carries, one(index), jnp.int32(index))
        return carries

    def _started(self, graphs: Any, keys: Any) -> Carry:
        arguments = (self.parts, self.simulation.world, graphs, keys)
        if self._ahead is None and self.simulation.world.births:
            carries = self._start.trace(*arguments).out_info
            self._ahead = threading.Thread(target=self._look_ahead, args=(carries,))
            self._ahead.start()
        return self._start(*arguments)

    def _look_ahead(self, carries: Any) -> None:
        """Trace ``advance`` while XLA compiles ``start``: Python takes a second for a planet."""
        shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), carries)
        with contextlib.suppress(Exception):  # raised again by ``advance``, for its caller
            self._advance.trace(self.parts, shapes, jnp.int32(1)).lower()

    def _wait(self) -> None:
        if self._ahead is not None:
            self._ahead.join()

    def advance(self, carries: Carry, ticks: int) -> tuple[Carry, Chunk]:
        """Run every replicate for ``ticks`` ticks; the carries given are consumed."""
        self._wait()
        number = carries.step.shape[0]
        if not self._apart or number == 1:
            return self._advance(self.parts, carries, jnp.int32(ticks))
        chunks = []
        for index in range(number):
            here = jnp.int32(index)
            one, chunk = self._advance(self.parts, self._pick(carries, here), jnp.int32(ticks))
            carries = self._put(carries, one, here)
            chunks.append(unstack(chunk, 0))
        return carries, stack(chunks)

    def template(self, number: int) -> Carry:
        """Shapes and dtypes of the carries of so many replicates."""
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((number, *leaf.shape), leaf.dtype), self._shape
        )

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
        self._wait()
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


def _row(tree: Any, index: Array) -> Any:
    """One replicate of stacked pytrees, still with a leading axis."""
    return jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, index, 1), tree)


def _with_row(tree: Any, row: Any, index: Array) -> Any:
    return jax.tree.map(
        lambda leaf, one: jax.lax.dynamic_update_slice_in_dim(leaf, one, index, 0), tree, row
    )


def _mapped(function: Callable, arguments: Any) -> Any:
    return jax.lax.map(function, arguments)


def _alone(function: Callable, arguments: Any) -> Any:
    """One replicate without a loop around it, which would copy all weights in and out."""
    one = function(jax.tree.map(lambda leaf: jnp.squeeze(leaf, 0), arguments))
    return jax.tree.map(lambda leaf: jnp.expand_dims(leaf, 0), one)


def _vmapped(function: Callable, arguments: Any) -> Any:
    return jax.vmap(function)(arguments)

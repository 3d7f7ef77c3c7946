"""How the model learns: the loss on answers, one step of the optimiser, checkpoints."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from llm_agents.llama.config import Config
from llm_agents.llama.model import Llama, merged, split
from llm_agents.tiny.batches import Batch

__all__ = ["Student", "load", "new_student", "rate_at", "save", "study"]

PEAK = 3e-3
WARMUP = 100
DECAY_FROM = 0.6


class Student(NamedTuple):
    """Weights and the optimiser's state."""

    weights: Any
    optimiser: Any


def new_student(config: Config, seed: int) -> tuple[Any, Student]:
    """The plan of a model, and a student who knows nothing yet."""
    key = jax.random.PRNGKey(seed)

    def init(shape: tuple[int, ...]) -> jax.Array:
        nonlocal key
        key, own = jax.random.split(key)
        return jax.random.normal(own, shape) * 0.02

    graph, weights = split(Llama(config, init))
    return graph, Student(weights, _optimiser(1.0).init(weights))


def rate_at(progress: float, step: int) -> float:
    """Learning rate: a warm-up, a plateau, and a linear descent in the last part."""
    descent = min(1.0, (1.0 - progress) / (1.0 - DECAY_FROM))
    return PEAK * min(1.0, (step + 1) / WARMUP) * max(descent, 0.02)


def study(graph: Any) -> Any:
    """Compile one step: (student, batch, rate) -> (student, loss, answer loss)."""

    def loss_of(weights: Any, batch: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
        tokens, where, wanted, weight = batch
        model = merged(graph, weights)
        length = tokens.shape[1]
        places = jnp.broadcast_to(jnp.arange(length), tokens.shape)
        visible = jnp.tril(jnp.ones((length, length), bool))[None]
        hidden, _ = model(tokens, places, visible)
        chosen = jnp.take_along_axis(hidden, where[..., None], axis=1)
        losses = optax.softmax_cross_entropy_with_integer_labels(model.logits(chosen), wanted)
        answer = weight > 0.051
        shown = jnp.sum(losses * answer) / jnp.maximum(answer.sum(), 1)
        return jnp.sum(losses * weight) / weight.sum(), shown

    gradients = jax.jit(jax.value_and_grad(loss_of, has_aux=True))

    @jax.jit  # apart from the gradients, which are compiled for every length
    def move(student: Student, gradient: Any, rate: jax.Array) -> Student:
        updates, optimiser = _optimiser(rate).update(gradient, student.optimiser, student.weights)
        return Student(optax.apply_updates(student.weights, updates), optimiser)

    def with_arrays(student: Student, batch: Batch, rate: float) -> Any:
        arrays = (batch.tokens, batch.where, batch.wanted, batch.weight)
        (loss, answer), gradient = gradients(student.weights, arrays)
        return move(student, gradient, jnp.float32(rate)), loss, answer

    return with_arrays


def save(path: Path, student: Student, step: int) -> None:
    """Write a checkpoint; the one before stays until this one is whole."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(student)]
    part = path.with_suffix(".part.npz")
    named: dict[str, Any] = {f"leaf{index}": leaf for index, leaf in enumerate(leaves)}
    np.savez(part, step=step, **named)
    part.rename(path)


def load(path: Path, like: Student) -> tuple[Student, int]:
    """Read a checkpoint of a student with the same shapes."""
    with np.load(path, allow_pickle=False) as found:
        plan = jax.tree.structure(like)
        leaves = [jnp.asarray(found[f"leaf{index}"]) for index in range(plan.num_leaves)]
        return jax.tree.unflatten(plan, leaves), int(found["step"])


def _optimiser(rate: Any) -> optax.GradientTransformation:
    """Muon for matrices, Adam for the rest and the embeddings.

    Source: Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks";
    steps scaled as in Liu et al. (2025), arXiv:2502.16982.
    """
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.contrib.muon(
            rate,
            weight_decay=0.01,
            adam_b2=0.98,
            consistent_rms=0.2,
            muon_weight_dimension_numbers=_matrices,
        ),
    )


def _matrices(weights: Any) -> Any:
    spec = optax.contrib.MuonDimensionNumbers()
    inner = {"qkv", "out", "gate_up", "down"}

    def of(path: Any, leaf: Any) -> Any:
        return spec if getattr(path[-1], "key", None) in inner else None

    return jax.tree_util.tree_map_with_path(of, weights)

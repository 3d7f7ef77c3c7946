"""Proximal policy optimisation of one network on its own rows: batches, loss, epochs.

What IPPO, MAPPO, advantage alignment and population based training share. Everything works
on one network; ``train_members`` maps it over networks of members.

Source: Schulman et al. (2017), arXiv:1707.06347; the details that matter as in Huang et al.
(2022), "The 37 implementation details of PPO" (advantages normalised by minibatch, value
loss clipped, gradients clipped by global norm, Adam with epsilon 1e-5).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rl_agents import heads
from rl_agents.adam import Adam, adam_step
from rl_agents.learner import Trajectory
from rl_agents.network_policy import NetworkPolicy, Outputs, Spec
from rl_agents.per_slot import by_member, split_members
from worlds.random import random_bits
from worlds.types import Array, Mind

__all__ = [
    "Batch",
    "Settings",
    "Trained",
    "actor_loss",
    "batch_of",
    "train",
    "train_members",
    "values_of",
]


class Settings(NamedTuple):
    """Numbers that decide how a network is trained; arrays, so that they may differ.

    lr: step size. clip: of the probability ratio, and of the change of values. entropy,
    value: weights of entropy and value loss. max_norm: longest gradient.
    """

    lr: Array
    clip: Array
    entropy: Array
    value: Array
    max_norm: Array


class Shape(NamedTuple):
    """How often and in which pieces; static."""

    epochs: int
    minibatches: int


class Batch(NamedTuple):
    """T steps of the rows of one network (or of a group, before they are parted).

    x: [T, n, features]. first, acting: [T, n] bool. action: [T, n, ...]. legal: [T, n, A] or
    None. said: channel -> [T, n, ...]. log_prob, value: as they were. advantage, target: [T, n].
    """

    x: Array
    first: Array
    acting: Array
    action: Array
    legal: Array | None
    said: Mapping[str, Array]
    log_prob: Array
    value: Array
    advantage: Array
    target: Array


class Trained(NamedTuple):
    """A network, its optimiser, and numbers that say how the training went."""

    net: Any
    opt: Adam
    metrics: dict[str, Array]


Loss = Callable[[Any, Any, Batch, Settings], tuple[Array, dict[str, Array]]]


def batch_of(
    policy: NetworkPolicy,
    spec: Spec,
    trajectory: Trajectory,
    value: Array,
    advantage: Array,
) -> Batch:
    """What a trajectory says, as a network reads it; targets are advantages plus values."""
    percept = trajectory.percept
    return Batch(
        x=policy.inputs(spec, percept, trajectory.reward.shape),
        first=percept.first,
        acting=percept.acting,
        action=trajectory.action,
        legal=percept.legal,
        said={name: trajectory.extras[f"said/{name}"] for name, _ in spec.says},
        log_prob=trajectory.extras["log_prob"],
        value=value,
        advantage=advantage,
        target=advantage + value,
    )


def values_of(policy: NetworkPolicy, mind: Mind, trajectory: Trajectory) -> Array:
    """[T, n] values of what was seen: as noted while acting, or found now for all steps."""
    if not policy.judges_later():
        return trajectory.extras["value"]
    spec = mind.params.spec
    x = policy.inputs(spec, trajectory.percept, trajectory.reward.shape)
    return by_member(
        lambda net, x: policy.step(spec, net, (), x).value,
        mind.params.net,
        spec.members,
        (x,),
        axis=1,
    )


def policy_terms(spec: Spec, outputs: Outputs, batch: Batch) -> tuple[Array, Array]:
    """Log-probabilities of what was done and said, and entropies; both like ``batch.value``."""
    head = spec.head
    logs = heads.log_prob(head, outputs.out, outputs.log_std, batch.legal, batch.action)
    spread = heads.entropy(head, outputs.out, outputs.log_std, batch.legal)
    for name, said_head in spec.says:
        out = outputs.said[name]
        log_std = jnp.zeros_like(out) - 1.0 if said_head.kind == "box" else None
        logs = logs + heads.log_prob(said_head, out, log_std, None, batch.said[name])
        spread = spread + heads.entropy(said_head, out, log_std, None)
    return logs, spread


def actor_loss(
    spec: Spec, outputs: Outputs, batch: Batch, settings: Settings
) -> tuple[Array, dict[str, Array]]:
    """The clipped surrogate minus weighted entropy, over acting rows; and what to record."""
    logs, spread = policy_terms(spec, outputs, batch)
    share = weights_of(batch.acting)
    middle = (batch.advantage * share).sum()
    scale = jnp.sqrt((jnp.square(batch.advantage - middle) * share).sum()) + 1e-8
    advantage = (batch.advantage - middle) / scale
    change = jnp.where(batch.acting, logs - batch.log_prob, 0.0)
    ratio = jnp.exp(change)
    clipped = jnp.clip(ratio, 1 - settings.clip, 1 + settings.clip)
    gain = (jnp.minimum(ratio * advantage, clipped * advantage) * share).sum()
    entropy = (spread * share).sum()
    moved = ((ratio - 1 - change) * share).sum()
    return -gain - settings.entropy * entropy, {
        "policy_loss": -gain,
        "entropy": entropy,
        "kl": moved,
    }


def critic_loss(value: Array, batch: Batch, settings: Settings) -> Array:
    """Half the squared error, the larger of the plain one and that of the clipped value."""
    share = weights_of(batch.acting)
    near = batch.value + jnp.clip(value - batch.value, -settings.clip, settings.clip)
    errors = jnp.maximum(jnp.square(value - batch.target), jnp.square(near - batch.target))
    return 0.5 * (errors * share).sum()


def weights_of(acting: Array) -> Array:
    """Equal weights that sum to 1 over acting rows, 0 elsewhere."""
    share = acting.astype(jnp.float32)
    return share / jnp.maximum(share.sum(), 1.0)


def policy_loss(policy: NetworkPolicy, spec: Spec) -> Loss:
    """The loss of a network that has both heads."""

    def loss(
        net: Any, memory: Any, batch: Batch, settings: Settings
    ) -> tuple[Array, dict[str, Array]]:
        outputs = policy.unroll(spec, net, memory, batch.x, batch.first, batch.acting)
        total, metrics = actor_loss(spec, outputs, batch, settings)
        judged = critic_loss(outputs.value, batch, settings)
        return total + settings.value * judged, {**metrics, "value_loss": judged}

    return loss


def train(
    key: Array,
    loss: Loss,
    net: Any,
    opt: Adam,
    memory: Any,
    batch: Batch,
    settings: Settings,
    shape: Shape,
    whole_rows: bool,
) -> Trained:
    """Some epochs over shuffled minibatches.

    Args:
      memory: of the rows before the first step. whole_rows: minibatches are whole rows
        (networks with memory), not single steps.
    """
    length, rows = batch.value.shape
    if whole_rows:
        items, part_of = rows, _rows_of(batch)
    else:
        items, part_of = length * rows, _steps_of(batch)
    pieces = min(shape.minibatches, items)
    size = items // pieces

    def step(carry: tuple[Any, Adam], index: Array) -> tuple[tuple[Any, Adam], dict[str, Array]]:
        net, opt = carry
        part = part_of(index)
        start = jax.tree.map(lambda leaf: leaf[index], memory) if whole_rows else ()
        grads, metrics = jax.grad(loss, has_aux=True)(net, start, part, settings)
        return adam_step(net, opt, grads, settings.lr, settings.max_norm), metrics

    def epoch(carry: tuple[Any, Adam], key: Array) -> tuple[tuple[Any, Adam], dict[str, Array]]:
        order = shuffled(key, items)[: pieces * size]
        return jax.lax.scan(step, carry, order.reshape(pieces, size))

    (net, opt), metrics = jax.lax.scan(epoch, (net, opt), jax.random.split(key, shape.epochs))
    return Trained(net, opt, {name: value.mean() for name, value in metrics.items()})


def shuffled(key: Array, items: int) -> Array:
    """The numbers below ``items`` in random order, int32.

    Each word holds random bits above its own number, so one plain sort is enough; at 65,536
    items it takes a seventieth of ``jax.random.permutation`` on a CPU. Numbers whose random
    bits are equal (there are 2**32 / items values of them) stay in order among themselves.
    """
    low = (1 << max(items - 1, 1).bit_length()) - 1
    number = jnp.arange(items, dtype=jnp.uint32)
    words = (random_bits(key, number) & jnp.uint32(0xFFFFFFFF ^ low)) | number
    return (jnp.sort(words) & jnp.uint32(low)).astype(jnp.int32)


def train_members(
    key: Array,
    loss: Loss,
    net: Any,
    opt: Adam,
    memory: Any,
    batch: Batch,
    settings: Settings,
    shape: Shape,
    whole_rows: bool,
    members: int,
) -> Trained:
    """``train`` for the network of a group, or for that of each of its members.

    Args:
      settings: scalars, or [members].
    """
    if not members:
        return train(key, loss, net, opt, memory, batch, settings, shape, whole_rows)
    keys = jax.random.split(key, members)
    settings = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (members,)), settings)
    one = jax.vmap(
        lambda key, net, opt, memory, batch, settings: train(
            key, loss, net, opt, memory, batch, settings, shape, whole_rows
        ),
        in_axes=(0, 0, 0, 1, 2, 0),  # where the members are
    )
    memory, batch = split_members(memory, members, 0), split_members(batch, members, 1)
    found = one(keys, net, opt, memory, batch, settings)
    return found._replace(metrics={name: value.mean() for name, value in found.metrics.items()})


def _rows_of(batch: Batch) -> Callable[[Array], Batch]:
    """Picks whole rows of a batch by number."""

    def picked(index: Array) -> Batch:
        return jax.tree.map(lambda leaf: leaf.at[:, index].get(mode="promise_in_bounds"), batch)

    return picked


def _steps_of(batch: Batch) -> Callable[[Array], Batch]:
    """Picks single steps of a batch by number, in any order.

    A step is one row of one table: picking rows of many narrow arrays costs as much for each
    of them as for a wide one.
    """
    leaves, tree = jax.tree.flatten(batch)
    num = batch.value.size
    shapes = [leaf.shape[2:] for leaf in leaves]
    columns = [_as_floats(leaf.reshape(num, -1)) for leaf in leaves]
    ends = np.cumsum([column.shape[1] for column in columns])
    table = jnp.concatenate(columns, axis=1)

    def picked(index: Array) -> Batch:
        rows = table.at[index].get(mode="promise_in_bounds")
        parts = jnp.split(rows, ends[:-1].tolist(), axis=1)
        return jax.tree.unflatten(
            tree,
            [
                _from_floats(part, leaf.dtype).reshape(-1, *shape)
                for part, leaf, shape in zip(parts, leaves, shapes, strict=True)
            ],
        )

    return picked


def _as_floats(column: Array) -> Array:
    """The same bits as float32; bool as 0 and 1."""
    if column.dtype == jnp.bool_ or column.dtype.itemsize < 4:
        return column.astype(jnp.float32)
    return jax.lax.bitcast_convert_type(column, jnp.float32)


def _from_floats(column: Array, dtype: Any) -> Array:
    """The inverse of ``_as_floats``."""
    if dtype == jnp.bool_ or jnp.dtype(dtype).itemsize < 4:
        return column.astype(dtype)
    return jax.lax.bitcast_convert_type(column, dtype)

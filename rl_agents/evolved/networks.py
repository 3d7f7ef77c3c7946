"""Evolved networks: every slot has its own weights, which only birth and mutation change.

Actions are the network's outputs: tanh into the bounds of a Box, the largest legal one of a
Discrete. Nothing is sampled, so an individual's behaviour is its genome's (and its memory's).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from rl_agents.evolved.genome import (
    apply_layer,
    borne,
    crossed,
    distances,
    jiggled,
    make_genome,
    mutated,
)
from rl_agents.evolved.noise import normal
from worlds.policy import ArrayPolicy
from worlds.random import fold, named
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array, Births, Decision, Mind, Percept, Seats

__all__ = ["EvolvedAttention", "EvolvedLstm", "EvolvedMlp"]


class Form(NamedTuple):
    """What a genome must know of its world; static.

    sets: (name, width) of the view's parts that are lists of others. flat: numbers in the rest.
    hears, says: (channel, numbers) of the numeric channels. low, high: bounds of a Box action,
    () for a Discrete. shape: of the action. choices: of a Discrete, else 0.
    """

    sets: tuple[tuple[str, int], ...]
    flat: int
    hears: tuple[tuple[str, int], ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    shape: tuple[int, ...]
    choices: int

    @property
    def outputs(self) -> int:
        """Numbers that the network puts out."""
        return (self.choices or len(self.low)) + sum(size for _, size in self.hears)


@pytree
class Genomes:
    """A group's genomes.

    own: what is inherited, leaves [n, ...]. shared: weights of all. log_sd: [n] log of the
    scale of mutations, itself inherited. form: static.
    """

    own: Any
    shared: Any
    log_sd: Any
    form: Any = doc_field((), "what the arrays mean", static=True)


@pytree
class _Evolved(ArrayPolicy):
    """What the three architectures share."""

    width: int = doc_field(64, "units of each hidden layer", ge=1)
    rank: int = doc_field(0, "rank of differences from shared weights; 0: own weights", ge=0)
    turnover: float = doc_field(0.1, "sd of the log mutation scale's own mutation", ge=0)

    def layers(self, form: Form) -> dict[str, tuple[int, int]]:
        """Name -> (inputs, outputs) of each layer."""
        raise NotImplementedError

    def run(self, net: "_Net", view: "_View", memory: Any) -> tuple[Array, Any]:
        """Outputs of all rows, and their memory."""
        raise NotImplementedError

    def blank(self, num: int) -> Any:
        """Memory at birth."""
        return ()

    def check(self, seats: Seats) -> None:
        """Actions must be one Box with bounds, or one Discrete."""
        space = seats.action_space
        bounded = isinstance(space, spaces.Box) and bool(np.isfinite([space.low, space.high]).all())
        if not bounded and not isinstance(space, spaces.Discrete):
            raise ValueError(
                f"evolved networks put out one bounded Box or one Discrete, not {space}; "
                "choose another policy (society list policies)"
            )

    def init(self, key: Array, seats: Seats) -> Mind:
        """Random weights, mutation scale 1."""
        form = _form_of(seats, structured=isinstance(self, EvolvedAttention))
        own, shared = make_genome(named(key, "first"), seats.num, self.layers(form), self.rank)
        log_sd = jnp.zeros(seats.num, jnp.float32)
        return Mind(Genomes(own, shared, log_sd, form=form), self.blank(seats.num))

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Put the view through every row's own network."""
        genomes: Genomes = mind.params
        form = genomes.form

        def forget(leaf: Array) -> Array:
            first = percept.first.reshape(-1, *[1] * (leaf.ndim - 1))
            return jnp.where(first, jnp.zeros_like(leaf), leaf)

        memory = jax.tree.map(forget, mind.memory)
        out, memory = self.run(_Net(genomes), _View(form, percept), memory)
        action, rest = _action(form, out, percept.legal)
        outbox = {}
        for name, size in form.hears:
            outbox[name], rest = jnp.tanh(rest[:, :size]), rest[:, size:]
        return Decision(action, memory, outbox)

    def inherit(self, key: Array, mind: Mind, births: Births) -> Mind:
        """Newborns get their parent's genome, or each unit from either of two parents."""
        genomes: Genomes = mind.params
        tree = (genomes.own, genomes.log_sd)
        return self._with(mind, *crossed(key, tree, births))

    def mutate(self, key: Array, mind: Mind, births: Births, rate: Array, sd: Array) -> Mind:
        """Add noise to newborns' weights, and to the log of their mutation scale."""
        genomes: Genomes = mind.params
        own = mutated(named(key, "weights"), genomes.own, births, sd)
        return self._with(mind, own, self._turned(key, genomes.log_sd, births, sd))

    def bear(
        self,
        keys: tuple[Array, Array],
        mind: Mind,
        births: Births,
        shown: Births,
        rate: Array,
        sd: Callable[[Mind], Array],
    ) -> Mind:
        """Both at once where there is one parent: a newborn's weights are written once."""
        if births.dense or births.parent.shape[1] > 1:
            return super().bear(keys, mind, births, shown, rate, sd)
        genomes: Genomes = mind.params
        rows = births.child, births.parent[:, 0]
        log_sd = genomes.log_sd.at[rows[0]].set(genomes.log_sd[rows[1]], mode="drop")
        size = jnp.broadcast_to(sd(self._with(mind, genomes.own, log_sd)), rows[0].shape)
        own = borne(named(keys[1], "weights"), genomes.own, births, shown, size)
        return self._with(mind, own, self._turned(keys[1], log_sd, shown, size))

    def _turned(self, key: Array, log_sd: Array, births: Births, sd: Array) -> Array:
        turnover = jnp.where(sd > 0, self.turnover, 0.0)
        return jnp.clip(jiggled(named(key, "scale"), log_sd, births, turnover), -5.0, 5.0)

    def _with(self, mind: Mind, own: Any, log_sd: Array) -> Mind:
        genomes: Genomes = mind.params
        return mind._replace(params=Genomes(own, genomes.shared, log_sd, form=genomes.form))

    def mutation_scale(self, mind: Mind) -> Array:
        """[n] factor on the standard deviation of mutations."""
        return jnp.exp(mind.params.log_sd)

    def distance(self, mind: Mind, births: Births) -> Array:
        """[B] how far newborns' weights are from their first parents'."""
        return distances(mind.params.own, births)

    def traits(self, mind: Mind) -> Array:
        """[n, 16] fixed random projections of the weights, for measures of diversity."""
        return _projected(mind.params.own)


@component("policy", "evolved_mlp")
@pytree
class EvolvedMlp(_Evolved):
    """Evolved feed-forward network: two tanh layers, every slot with weights of its own."""

    def layers(self, form: Form) -> dict[str, tuple[int, int]]:
        """Two hidden layers and the outputs."""
        inputs = form.flat + sum(size for _, size in form.hears)
        return {
            "first": (inputs, self.width),
            "second": (self.width, self.width),
            "out": (self.width, form.outputs),
        }

    def run(self, net: "_Net", view: "_View", memory: Any) -> tuple[Array, Any]:
        """No memory."""
        hidden = jnp.tanh(net("first", view.flat()))
        return net("out", jnp.tanh(net("second", hidden))), memory


@component("policy", "evolved_lstm")
@pytree
class EvolvedLstm(_Evolved):
    """Evolved recurrent network: a tanh layer and an LSTM, every slot with weights of its own."""

    def layers(self, form: Form) -> dict[str, tuple[int, int]]:
        """One hidden layer, the cell, the outputs."""
        inputs = form.flat + sum(size for _, size in form.hears)
        return {
            "first": (inputs, self.width),
            "cell": (2 * self.width, 4 * self.width),
            "out": (self.width, form.outputs),
        }

    def blank(self, num: int) -> Any:
        """Output and cell of an LSTM."""
        return (jnp.zeros((num, self.width)),) * 2

    def run(self, net: "_Net", view: "_View", memory: Any) -> tuple[Array, Any]:
        """The cell sees the hidden layer and its own last output."""
        hidden = jnp.tanh(net("first", view.flat()))
        memory = _lstm(net, hidden, memory)
        return net("out", memory[0]), memory


@component("policy", "evolved_attention")
@pytree
class EvolvedAttention(_Evolved):
    """Evolved network with attention over others, then an LSTM; own weights in every slot.

    Parts of the view that list others are embedded one by one, attend to one another
    (``heads`` heads) and are read by an attention whose question comes from the rest of the
    view. Views without lists are read as they are.
    Source: Vaswani et al. (2017), arXiv:1706.03762; the order of parts after Lu et al. (2024),
    JaxLife, arXiv:2409.00853, without residual connections and normalisation.
    """

    heads: int = doc_field(4, "attention heads; they divide the width", ge=1)

    def check(self, seats: Seats) -> None:
        """Heads must divide the width."""
        super().check(seats)
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of {self.heads} heads")

    def layers(self, form: Form) -> dict[str, tuple[int, int]]:
        """Encoders, two attentions, the cell, a hidden layer, the outputs."""
        width = self.width
        heard = sum(size for _, size in form.hears)
        found = {"rest": (form.flat + heard, width), "rest2": (width, width)}
        for name, size in form.sets:
            found[f"set_{name}"] = (size, width)
        if form.sets:
            found |= {
                "among": (width, 3 * width),
                "question": (width, width),
                "answers": (width, 2 * width),
            }
        cell = (3 if form.sets else 2) * width
        found["cell"] = (cell, 4 * width)
        found["hidden"] = (width, width)
        found["out"] = (width, form.outputs)
        return found

    def blank(self, num: int) -> Any:
        """Output and cell of an LSTM."""
        return (jnp.zeros((num, self.width)),) * 2

    def run(self, net: "_Net", view: "_View", memory: Any) -> tuple[Array, Any]:
        """Look around, remember, act."""
        rest = jnp.tanh(net("rest2", jnp.tanh(net("rest", view.flat()))))
        seen = rest
        if view.form.sets:
            members, there = self._members(net, view)
            query, key, value = jnp.split(net("among", members), 3, axis=-1)
            members = jnp.tanh(members + self._attend(query, key, value, there))
            key, value = jnp.split(net("answers", members), 2, axis=-1)
            question = net("question", rest)[:, None]
            answer = self._attend(question, key, value, there)[:, 0]
            seen = jnp.concatenate([rest, answer], axis=-1)
        memory = _lstm(net, seen, memory)
        return net("out", jnp.tanh(net("hidden", memory[0]))), memory

    def _members(self, net: "_Net", view: "_View") -> tuple[Array, Array]:
        parts = [view.part(name) for name, _ in view.form.sets]
        made = [
            net(f"set_{name}", part) for (name, _), part in zip(view.form.sets, parts, strict=True)
        ]
        there = [(part != 0).any(-1) for part in parts]
        return jnp.tanh(jnp.concatenate(made, axis=1)), jnp.concatenate(there, axis=1)

    def _attend(self, query: Array, key: Array, value: Array, there: Array) -> Array:
        """[n, q, w]: means of values, weighted by how keys fit the query; 0 if nobody is there."""
        num, width = query.shape[0], self.width

        def split(x: Array) -> Array:
            return x.reshape(num, x.shape[1], self.heads, width // self.heads)

        fit = jnp.einsum("nqhd,nkhd->nhqk", split(query), split(key))
        fit = fit / np.float32(np.sqrt(width // self.heads))
        weight = jnp.exp(jnp.clip(fit, -30.0, 30.0)) * there[:, None, None, :]
        total = jnp.maximum(weight.sum(-1, keepdims=True), 1e-9)
        found = jnp.einsum("nhqk,nkhd->nqhd", weight / total, split(value))
        return found.reshape(num, query.shape[1], width)


class _Net:
    """Layers by name, each row through its own."""

    def __init__(self, genomes: Genomes) -> None:
        self.genomes = genomes

    def __call__(self, name: str, x: Array) -> Array:
        return apply_layer(self.genomes.own[name], self.genomes.shared.get(name), x)


class _View:
    """A percept as numbers."""

    def __init__(self, form: Form, percept: Percept) -> None:
        self.form, self.percept = form, percept

    def part(self, name: str) -> Array:
        return self.percept.view[name]

    def flat(self) -> Array:
        """[n, F] everything that is no list of others, and what was heard."""
        view, rows = self.percept.view, self.percept.alive.shape[0]
        lists = {name for name, _ in self.form.sets}
        if lists:
            view = {name: part for name, part in view.items() if name not in lists}
        parts = [jnp.reshape(leaf, (rows, -1)) for leaf in jax.tree.leaves(view)]
        parts += [self.percept.inbox[name].reshape(rows, -1) for name, _ in self.form.hears]
        return jnp.concatenate([part.astype(jnp.float32) for part in parts], axis=1)


def _lstm(net: _Net, x: Array, memory: Any) -> Any:
    """One step of a cell with a forget bias of 1."""
    gates = net("cell", jnp.concatenate([x, memory[0]], axis=-1))
    width = gates.shape[-1] // 4
    # One kernel for all gates: tanh(new) is 2 sigmoid(2 new) - 1.
    scale = np.repeat(np.array([1, 1, 2, 1], np.float32), width)
    shift = np.repeat(np.array([0, 1, 0, 0], np.float32), width)
    enter, forget, new, leave = jnp.split(jax.nn.sigmoid(scale * gates + shift), 4, axis=-1)
    cell = forget * memory[1] + enter * (2.0 * new - 1.0)
    return leave * _flat(jnp.tanh, cell), cell


def _flat(function: Callable[[Array], Array], x: Array) -> Array:
    """An elementwise function in one long loop: of short rows each row would be written out."""
    return function(x.reshape(-1)).reshape(x.shape)


def _action(form: Form, out: Array, legal: Array | None) -> tuple[Array, Array]:
    if form.choices:
        votes, rest = out[:, : form.choices], out[:, form.choices :]
        if legal is not None:
            votes = jnp.where(legal, votes, -jnp.inf)
        return jnp.argmax(votes, axis=1).astype(jnp.int32), rest
    size = len(form.low)
    low, high = np.array(form.low, np.float32), np.array(form.high, np.float32)
    unit = 0.5 * (_flat(jnp.tanh, out[:, :size]) + 1.0)
    action = low + unit * (high - low)
    return jnp.clip(action, low, high).reshape(-1, *form.shape), out[:, size:]


def _form_of(seats: Seats, *, structured: bool) -> Form:
    sets: list[tuple[str, int]] = []
    view = seats.observation_space
    if structured and isinstance(view, spaces.Dict):
        parts = view.spaces.items()
        sets = [(name, (part.shape or (0, 0))[1]) for name, part in parts if _is_set(part)]
    size = _numbers(view) - sum(
        int(np.prod(view[name].shape))  # type: ignore[index]
        for name, _ in sets
    )
    space = seats.action_space
    box = isinstance(space, spaces.Box)
    words = set(getattr(seats, "words", ()))
    return Form(
        sets=tuple(sets),
        flat=size,
        hears=tuple(sorted((n, s) for n, s in seats.channels.items() if n not in words)),
        low=tuple(np.ravel(space.low).tolist()) if box else (),
        high=tuple(np.ravel(space.high).tolist()) if box else (),
        shape=tuple(space.shape) if box else (),
        choices=0 if box else int(space.n),
    )


def _is_set(part: gymnasium.Space[Any]) -> bool:
    return isinstance(part, spaces.Box) and len(part.shape) == 2


def _numbers(space: gymnasium.Space[Any]) -> int:
    if isinstance(space, spaces.Dict):
        return sum(_numbers(part) for part in space.values())
    if isinstance(space, spaces.Tuple):
        return sum(_numbers(part) for part in space.spaces)
    return int(np.prod(space.shape or ()))


def _projected(own: Any) -> Array:
    """[n, 16] sums of weights with random signs; the same signs in every call."""
    total = 0.0
    key = jnp.zeros(2, jnp.uint32)
    for number, leaf in enumerate(jax.tree.leaves(own)):
        flat = leaf.reshape(leaf.shape[0], -1)
        signs = normal(fold(key, number), (flat.shape[1], 16)) / np.float32(np.sqrt(flat.shape[1]))
        total = total + flat @ signs
    return jnp.asarray(total)

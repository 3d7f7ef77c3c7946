"""NetworkPolicy: what turns a network into a policy, and ``mlp``, ``gru``, ``lstm``, ``cnn``.

A policy names the network; a learner trains it. Everything that a compiled function must
know about the world (which parts of a view are read, how many actions there are) travels
with the parameters as a static ``Spec``.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from rl_agents import heads
from rl_agents.features import Column, columns_of, encode, heard, picture_of, width_of
from rl_agents.heads import Head, head_of
from rl_agents.networks import (
    conv,
    dense,
    gru,
    lstm,
    make_conv,
    make_dense,
    make_gru,
    make_lstm,
    make_tower,
    tower,
)
from rl_agents.per_slot import by_member, inherit_rows, mutate_rows
from worlds.policy import ArrayPolicy
from worlds.random import fold
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array, Births, Decision, Mind, Percept, Seats

__all__ = ["Cnn", "Gru", "Lstm", "Mlp", "NetworkPolicy", "Outputs", "Spec", "Weights"]


class Spec(NamedTuple):
    """What a network must know of the world; static and hashable.

    columns: what is read of a view. hears: (channel, size) that are read. says: (channel,
    head) that are spoken on. head: of the action. members: networks, 0 where all share one.
    picture: index of the column that is an image, or None.
    """

    columns: tuple[Column, ...]
    hears: tuple[tuple[str, int], ...]
    says: tuple[tuple[str, Head], ...]
    head: Head
    members: int
    picture: int | None

    @property
    def width(self) -> int:
        """Features of one row."""
        return width_of(self.columns) + sum(size for _, size in self.hears)


@pytree
class Weights:
    """Parameters of a group: ``net`` (leaves [members, ...] or shared) and their Spec."""

    net: Any
    spec: Any = doc_field(None, "what the arrays mean", static=True)


class Outputs(NamedTuple):
    """What a network puts out for rows with leading axes L.

    out: [L, head.width]. log_std: [L, head.width] or None. value: [L]. said: channel ->
    [L, width]. memory: of the last step, [n, ...].
    """

    out: Array
    log_std: Array | None
    value: Array
    said: Mapping[str, Array]
    memory: Any


@pytree
class NetworkPolicy(ArrayPolicy):
    """A network with an action head and a value head.

    Subclasses say how features become a hidden layer (``make_body``, ``embed``) and, if they
    have a memory, how it moves (``recur``). Memory moves only in steps in which the row acts,
    so a trajectory determines it; it is blank again where ``first``.
    """

    parameters: Literal["shared", "separate"] = doc_field(
        "shared", "one network for the group, or one for each individual"
    )
    decide: Literal["sample", "greedy", "epsilon_greedy"] = doc_field(
        "sample", "how an action follows from the outputs; epsilon_greedy reads them as values"
    )
    epsilon: float = doc_field(0.05, "epsilon_greedy: chance of a random action", ge=0, le=1)
    sees: tuple[str, ...] = doc_field((), "parts of the view that are read; all when empty")

    # ---- what a subclass gives ---------------------------------------------------------

    def make_body(self, key: Array, spec: Spec) -> tuple[Any, int]:
        """Weights from features to the hidden layer, and its width."""
        raise NotImplementedError

    def embed(self, body: Any, spec: Spec, x: Array) -> Array:
        """[..., features] -> [..., inner]: what is computed without memory."""
        raise NotImplementedError

    def recur(self, body: Any, memory: Array, inner: Array) -> Array:
        """The new memory of rows [n, ...]; only where ``blank`` is not None."""
        raise NotImplementedError

    def blank(self) -> int | None:
        """Numbers in a row's memory, None without memory."""
        return None

    def towers(self) -> int:
        """2 where actions and value have hidden layers of their own, 1 where they share."""
        return 1

    def judges_later(self) -> bool:
        """Whether learners find values themselves, for all steps at once."""
        return self.towers() == 2 and self.blank() is None

    def read(self, memory: Array) -> Array:
        """The part of a memory that is put out."""
        return memory

    # ---- the policy ---------------------------------------------------------------------

    def spec(self, seats: Seats) -> Spec:
        """What the network must know of a group's place."""
        columns = columns_of(seats.observation_space, self.sees)
        names = sorted(seats.channels)
        says = tuple(
            (name, Head("discrete", (), seats.channels[name] + 1))
            if name in seats.words
            else (name, Head("box", (seats.channels[name],)))
            for name in names
        )
        worlds = getattr(seats.world, "num_envs", 1)
        return Spec(
            columns=columns,
            hears=tuple((name, seats.channels[name]) for name in names),
            says=says,
            head=head_of(seats.action_space),
            members=seats.num // worlds if self.parameters == "separate" else 0,
            picture=picture_of(columns),
        )

    def check(self, seats: Seats) -> None:
        """Refuse worlds that a network cannot read or act in."""
        spec = self.spec(seats)
        if self.decide == "epsilon_greedy" and spec.head.kind != "discrete":
            raise ValueError("decide: epsilon_greedy needs discrete actions; use sample")

    def init(self, key: Array, seats: Seats) -> Mind:
        """Draw the weights; memory is blank."""
        spec = self.spec(seats)
        if spec.members:
            net = jax.vmap(lambda one: self.make(one, spec))(jax.random.split(key, spec.members))
        else:
            net = self.make(key, spec)
        return Mind(Weights(net, spec=spec), self.blank_memory(seats.num))

    def blank_memory(self, num: int) -> Any:
        """[num, size] zeros, or ()."""
        size = self.blank()
        return () if size is None else jnp.zeros((num, size), jnp.float32)

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """One step for all rows; notes log-probabilities, and values unless ``judges_later``."""
        spec = mind.params.spec
        memory, outputs = self._outputs(mind, percept)
        action, log_prob = self._choose(fold(key, 0), spec, outputs, percept.legal)
        outbox, extras = {}, {} if self.judges_later() else {"value": outputs.value}
        for index, (name, head) in enumerate(spec.says):
            words, said_prob = self._say(fold(key, 1 + index), head, outputs.said[name])
            extras[f"said/{name}"] = words
            outbox[name] = words - 1 if head.kind == "discrete" else words
            log_prob = log_prob + said_prob
        extras["log_prob"] = log_prob
        kept = self.hold(memory, outputs.memory, percept.acting)
        return Decision(action, kept, outbox, extras)

    def chances(self, mind: Mind, percept: Percept) -> dict[str, Array]:
        """With what chance each row does ("") and says (by channel) each thing.

        Returns:
          Name -> [n, size] float32, for what is a single choice. On channels silence comes first.
        """
        spec = mind.params.spec
        _, outputs = self._outputs(mind, percept)
        found = {
            name: jnp.exp(heads.log_probs(head, outputs.said[name], None))
            for name, head in spec.says
            if head.kind == "discrete"
        }
        if spec.head.kind == "discrete" and not spec.head.shape:
            found[""] = self._act_chances(spec.head, outputs.out, percept.legal)
        return found

    def inherit(self, key: Array, mind: Mind, births: Births) -> Mind:
        """Newcomers copy their first parent's network; a shared one is everybody's already."""
        if not mind.params.spec.members:
            return mind
        net = inherit_rows(mind.params.net, births)
        return mind._replace(params=Weights(net, spec=mind.params.spec))

    def mutate(self, key: Array, mind: Mind, births: Births, rate: Array, sd: Array) -> Mind:
        """Add normal noise to newcomers' networks; a shared network does not mutate."""
        if not mind.params.spec.members:
            return mind
        net = mutate_rows(key, mind.params.net, births, sd)
        return mind._replace(params=Weights(net, spec=mind.params.spec))

    # ---- for learners ---------------------------------------------------------------------

    def inputs(self, spec: Spec, percept: Percept, lead: tuple[int, ...]) -> Array:
        """Features [*lead, spec.width] of percepts."""
        seen = encode(percept.view, spec.columns, lead)
        if not spec.hears:
            return seen
        return jnp.concatenate([seen, heard(percept.inbox, spec.hears, lead)], axis=-1)

    def make(self, key: Array, spec: Spec) -> dict[str, Any]:
        """Weights of one network."""
        keys = jax.random.split(key, 4 + len(spec.says))
        body, width = self.make_body(keys[0], spec)
        small = 0.01 if self.decide == "sample" else 1.0
        net = {"body": body, "act": make_dense(keys[1], width, spec.head.width, small)}
        if self.towers() == 2:
            net["judge"], width = self.make_body(keys[2], spec)
        net["value"] = make_dense(keys[3], width, 1)
        if spec.head.kind == "box":
            net["log_std"] = jnp.zeros(spec.head.width, jnp.float32)
        net["say"] = {
            name: make_dense(one, width, head.width, 0.01)
            for one, (name, head) in zip(keys[4:], spec.says, strict=True)
        }
        return net

    def step(self, spec: Spec, net: Any, memory: Any, x: Array) -> Outputs:
        """One step of one network on rows [n, features]."""
        hidden = self.embed(net["body"], spec, x)
        if self.blank() is not None:
            memory = self.recur(net["body"], memory, hidden)
            hidden = self.read(memory)
        return self._put_out(spec, net, hidden, x, memory)

    def unroll(
        self, spec: Spec, net: Any, memory: Any, x: Array, first: Array, acting: Array
    ) -> Outputs:
        """T steps of one network, as ``act`` made them.

        Args:
          memory: before the first step, [n, ...]. x: [T, n, features]; without a memory any
            leading axes will do. first, acting: [T, n] bool.
        """
        hidden = self.embed(net["body"], spec, x)
        if self.blank() is not None:

            def move(memory: Array, now: Any) -> tuple[Array, Array]:
                inner, first, acting = now
                memory = self.reset(memory, first)
                new = self.recur(net["body"], memory, inner)
                return self.hold(memory, new, acting), self.read(new)

            memory, hidden = jax.lax.scan(move, memory, (hidden, first, acting))
        return self._put_out(spec, net, hidden, x, memory)

    def value(self, mind: Mind, percept: Percept) -> Array:
        """[n] value of what is seen, remembering what went before."""
        spec = mind.params.spec
        x = self.inputs(spec, percept, percept.alive.shape)
        return by_member(
            lambda net, memory, x: self.step(spec, net, memory, x),
            mind.params.net,
            spec.members,
            (mind.memory, x),
        ).value

    def reset(self, memory: Any, first: Array) -> Any:
        """Blank where first."""
        if self.blank() is None:
            return memory
        return jnp.where(first[:, None], 0.0, memory)

    def hold(self, old: Any, new: Any, acting: Array) -> Any:
        """The new memory where the row acts."""
        if self.blank() is None:
            return old
        return jnp.where(acting[:, None], new, old)

    # ---- parts ------------------------------------------------------------------------------

    def _outputs(self, mind: Mind, percept: Percept) -> tuple[Any, Outputs]:
        """The memory that rows begin with, and what their networks put out."""
        spec = mind.params.spec
        x = self.inputs(spec, percept, percept.alive.shape)
        memory = self.reset(mind.memory, percept.first)
        rows = (memory, x)
        return memory, by_member(partial(self.step, spec), mind.params.net, spec.members, rows)

    def _put_out(self, spec: Spec, net: Any, hidden: Array, x: Array, memory: Any) -> Outputs:
        judged = self.embed(net["judge"], spec, x) if self.towers() == 2 else hidden
        log_std = None
        out = dense(net["act"], hidden)
        if spec.head.kind == "box":
            log_std = jnp.broadcast_to(net["log_std"], out.shape)
        said = {name: dense(weights, hidden) for name, weights in net["say"].items()}
        return Outputs(out, log_std, dense(net["value"], judged)[..., 0], said, memory)

    def _choose(
        self, key: Array, spec: Spec, outputs: Outputs, legal: Array | None
    ) -> tuple[Array, Array]:
        head, out = spec.head, outputs.out
        if self.decide == "sample":
            return heads.sample(key, head, out, outputs.log_std, legal)
        action = heads.greedy(head, out, legal)
        if self.decide == "epsilon_greedy":
            other, _ = heads.sample(fold(key, 1), head, jnp.zeros_like(out), None, legal)
            strays = heads.unit(fold(key, 2), action.shape[:1]) < self.epsilon
            strays = strays.reshape(-1, *(1 for _ in head.shape))
            action = jnp.where(strays, other, action)
        return action, jnp.zeros(out.shape[0], jnp.float32)

    def _act_chances(self, head: Head, out: Array, legal: Array | None) -> Array:
        """[n, start + size] chances of a single choice."""
        chance = jnp.exp(heads.log_probs(head, out, legal))
        if self.decide != "sample":
            best = jax.nn.one_hot(heads.greedy(head, out, legal) - head.start, head.size)
            stray = jnp.exp(heads.log_probs(head, jnp.zeros_like(out), legal))
            epsilon = self.epsilon if self.decide == "epsilon_greedy" else 0.0
            chance = (1 - epsilon) * best + epsilon * stray
        return jnp.pad(chance, ((0, 0), (head.start, 0)))

    def _say(self, key: Array, head: Head, out: Array) -> tuple[Array, Array]:
        """What is said and its log-probability; word 0 is silence."""
        log_std = jnp.zeros_like(out) - 1.0 if head.kind == "box" else None
        return heads.sample(key, head, out, log_std, None)


@component("policy", "mlp")
@pytree
class Mlp(NetworkPolicy):
    """A feed-forward network, with hidden layers of its own for actions and for the value."""

    width: int = doc_field(64, "units of a hidden layer", ge=1)
    layers: int = doc_field(2, "hidden layers", ge=1)
    activation: Literal["tanh", "relu"] = doc_field("tanh", "of the hidden layers")
    critic: Literal["separate", "joined"] = doc_field(
        "separate", "whether the value has hidden layers of its own"
    )

    def make_body(self, key: Array, spec: Spec) -> tuple[Any, int]:
        """Dense layers."""
        return make_tower(key, spec.width, [self.width] * self.layers), self.width

    def embed(self, body: Any, spec: Spec, x: Array) -> Array:
        """Through all layers."""
        return tower(body, x, self.activation)

    def towers(self) -> int:
        """Two, unless joined."""
        return 2 if self.critic == "separate" else 1


@component("policy", "gru")
@pytree
class Gru(NetworkPolicy):
    """A recurrent network: one dense layer, then gated recurrent units.

    Source: Cho et al. (2014), arXiv:1406.1078.
    """

    width: int = doc_field(64, "units of the memory, and of the layer before it", ge=1)

    def make_body(self, key: Array, spec: Spec) -> tuple[Any, int]:
        """A dense layer and the gates."""
        one, two = jax.random.split(key)
        body = {
            "in": make_tower(one, spec.width, [self.width]),
            "cell": make_gru(two, self.width, self.width),
        }
        return body, self.width

    def embed(self, body: Any, spec: Spec, x: Array) -> Array:
        """The dense layer."""
        return tower(body["in"], x)

    def recur(self, body: Any, memory: Array, inner: Array) -> Array:
        """The gates."""
        return gru(body["cell"], memory, inner)

    def blank(self) -> int | None:
        """Width."""
        return self.width


@component("policy", "lstm")
@pytree
class Lstm(NetworkPolicy):
    """A recurrent network: one dense layer, then long short-term memory.

    Source: Hochreiter & Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735.
    """

    width: int = doc_field(64, "units of the memory, and of the layer before it", ge=1)

    def make_body(self, key: Array, spec: Spec) -> tuple[Any, int]:
        """A dense layer and the gates."""
        one, two = jax.random.split(key)
        body = {
            "in": make_tower(one, spec.width, [self.width]),
            "cell": make_lstm(two, self.width, self.width),
        }
        return body, self.width

    def embed(self, body: Any, spec: Spec, x: Array) -> Array:
        """The dense layer."""
        return tower(body["in"], x)

    def recur(self, body: Any, memory: Array, inner: Array) -> Array:
        """The gates."""
        return lstm(body["cell"], memory, inner)

    def read(self, memory: Array) -> Array:
        """Without the cell."""
        return memory[..., : self.width]

    def blank(self) -> int | None:
        """Output and cell."""
        return 2 * self.width


@component("policy", "cnn")
@pytree
class Cnn(NetworkPolicy):
    """A convolutional network for views that hold an image or a map; the rest joins behind it.

    The image is the first part of the view with two or three axes, [H, W] or [H, W, channels];
    a map of small integers is one-hot. Convolutions are 3 x 3 with stride 1.
    """

    width: int = doc_field(64, "units of the dense layers behind the convolutions", ge=1)
    features: tuple[int, ...] = doc_field((16, 32), "channels of each convolution")
    memory: Literal["none", "gru"] = doc_field("none", "whether gated recurrent units follow")

    def check(self, seats: Seats) -> None:
        """Refuse views without an image."""
        NetworkPolicy.check(self, seats)
        if self.spec(seats).picture is None:
            raise ValueError(
                "this world shows no image [H, W, channels] or map [H, W]; use policy: mlp"
            )

    def make_body(self, key: Array, spec: Spec) -> tuple[Any, int]:
        """Convolutions, then a dense layer over them and the rest of the view."""
        assert spec.picture is not None
        height, wide, channels = _picture_shape(spec)
        keys = jax.random.split(key, 3)
        flat = height * wide * self.features[-1] if self.features else height * wide * channels
        rest = spec.width - spec.columns[spec.picture].width
        body = {
            "conv": make_conv(keys[0], (height, wide, channels), self.features),
            "in": make_tower(keys[1], flat + rest, [self.width]),
        }
        if self.memory == "gru":
            body["cell"] = make_gru(keys[2], self.width, self.width)
        return body, self.width

    def embed(self, body: Any, spec: Spec, x: Array) -> Array:
        """The image through the convolutions, then everything through a dense layer."""
        assert spec.picture is not None
        before = width_of(spec.columns[: spec.picture])
        size = spec.columns[spec.picture].width
        image = x[..., before : before + size].reshape(*x.shape[:-1], *_picture_shape(spec))
        rest = jnp.concatenate([x[..., :before], x[..., before + size :]], axis=-1)
        seen = jnp.concatenate([conv(body["conv"], image), rest], axis=-1)
        return tower(body["in"], seen, "relu")

    def recur(self, body: Any, memory: Array, inner: Array) -> Array:
        """The gates."""
        return gru(body["cell"], memory, inner)

    def blank(self) -> int | None:
        """Width, with gates."""
        return self.width if self.memory == "gru" else None


def _picture_shape(spec: Spec) -> tuple[int, int, int]:
    assert spec.picture is not None
    column = spec.columns[spec.picture]
    names = column.values if column.kind == "names" else 1
    return column.shape[0], column.shape[1], (*column.shape, 1)[2] * names

"""Opinions on a scale, heard along a social graph and changed by what is heard."""

from typing import Any, ClassVar, Literal

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from worlds.graph_ops import degree, mean_neighbours
from worlds.random import uniform
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Observation, Transition
from worlds.world import World

__all__ = ["Opinions", "OpinionsState"]

_CROWD = 20_000  # most slots for which everybody is compared with everybody


@pytree
class OpinionsState:
    """One episode.

    present: [N] bool. opinion, first: [N, T] float32, now and at the beginning.
    clock: int32. agreement: [N] float32, sum of rewards.
    """

    present: Array
    opinion: Array
    first: Array
    clock: Array
    agreement: Array


@component("world", "opinions")
@pytree
class Opinions(World[OpinionsState]):
    """Everybody holds an opinion on each topic, sees what acquaintances hold, and may change.

    Who acts when: everybody, in every step, at once. Action: float32 [N, T], the opinions
    that one holds from now on. A value below the scale (the no-op) leaves the change to
    ``influence``, for that topic:

    * ``none``: the opinion stays;
    * ``averaging``: w own + (1 - w) mean of one's in-neighbours, w = ``self_weight``, the mean
      weighted by the weights of the ties (DeGroot);
    * ``bounded_confidence``: the mean over oneself and those in-neighbours whose opinions differ
      by at most ``confidence`` (Hegselmann and Krause).

    Whoever has no in-neighbours keeps its opinion. Opinions begin as independent draws:
    ``uniform`` on the scale, or all at its ``centre``. Reward: minus the mean distance between
    one's new opinions and the mean of one's in-neighbours' new ones, in units of the scale's
    length (0 without in-neighbours). No end; give ``steps``. Random: only the beginning.

    Fitness is ``agreement``, the mean reward. Sources: DeGroot (1974), "Reaching a consensus",
    doi:10.1080/01621459.1974.10480137; Hegselmann and Krause (2002), "Opinion dynamics and
    bounded confidence", JASSS 5(3) 2, https://www.jasss.org/5/3/2.html.
    """

    caption: ClassVar[str | None] = "worlds.populations.captions.opinions:OpinionsCaption"
    fitness: ClassVar[str] = "agreement"
    measures: ClassVar[tuple[str, ...]] = ("opinion_spread",)

    topics: tuple[str, ...] = doc_field(("topic",), "What opinions are about.")
    scale: tuple[float, float] = doc_field((-1.0, 1.0), "Lowest and highest opinion.", static=True)
    influence: Literal["none", "averaging", "bounded_confidence"] = doc_field(
        "none", "How opinions change that nobody states."
    )
    self_weight: float = doc_field(0.5, "Weight of one's own opinion in averaging.", ge=0, le=1)
    confidence: float = doc_field(0.2, "Largest difference that is still listened to.", ge=0)
    initial: Literal["uniform", "centre"] = doc_field("uniform", "Where opinions begin.")
    num_slots: int = provided(6)
    num_players: int = provided(6)
    present: Any = provided(None)
    graph: Any = provided(None)

    @property
    def low(self) -> float:
        """Lower end of the scale."""
        return float(self.scale[0])

    @property
    def high(self) -> float:
        """Upper end of the scale."""
        return float(self.scale[1])

    @property
    def unstated(self) -> float:
        """What an action holds for a topic on which nothing is stated."""
        return self.low - (self.high - self.low)

    @property
    def ends_early(self) -> bool:
        """Talk goes on."""
        return False

    def check_params(self) -> None:
        """Raise ValueError where opinions make no sense."""
        if not self.topics or len(set(self.topics)) < len(self.topics):
            raise ValueError(
                f"opinions has topics {self.topics!r}; give one or more, all different"
            )
        if not self.low < self.high:
            raise ValueError(
                f"opinions has scale [{self.low:g}, {self.high:g}]; the first must be the lower end"
            )
        if not 0 <= float(self.self_weight) <= 1:
            raise ValueError(f"self_weight is {float(self.self_weight):g}; use 0 to 1")
        crowded = self._mixed and self.num_slots > _CROWD
        if crowded and self.influence == "bounded_confidence":
            raise ValueError(
                f"bounded_confidence compares everybody with everybody: {self.num_slots} slots are "
                f"more than {_CROWD} on a complete graph; choose another graph"
            )

    def init(self, key: Array) -> OpinionsState:
        """Draw opinions."""
        num, topics = self.num_slots, len(self.topics)
        slots = jnp.arange(num)
        present = slots < self.num_players if self.present is None else jnp.asarray(self.present)
        drawn = [uniform(key, slots, topic) for topic in range(topics)]
        share = jnp.stack(drawn, 1) if self.initial == "uniform" else jnp.full((num, topics), 0.5)
        opinion = (self.low + (self.high - self.low) * share).astype(jnp.float32)
        return OpinionsState(
            present=present,
            opinion=opinion,
            first=opinion,
            clock=jnp.int32(0),
            agreement=jnp.zeros(num, jnp.float32),
        )

    def observe(self, state: OpinionsState) -> Observation:
        """Show one's own opinions and the mean of those around.

        The view holds ``opinion`` and ``around`` [N, T] float32 (the mean over in-neighbours,
        one's own where there are none), ``known`` [N] int32 (how many those are) and
        ``clock`` [N] int32.
        """
        view = {
            "opinion": state.opinion,
            "around": self._around(state.present, state.opinion),
            "known": self._known(state.present),
            "clock": jnp.broadcast_to(state.clock, (self.num_slots,)),
        }
        return Observation(view=view, alive=state.present, acting=state.present)

    def step(
        self, key: Array, state: OpinionsState, action: Array
    ) -> tuple[OpinionsState, Transition]:
        """State opinions, or be influenced."""
        action = jnp.asarray(action, jnp.float32)
        stated = state.present[:, None] & (action >= self.low)
        moved = self._influenced(state.present, state.opinion)
        opinion = jnp.where(stated, jnp.minimum(action, self.high), moved)
        opinion = jnp.where(state.present[:, None], opinion, state.opinion)
        apart = jnp.abs(opinion - self._around(state.present, opinion)).mean(1)
        reward = jnp.where(state.present, -apart / (self.high - self.low), 0.0)
        new = OpinionsState(
            present=state.present,
            opinion=opinion,
            first=state.first,
            clock=state.clock + 1,
            agreement=state.agreement + reward,
        )
        nobody = jnp.zeros_like(state.present)
        return new, Transition(reward, nobody, nobody, metrics=_metrics(new))

    def outcome(self, state: OpinionsState) -> dict[str, Array]:
        """Mean reward, mean change since the beginning, and [N] opinions, one name a topic."""
        opinions = {
            f"opinion_{topic}": state.opinion[:, index] for index, topic in enumerate(self.topics)
        }
        return {
            "agreement": state.agreement / jnp.maximum(state.clock, 1),
            "moved": jnp.abs(state.opinion - state.first).mean(1),
            **opinions,
        }

    def observation_space(self, slot: int) -> gymnasium.Space:
        """Space of one row of the view."""
        box, topics = gymnasium.spaces.Box, (len(self.topics),)
        return gymnasium.spaces.Dict(
            {
                "opinion": box(self.low, self.high, topics, np.float32),
                "around": box(self.low, self.high, topics, np.float32),
                "known": box(0, self.num_slots, (), np.int32),
                "clock": box(0, np.iinfo(np.int32).max, (), np.int32),
            }
        )

    def action_space(self, slot: int) -> gymnasium.Space:
        """An opinion on each topic; below the scale: none stated."""
        return gymnasium.spaces.Box(self.unstated, self.high, (len(self.topics),), np.float32)

    def noop(self) -> Array:
        """State nothing."""
        return jnp.full((self.num_slots, len(self.topics)), self.unstated, jnp.float32)

    @property
    def _mixed(self) -> bool:
        return self.graph is None or self.graph.complete

    @property
    def _full(self) -> bool:
        return self.num_players == self.num_slots

    def _known(self, present: Array) -> Array:
        """[N] int32: in-neighbours who are present."""
        if self._mixed:
            return jnp.sum(present, dtype=jnp.int32) - present.astype(jnp.int32)
        return degree(self.graph, None if self._full else present)

    def _around(self, present: Array, opinion: Array) -> Array:
        """[N, T] mean opinion of the in-neighbours, one's own where there are none."""
        if self._mixed:
            counts = jnp.where(present[:, None], opinion, 0.0)
            others = self._known(present)[:, None]
            mean = (counts.sum(0) - counts) / jnp.maximum(others, 1)
        else:
            others = self._known(present)[:, None]
            mean = mean_neighbours(self.graph, opinion, None if self._full else present)
        mean = jnp.clip(mean, self.low, self.high)  # rounding may leave the scale by a hair
        return jnp.where(others > 0, mean, opinion)

    def _influenced(self, present: Array, opinion: Array) -> Array:
        """[N, T] opinions after a step in which nobody states any."""
        if self.influence == "averaging":
            around = self._around(present, opinion)
            return self.self_weight * opinion + (1.0 - self.self_weight) * around
        if self.influence == "bounded_confidence":
            total, count = self._listened(present, opinion)
            return jnp.clip((opinion + total) / (1.0 + count), self.low, self.high)
        return opinion

    def _listened(self, present: Array, opinion: Array) -> tuple[Array, Array]:
        """[N, T] sum and number of in-neighbours' opinions within one's confidence."""
        if self._mixed or self.graph.table is not None:
            return self._listened_by_rows(present, opinion)
        graph = self.graph
        num = self.num_slots
        receivers = jnp.minimum(graph.receivers, num - 1)
        senders = jnp.minimum(graph.senders, num - 1)
        real = (graph.senders < num) & present[senders]
        theirs, own = opinion[senders], opinion[receivers]
        near = real[:, None] & (jnp.abs(theirs - own) <= self.confidence)
        add = jax.ops.segment_sum
        total = add(jnp.where(near, theirs, 0.0), receivers, num, indices_are_sorted=True)
        return total, add(near.astype(jnp.float32), receivers, num, indices_are_sorted=True)

    def _listened_by_rows(self, present: Array, opinion: Array) -> tuple[Array, Array]:
        num = self.num_slots
        padded = jnp.concatenate([opinion, jnp.zeros((1, opinion.shape[1]))])
        there = jnp.concatenate([present, jnp.zeros(1, bool)])

        def listen(slot: Array, others: Array) -> tuple[Array, Array]:
            theirs = padded[others]
            near = jnp.abs(theirs - opinion[slot]) <= self.confidence
            near = near & (there[others] & (others != slot))[:, None]
            return jnp.where(near, theirs, 0.0).sum(0), near.sum(0).astype(jnp.float32)

        slots = jnp.arange(num)
        if self._mixed:
            return jax.lax.map(lambda slot: listen(slot, slots), slots, batch_size=min(num, 256))
        return jax.vmap(listen)(slots, self.graph.table)


def _metrics(state: OpinionsState) -> dict[str, Array]:
    """Mean and standard deviation of opinions over the present, [T] each."""
    here = state.present[:, None]
    count = jnp.maximum(jnp.sum(state.present), 1)
    mean = jnp.where(here, state.opinion, 0.0).sum(0) / count
    square = jnp.where(here, (state.opinion - mean) ** 2, 0.0).sum(0) / count
    return {"opinion_mean": mean, "opinion_sd": jnp.sqrt(square)}

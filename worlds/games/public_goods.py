"""Public goods: contribute to a common account, then punish or reward those who did not."""

import dataclasses
from typing import Any, ClassVar, Literal, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from worlds.random import fold, random_bits
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Observation, Transition
from worlds.world import World

__all__ = ["ABSTAINED", "UNKNOWN", "Groups", "PublicGoods", "PublicGoodsState"]

ABSTAINED = -1.0  # a share below 0: the action of a loner, and how others see it
UNKNOWN = -2.0  # no share yet, or nobody in that seat


class Groups(NamedTuple):
    """Who plays with whom.

    others: [N, group_size - 1] int32 slots of one's fellow members, N where there are none.
    placed: [N] bool, has a group.
    """

    others: Array
    placed: Array


@pytree
class PublicGoodsState:
    """One episode.

    present: [N] bool. groups: this round's. clock: int32, steps played.
    share: [N] float32 of the latest contributions (-1 abstained, -2 none yet).
    seen: [N, group_size - 1] float32, what one's fellow members contributed then.
    seen_slots: [N, group_size - 1] int32, who they were (N = nobody).
    income: [N] float32, of the latest round. earnings: [N] float32, of the whole episode.
    received: [N] float32, points that others spent on one in the latest round.
    spent: [N] float32, points that one spent on others in the latest round.
    contributed, points: [N] float32, sums over the episode. played: [N] int32, rounds.
    """

    present: Array
    groups: Groups
    clock: Array
    share: Array
    seen: Array
    seen_slots: Array
    income: Array
    earnings: Array
    received: Array
    spent: Array
    contributed: Array
    points: Array
    played: Array


@component("world", "public_goods")
@pytree
class PublicGoods(World[PublicGoodsState]):
    """Groups share a common good; costly punishment, rewards, thresholds and loners optional.

    Who acts when: everybody in a group, in every step. A round is one step, or two where
    there is punishment or reward: contributions, then points. Groups are shuffled once
    (``partners``) or every round (``strangers``); those left over sit out.

    Action: float32 [N, W], W = 1 without a second phase, else group_size. Column 0 is the
    share of the endowment that is contributed (below 0: abstain, where participation is
    voluntary). The other columns, read in the second phase, are points for each fellow
    member in the order of ``others`` in the view: below 0 to punish, above 0 to reward.

    Payoff of the first phase: endowment - own + multiplier / group size * sum of all
    contributions. With loners, the sum is shared by participants; whoever abstains, or is
    the only participant, earns endowment + loner_payoff. Below ``threshold`` points in total
    nothing is multiplied. Second phase: a point costs 1 and takes ``punishment_effect`` from
    the other, or gives ``reward_effect``; who wants to spend more than this round's income
    spends in proportion, and losses may exceed earnings. Reward: the payoff of this step.
    The episode terminates after ``rounds`` rounds. Random: only the groups.

    Fitness is ``earnings``, the mean per round. Sources: Fehr and Gaechter (2002), "Altruistic
    punishment in humans", doi:10.1038/415137a (group_size 4, endowment 20, multiplier 1.6, up
    to 10 points that cost 1 and fine 3, strangers; there, nobody met anybody twice); Hauert,
    De Monte, Hofbauer, Sigmund (2002), "Volunteering as Red Queen mechanism for cooperation
    in public goods games", doi:10.1126/science.1070582.
    """

    caption: ClassVar[str | None] = "worlds.games.captions:PublicGoodsCaption"
    fitness: ClassVar[str] = "earnings"
    measures: ClassVar[tuple[str, ...]] = ("contributions",)

    rounds: int = doc_field(10, "Rounds of an episode.", ge=1)
    group_size: int = doc_field(4, "Members of a group.", ge=2)
    endowment: float = doc_field(20.0, "Points that each member gets in every round.", gt=0)
    multiplier: float = doc_field(1.6, "Factor by which the common account grows.", ge=0)
    levels: int = doc_field(
        0, "Contributions are rounded to this many equal steps (2: all or nothing); 0: any.", ge=0
    )
    matching: Literal["partners", "strangers"] = doc_field(
        "strangers", "Whether groups stay together or are drawn anew in every round."
    )
    punishment: Literal["none", "costly"] = doc_field(
        "none", "Whether members may pay to fine each other."
    )
    punishment_effect: float = doc_field(3.0, "What one point takes from the punished.", ge=0)
    reward: Literal["none", "costly"] = doc_field(
        "none", "Whether members may pay to reward each other."
    )
    reward_effect: float = doc_field(3.0, "What one point gives to the rewarded.", ge=0)
    max_points: float = doc_field(10.0, "Most points spent on one member in a round.", ge=0)
    threshold: float = doc_field(
        0.0, "Total contribution below which the common account pays nothing.", ge=0
    )
    below_threshold: Literal["lost", "returned"] = doc_field(
        "lost", "What happens to contributions that miss the threshold."
    )
    participation: Literal["compulsory", "voluntary"] = doc_field(
        "compulsory", "Whether members may abstain and earn the loner's payoff."
    )
    loner_payoff: float = doc_field(6.0, "What a loner earns above the endowment.")
    num_slots: int = provided(4)
    num_players: int = provided(4)
    present: Any = provided(None)
    group_sizes: tuple[int, ...] = provided(())

    @property
    def two_phases(self) -> bool:
        """True where contributions are followed by points."""
        return self.punishment == "costly" or self.reward == "costly"

    @property
    def horizon(self) -> int:
        """Steps of an episode."""
        return self.rounds * (2 if self.two_phases else 1)

    def check_params(self) -> None:
        """Raise ValueError where the game cannot be played."""
        if self.rounds < 1 or self.group_size < 2:
            raise ValueError(
                f"public_goods has {self.rounds} rounds and groups of {self.group_size}; "
                "it needs at least 1 round and groups of at least 2"
            )
        if self.num_players % self.group_size or not 0 < self.num_players <= self.num_slots:
            raise ValueError(
                f"public_goods has {self.num_players} players in {self.num_slots} slots, which "
                f"do not fill groups of {self.group_size}; change the groups' count or set "
                "world.group_size to a divisor of the number of players"
            )
        if self.levels == 1:
            raise ValueError("public_goods has levels 1; use 0 for any share, or 2 and more")
        most = float(self.endowment) * self.group_size
        if float(self.threshold) > most:
            raise ValueError(
                f"threshold {float(self.threshold):g} cannot be reached: a group of "
                f"{self.group_size} has {most:g} points; lower world.threshold"
            )

    def init(self, key: Array) -> PublicGoodsState:
        """Draw the first groups."""
        num, others = self.num_slots, self.group_size - 1
        slots = jnp.arange(num)
        present = slots < self.num_players if self.present is None else self.present
        zeros = jnp.zeros(num, jnp.float32)
        return PublicGoodsState(
            present=jnp.asarray(present, bool),
            groups=self._draw_groups(key, present),
            clock=jnp.int32(0),
            share=jnp.full(num, UNKNOWN, jnp.float32),
            seen=jnp.full((num, others), UNKNOWN, jnp.float32),
            seen_slots=jnp.full((num, others), num, jnp.int32),
            income=zeros,
            earnings=zeros,
            received=zeros,
            spent=zeros,
            contributed=zeros,
            points=zeros,
            played=jnp.zeros(num, jnp.int32),
        )

    def observe(self, state: PublicGoodsState) -> Observation:
        """Show the latest contributions of those one met, and one's own account.

        The view holds ``phase`` (0 contribute, 1 points) and ``round`` [N] int32; ``share``,
        ``income``, ``received``, ``spent`` and ``earnings`` [N] float32 (shares of the
        endowment, the rest in points; all but the last of the latest round); ``others``
        [N, group_size - 1] float32, what one's fellow members contributed (-1 abstained,
        -2 unknown), and ``other_slots`` [N, group_size - 1] int32, who they were (-1 nobody).
        """
        num = self.num_slots
        round_, phase = self._place(state.clock)
        view = {
            "phase": jnp.broadcast_to(phase, (num,)),
            "round": jnp.broadcast_to(round_, (num,)),
            "share": state.share,
            "others": state.seen,
            "other_slots": jnp.where(state.seen_slots < num, state.seen_slots, -1),
            "income": state.income,
            "received": state.received,
            "spent": state.spent,
            "earnings": state.earnings,
        }
        acting = state.groups.placed & (state.clock < self.horizon)
        return Observation(view=view, alive=state.present, acting=acting)

    def step(
        self, key: Array, state: PublicGoodsState, action: Array
    ) -> tuple[PublicGoodsState, Transition]:
        """Play one phase; draw new groups after a round of strangers."""
        action = jnp.asarray(action, jnp.float32)
        contributed = self._contribute(state, action[:, 0])
        if self.two_phases:
            sanctioned = self._sanction(state, action[:, 1:])
            second = self._place(state.clock)[1] == 1
            played = _choose(second, sanctioned, contributed)
        else:
            played = contributed
        if self.matching == "strangers" and self.rounds > 1:
            round_ends = self._place(played.clock)[1] == 0
            fresh = self._draw_groups(key, state.present)
            played = dataclasses.replace(played, groups=_choose(round_ends, fresh, played.groups))
        ends = state.present & (played.clock >= self.horizon)
        transition = Transition(
            reward=played.earnings - state.earnings,
            terminated=ends,
            truncated=jnp.zeros_like(ends),
            metrics=self._metrics(state, played),
        )
        return played, transition

    def outcome(self, state: PublicGoodsState) -> dict[str, Array]:
        """Earnings, contributed share and points spent, per round played."""
        rounds = jnp.maximum(state.played, 1)
        return {
            "earnings": state.earnings / rounds,
            "contribution": state.contributed / rounds,
            "points": state.points / rounds,
        }

    def observation_space(self, slot: int) -> gymnasium.Space:
        """Space of one row of the view."""
        box, discrete = gymnasium.spaces.Box, gymnasium.spaces.Discrete
        others = (self.group_size - 1,)
        return gymnasium.spaces.Dict(
            {
                "phase": discrete(2),
                "round": discrete(self.rounds + 1),
                "share": box(UNKNOWN, 1.0, (), np.float32),
                "others": box(UNKNOWN, 1.0, others, np.float32),
                "other_slots": box(-1, self.num_slots - 1, others, np.int32),
                "income": box(-np.inf, np.inf, (), np.float32),
                "received": box(-np.inf, np.inf, (), np.float32),
                "spent": box(0.0, np.inf, (), np.float32),
                "earnings": box(-np.inf, np.inf, (), np.float32),
            }
        )

    def action_space(self, slot: int) -> gymnasium.Space:
        """A share and, where there is a second phase, points for each fellow member."""
        low = [ABSTAINED if self.participation == "voluntary" else 0.0]
        high = [1.0]
        if self.two_phases:
            most = float(self.max_points)
            low += [-most if self.punishment == "costly" else 0.0] * (self.group_size - 1)
            high += [most if self.reward == "costly" else 0.0] * (self.group_size - 1)
        bounds = np.asarray([low, high], np.float32)
        return gymnasium.spaces.Box(bounds[0], bounds[1], dtype=np.float32)

    def noop(self) -> Array:
        """Contribute nothing and spend no points."""
        width = self.group_size if self.two_phases else 1
        return jnp.zeros((self.num_slots, width), jnp.float32)

    def _place(self, clock: Array) -> tuple[Array, Array]:
        if self.two_phases:
            return clock // 2, clock % 2
        return clock, jnp.zeros_like(clock)

    def _draw_groups(self, key: Array, present: Array) -> Groups:
        """Cut a random order of the present into groups; the last incomplete one sits out."""
        num, size = self.num_slots, self.group_size
        slots = jnp.arange(num)
        # The top bit is cleared, so that empty slots sort behind everybody.
        words = random_bits(fold(key, 1), slots) >> 1
        order = jnp.argsort(jnp.where(present, words, jnp.uint32(0xFFFFFFFF))).astype(jnp.int32)
        rank = jnp.zeros(num, jnp.int32).at[order].set(slots.astype(jnp.int32))
        group, seat = rank // size, rank % size
        placed = present & (group < jnp.sum(present) // size)
        fellow = group[:, None] * size + (seat[:, None] + jnp.arange(1, size)) % size
        others = order[jnp.clip(fellow, 0, num - 1)]
        return Groups(jnp.where(placed[:, None], others, num), placed)

    def _contribute(self, state: PublicGoodsState, share: Array) -> PublicGoodsState:
        low = ABSTAINED if self.participation == "voluntary" else 0.0
        share = jnp.clip(share, low, 1.0)
        joins = state.groups.placed & (share >= 0.0)
        if self.levels:
            share = jnp.where(
                joins, jnp.round(share * (self.levels - 1)) / (self.levels - 1), share
            )
        share = jnp.where(state.groups.placed, jnp.where(joins, share, ABSTAINED), UNKNOWN)
        given = jnp.where(joins, share, 0.0) * self.endowment
        payoff = jnp.where(state.groups.placed, self._payoff(state.groups, given, joins), 0.0)
        return PublicGoodsState(
            present=state.present,
            groups=state.groups,
            clock=state.clock + 1,
            share=share,
            seen=jnp.append(share, UNKNOWN)[state.groups.others],
            seen_slots=state.groups.others,
            income=payoff,
            earnings=state.earnings + payoff,
            received=jnp.zeros_like(payoff),
            spent=jnp.zeros_like(payoff),
            contributed=state.contributed + jnp.where(joins, share, 0.0),
            points=state.points,
            played=state.played + state.groups.placed,
        )

    def _payoff(self, groups: Groups, given: Array, joins: Array) -> Array:
        """[N] float32: what each earns from contributions ``given`` [N], in points."""
        total = given + jnp.append(given, 0.0)[groups.others].sum(-1)
        members = joins + jnp.append(joins, False)[groups.others].sum(-1)
        shared = total * self.multiplier / jnp.maximum(members, 1)
        missed = total < self.threshold
        back = given if self.below_threshold == "returned" else 0.0
        payoff = self.endowment - given + jnp.where(missed, back, shared)
        if self.participation == "compulsory":
            return payoff
        return jnp.where(joins & (members > 1), payoff, self.endowment + self.loner_payoff)

    def _sanction(self, state: PublicGoodsState, points: Array) -> PublicGoodsState:
        spent = self._affordable(state, points)
        # Seat k of one's fellows sits k + 1 places further on, so it sees oneself in the
        # k-th place from the end: what it spends there is what one receives from it.
        size = self.group_size
        received = jnp.append(spent, jnp.zeros((1, size - 1)), axis=0)[
            state.groups.others, size - 2 - jnp.arange(size - 1)
        ]
        effect = jnp.where(received < 0, self.punishment_effect, self.reward_effect) * received
        cost = jnp.abs(spent).sum(-1)
        change = effect.sum(-1) - cost
        return dataclasses.replace(
            state,
            clock=state.clock + 1,
            income=state.income + change,
            earnings=state.earnings + change,
            received=received.sum(-1),
            spent=cost,
            points=state.points + cost,
        )

    def _affordable(self, state: PublicGoodsState, points: Array) -> Array:
        """The points [N, group_size - 1] that are allowed and within this round's income."""
        low = -self.max_points if self.punishment == "costly" else 0.0
        high = self.max_points if self.reward == "costly" else 0.0
        points = jnp.clip(points, low, high)
        points = jnp.where(state.groups.others < self.num_slots, points, 0.0)
        cost = jnp.abs(points).sum(-1)
        scale = jnp.maximum(state.income, 0.0) / jnp.maximum(cost, 1e-9)
        return jnp.where((cost > state.income)[:, None], points * scale[:, None], points)

    def _metrics(self, state: PublicGoodsState, played: PublicGoodsState) -> dict[str, Array]:
        placed = state.groups.placed
        count = jnp.maximum(placed.sum(), 1)
        joined = placed & (played.share >= 0.0)
        return {
            "contribution": jnp.where(joined, played.share, 0.0).sum() / count,
            "payoff": jnp.where(placed, played.earnings - state.earnings, 0.0).sum() / count,
            "points": (played.points - state.points).sum() / count,
            "loners": 1.0 - joined.sum() / count,
        }


def _choose(condition: Array, first: Any, second: Any) -> Any:
    """``first`` where the scalar condition holds, else ``second``, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), first, second)

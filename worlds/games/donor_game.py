"""The Donor Game: gifts that grow, and a reputation that travels with the giver."""

import dataclasses
import math
from typing import Any, ClassVar, Literal, NamedTuple

import gymnasium
import jax.numpy as jnp
import numpy as np

from worlds.random import random_bits
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Observation, Transition
from worlds.world import World

__all__ = ["DONATED_NOTHING", "REFUSED", "UNKNOWN", "DonorGame", "DonorState", "Pairing"]

DONATED_NOTHING = 0.0
REFUSED = -2.0  # the action (and trace entry) of a donor who will not play with this partner
UNKNOWN = -1.0  # a reputation that does not exist yet; padding of a trace
_REPUTATION_DISCOUNT = 0.5


class Pairing(NamedTuple):
    """Who meets whom in one round.

    partner: [N] int32 slot of the other, N where a slot sits out.
    donor: [N] bool, may give this round. paired: [N] bool.
    """

    partner: Array
    donor: Array
    paired: Array


@pytree
class DonorState:
    """One episode.

    rank: [N] int32 place in the shuffled order, N for empty slots. order: [N] int32, its inverse.
    half: int32, pairs in a round. clock: int32, rounds played in both games together.
    resources: [N] float32. reputation: [N] float32 in [0, 1], -1 before the first gift.
    trace: [N, trace, 4] float32, newest first: round, donor, recipient, action; padding -1.
    first_resources, first_reputation: [N] float32, where game 1 ended.
    given: [N] float32, sum of donated fractions. turns: [N] int32, rounds as a donor.
    """

    rank: Array
    order: Array
    half: Array
    clock: Array
    resources: Array
    reputation: Array
    trace: Array
    first_resources: Array
    first_reputation: Array
    given: Array
    turns: Array


@component("world", "donor_game")
@pytree
class DonorGame(World[DonorState]):
    """Donors give part of what they own, recipients get a multiple: indirect reciprocity.

    Who acts when: the present individuals are shuffled into two halves; in every round each
    member of one half meets one of the other, and one half donates. An episode is two games
    of ``rounds`` steps; the second starts from fresh resources, traces and reputations, with
    the same pairs and all roles exchanged.

    Action: float32 [N], the share of one's own resources that is given up, in [0, 1]. With
    ``punishment: costly`` a negative share -x spends x to take ``punishment_loss`` times as
    much from the recipient (not below 0). With ``partner_choice: refuse`` anything below -1
    refuses to play. Reward: the change in one's own resources in this step. The episode
    terminates after both games. Random: only the shuffle at the start.

    Traces run along the chain of partners: when A gives to B, A's trace becomes that entry
    followed by B's trace, so whoever meets A later reads what A did to B, what B had done to
    C before, and so on, at most ``trace`` entries; never A's own history.

    Fitness is ``resources``. ``protocol: published`` keeps three defects of the study's code:
    with an even number of pairs one half donates twice in a row (ABABABBABABA for 12 players,
    so full donation ends at a mean of 15,360), only the resources of game 2 count (the study
    doubles them), and a donation out of nothing is recorded as 100 %. Its fourth, a crash on
    the first costly punishment, is refused by ``check_params``. ``corrected`` (the default)
    alternates strictly (30,720), counts the mean of both games, and lets punishment work.
    The study lets survivors keep their reputation; here every episode begins without.

    Source: Vallinder and Hughes (2024), "Cultural evolution of cooperation among LLM agents",
    arXiv:2412.10270, and its published notebook.
    """

    caption: ClassVar[str | None] = "worlds.games.captions:DonorGameCaption"
    fitness: ClassVar[str] = "resources"
    measures: ClassVar[tuple[str, ...]] = ("generosity", "equality")

    rounds: int = doc_field(12, "Rounds of each of the two games.", ge=1)
    endowment: float = doc_field(10.0, "Resources at the start of each game.", gt=0)
    multiplier: float = doc_field(2.0, "What the recipient gets for one unit given.", ge=0)
    trace: int = doc_field(3, "Entries of the recipient's trace that a donor sees.", ge=0)
    protocol: Literal["published", "corrected"] = doc_field(
        "corrected", "The study as its code runs, or as its text describes it."
    )
    punishment: Literal["none", "costly"] = doc_field(
        "none", "Whether donors may spend resources to destroy the recipient's."
    )
    punishment_loss: float = doc_field(
        2.0, "What the recipient loses for one unit spent on punishing.", ge=0
    )
    partner_choice: Literal["none", "refuse"] = doc_field(
        "none", "Whether donors may refuse to play with their partner."
    )
    num_slots: int = provided(12)
    num_players: int = provided(12)
    present: Any = provided(None)
    group_sizes: tuple[int, ...] = provided(())

    @property
    def horizon(self) -> int:
        """Steps of an episode: two games."""
        return 2 * self.rounds

    @property
    def lowest_action(self) -> float:
        """Lower bound of an action: 0, -1 with punishment, -2 with refusal."""
        if self.partner_choice == "refuse":
            return REFUSED
        return -1.0 if self.punishment == "costly" else DONATED_NOTHING

    def check_params(self) -> None:
        """Raise ValueError where the game cannot be played."""
        if self.rounds < 1 or self.trace < 0:
            raise ValueError(
                f"donor_game has rounds {self.rounds} and trace {self.trace}; "
                "rounds is at least 1 and trace at least 0"
            )
        if self.num_players % 2 or not 2 <= self.num_players <= self.num_slots:
            raise ValueError(
                f"donor_game pairs everybody, but has {self.num_players} players in "
                f"{self.num_slots} slots; use an even number, at least 2"
            )
        if self.protocol == "published" and self.punishment == "costly":
            raise ValueError(
                "the published donor game fails on its first costly punishment "
                "(UnboundLocalError: donor_history), so there is nothing to reproduce; "
                "set protocol: corrected to play with punishment"
            )
        growth = math.log10(max(float(self.endowment) * 3, 1e-9)) + self.rounds * math.log10(
            max(float(self.multiplier), 1.0)
        )
        if growth > 38:
            raise ValueError(
                f"resources could reach 1e{growth:.0f} in {self.rounds} rounds at multiplier "
                f"{float(self.multiplier):g}, more than float32 holds; lower one of them"
            )

    def init(self, key: Array) -> DonorState:
        """Shuffle who is present into two halves and hand out the endowment."""
        num, slots = self.num_slots, jnp.arange(self.num_slots)
        present = slots < self.num_players if self.present is None else self.present
        # The top bit is cleared, so that empty slots sort behind everybody.
        words = random_bits(key, slots) >> 1
        order = jnp.argsort(jnp.where(present, words, jnp.uint32(0xFFFFFFFF))).astype(jnp.int32)
        rank = jnp.zeros(num, jnp.int32).at[order].set(jnp.arange(num, dtype=jnp.int32))
        zeros = jnp.zeros(num, jnp.float32)
        return DonorState(
            rank=jnp.where(present, rank, num),
            order=order,
            half=(jnp.sum(present) // 2).astype(jnp.int32),
            clock=jnp.int32(0),
            resources=jnp.where(present, jnp.float32(self.endowment), 0.0),
            reputation=jnp.full(num, UNKNOWN, jnp.float32),
            trace=self._no_traces(),
            first_resources=zeros,
            first_reputation=jnp.full(num, UNKNOWN, jnp.float32),
            given=zeros,
            turns=jnp.zeros(num, jnp.int32),
        )

    def pairing(self, state: DonorState) -> Pairing:
        """Who meets whom now; after the last round nobody does."""
        game, round_ = self._place(state.clock)
        half = jnp.maximum(state.half, 1)
        block, turn = round_ // half, round_ % half
        if self.protocol == "published":
            shift, first_gives = turn, (turn + block) % 2 == 0
        else:
            # With an even number of pairs a rotation repeats with the same roles; one more
            # step of rotation lets each pair meet again with the roles exchanged.
            shift = (round_ + jnp.where(half % 2 == 0, block, 0)) % half
            first_gives = round_ % 2 == 0
        first_gives = first_gives ^ (game == 1)
        in_first = state.rank < state.half
        in_second = ~in_first & (state.rank < 2 * state.half)
        paired = (in_first | in_second) & (state.clock < self.horizon)
        seat = jnp.where(in_first, state.rank, state.rank - half)
        other = jnp.where(in_first, half + (seat - shift) % half, (seat + shift) % half)
        partner = state.order[jnp.clip(other, 0, self.num_slots - 1)]
        return Pairing(
            partner=jnp.where(paired, partner, self.num_slots),
            donor=paired & (in_first == first_gives),
            paired=paired,
        )

    def observe(self, state: DonorState) -> Observation:
        """Show everyone their own and their partner's standing; donors also see a trace.

        The view holds ``resources``, ``partner_resources``, ``reputation``,
        ``partner_reputation`` [N] float32; ``partner`` [N] int32 (slot, -1 none); ``round``
        and ``game`` [N] int32 from 0; ``donor`` [N] int32 (1 = may give); ``trace``
        [N, trace, 4] float32, the recipient's trace (-1 for those who are not donors).
        """
        num = self.num_slots
        pairing = self.pairing(state)
        game, round_ = self._place(state.clock)
        partner = jnp.minimum(pairing.partner, num - 1)

        def of_partner(values: Array, missing: float) -> Array:
            return jnp.where(pairing.paired, values[partner], missing)

        view = {
            "resources": state.resources,
            "partner_resources": of_partner(state.resources, 0.0),
            "reputation": state.reputation,
            "partner_reputation": of_partner(state.reputation, UNKNOWN),
            "partner": jnp.where(pairing.paired, pairing.partner, -1),
            "round": jnp.broadcast_to(round_, (num,)),
            "game": jnp.broadcast_to(game, (num,)),
            "donor": pairing.donor.astype(jnp.int32),
            "trace": jnp.where(pairing.donor[:, None, None], state.trace[partner], UNKNOWN),
        }
        return Observation(view=view, alive=state.rank < num, acting=pairing.donor)

    def step(self, key: Array, state: DonorState, action: Array) -> tuple[DonorState, Transition]:
        """Play one round; after the last round of game 1 everything but the order is reset."""
        pairing = self.pairing(state)
        alive = state.rank < self.num_slots
        action = jnp.clip(jnp.asarray(action, jnp.float32), self.lowest_action, 1.0)
        refuses = pairing.donor & (action < -1.0)
        if self.punishment == "none":
            action = jnp.where(refuses, REFUSED, jnp.maximum(action, DONATED_NOTHING))
        punishes = pairing.donor & (action < 0.0) & ~refuses
        gives = pairing.donor & ~punishes & ~refuses
        share = jnp.where(pairing.donor & ~refuses, jnp.abs(action), 0.0)
        resources = self._pay(state.resources, share, punishes, pairing)
        recorded = jnp.where(refuses, REFUSED, jnp.where(punishes, -share, share))
        if self.protocol == "published":
            recorded = jnp.where(gives & (state.resources == 0.0), 1.0, recorded)
        donated = jnp.where(gives, recorded, 0.0)
        played = dataclasses.replace(
            state,
            clock=state.clock + 1,
            resources=resources,
            reputation=self._reputation(state.reputation, donated, gives, pairing),
            trace=self._traces(state, recorded, pairing),
            given=state.given + donated,
            turns=state.turns + pairing.donor,
        )
        ends = alive & (played.clock >= self.horizon)
        transition = Transition(
            reward=resources - state.resources,
            terminated=ends,
            truncated=jnp.zeros_like(ends),
            metrics={
                "donated_fraction": donated.sum() / jnp.maximum(pairing.donor.sum(), 1),
                "resources": resources.sum() / jnp.maximum(alive.sum(), 1),
                "resources_min": jnp.min(jnp.where(alive, resources, jnp.inf)),
                "resources_max": jnp.max(resources),
            },
        )
        return self._second_game(played, alive), transition

    def outcome(self, state: DonorState) -> dict[str, Array]:
        """Resources per game, donated fraction per turn as donor, and mean reputation.

        ``resources`` is what game 2 ended with (published), or the mean of both games.
        """
        first, second = state.first_reputation, state.reputation
        resources = state.resources
        if self.protocol == "corrected":
            resources = (state.first_resources + state.resources) / 2
        mean = (jnp.maximum(first, 0.0) + second) / 2
        return {
            "resources": resources,
            "donated_fraction": state.given / jnp.maximum(state.turns, 1),
            "reputation": jnp.where(second < 0, jnp.maximum(first, 0.0), mean),
        }

    def observation_space(self, slot: int) -> gymnasium.Space:
        """Space of one row of the view."""
        box = gymnasium.spaces.Box
        most = np.float32(max(self.rounds, self.num_slots))
        return gymnasium.spaces.Dict(
            {
                "resources": box(0.0, np.inf, (), np.float32),
                "partner_resources": box(0.0, np.inf, (), np.float32),
                "reputation": box(-1.0, 1.0, (), np.float32),
                "partner_reputation": box(-1.0, 1.0, (), np.float32),
                "partner": gymnasium.spaces.Discrete(self.num_slots + 1, start=-1),
                "round": gymnasium.spaces.Discrete(self.rounds + 1),
                "game": gymnasium.spaces.Discrete(2),
                "donor": gymnasium.spaces.Discrete(2),
                "trace": box(REFUSED, most, (self.trace, 4), np.float32),
            }
        )

    def action_space(self, slot: int) -> gymnasium.Space:
        """One share of one's own resources."""
        return gymnasium.spaces.Box(self.lowest_action, 1.0, (), np.float32)

    def noop(self) -> Array:
        """Give nothing."""
        return jnp.zeros(self.num_slots, jnp.float32)

    def _place(self, clock: Array) -> tuple[Array, Array]:
        game = jnp.minimum(clock // self.rounds, 1)
        return game, clock - game * self.rounds

    def _no_traces(self) -> Array:
        return jnp.full((self.num_slots, self.trace, 4), UNKNOWN, jnp.float32)

    def _pay(self, resources: Array, share: Array, punishes: Array, pairing: Pairing) -> Array:
        spent = share * resources
        effect = jnp.where(punishes, -self.punishment_loss, self.multiplier) * spent
        received = jnp.append(effect, 0.0)[pairing.partner]
        return jnp.maximum(resources - spent + received, 0.0)

    def _reputation(
        self, reputation: Array, donated: Array, gives: Array, pairing: Pairing
    ) -> Array:
        recipient = jnp.append(reputation, UNKNOWN)[pairing.partner]
        if self.protocol == "published":
            # The code writes "none yet" as False, which equals 0 wherever it is compared.
            fresh, recipient = reputation <= 0.0, jnp.maximum(recipient, 0.0)
        else:
            fresh = (reputation < 0.0) | (recipient < 0.0)
        judged = 1.0 - jnp.abs(donated - recipient) + _REPUTATION_DISCOUNT * reputation
        updated = jnp.where(fresh, donated, judged / (1.0 + _REPUTATION_DISCOUNT))
        return jnp.where(gives, updated, reputation)

    def _traces(self, state: DonorState, recorded: Array, pairing: Pairing) -> Array:
        slots = jnp.arange(self.num_slots)
        _, round_ = self._place(state.clock)
        entry = jnp.stack(
            [
                jnp.broadcast_to(round_, slots.shape).astype(jnp.float32),
                slots.astype(jnp.float32),
                pairing.partner.astype(jnp.float32),
                recorded,
            ],
            axis=-1,
        )
        older = state.trace[jnp.minimum(pairing.partner, self.num_slots - 1)]
        longer = jnp.concatenate([entry[:, None], older], axis=1)[:, : self.trace]
        return jnp.where(pairing.donor[:, None, None], longer, state.trace)

    def _second_game(self, state: DonorState, alive: Array) -> DonorState:
        starts = state.clock == self.rounds
        endowment = jnp.where(alive, jnp.float32(self.endowment), 0.0)
        return dataclasses.replace(
            state,
            resources=jnp.where(starts, endowment, state.resources),
            reputation=jnp.where(starts, UNKNOWN, state.reputation),
            trace=jnp.where(starts, UNKNOWN, state.trace),
            first_resources=jnp.where(starts, state.resources, state.first_resources),
            first_reputation=jnp.where(starts, state.reputation, state.first_reputation),
        )

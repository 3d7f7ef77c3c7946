"""An epidemic in which everybody decides, day by day, whether to stay at home."""

from typing import Any, ClassVar, Literal

import gymnasium
import jax.numpy as jnp
import numpy as np

from worlds.graph_ops import degree, sum_neighbours
from worlds.random import random_bits, random_pair, threshold
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Observation, Transition
from worlds.world import World

__all__ = ["GO_OUT", "STAY_HOME", "Epidemic", "EpidemicState"]

GO_OUT, STAY_HOME = 0, 1
SUSCEPTIBLE, EXPOSED, INFECTIOUS, RECOVERED = 0, 1, 2, 3
_WEEK = 7


@pytree
class EpidemicState:
    """One episode.

    present: [N] bool. status: [N] int8 (0 susceptible, 1 exposed, 2 infectious, 3 recovered).
    clock: int32, days gone. caught: [N] bool, was ever infected. days_home: [N] int32.
    welfare: [N] float32, sum of rewards.
    recent: [14] float32, share of the population infected on each of the latest days, newest
    first. home: float32, share that stayed at home on the latest day.
    """

    present: Array
    status: Array
    clock: Array
    caught: Array
    days_home: Array
    welfare: Array
    recent: Array
    home: Array


@component("world", "epidemic")
@pytree
class Epidemic(World[EpidemicState]):
    """A disease spreads along ties; people may stay at home, at a cost, and meet fewer others.

    Who acts when: everybody, every day. Action: Discrete(2), 0 go out, 1 stay at home.

    A day: let c be 1 for who goes out and ``home_contact`` for who stays at home. With
    everybody tied to everybody the force of infection on i is c_i r0/D * sum_j c_j I_j / (n - 1)
    (D = ``infectious_days``, I_j = 1 for the infectious, n people); on any other graph
    c_i r0/(D k) * sum over i's ties of c_j I_j, k the mean number of ties. A susceptible
    person catches the disease with probability 1 - exp(-force), is then exposed for
    ``incubation_days`` on average (0: infectious from the next day on: SIR instead of SEIR),
    infectious for D days on average (both geometric), and immune afterwards.

    Reward: -``home_cost`` for a day at home, -``illness_cost`` on the day of infection.
    The episode has no end; give ``steps``. Random: who is infected first (exactly
    ``initial_share`` of the present, rounded), infections, and how long they last.

    Because durations are geometric, the mean-field limit has the classical final size
    exactly, also with days as steps: s = (1 - initial_share) exp(-r0 (1 - s)), s the share
    that never falls ill.

    Fitness is ``welfare``. Source: Kermack and McKendrick (1927), "A contribution to the
    mathematical theory of epidemics", doi:10.1098/rspa.1927.0118; the choice to stay at home
    by groups of alike residents follows Chopra et al. (2024), "On the limits of agency in
    agent-based models", arXiv:2409.10568; there the force depends on age and time since
    infection, here it doesn't.
    """

    caption: ClassVar[str | None] = "worlds.populations.captions.epidemic:EpidemicCaption"
    fitness: ClassVar[str] = "welfare"
    measures: ClassVar[tuple[str, ...]] = ("epidemic_course",)

    r0: float = doc_field(2.5, "Infections by one case among the susceptible who go out.", ge=0)
    infectious_days: float = doc_field(5.0, "Mean days of being infectious.", ge=1)
    incubation_days: float = doc_field(0.0, "Mean days between infection and infectiousness.", ge=0)
    initial_share: float = doc_field(0.01, "Share infectious on the first day.", ge=0, le=1)
    home_contact: float = doc_field(0.25, "Contacts of a day at home, of one out.", ge=0, le=1)
    home_cost: float = doc_field(1.0, "What a day at home costs.", ge=0)
    illness_cost: float = doc_field(50.0, "What catching the disease costs.", ge=0)
    awareness: Literal["none", "own"] = doc_field(
        "none", "Whether the infectious notice that they are ill."
    )
    num_slots: int = provided(8)
    num_players: int = provided(8)
    present: Any = provided(None)
    graph: Any = provided(None)

    @property
    def ends_early(self) -> bool:
        """Days go on whatever happens."""
        return False

    def check_params(self) -> None:
        """Raise ValueError where the disease makes no sense."""
        if float(self.infectious_days) < 1:
            raise ValueError(
                f"epidemic has infectious_days {float(self.infectious_days):g}; a day is the "
                "shortest time here, so use 1 or more"
            )
        days = float(self.incubation_days)
        if days != 0 and days < 1:
            raise ValueError(
                f"epidemic has incubation_days {days:g}; use 0 (infectious from the next day "
                "on) or 1 and more"
            )
        for name in ("initial_share", "home_contact"):
            value = float(getattr(self, name))
            if not 0 <= value <= 1:
                raise ValueError(f"epidemic has {name} {value:g}; use a number from 0 to 1")

    def init(self, key: Array) -> EpidemicState:
        """Infect the first."""
        num = self.num_slots
        slots = jnp.arange(num)
        present = slots < self.num_players if self.present is None else jnp.asarray(self.present)
        words = jnp.where(present, random_bits(key, slots) >> 1, jnp.uint32(0xFFFFFFFF))
        first = jnp.round(self.initial_share * present.sum()).astype(jnp.int32)
        rank = jnp.zeros(num, jnp.int32).at[jnp.argsort(words)].set(slots.astype(jnp.int32))
        ill = present & (rank < first)
        zeros = jnp.zeros(num, jnp.float32)
        return EpidemicState(
            present=present,
            status=jnp.where(ill, INFECTIOUS, SUSCEPTIBLE).astype(jnp.int8),
            clock=jnp.int32(0),
            caught=ill,
            days_home=jnp.zeros(num, jnp.int32),
            welfare=zeros,
            recent=jnp.zeros(2 * _WEEK, jnp.float32).at[0].set(_share(ill, present)),
            home=jnp.float32(0),
        )

    def observe(self, state: EpidemicState) -> Observation:
        """Show what the papers say, and where ``awareness: own`` whether one is ill.

        The view holds, [N] each: ``health`` int32 (0 well as far as one knows; with awareness
        1 infectious, 2 recovered); the same for all:
        ``day`` int32, ``cases`` and ``cases_before`` float32 (new infections per 100,000
        people in the latest seven days, and in the seven before), ``home`` float32 (share that
        stayed at home on the latest day).
        """
        everyone = (self.num_slots,)
        health = jnp.maximum(state.status.astype(jnp.int32) - 1, 0) * (self.awareness == "own")
        per = 100_000.0
        view = {
            "health": health,
            "day": jnp.broadcast_to(state.clock, everyone),
            "cases": jnp.broadcast_to(per * state.recent[:_WEEK].sum(), everyone),
            "cases_before": jnp.broadcast_to(per * state.recent[_WEEK:].sum(), everyone),
            "home": jnp.broadcast_to(state.home, everyone),
        }
        return Observation(view=view, alive=state.present, acting=state.present)

    def step(
        self, key: Array, state: EpidemicState, action: Array
    ) -> tuple[EpidemicState, Transition]:
        """One day: contacts, infections, then those who were exposed or ill get on."""
        slots = jnp.arange(self.num_slots)
        home = state.present & (jnp.asarray(action) == STAY_HOME)
        contact = jnp.where(home, self.home_contact, 1.0).astype(jnp.float32)
        infectious = state.present & (state.status == INFECTIOUS)
        force = contact * self._rate(state.present) * self._met(contact * infectious)
        luck, length = random_pair(key, slots)
        catches = luck < threshold(-jnp.expm1(-force))
        caught = state.present & (state.status == SUSCEPTIBLE) & catches
        status = self._progress(length, state.status, caught)
        reward = jnp.where(
            state.present, -self.home_cost * home - self.illness_cost * caught, 0.0
        ).astype(jnp.float32)
        new = EpidemicState(
            present=state.present,
            status=status,
            clock=state.clock + 1,
            caught=state.caught | caught,
            days_home=state.days_home + home,
            welfare=state.welfare + reward,
            recent=jnp.roll(state.recent, 1).at[0].set(_share(caught, state.present)),
            home=_share(home, state.present),
        )
        nobody = jnp.zeros_like(state.present)
        return new, Transition(reward, nobody, nobody, metrics=_metrics(new, caught))

    def outcome(self, state: EpidemicState) -> dict[str, Array]:
        """Sum of rewards, ever infected (0 or 1), days at home."""
        return {
            "welfare": state.welfare,
            "infected": state.caught.astype(jnp.float32),
            "days_home": state.days_home.astype(jnp.float32),
        }

    def observation_space(self, slot: int) -> gymnasium.Space:
        """Space of one row of the view."""
        box, discrete = gymnasium.spaces.Box, gymnasium.spaces.Discrete
        return gymnasium.spaces.Dict(
            {
                "health": discrete(3 if self.awareness == "own" else 1),
                "day": box(0, np.iinfo(np.int32).max, (), np.int32),
                "cases": box(0.0, np.inf, (), np.float32),
                "cases_before": box(0.0, np.inf, (), np.float32),
                "home": box(0.0, 1.0, (), np.float32),
            }
        )

    def action_space(self, slot: int) -> gymnasium.Space:
        """0 go out, 1 stay at home."""
        return gymnasium.spaces.Discrete(2)

    def noop(self) -> Array:
        """Go out."""
        return jnp.zeros(self.num_slots, jnp.int32)

    @property
    def _mixed(self) -> bool:
        return self.graph is None or self.graph.complete

    def _rate(self, present: Array) -> Array:
        """Infections that a tie to an infectious person causes in a day of both going out."""
        daily = self.r0 / self.infectious_days
        if self._mixed:
            return daily / jnp.maximum(present.sum() - 1, 1)
        known = None if self.num_players == self.num_slots else present
        ties = jnp.where(present, degree(self.graph, known), 0).sum(dtype=jnp.float32)
        return daily * present.sum() / jnp.maximum(ties, 1.0)

    def _met(self, infectious: Array) -> Array:
        """[N] float32: contacts of everybody with the infectious, were it to go out."""
        if self._mixed:
            return infectious.sum() - infectious
        return sum_neighbours(self.graph, infectious, weighted=False)

    def _progress(self, word: Array, status: Array, caught: Array) -> Array:
        """Statuses of the next day; ``word`` [N] uint32 decides who gets on."""
        leaves = word < threshold(1.0 / self.infectious_days)
        recovers = (status == INFECTIOUS) & leaves
        new = jnp.where(recovers, RECOVERED, status)
        falls = word < threshold(1.0 / jnp.maximum(self.incubation_days, 1.0))
        new = jnp.where((status == EXPOSED) & falls, INFECTIOUS, new)
        first = jnp.where(self.incubation_days > 0, EXPOSED, INFECTIOUS)
        return jnp.where(caught, first, new).astype(jnp.int8)


def _share(who: Array, present: Array) -> Array:
    """Share of the present, a float32 scalar."""
    count = jnp.sum(who & present, dtype=jnp.int32).astype(jnp.float32)
    return count / jnp.maximum(jnp.sum(present, dtype=jnp.int32), 1)


def _metrics(state: EpidemicState, caught: Array) -> dict[str, Array]:
    """Shares of the population after a day; ``new_cases`` and ``home`` are of the day."""
    shares = {
        name: _share(state.status == status, state.present)
        for name, status in (
            ("susceptible", SUSCEPTIBLE),
            ("exposed", EXPOSED),
            ("infectious", INFECTIOUS),
            ("recovered", RECOVERED),
        )
    }
    return {**shares, "new_cases": _share(caught, state.present), "home": state.home}

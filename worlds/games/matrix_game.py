"""Normal-form games, played again and again by everybody who meets."""

from typing import Any, ClassVar, Literal, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from worlds.games import matching
from worlds.games.crowd import count_partners, meet_crowd
from worlds.games.noise import slips
from worlds.games.ordinal import ordinal_table
from worlds.games.payoffs import Meeting, meet, payoff_of
from worlds.games.presets import LEVELS, PRESETS, nested_shape
from worlds.games.rules import check_game, check_pairs
from worlds.random import fold, random_bits, threshold
from worlds.registry import component
from worlds.sums import count
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Observation, Transition
from worlds.world import World

__all__ = ["GameState", "GameView", "MatrixGame"]

_NOISE, _ENDING, _SEATING = 1, 2, 3  # streams of a step's key


class GameView(NamedTuple):
    """What each slot sees; S is () or (K,) for K partners at once, then (R,) for R copies.

    own_last: [N, *S] int8, one's own action of the last round as carried out, -1 before.
    other_last: [N, *S] int8, what was played against it; [N, *S, n - 1] in games of n > 2;
      ``()`` where one action meets many partners, who are then counted in ``counts``.
    counts: [N, A] int32, how many partners took each action in the last round, or ``()``.
    partner: [N] or [N, K] int32 slot met in this round, [N, n - 1] in games of n > 2; N = nobody;
      ``()`` where one action meets many partners.
    role: [N] int32, the player of the payoff table that one is (0 in symmetric games).
    round: [N] int32, rounds played. score: [N] float32, total so far.
    """

    own_last: Array
    other_last: Any
    counts: Any
    partner: Any
    role: Array
    round: Array
    score: Array


class GameState(NamedTuple):
    """One episode; K seats, R copies.

    own, other: [N, K, R] int8 actions of the last round (other: [N, n - 1, R] for n > 2).
    score: [N, K] float32, summed over copies. cooperations: [N, K] int32, or () .
    tables: who sits where, or (). seats: [N, K] int32 or ().
    round, turn: int32, rounds played, and whose turn it is within one. over: bool.
    """

    own: Array
    other: Array
    score: Array
    cooperations: Any
    tables: Any
    seats: Any
    round: Array
    turn: Array
    over: Array


@component("world", "matrix_game")
@pytree
class MatrixGame(World[GameState]):
    """Normal-form games between pairs or tables of players, once or repeatedly.

    Who acts when: everybody who has a partner acts in every step, one action for each
    partner (``actions: each``) or one for all of them (``same``). With ``order:
    alternating`` a round takes one step per player of the game; later movers see what
    earlier ones did in the same round. Reward: the payoff of the round, summed over
    partners and copies, paid when the round is complete. Score: rewards, weighted by
    ``discount ** round`` where a discount is given. An episode terminates after ``rounds``;
    where it may end by chance it terminates then and is truncated after ``rounds``.
    Random: execution errors, endings, and who meets whom under ``pairs: random``.
    """

    caption: ClassVar[str | None] = "worlds.games.captions:MatrixGameCaption"
    measures: ClassVar[tuple[str, ...]] = ("cooperation",)
    fitness: ClassVar[str] = "score"

    game: str = doc_field("prisoners_dilemma", "a preset, 'ordinal' or 'custom'")
    number: int = doc_field(0, "which ordinal 2x2 game, of all or of a family", ge=0, le=143)
    family: Literal[
        "", "win_win", "biased", "second_best", "unfair", "tragic", "prisoners_dilemma", "cyclic"
    ] = doc_field("", "count ordinal games within this family")
    payoffs: Any = doc_field(
        None, "custom payoffs: [A, A] of a symmetric game, or [players, A1, ..., An]"
    )
    bimatrix: Any = doc_field(None, "custom payoffs: rows of cells, each [row's, column's]")
    action_labels: tuple[str, ...] = doc_field((), "names of the actions of a custom game")
    cooperative: bool = doc_field(False, "custom game: action 0 is the cooperative one")
    reward: float | None = doc_field(None, "payoff of mutual cooperation, instead of the preset's")
    sucker: float | None = doc_field(None, "payoff of cooperating with a defector")
    temptation: float | None = doc_field(None, "payoff of defecting against a cooperator")
    punishment: float | None = doc_field(None, "payoff of mutual defection")
    rounds: int = doc_field(1, "most rounds in an episode", ge=1)
    noise: float = doc_field(0.0, "chance that an action is carried out as another", ge=0, le=1)
    end_probability: float | None = doc_field(None, "chance to end after a round", ge=0, le=1)
    discount: float | None = doc_field(
        None, "weight of a round relative to the one before", ge=0, le=1
    )
    pairs: Literal["all", "random", "neighbours", "across_groups", "fixed"] = doc_field(
        "all", "who meets whom"
    )
    self_play: bool = doc_field(False, "pairs: all includes one's own clone")
    rematch: Literal["episode", "round"] = doc_field("round", "when random pairs are drawn anew")
    actions: Literal["auto", "each", "same"] = doc_field(
        "auto", "an action for each partner, or the same for all (auto: same for neighbours)"
    )
    neighbour_payoff: Literal["sum", "mean"] = doc_field(
        "sum", "over neighbours, where one action meets them all"
    )
    order: Literal["simultaneous", "alternating"] = doc_field(
        "simultaneous", "whether later movers see what earlier ones did"
    )
    repetitions: int = doc_field(1, "independent copies of every match, played side by side", ge=1)
    num_slots: int = provided(2)
    num_players: int | None = provided(None)
    present: Any = provided(None)
    group_sizes: tuple[int, ...] = provided(())
    graph: Any = provided(None)

    # ---- what the parameters mean ---------------------------------------------------

    def table(self) -> Array:
        """Payoffs [players, A1, ..., An] float32, made from the current parameters."""
        if self.game == "custom":
            return self._custom_table()
        if self.game == "ordinal":
            return jnp.asarray(ordinal_table(self.number, self.family), jnp.float32)
        table = jnp.asarray(PRESETS[self.game].table, jnp.float32)
        for name, (mine, theirs) in LEVELS.items():
            value = getattr(self, name)
            if value is not None:
                table = table.at[0, mine, theirs].set(value).at[1, theirs, mine].set(value)
        return table

    def _custom_table(self) -> Array:
        if self.bimatrix is not None:
            return jnp.moveaxis(_stacked(self.bimatrix), -1, 0)
        table = _stacked(self.payoffs)
        return jnp.stack([table, table.T]) if table.ndim == 2 else table

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of actions of each player of the game."""
        if self.game == "custom":
            if self.bimatrix is not None:
                return nested_shape(self.bimatrix)[:-1]
            shape = nested_shape(self.payoffs)
            return shape if len(shape) == 2 else shape[1:]
        return (2, 2) if self.game == "ordinal" else PRESETS[self.game].table.shape[1:]

    @property
    def num_roles(self) -> int:
        """Players of the game."""
        return len(self.sizes)

    @property
    def num_actions(self) -> int:
        """Most actions of any player."""
        return max(self.sizes)

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions, in order."""
        if self.game in PRESETS:
            return PRESETS[self.game].actions
        default = tuple(f"action_{index}" for index in range(self.num_actions))
        return self.action_labels or default

    @property
    def cooperates(self) -> bool:
        """True where action 0 is the cooperative one."""
        return PRESETS[self.game].cooperative if self.game in PRESETS else self.cooperative

    @property
    def shares_action(self) -> bool:
        """True where one action meets many partners."""
        if self.actions == "auto":
            return self.pairs == "neighbours"
        return self.actions == "same" and self.pairs in ("neighbours", "all")

    @property
    def tabled(self) -> bool:
        """True where everybody sits at one table at a time."""
        return self.pairs in ("random", "fixed")

    @property
    def num_seats(self) -> int:
        """Actions that each slot decides on in one step, per copy (K)."""
        if self.shares_action or self.tabled:
            return 1
        if self.pairs == "across_groups":
            return max(self._two_sizes)
        if self.pairs == "neighbours" and self.graph is not None and not self.graph.complete:
            return self.graph.table.shape[1]
        return self.num_slots + 1 if self.self_play else max(self.num_slots - 1, 1)

    @property
    def seat_shape(self) -> tuple[int, ...]:
        """S: shape of one slot's action."""
        seats = (self.num_seats,) if self.num_seats > 1 else ()
        return seats + ((self.repetitions,) if self.repetitions > 1 else ())

    @property
    def horizon(self) -> int:
        """Steps of a full episode."""
        return self.rounds * (self.num_roles if self.order == "alternating" else 1)

    @property
    def ends_early(self) -> bool:
        """Whether an episode may be over before its horizon."""
        return self.end_probability is not None

    @property
    def _two_sizes(self) -> tuple[int, int]:
        sizes = self.group_sizes or (self.num_slots // 2, self.num_slots - self.num_slots // 2)
        return sizes[0], sizes[-1]

    # ---- the contract ---------------------------------------------------------------

    def init(self, key: Array) -> GameState:
        """Begin an episode: nobody has played yet."""
        num, seats, copies = self.num_slots, self.num_seats, self.repetitions
        opposite = seats if self.num_roles == 2 else self.num_roles - 1
        return GameState(
            own=jnp.full((num, seats, copies), -1, jnp.int8),
            other=jnp.full((num, 0 if self.shares_action else opposite, copies), -1, jnp.int8),
            score=jnp.zeros((num, seats), jnp.float32),
            cooperations=jnp.zeros((num, seats), jnp.int32) if self._keeps_counts else (),
            tables=self._seat(key) if self.tabled else (),
            seats=matching.edge_seats(self.graph) if self._on_edges else (),
            round=jnp.int32(0),
            turn=jnp.int32(0),
            over=jnp.bool_(False),
        )

    def observe(self, state: GameState) -> Observation:
        """Show the last round to everyone."""
        num = self.num_slots
        role = state.tables.role if self.tabled else jnp.zeros(num, jnp.int32)
        if self.pairs == "across_groups":
            role = jnp.asarray(np.arange(num) >= self._two_sizes[0], jnp.int32)
        alive = self._present()
        acting = alive & ~state.over & (state.round < self.rounds)
        if self.tabled:
            acting = acting & (state.tables.members[:, 0] < num)
        if self.order == "alternating":
            acting = acting & (role == state.turn)
        view = GameView(
            own_last=state.own.reshape(num, *self.seat_shape),
            other_last=self._shown(state.other),
            counts=self._counts_shown(state),
            partner=self._partner(state),
            role=role,
            round=jnp.broadcast_to(state.round, (num,)),
            score=self._score(state),
        )
        return Observation(view, alive, acting, legal=self._legal(role))

    def step(self, key: Array, state: GameState, action: Any) -> tuple[GameState, Transition]:
        """Carry out the actions and pay for the round."""
        own = self._carried_out(key, jnp.asarray(action))
        if self.order == "alternating":
            moving = self.observe(state).acting[:, None, None]
            own = jnp.where(moving, own, state.own)
        other, counts = self._faced(state, own)
        paid = state.turn + 1 == self.num_roles if self.order == "alternating" else None
        meeting = self._meet(state, own, other, counts)
        if paid is not None:
            meeting = Meeting(*(jnp.where(paid, part, 0) for part in meeting))
        if self.tabled:  # who sits out keeps the last round it played
            seated = state.tables.members[:, 0, None, None] < self.num_slots
            own = jnp.where(seated, own, state.own)
            other = jnp.where(seated, other, state.other)
        weight = 1.0 if self.discount is None else self.discount**state.round
        round_ = state.round + (1 if paid is None else paid.astype(jnp.int32))
        terminated, truncated = self._ended(key, round_, paid)
        tables = state.tables
        if self.pairs == "random" and self.rematch == "round":
            tables = self._rematched(key, tables, paid)
        cooperations = state.cooperations
        if self._keeps_counts:
            cooperations = cooperations + meeting.cooperations
        new = GameState(
            own=own,
            other=other,
            score=state.score + weight * meeting.payoff,
            cooperations=cooperations,
            tables=tables,
            seats=state.seats,
            round=round_,
            turn=state.turn if paid is None else jnp.where(paid, 0, state.turn + 1),
            over=terminated | truncated,
        )
        valid = self._valid(state)
        everyone = jnp.ones(self.num_slots, bool)
        return new, Transition(
            reward=jnp.where(valid, meeting.payoff, 0.0).sum(axis=1),
            terminated=everyone & terminated,
            truncated=everyone & truncated,
            metrics=self._metrics(meeting, valid),
        )

    def outcome(self, state: GameState) -> dict[str, Array]:
        """Total score of each slot; in a round robin also row against column."""
        result = {"score": self._score(state)}
        if self.pairs == "all" and not self.shares_action:
            result["total_scores"] = self._square(jnp.where(self._valid(state), state.score, 0))
            if self._keeps_counts:
                counts = jnp.where(self._valid(state), state.cooperations, 0)
                result["cooperation_counts"] = self._square(counts)
        return result

    def observation_space(self, slot: int) -> gymnasium.Space:
        """A dictionary of the parts of ``GameView`` that this game shows."""
        shown = jax.eval_shape(lambda: self.observe(self.init(jnp.zeros(2, jnp.uint32))).view)
        bounds = {
            "own_last": (-1, self.num_actions - 1),
            "other_last": (-1, self.num_actions - 1),
            "counts": (0, self.num_slots * self.repetitions),
            "partner": (0, self.num_slots),
            "role": (0, self.num_roles - 1),
            "round": (0, self.rounds),
            "score": (-np.inf, np.inf),
        }
        boxes: dict[str, gymnasium.Space] = {}
        for name, part in shown._asdict().items():
            if not isinstance(part, tuple):
                low, high = bounds[name]
                boxes[name] = gymnasium.spaces.Box(low, high, part.shape[1:], part.dtype.type)
        return gymnasium.spaces.Dict(boxes)

    def action_space(self, slot: int) -> gymnasium.Space:
        """One action, or one for each seat and copy."""
        if not self.seat_shape:
            return gymnasium.spaces.Discrete(self.num_actions)
        return gymnasium.spaces.MultiDiscrete(np.full(self.seat_shape, self.num_actions))

    def noop(self) -> Array:
        """Action 0 for everybody."""
        return jnp.zeros((self.num_slots, *self.seat_shape), jnp.int8)

    # ---- parts of a step ------------------------------------------------------------

    def _carried_out(self, key: Array, action: Array) -> Array:
        """Actions as [N, K, R] int8 after execution errors."""
        shape = (self.num_slots, self.num_seats, self.repetitions)
        own = action.astype(jnp.int8).reshape(shape)
        by = slips(fold(key, _NOISE), shape, jnp.asarray(self.noise), self.num_actions)
        if self.num_actions == 2:
            return own ^ by
        return (own + by) % self.num_actions

    def _faced(self, state: GameState, own: Array) -> tuple[Array, Any]:
        """What was played against each seat, or counts of the partners' actions."""
        if self.shares_action:
            return state.other, self._counted(own)
        if self.tabled:
            return matching.face_tables(own, state.tables), ()
        if self.pairs == "across_groups":
            return matching.face_cross(own, self._two_sizes), ()
        if self._on_edges:
            return matching.face_edges(own, state.seats), ()
        return matching.face_all(own, self.self_play), ()

    def _counted(self, own: Array) -> list[Array]:
        graph = self.graph if self.pairs == "neighbours" else None
        present = None if self._full else self._present()
        return count_partners(own[:, 0, 0], self.num_actions, graph, present)

    def _meet(self, state: GameState, own: Array, other: Array, counts: Any) -> Meeting:
        """Payoffs and cooperative acts of the round, [N, K]."""
        table = self.table()
        if self.shares_action:
            return meet_crowd(table, own, counts, mean=self.neighbour_payoff == "mean")
        if self.num_roles == 2:
            return meet(table, self._roles(state), own, other)
        payoff = payoff_of(table, state.tables.role, own[:, 0], other)
        acts = (own == 0).sum(axis=2, dtype=jnp.int32)
        return Meeting(payoff.sum(axis=1, keepdims=True), acts)

    def _ended(self, key: Array, round_: Array, paid: Array | None) -> tuple[Array, Array]:
        last = round_ >= self.rounds
        if self.end_probability is None:
            return last, jnp.zeros_like(last)
        word = random_bits(fold(key, _ENDING), jnp.uint32(0))
        ends = word < threshold(self.end_probability)
        if paid is not None:
            ends = ends & paid
        return ends, last & ~ends

    def _seat(self, key: Array) -> matching.Tables:
        if self.pairs == "fixed":
            return matching.seated_in_order(self._present(), self.num_roles)
        return matching.random_tables(fold(key, _SEATING), self._present(), self.num_roles)

    def _rematched(
        self, key: Array, tables: matching.Tables, paid: Array | None
    ) -> matching.Tables:
        fresh = self._seat(key)
        if paid is None:
            return fresh
        return matching.Tables(
            *(jnp.where(paid, new, old) for new, old in zip(fresh, tables, strict=True))
        )

    def _metrics(self, meeting: Meeting, valid: Array) -> dict[str, Array]:
        copies = self.repetitions
        acts = jnp.maximum(valid.sum(), 1).astype(jnp.float32) * copies
        metrics = {"payoff": jnp.where(valid, meeting.payoff, 0.0).sum() / acts}
        if self.cooperates:
            if copies == 1:
                done = count(valid & (meeting.cooperations > 0))
            else:
                done = jnp.where(valid, meeting.cooperations, 0).sum()
            metrics["cooperation"] = done.astype(jnp.float32) / acts
        return metrics

    @property
    def ties_are_seats(self) -> bool:
        """True where each tie is a seat for an episode, so that ties may not change within it."""
        return self._on_edges

    def defected(self, state: GameState) -> Array:
        """[N] bool: who did something else than cooperate, towards anybody, in the last round."""
        return jnp.any(state.own > 0, axis=(1, 2))

    # ---- small things ---------------------------------------------------------------

    @property
    def _full(self) -> bool:
        """True where nobody can be missing: one group without spare slots."""
        full = self.num_players in (None, self.num_slots)
        return full and (self.present is None or len(self.group_sizes) <= 1)

    @property
    def _on_edges(self) -> bool:
        on_graph = self.graph is not None and not self.graph.complete
        return self.pairs == "neighbours" and not self.shares_action and on_graph

    @property
    def _keeps_counts(self) -> bool:
        return self.cooperates and self.pairs == "all" and not self.shares_action

    def _present(self) -> Array:
        if self._full:
            return jnp.ones(self.num_slots, bool)
        if self.present is None:
            held = np.arange(self.num_slots) < (self.num_players or self.num_slots)
            return jnp.asarray(held)
        return jnp.asarray(self.present)

    def _static_partner(self) -> np.ndarray:
        if self.pairs == "across_groups":
            return matching.cross_partners(self._two_sizes)
        return matching.round_robin_partners(self.num_slots, self.self_play)

    def _partner(self, state: GameState) -> Any:
        """Slots met in this round, as the view shows them."""
        if self.shares_action:
            return ()
        if self.tabled:
            members = state.tables.members
            return members[:, 0] if self.num_roles == 2 else members
        seats = self.graph.table if self._on_edges else jnp.asarray(self._static_partner())
        return seats[:, 0] if self.num_seats == 1 else seats

    def _valid(self, state: GameState) -> Array:
        """[N, K] bool: seats where two present individuals (or a table of them) meet."""
        if self.shares_action:
            return self._present()[:, None]
        if self.tabled:
            return state.tables.members[:, :1] < self.num_slots
        partner = self.graph.table if self._on_edges else self._static_partner()
        known = jnp.asarray(partner) < self.num_slots
        if self.self_play:
            known = known.at[:, -1].set(False)  # the clone's own seat earns for nobody
        if self._full:
            return known
        alive = self._present()
        return known & alive[:, None] & alive.at[partner].get(mode="fill", fill_value=False)

    def _roles(self, state: GameState) -> Array:
        """[N, K] int32: which player of the payoff table each seat is."""
        if self.tabled:
            return state.tables.role[:, None]
        partner = self.graph.table if self._on_edges else self._static_partner()
        slots = jnp.arange(self.num_slots)[:, None]
        role = (slots > partner).astype(jnp.int32)
        return role.at[:, -1].set(1) if self.self_play else role

    def _score(self, state: GameState) -> Array:
        return jnp.where(self._valid(state), state.score, 0.0).sum(axis=1)

    def _square(self, seats: Array) -> Array:
        """[N, N] from [N, K]: row against column."""
        if self.self_play:
            return seats[:, :-1]
        return matching.insert_diagonal(seats)

    def _shown(self, other: Array) -> Any:
        if self.shares_action:
            return ()
        if self.num_roles == 2:
            return other.reshape(self.num_slots, *self.seat_shape)
        others = jnp.moveaxis(other, 1, 2)
        return others.reshape(self.num_slots, *self.seat_shape, self.num_roles - 1)

    def _counts_shown(self, state: GameState) -> Any:
        if not self.shares_action:
            return ()
        counts = jnp.stack(self._counted(state.own), axis=1)
        return jnp.where(state.round > 0, counts, 0)

    def _legal(self, role: Array) -> Array | None:
        if len(set(self.sizes)) == 1:
            return None
        return jnp.arange(self.num_actions) < jnp.asarray(self.sizes)[role][:, None]

    def check_params(self) -> None:
        """Refuse games, pairings and orders that do not fit each other."""
        check_game(self)
        check_pairs(self)


def _stacked(values: Any) -> Array:
    """Nested lists whose leaves may be arrays, as one float32 array."""
    if isinstance(values, (list, tuple)):
        return jnp.stack([_stacked(value) for value in values])
    return jnp.asarray(values, jnp.float32)

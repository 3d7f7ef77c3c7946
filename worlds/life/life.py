"""Artificial life: bodies that eat, fight, speak, breed and dig on a changing torus."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import gymnasium
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from worlds.life import body, parts
from worlds.life.births import Matched, match, mates
from worlds.life.frames import paint
from worlds.life.machines import WORDS, Report
from worlds.life.space import Near, Neighbours, bins_of, cell_of, nearest, wrap
from worlds.life.state import Flows, LifeState, Prices
from worlds.life.terrain import (
    CHANGEABLE,
    FIELDS,
    Climate,
    Ground,
    Lattice,
    Terrain,
    lattice,
    maps,
    season,
)
from worlds.life.views import NUM_OTHER, NUM_OWN, view_of
from worlds.random import uniform
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Observation, Transition
from worlds.world import World

__all__ = ["Life"]

IDENTITY = parts.IDENTITY
_CLIMATE, _PRICES = Climate(), Prices()  # type: ignore[call-arg]
_KNOWN_MACHINES = 8  # machines among which each machine finds its western and eastern one


class _Settled(NamedTuple):
    """Bodies after paying, eating and fighting: what they have, who died, where energy went."""

    stock: Array
    ground: Array
    dies: Array
    reward: Array
    flows: dict[str, Array]


@component("world", "life")
@pytree
class Life(World[LifeState]):
    """A living planet: eat, fight, speak, breed, dig and program machines on a torus.

    Who acts when: every living body, in every step, all at once.

    Action: float32 [N, 8 + 2 words + 5] in [-1, 1]: move south, move east, push (below 0:
    pull), eat (> 0), give birth (> 0), attack (0 to 1), speak (> 0), program machines (> 0);
    change of the voice, words; terraforming of fertility, roughness, friction, noise and
    hardship of one's cell.

    A step: everybody eats its share of its cell, pays (at most what it has), hits and is
    hit; whoever has nothing left, or reaches ``max_age``, dies and leaves the rest to the
    ground. The living give birth where they can pay and a slot of their group was free when
    the step began; a refused birth costs nothing. Then bodies move, words are heard, the
    ground grows, fades and forgets what was dug, and machines compute.

    Reward: energy eaten and looted, less energy paid and lost in fights; what a child is
    given does not count. Energy is neither made nor lost but by the flows in ``Flows``.

    Random: the base maps, founders and machines at the beginning; where newborns appear,
    changes of identity. Minds bring their own chance.
    The episode ends when nobody is left, or is truncated after ``max_steps``.

    Source: after Lu et al. (2024), JaxLife, arXiv:2409.00853. Ours differs: directions are
    signed, neighbours have a range, costs are never negative, shares among eaters are equal,
    all energy is accounted, a child's body and mind come from the same parents.
    """

    births: ClassVar[int] = 2
    measures: ClassVar[tuple[str, ...]] = ()
    caption: ClassVar[str | None] = "worlds.life.caption:LifeCaption"

    num_slots: int = provided(128)
    num_players: int = provided(32)
    group_sizes: tuple[int, ...] = provided(())
    present: Any = provided()

    size: int = doc_field(128, "cells along each side of the torus", ge=8)
    terrain: Terrain = doc_field("perlin", "how base maps are made")
    climate: Climate = doc_field(_CLIMATE, "how the ground changes by itself")
    prices: Prices = doc_field(_PRICES, "what living and acting cost")
    growth: float = doc_field(1.0, "energy that fertility 1 grows in a step", ge=0)
    decay: float = doc_field(0.5, "energy that every cell loses in a step", ge=0)
    richness: float = doc_field(16.0, "energy that a cell of capacity 1 can hold", gt=0)
    healing: float = doc_field(0.005, "share of terraforming that is forgotten in a step", ge=0)
    digging: float = doc_field(0.1, "most that terraforming changes a field in a step", ge=0)
    bite: float = doc_field(0.25, "share of its cell that one eater takes", ge=0, le=1)
    speed: float = doc_field(0.5, "most cells that a body moves south or east in a step", ge=0)
    strength: float = doc_field(0.5, "most cells that a push moves another", ge=0)
    power: float = doc_field(1.0, "energy that an attack takes at distance 0", ge=0)
    loot: float = doc_field(0.0, "share of it that the attacker keeps", ge=0, le=1)
    reach: float = doc_field(1.5, "cells within which bodies push, attack and mate", ge=0)
    endowment: float = doc_field(24.0, "energy of founders", gt=0)
    gift: float = doc_field(8.0, "energy that parents give to a newborn", gt=0)
    reserve: float = doc_field(6.0, "energy that parents keep for themselves at a birth", ge=0)
    drift: float = doc_field(0.1, "most that a number of the identity changes at birth", ge=0)
    mating: Literal["asexual", "sexual", "either"] = doc_field("asexual", "how children are made")
    max_age: int = doc_field(0, "steps after which a body dies; 0: never of age alone", ge=0)
    max_steps: int = doc_field(0, "steps of an episode; 0: without end", ge=0)
    sight: int = doc_field(8, "cells within which others are seen and heard", ge=1)
    patch: int = doc_field(4, "cells of ground seen to each side", ge=0)
    company: int = doc_field(16, "most others that are seen at once", ge=1)
    crowd: int = doc_field(8, "most others that are seen in each bin of sight x sight cells", ge=1)
    words: int = doc_field(16, "numbers in a voice and in a message", ge=1)
    robots: int = doc_field(0, "programmable machines", ge=0)
    layout: Literal["scattered", "row"] = doc_field("scattered", "where machines stand at first")
    rule: int = doc_field(-1, "elementary automaton in every machine; -1: random programs", le=255)
    tape: str = doc_field("", "bits that machines remember at first, such as 0001; random if empty")
    ticks: int = doc_field(4, "instructions of each machine in a step", ge=1)
    machine_speed: float = doc_field(0.5, "most cells that a machine moves in a step", ge=0)

    @property
    def horizon(self) -> int | None:
        """``max_steps``, or None."""
        return self.max_steps or None

    @property
    def ends_early(self) -> bool:
        """True: everybody may die."""
        return True

    @property
    def groups(self) -> tuple[int, ...]:
        """Slots of each group."""
        return self.group_sizes or (self.num_slots,)

    def group(self) -> np.ndarray:
        """[N] int32 index of each slot's group."""
        return np.repeat(np.arange(len(self.groups), dtype=np.int32), self.groups)

    def check_params(self) -> None:
        """Refuse sizes that do not fit."""
        if 2 * self.patch + 1 > self.size:
            raise ValueError(f"patch {self.patch} sees more than {self.size} cells; lower it")
        if self.layout == "row" and self.robots > self.size:
            raise ValueError(f"{self.robots} robots do not fit in a row of {self.size} cells")
        if self.robots and self.words < WORDS:
            raise ValueError(
                f"messages of {self.words} words cannot hold a program of {WORDS}; set words: "
                f"{WORDS} or robots: 0"
            )
        if set(self.tape) - {"0", "1"}:
            raise ValueError(f"tape {self.tape!r} must consist of 0 and 1")
        if self.tape and len(self.tape) != self.robots:
            raise ValueError(f"tape has {len(self.tape)} bits for {self.robots} robots")

    # ---- the contract -------------------------------------------------------------------

    def init(self, key: Array) -> LifeState:
        """Founders on random cells, the ground filled to half of what it can hold."""
        num, size = self.num_slots, self.size
        alive = self._founders()
        points = lattice(key)
        where = uniform(key, jnp.arange(num * 2), 1).reshape(num, 2) * size
        position = wrap(where, size)
        many = jnp.arange(num * IDENTITY)
        identity = 2 * uniform(key, many, 2).reshape(num, IDENTITY) - 1
        machines = parts.first_machines(self, key)
        tick = jnp.int32(0)
        made = jnp.zeros((CHANGEABLE, size * size), jnp.float32)
        fields = self._fields(points, made, tick)
        energy = 0.5 * fields[FIELDS.index("capacity")].reshape(-1)
        stock = jnp.where(alive, jnp.asarray(self.endowment, jnp.float32), 0.0)
        zero = jnp.float32(0)
        flows = Flows(*[zero] * 8, stored=energy.sum() + stock.sum())
        blank = jnp.zeros((num, self.words), jnp.float32)
        return LifeState(
            tick=tick,
            points=points,
            made=made,
            fields=fields,
            energy=energy.astype(jnp.float32),
            bits=jnp.zeros(size * size, bool),
            alive=alive,
            stock=stock,
            age=jnp.zeros(num, jnp.int32),
            position=jnp.where(alive[:, None], position, 0.0),
            identity=jnp.where(alive[:, None], identity, 0.0),
            voice=blank,
            inbox=blank,
            last=jnp.zeros((num, len(body.ACTS)), jnp.float32),
            children=jnp.zeros(num, jnp.int32),
            machines=machines,
            flows=flows,
        )

    def observe(self, state: LifeState) -> Observation:
        """Each body sees its ground, its nearest others and machines, and itself."""
        acting = state.alive
        if self.max_steps:
            acting = acting & (state.tick < self.max_steps)
        return Observation(view_of(self, state, self.neighbours(state)), state.alive, acting)

    def step(self, key: Array, state: LifeState, action: Array) -> tuple[LifeState, Transition]:
        """Live one step."""
        acting = state.alive
        if self.max_steps:
            acting = acting & (state.tick < self.max_steps)
        acts = body.acts_of(action, acting, self.words)
        # What ``observe`` found out too: in one compiled program it is computed once.
        seen, ground = self.neighbours(state), Ground(state.fields)
        cell = cell_of(state.position, self.size)
        here = ground.at(cell)
        settled = self._settle(state, acts, seen.near, here, cell)
        lives = state.alive & ~settled.dies
        matched = self._match(state, acts, seen.near, here, lives, settled.stock)
        state_after, report, heard = self._moved(key, state, acts, seen, cell, lives)
        stock, given, spent = self._endow(here, matched, settled.stock)
        state_after = parts.born(self, key, state, state_after, matched, lives)
        grown = parts.grown(self, settled.ground, ground, state_after.made)
        flows = Flows(
            **settled.flows,
            sun=grown.sun,
            faded=grown.faded,
            given=given,
            stored=grown.stored + stock.sum(),
        )
        flows = flows._replace(spent=flows.spent + spent)
        alive = lives | matched.born
        state_after = state_after._replace(
            tick=state.tick + 1,
            alive=alive,
            stock=stock,
            energy=grown.energy,
            fields=self._fields(state.points, state_after.made, state.tick + 1),
            flows=flows,
        )
        metrics = parts.metrics_of(
            self, state, state_after, acts, seen, matched, settled.dies, report, heard
        )
        metrics["terraformed"] = grown.terraformed
        ended = (state_after.tick >= self.max_steps) if self.max_steps else jnp.bool_(False)
        transition = Transition(
            reward=jnp.where(state.alive, settled.reward, 0.0),
            terminated=settled.dies,
            truncated=alive & ended,
            # One column costs one row of weights at a birth; two columns cost a crossing.
            parents=matched.parents[:, :1] if self.mating == "asexual" else matched.parents,
            metrics=metrics,
            refused=matched.refused,
        )
        return state_after, transition

    def outcome(self, state: LifeState) -> dict[str, Array]:
        """What each slot's holder has, how old it is and how many children it had."""
        held = state.alive
        results = {
            "stock": jnp.where(held, state.stock, 0.0),
            "age": jnp.where(held, state.age, 0).astype(jnp.float32),
            "children": jnp.where(held, state.children, 0).astype(jnp.float32),
        }
        if self.robots:
            results["bits"] = (state.machines.memory[:, 0] > 0).astype(jnp.float32)
        return results

    def observation_space(self, slot: int) -> gymnasium.Space[Any]:
        """Ground, others, machines (where there are any) and oneself, as flat numbers."""
        side, known = 2 * self.patch + 1, self._company
        shapes = {
            "ground": (side * side * (len(FIELDS) + 1),),
            "others": (known, NUM_OTHER + IDENTITY + self.words),
            "own": (NUM_OWN + len(body.ACTS) + IDENTITY + 2 * self.words,),
        }
        if self.robots:
            shapes["machines"] = (self._machines_seen, 3 + 2 * WORDS)
        return spaces.Dict(
            {name: spaces.Box(-np.inf, np.inf, shape, np.float32) for name, shape in shapes.items()}
        )

    def action_space(self, slot: int) -> gymnasium.Space[Any]:
        """Numbers in [-1, 1]; see the class."""
        return spaces.Box(-1.0, 1.0, (body.width_of(self.words),), np.float32)

    def noop(self) -> Array:
        """Do nothing: neither eat nor move."""
        return jnp.zeros((self.num_slots, body.width_of(self.words)), jnp.float32)

    def frame(self, state: LifeState) -> np.ndarray:
        """A picture of the planet, uint8 [H, W, 3], about 640 pixels wide."""
        return paint(self, state, max(640 // self.size, 2))

    def ground(self, state: LifeState) -> Ground:
        """All fields at this step: base maps, season and terraforming."""
        return Ground(self._fields(state.points, state.made, state.tick))

    def neighbours(self, state: LifeState) -> Neighbours:
        """Who is near whom."""
        size, sight = self.size, self.sight
        position, machines = state.position, state.machines.position
        bins = bins_of(position, state.alive, size, sight, self.crowd)
        near = nearest(position, position, bins, count=self._company, same=True)
        if not self.robots:
            return Neighbours(near, None, None)
        crowd = max(self.crowd, sight if self.layout == "row" else 0)
        bins = bins_of(machines, jnp.ones(self.robots, bool), size, sight, crowd)
        return Neighbours(
            near,
            nearest(position, machines, bins, count=self._machines_seen, same=False),
            nearest(machines, machines, bins, count=_KNOWN_MACHINES, same=True),
        )

    # ---- parts of a step ------------------------------------------------------------------

    def _settle(
        self,
        state: LifeState,
        acts: body.Acts,
        near: Near,
        here: Mapping[str, Array],
        cell: Array,
    ) -> _Settled:
        """Pay, eat, fight, die."""
        due = body.prices(acts, here, state.age, self.prices)
        eaten, left = body.bites(state.energy, cell, acts.eat, self.bite)
        stock = state.stock + eaten
        paid = jnp.where(state.alive, jnp.minimum(due, stock), 0.0)
        stock = stock - paid
        fight = body.blows(near, acts.attack, stock, self.reach, self.power, self.loot)
        stock = jnp.where(state.alive, jnp.maximum(stock - fight.lost, 0.0) + fight.won, 0.0)
        dies = state.alive & (stock <= 0.0)
        if self.max_age:
            dies = dies | (state.alive & (state.age >= self.max_age))
        remains = jnp.where(dies, stock, 0.0)
        left = left.at[cell].add(remains)
        flows = {
            "spent": paid.sum(),
            "fought": fight.lost.sum() - fight.won.sum(),
            "eaten": eaten.sum(),
            "looted": fight.won.sum(),
            "carrion": remains.sum(),
        }
        reward = eaten + fight.won - paid - fight.lost
        return _Settled(jnp.where(dies, 0.0, stock), left, dies, reward, flows)

    def _match(
        self,
        state: LifeState,
        acts: body.Acts,
        near: Near,
        here: Mapping[str, Array],
        lives: Array,
        stock: Array,
    ) -> Matched:
        """Who bears a child: the willing who can pay, one of each pair where they mate."""
        num = self.num_slots
        slot = jnp.arange(num)
        cost = self._birth_cost(here)
        wants = lives & acts.birth
        group = jnp.asarray(self.group())
        mate = jnp.full(num, num, jnp.int32)
        if self.mating != "asexual":
            mate = mates(wants, near, self.reach, group)
        paired = mate < num
        half = jnp.append(stock, 0.0)[mate] >= 0.5 * cost + self.reserve
        alone = stock >= cost + self.reserve
        together = paired & (slot < mate) & half & (stock >= 0.5 * cost + self.reserve)
        bears = {
            "asexual": wants & alone,
            "sexual": wants & together,
            "either": wants & jnp.where(paired, together, alone),
        }[self.mating]
        return match(bears, mate, ~state.alive, self.groups, state.tick * 7919)

    def _birth_cost(self, here: Mapping[str, Array]) -> Array:
        return self.gift + self.prices.birth * here["hardship"]

    def _endow(
        self, here: Mapping[str, Array], matched: Matched, stock: Array
    ) -> tuple[Array, Array, Array]:
        """Parents pay for the children that found a slot; returns stock, given and spent."""
        num = self.num_slots
        cost = self._birth_cost(here)
        served = matched.child < num
        mate = jnp.where(matched.born, matched.parents[:, 1], -1)
        mate_of = jnp.append(mate, -1)[matched.child]
        paired = served & (mate_of >= 0)
        own = jnp.where(served, jnp.where(paired, 0.5 * cost, cost), 0.0)
        other = jnp.zeros(num + 1).at[jnp.where(paired, mate_of, num)].add(0.5 * cost)[:num]
        paid = own + jnp.where(other > 0, other, 0.0)
        given = jnp.where(matched.born, self.gift, 0.0)
        stock = stock - paid + given
        return stock, given.sum(), paid.sum() - given.sum()

    def _moved(
        self,
        key: Array,
        state: LifeState,
        acts: body.Acts,
        seen: Neighbours,
        cell: Array,
        lives: Array,
    ) -> tuple[LifeState, Report, Array]:
        """Bodies and machines move, words are heard, the ground is dug, machines compute."""
        num, size = self.num_slots, self.size
        shove = body.shoved(seen.near, acts.push, self.reach, self.strength, num)
        position = wrap(state.position + self.speed * acts.move + shove, size)
        inbox, heard = body.heard(seen.near, acts.speak, acts.words, state.inbox)
        machines, bits, report = state.machines, state.bits, None
        digs = [(cell, acts.terraform)]
        if self.robots:
            machines = parts.taught(self, state, acts, seen)
            machines, dug, bits, report = parts.computed(self, machines, seen.peers, bits)
            digs.append(dug)
        made = body.landscaped(state.made, digs, self.digging)
        now = jnp.stack(
            [
                acts.move[:, 0],
                acts.move[:, 1],
                acts.push,
                acts.eat,
                acts.birth,
                acts.attack,
                acts.speak,
                acts.program,
            ],
            axis=1,
        )
        state = state._replace(
            position=jnp.where(lives[:, None], position, state.position),
            inbox=inbox,
            voice=jnp.tanh(state.voice + acts.voice),
            last=now.astype(jnp.float32),
            age=state.age + 1,
            made=made * (1.0 - self.healing),
            bits=bits,
            machines=machines,
        )
        return state, report, heard & lives  # type: ignore[return-value]

    # ---- small things -----------------------------------------------------------------------

    @property
    def _company(self) -> int:
        """Others in a view: never more than bins can show."""
        bins = max(self.size // self.sight, 1)
        return min(self.company, min(bins, 3) ** 2 * self.crowd)

    @property
    def _machines_seen(self) -> int:
        return min(2, self.robots)

    def _fields(self, points: Lattice, made: Array, tick: Array) -> Array:
        size = self.size
        base = maps(self.terrain, points, self.climate, tick, size)
        dug = made.reshape(CHANGEABLE, size, size)
        summer = season(self.climate, tick, size)[:, None]
        fields = [
            jnp.clip(base[0] + dug[0] + summer, 0.0, 2.0)[None],
            2.0 * jnp.clip(base[1:CHANGEABLE] + dug[1:], 0.0, 1.0),
            self.richness * base[CHANGEABLE:],
        ]
        return jnp.concatenate(fields)

    def _founders(self) -> Array:
        if self.present is not None:
            return jnp.asarray(self.present)
        return jnp.arange(self.num_slots) < self.num_players

"""The conformance kit of array policies: ours keep the contract, broken ones are found."""

import dataclasses
import functools

import jax.numpy as jnp
import pytest

from rl_agents.testing import check_policy
from worlds import make
from worlds.policy import ArrayPolicy
from worlds.random import uniform
from worlds.registry import entries, load
from worlds.tree import doc_field, pytree
from worlds.types import Decision, Mind, Seats

SIZE = {"num_slots": 4, "num_players": 4, "rounds": 4}
CANDIDATES = [
    ("matrix_game", {**SIZE, "pairs": "random"}),
    ("donor_game", SIZE),
    ("public_goods", SIZE),
    ("public_goods", {**SIZE, "punishment": "costly", "participation": "voluntary"}),
    ("donor_game", {**SIZE, "punishment": "costly"}),
    ("epidemic", {"num_slots": 4, "num_players": 4, "awareness": "own"}),
    ("opinions", {"num_slots": 4, "num_players": 4}),
    ("coin_game", {"num_slots": 4, "num_players": 4, "size": 4}),
    ("commons_harvest", {"num_slots": 4, "num_players": 4, "layout": "small"}),
    ("clean_up", {"num_slots": 4, "num_players": 4, "layout": "small"}),
    ("memory_sequence", {"length": 4, "trials": 3}),
]


@functools.cache
def world_of(index):
    name, params = CANDIDATES[index]
    return make(name, **params)


def array_policies():
    """Every registered array policy that needs no parameters."""
    found = {}
    for name in entries("policy"):
        cls = load("policy", name)
        if getattr(cls, "kind", "") == "array" and issubclass(cls, ArrayPolicy):
            found[name] = cls
    return found


def world_for(policy):
    """The first candidate that the policy can play."""
    for index in range(len(CANDIDATES)):
        world = world_of(index)
        seats = Seats(4, 0, world, world.action_space(0), world.observation_space(0))
        try:
            policy.check(seats)
        except ValueError:
            continue
        return world
    raise LookupError(f"no world of this test fits {policy}")


# They play what a run or a certain learner made of them, and have tests of their own.
ELSEWHERE = {"memory_one_odds", "past_self", "trained"}


COMPILES_LONG = {"evolved_attention", "evolved_lstm"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in COMPILES_LONG else name
        for name in sorted(set(array_policies()) - ELSEWHERE)
    ],
)
def test_every_array_policy_keeps_the_contract(name):
    policy = array_policies()[name]()
    world = world_for(policy)
    if hasattr(policy, "seated"):  # the builder tells it who its members are
        space = world.action_space(0), world.observation_space(0)
        policy = policy.seated(Seats(world.num_slots, 0, world, *space))
    check_policy(policy, world)


# ---- each of these breaks one promise ----------------------------------------------------


@pytree
class Miser(ArrayPolicy):
    """Gives its heritable share, a little more every time: a sound policy with a memory."""

    step: float = doc_field(0.125, "What is added each time.")

    def init(self, key, seats):
        return Mind(uniform(key, jnp.arange(seats.num)) / 2, jnp.zeros(seats.num, jnp.float32))

    def act(self, key, mind, percept):
        memory = jnp.where(percept.first, 0.0, mind.memory)
        share = jnp.clip(mind.params + memory, 0.0, 1.0)
        return Decision(share, jnp.where(percept.acting, memory + self.step, memory))

    def inherit(self, key, mind, births):
        parent = jnp.where(births.parent[:, 0] >= 0, births.parent[:, 0], births.child)
        params = mind.params.at[births.child].set(mind.params[parent], mode="drop")
        return mind._replace(params=params)

    def mutate(self, key, mind, births, rate, sd):
        new = births.parent[:, 0] != births.child
        rows = jnp.where(new, births.child, mind.params.shape[0])
        noise = sd * 0.25
        return mind._replace(params=mind.params.at[rows].add(noise, mode="drop"))

    def types(self, mind):
        return (mind.params > 0.25).astype(jnp.int32)

    def type_names(self):
        return ("mean", "fair")

    def assign(self, mind, rows, kind):
        return mind._replace(params=mind.params.at[rows].set(0.125 + 0.375 * kind))


def decides(change):
    """Make ``act`` decide something else."""
    return lambda self, key, mind, percept: change(Miser.act(self, key, mind, percept), percept)


def remembers(self, key, mind, percept):
    share = jnp.clip(mind.params + mind.memory, 0.0, 1.0)
    return Decision(share, mind.memory + self.step)


def counting(calls=[0]):  # noqa: B006
    calls[0] += 1
    return calls[0] / 1000


def everybody(self, key, mind, births):
    return mind._replace(params=mind.params[::-1])


def forgets_dense(self, key, mind, births):
    return mind if births.dense else Miser.inherit(self, key, mind, births)


def invents(self, key, mind, births):
    return mind._replace(params=mind.params.at[births.child].set(0.777, mode="drop"))


def all_mutate(self, key, mind, births, rate, sd):
    return mind._replace(params=mind.params + sd)


def restless(self, key, seats):
    return Mind(jnp.full(seats.num, counting()), jnp.zeros(seats.num))


BROKEN = {
    "actions outside of the space": (
        {"act": decides(lambda d, p: d._replace(action=d.action + 2))},
        "not in Box",
    ),
    "actions of another kind": (
        {"act": decides(lambda d, p: d._replace(action={"share": d.action}))},
        "actions are not of Box",
    ),
    "one action for all": (
        {"act": decides(lambda d, p: d._replace(action=d.action[:1]))},
        "have one row for each of 4 seats",
    ),
    "extras without rows": (
        {"act": decides(lambda d, p: d._replace(extras={"value": d.action.sum()}))},
        "have one row for each of 4 seats",
    ),
    "the memory changes its form": (
        {"act": decides(lambda d, p: d._replace(memory=d.memory.astype(jnp.int32)))},
        "the memory changes its form",
    ),
    "the memory survives": ({"act": remembers}, r"memory survives where percept\.first"),
    "impure": (
        {"act": decides(lambda d, p: d._replace(action=d.action * 0 + counting()))},
        "it must be pure",
    ),
    "rows see each other": (
        {
            "act": decides(
                lambda d, p: d._replace(action=d.action * 0 + p.view["resources"].sum() / 1e4)
            )
        },
        "changes other rows",
    ),
    "more types than names": (
        {"type_names": lambda self: ("mean",)},
        r"holds 0 to 1, but there are 1 names",
    ),
    "types that are no indices": (
        {"types": lambda self, mind: mind.params},
        r"types\(mind\) is float32\[4\]; it must be int32\[4\]",
    ),
    "names without types": ({"types": lambda self, mind: None}, r"types\(mind\) is None"),
    "a name twice": ({"type_names": lambda self: ("fair", "fair")}, "holds a name twice"),
    "names in a list": ({"type_names": lambda self: ["mean", "fair"]}, "a tuple of names"),
    "assign does nothing": ({"assign": lambda self, mind, rows, kind: mind}, "leaves type"),
    "assign changes all": (
        {
            "assign": lambda self, mind, rows, kind: mind._replace(
                params=jnp.full_like(mind.params, 0.125 + 0.375 * kind)
            )
        },
        "changes rows that it was not given",
    ),
    "everybody inherits": ({"inherit": everybody}, "of rows that are no newcomers"),
    "dense births are forgotten": ({"inherit": forgets_dense}, "dense and compact"),
    "heirs get something else": ({"inherit": invents}, "no newcomers|neither its parent's"),
    "everybody mutates": ({"mutate": all_mutate}, "mutate changes .* no newcomers"),
    "mutation at rate 0": (
        {
            "mutate": lambda self, key, mind, births, rate, sd: Miser.mutate(
                self, key, mind, births, rate, sd + 0.5
            )
        },
        "at rate 0",
    ),
    "init forgets its key": ({"init": restless}, "other minds for the same key"),
    "between is unknown": ({"between": "dance"}, "between is 'dance'"),
}


@pytest.fixture(scope="module")
def donors():
    return make("donor_game", **SIZE)


def test_a_sound_policy_passes(donors):
    check_policy(Miser(), donors)


@pytest.mark.parametrize("defect", BROKEN)
def test_every_broken_promise_is_found(donors, defect):
    changes, message = BROKEN[defect]
    broken = pytree(type("Broken", (Miser,), changes))()
    with pytest.raises(AssertionError, match=message):
        check_policy(broken, donors, steps=2)


def test_illegal_actions_are_found():
    table = (((1.0, 2.0), (3.0, 4.0)), ((5.0, 6.0), (7.0, 8.0)), ((0.0, 0.0), (0.0, 0.0)))
    world = make("matrix_game", game="custom", bimatrix=table, pairs="fixed", rounds=2)

    @pytree
    class Third(ArrayPolicy):
        def init(self, key, seats):
            return Mind()

        def act(self, key, mind, percept):
            return Decision(jnp.full(percept.acting.shape, 2, jnp.int32))

    with pytest.raises(AssertionError, match="does 2, which is not legal"):
        check_policy(Third(), world, steps=2)


def test_policies_that_are_no_pytrees_are_found(donors):
    @dataclasses.dataclass(frozen=True)
    class Plain(ArrayPolicy):
        init = Miser.init
        act = Miser.act

    with pytest.raises(AssertionError, match="not registered with JAX"):
        check_policy(Plain(), donors)
    with pytest.raises(AssertionError, match="no subclass"):
        check_policy(object(), donors)


def test_a_world_that_does_not_fit_is_said_by_the_policy(donors):
    policy = load("policy", "tit_for_tat")()
    with pytest.raises(ValueError, match="two actions"):
        check_policy(policy, donors)

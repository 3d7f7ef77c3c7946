"""The conformance kit: our worlds keep the contract, and every broken promise is found."""

import dataclasses
import importlib
import sys
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from society.tree_codec import decode, encode
from worlds import make
from worlds.registry import entries
from worlds.testing import check_processes, check_world
from worlds.testing_caption import check_caption
from worlds.tree import doc_field, provided, pytree
from worlds.types import ParseError

HERE = sys.modules[__name__]
# One world of each family is enough in the fast suite: all of these share their machinery.
SIBLINGS = (
    "battle_of_the_colours",
    "clean_up",
    "in_the_matrix",
    "monster_hunt",
    "navigation",
    "commons_harvest",
    "tsp",
    "goal_sequence",
)
COMPILES_LONG = ("life",)  # its PettingZoo and energy tests are fast enough
WORLDS = [
    pytest.param(name, marks=pytest.mark.slow) if name in (*SIBLINGS, *COMPILES_LONG) else name
    for name in sorted(entries("world"))
]


def shares(row, seat):
    """Answers that the caption of the donor game must read."""
    own = float(row["resources"])
    return "0", f"{own / 2:.2f}", "Answer: 50%", "10%"


def contributions(row, seat):
    """Answers that the caption of public goods must read."""
    return "0", "Answer: 20", "7.5"


def opinions(row, seat):
    """Answers that the caption of opinions must read."""
    return "0.5", "Answer: -1", "topic: .25", "**Answer:** +1"


ANSWERS = {"donor_game": shares, "public_goods": contributions, "opinions": opinions}
SIZES = {
    "matrix_game": (
        {"num_players": 4, "num_slots": 4, "rounds": 2, "actions": "same"},
        {"num_slots": 5},
    ),
    "donor_game": ({"num_players": 6, "num_slots": 6, "rounds": 3}, {"num_slots": 9}),
    "public_goods": ({"num_players": 4, "num_slots": 4, "rounds": 3}, None),
    "epidemic": ({"num_players": 6, "num_slots": 6}, {"num_slots": 9}),
    "opinions": ({"num_players": 5, "num_slots": 5}, {"num_slots": 7}),
    "coin_game": ({"max_steps": 12}, None),
    "monster_hunt": ({"max_steps": 20, "size": 6, "num_slots": 4, "num_players": 3}, None),
    "battle_of_the_colours": ({"max_steps": 20}, None),
    "commons_harvest": (
        {"layout": "small", "max_steps": 20, "num_slots": 4, "num_players": 3, "timeout": 3},
        None,
    ),
    "clean_up": (
        {"layout": "small", "max_steps": 20, "num_slots": 4, "num_players": 3, "timeout": 3},
        None,
    ),
    "in_the_matrix": (
        {"layout": "small", "max_steps": 40, "num_slots": 4, "num_players": 3, "timeout": 3},
        None,
    ),
    "navigation": ({"size": 6, "max_steps": 12, "num_slots": 3, "num_players": 2}, None),
    "memory_sequence": ({"length": 4, "trials": 3, "teachers": "oracle"}, None),
    "goal_sequence": ({"size": 4, "steps": 8, "trials": 2, "teachers": "oracle"}, None),
    "tsp": ({"cities": 4, "trials": 3, "teachers": "oracle"}, None),
}


@pytest.mark.parametrize("name", WORLDS)
def test_every_world_keeps_the_contract(name):
    params, more = SIZES.get(name, ({}, None))
    longer = make(name, **{**params, **more}) if more else None
    check_world(
        make(name, **params),
        answers=ANSWERS.get(name),
        longer=longer,
        permutable=params.get("actions") == "same",
    )


# ---- each of these breaks one promise ----------------------------------------------------


def state_with(**changes):
    """Make ``step`` leave something else in the state."""

    def broken(self, key, state, action):
        new, moved = self.sound().step(key, state, action)
        return {**new, **{name: change(new[name]) for name, change in changes.items()}}, moved

    return broken


def moved_with(**changes):
    """Make ``step`` report something else."""

    def broken(self, key, state, action):
        new, moved = self.sound().step(key, state, action)
        return new, moved._replace(
            **{name: change(getattr(moved, name), state) for name, change in changes.items()}
        )

    return broken


def seen_with(**changes):
    """Make ``observe`` show something else."""

    def broken(self, state):
        seen = self.sound().observe(state)
        return seen._replace(
            **{name: change(getattr(seen, name), state) for name, change in changes.items()}
        )

    return broken


def first_with(**more):
    """Make ``init`` put something else into the state."""

    def broken(self, key):
        state = self.sound().init(key)
        return {**state, **{name: value(key) for name, value in more.items()}}

    return broken


def passes_on(self, key, state, action):
    new, moved = self.sound().step(key, {k: v for k, v in state.items() if k != "extra"}, action)
    return {**new, "extra": state["extra"]}, moved


def hears_everybody(self, key, state, action):
    new, moved = self.sound().step(key, state, action)
    return {**new, "stock": new["stock"] + jnp.asarray(action).sum()}, moved


def earlier(self, key, state, action):
    new, moved = self.sound().step(key, state, action)
    ends = new["alive"] & (new["clock"] >= 2)
    return new, moved._replace(terminated=ends)


def reborn(self, key, state, action):
    new, moved = self.sound().step(key, state, action)
    return {**new, "alive": new["alive"] | (new["clock"] == 3)}, moved


def drifting(value):
    return value.astype(jnp.int32)


BROKEN = {
    "the dead act": (
        {"observe": seen_with(acting=lambda acting, state: acting.at[3].set(True))},
        r"slots \[3\] act but are not alive",
    ),
    "masks are numbers": (
        {"observe": seen_with(alive=lambda alive, state: alive.astype(jnp.int32))},
        r"Observation\.alive is int32\[4\]; it must be bool\[4\]",
    ),
    "nothing is legal": (
        {"observe": seen_with(legal=lambda legal, state: legal.at[0].set(False))},
        r"slots \[0\] must act but nothing is legal",
    ),
    "legal is one row": (
        {"observe": seen_with(legal=lambda legal, state: legal[0])},
        "legal is not",
    ),
    "the view has another dtype": (
        {"observe": seen_with(view=lambda v, state: {**v, "clock": v["clock"] * 1.0})},
        r"view\.clock is float32, but observation_space says int64",
    ),
    "the view holds more than the space names": (
        {"observe": seen_with(view=lambda v, state: {**v, "secret": v["energy"]})},
        "secret.*but observation_space names",
    ),
    "the view lies outside of the space": (
        {"observe": seen_with(view=lambda v, state: {**v, "energy": v["energy"] - 100.0})},
        "slot 0 sees is outside of its observation space: energy",
    ),
    "the view has no rows": (
        {"observe": seen_with(view=lambda v, state: {**v, "energy": v["energy"].sum()})},
        r"is an array \[\], but observation_space says \[4\]",
    ),
    "rewards are whole numbers": (
        {"step": moved_with(reward=lambda reward, state: reward.astype(jnp.int32))},
        "reward is int32",
    ),
    "rewards are not finite": (
        {"step": moved_with(reward=lambda reward, state: reward.at[0].set(jnp.nan))},
        "rewards are",
    ),
    "the dead earn": (
        {"step": moved_with(reward=lambda reward, state: reward + 1.0)},
        r"slots \[3\] hold nobody but earn",
    ),
    "an end has two reasons": (
        {"step": moved_with(truncated=lambda _, state: state["alive"] & (state["clock"] == 5))},
        "both terminated .* and truncated",
    ),
    "metrics are texts": (
        {"step": moved_with(metrics=lambda _, state: {"mood": np.array("good")})},
        "metric 'mood' is no number",
    ),
    "somebody rises from the dead": ({"step": reborn}, "were empty and hold somebody now"),
    "parents without births": (
        {"step": moved_with(parents=lambda _, state: jnp.zeros((4, 1), jnp.int32))},
        r"World\.births is 0",
    ),
    "the horizon is passed": (
        {"horizon": property(lambda self: 3)},
        "horizon is 3, but after so many steps slots",
    ),
    "the episode is over too early": ({"step": earlier}, "ends_early must be True"),
    "somebody acts after the end": (
        {"observe": seen_with(acting=lambda _, state: state["alive"])},
        "still act after the end",
    ),
    "whoever is out stays": (
        {"step": moved_with(terminated=lambda ends, state: ends.at[1].set(state["clock"] >= 1))},
        "terminated or truncated but alive",
    ),
    "outcomes change their form": (
        {"outcome": lambda self, state: {"energy": state["energy"][: 1 + int(state["clock"])]}},
        "outcome changes its form",
    ),
    "outcomes are not numbers": (
        {"outcome": lambda self, state: {"energy": state["energy"] * jnp.nan}},
        "outcome 'energy' is NaN",
    ),
    "fitness is no outcome": ({"fitness": "wealth"}, r"fitness is 'wealth', but .*\['energy'\]"),
    "a measure has no component": ({"measures": ("happiness",)}, r"\['happiness'\]"),
    "the state holds a raw key": (
        {"init": first_with(extra=lambda key: key), "step": passes_on},
        r"state\['extra'\] looks like a random key",
    ),
    "the state holds a typed key": (
        {"init": first_with(extra=lambda key: jax.random.key(0)), "step": passes_on},
        r"state\['extra'\] looks like a random key",
    ),
    "idle rows matter": ({"step": hears_everybody}, "although it is not their turn"),
    "the state changes its dtype": ({"step": state_with(stock=drifting)}, "changes its form"),
    "the no-op has no rows": ({"noop": lambda self: jnp.int32(0)}, "one row for each of the 4"),
    "the no-op is no action": (
        {"noop": lambda self: jnp.full(4, 7, jnp.int32)},
        r"noop\(\) does .*7.* in slot 0",
    ),
    "slots have other shapes": (
        {"action_space": lambda self, slot: gymnasium.spaces.MultiDiscrete([3] * (slot + 1))},
        "all slots share shapes and dtypes",
    ),
    "a space is none": ({"action_space": lambda self, slot: 3}, "which is no gymnasium.Space"),
    "the horizon is no number": ({"horizon": property(lambda self: 6.0)}, "horizon is 6.0"),
    "no end, and no early end": (
        {"horizon": property(lambda self: None), "ends_early": False},
        "ends_early must be True",
    ),
    "the backend is unknown": ({"backend": "gpu"}, "backend is 'gpu'"),
}


def variant(toys, changes):
    """The pond with some methods broken; ``sound`` is the unbroken one."""

    def sound(self):
        return toys.Pond(growth=self.growth, rounds=self.rounds, num_slots=self.num_slots)

    return pytree(type("Broken", (toys.Pond,), {"sound": sound, **changes}))()


@pytest.mark.parametrize("defect", BROKEN)
def test_every_broken_promise_is_found(toys, defect):
    changes, message = BROKEN[defect]
    world = variant(toys, changes)
    with jax.disable_jit(), pytest.raises(AssertionError, match=message):
        check_world(world)


def drawn(clock):
    return clock + np.random.randint(1, 1000)


def branching(stock):
    return stock if stock > 0 else -stock


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"observe": seen_with(acting=lambda acting, _: acting & bool(np.random.rand() < 2))}, ""),
        ({"step": state_with(stock=branching)}, "cannot be compiled"),
        ({"init": first_with(stock=lambda key: 10.0)}, "step was compiled 2 times"),
        ({"step": state_with(stock=drawn)}, "with and without jit"),
    ],
    ids=["nothing", "a Python branch", "a weak ten", "numpy draws"],
)
def test_what_only_the_compiler_shows_is_found(toys, changes, message):
    world = variant(toys, changes)
    if not message:
        check_world(world)
        return
    with pytest.raises(AssertionError, match=message):
        check_world(world)


def test_a_parameter_that_compiles_anew_is_found(toys):
    @dataclasses.dataclass(frozen=True)
    class Static(toys.Pond):
        """The pond, registered by hand with its growth as part of the program."""

    names = [field.name for field in dataclasses.fields(Static)]
    jax.tree_util.register_dataclass(Static, data_fields=[], meta_fields=names)
    with pytest.raises(AssertionError, match=r"other values of \['growth'\] compile"):
        check_world(Static())


def test_steps_that_cannot_be_vmapped_are_found(toys):
    def step(self, key, state, action):
        new, moved = self.sound().step(key, state, action)
        shape = jax.ShapeDtypeStruct((), jnp.float32)
        return {**new, "stock": jax.pure_callback(lambda x: x, shape, new["stock"])}, moved

    with pytest.raises(AssertionError, match="cannot be vmapped"):
        check_world(variant(toys, {"step": step}))


@pytree
class Loose:
    growth: float = 1.0


def test_declarations_that_break_the_contract_are_found(toys):
    @dataclasses.dataclass(frozen=True)
    class Unregistered(toys.Pond):
        pass

    @dataclasses.dataclass
    class Mutable(pond_methods(toys)):
        num_slots: int = 4

    @pytree
    class Unprovided(toys.Pond):
        num_slots: int = 4

    @pytree
    class StaticFloat(toys.Pond):
        growth: float = doc_field(1.0, "rate", static=True)

    @pytree
    class Unhashable(toys.Pond):
        layout: tuple[int, ...] = ([1, 2],)

    @pytree
    class Texts(toys.Pond):
        names: Any = provided(("a", "b"))

    for cls, message in [
        (Unregistered, "not registered with JAX"),
        (Mutable, "no frozen dataclass"),
        (Unprovided, r"num_slots: int = provided"),
        (StaticFloat, "is a float but static"),
        (Unhashable, "cannot be hashed"),
        (Texts, "holds the text 'a'"),
    ]:
        with pytest.raises(AssertionError, match=message):
            check_world(cls())
    with pytest.raises(AssertionError, match="no subclass"):
        check_world(Loose())


def pond_methods(toys):
    """The methods of the pond on a class that is no dataclass yet."""
    names = ("init", "observe", "step", "observation_space", "action_space", "noop")
    return type("Bare", toys.Pond.__bases__, {name: toys.Pond.__dict__[name] for name in names})


def test_births_are_checked(toys):
    check_world(toys.Colony())

    def forget(self, key, state, action):
        new, moved = toys.Colony.step(self, key, state, action)
        return new, moved._replace(parents=None)

    def invent(self, key, state, action):
        new, moved = toys.Colony.step(self, key, state, action)
        return new, moved._replace(parents=moved.parents.at[4].set(0))

    def far(self, key, state, action):
        new, moved = toys.Colony.step(self, key, state, action)
        return new, moved._replace(parents=moved.parents + 9)

    for step, message in [
        (forget, "Transition.parents is None"),
        (invent, "have parents but nobody lives there"),
        (far, "parents are slots from 0 to 4"),
    ]:
        cls = pytree(type("Broken", (toys.Colony,), {"step": step}))
        with jax.disable_jit(), pytest.raises(AssertionError, match=message):
            check_world(cls())


def test_host_worlds_are_checked(toys):
    check_world(toys.Story(), codec=(encode, decode))
    silent = pytree(
        type(
            "Silent",
            (toys.Story,),
            {"observe": lambda self, s: toys.Story.observe(self, s)._replace(text=None)},
        )
    )
    with pytest.raises(AssertionError, match="one text a slot"):
        check_world(silent())

    def losing(data):
        state = decode(data)
        return {**state, "scores": state["scores"].astype(np.float64)}

    with pytest.raises(AssertionError, match="after a checkpoint changes its form"):
        check_world(toys.Story(), codec=(encode, losing))
    restless = pytree(
        type(
            "Restless",
            (toys.Story,),
            {"init": lambda self, key: {**toys.Story.init(self, key), "x": np.random.rand()}},
        )
    )
    with pytest.raises(AssertionError, match="two runs with one seed differ"):
        check_world(type(restless())(), codec=None)


def test_wrong_claims_are_found(toys):
    with pytest.raises(AssertionError, match="declared permutable"):
        check_world(toys.Pond(num_players=4), permutable=True)

    def step(self, key, state, action):
        new, moved = self.sound().step(key, state, action)
        return new, moved._replace(reward=moved.reward * (self.num_slots / 4))

    with pytest.raises(AssertionError, match="how many empty slots"):
        check_world(
            variant(toys, {"step": step}),
            longer=dataclasses.replace(variant(toys, {"step": step}), num_slots=6),
        )


MODULE = """
import numpy as np
import jax.numpy as jnp
from worlds.games.matrix_game import MatrixGame
from worlds.tree import pytree

@pytree
class Hashed(MatrixGame):
    def step(self, key, state, action):
        state, moved = super().step(key, state, action)
        return state, moved._replace(metrics={"mood": jnp.int32(hash("mood") % 1000)})

@pytree
class Sound(MatrixGame):
    pass
"""


def test_worlds_that_depend_on_the_process_are_found(tmp_path, monkeypatch):
    (tmp_path / "moods.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    moods = importlib.import_module("moods")
    with pytest.raises(AssertionError, match="hashed: 3 steps with seed 0 differ between two"):
        check_processes({"sound": moods.Sound(rounds=3), "hashed": moods.Hashed(rounds=3)}, steps=3)


# ---- captions ------------------------------------------------------------------------------


def caption_with(toys, **changes):
    """A pond whose caption is broken in one place."""
    caption = type("BrokenCaption", (toys.PondCaption,), changes)
    HERE.BrokenCaption = caption
    return variant(toys, {"caption": f"{__name__}:BrokenCaption"})


def reads(result):
    """Make ``action`` return something whatever the text is."""
    return lambda self, text, row, seat: result


def chokes(self, text, row, seat):
    return np.int32({"none": 0, "one": 1, "two": 2}[text])


def deaf(self, text, row, seat):
    raise ParseError("nothing is an answer")


def mute(self, text, row, seat):
    raise ParseError


BROKEN_CAPTIONS = {
    "no rules": ({"rules": lambda self, seat: "  "}, "rules is '  ', not a text"),
    "no words": ({"words": lambda self, row, seat: None}, "words is None"),
    "no question": ({"question": lambda self, row, seat: ""}, "question is ''"),
    "an option twice": (
        {"options": lambda self, row, seat: ("one", "one")},
        "an option stands twice",
    ),
    "an option that is not read": (
        {"action": deaf},
        "does not understand 'none', which it must: nothing is an answer",
    ),
    "an action outside of the space": ({"action": reads(np.int32(9))}, "which is not in Discrete"),
    "an action of another kind": ({"action": reads(1.5)}, "which is not in Discrete"),
    "anything is an answer": ({"action": reads(np.int32(0))}, "is no answer but is read as"),
    "no answer is another error": ({"action": chokes}, "raises KeyError; what cannot be read"),
    "no form without options": (
        {"options": lambda self, row, seat: None},
        "answer_hint.* is ''",
    ),
    "no description": ({"describe": lambda self, action, row, seat: ""}, "describe is ''"),
}


def told(world):
    """One moment at the beginning of an episode."""
    seen = jax.jit(lambda key: world.observe(world.init(key)))(jax.random.PRNGKey(0))
    return jax.device_get(seen), np.asarray(world.noop())


@pytest.mark.parametrize("defect", BROKEN_CAPTIONS)
def test_every_broken_caption_is_found(toys, defect):
    changes, message = BROKEN_CAPTIONS[defect]
    world = caption_with(toys, **changes)
    with pytest.raises(AssertionError, match=message):
        check_caption(world, [told(world)])


def test_a_sound_caption_passes(toys):
    world = caption_with(toys)
    check_caption(world, [told(world)])


def test_a_broken_caption_breaks_its_world(toys):
    with pytest.raises(AssertionError, match="rules is ''"):
        check_world(caption_with(toys, rules=lambda self, seat: ""))
    check_world(caption_with(toys, rules=lambda self, seat: ""), captioned=False)


def test_an_illegal_option_is_found(toys):
    world = caption_with(toys)
    seen, action = told(world)
    legal = np.ones((4, 3), bool)
    legal[:, 2] = False
    with pytest.raises(AssertionError, match=r"'two' is read as .* not legal now"):
        check_caption(world, [(seen._replace(legal=legal), action)])


def test_free_answers_that_must_be_read_are_checked():
    world = make("donor_game", num_players=2, num_slots=2, rounds=1)
    check_caption(world, [told(world)], answers=shares)
    with pytest.raises(AssertionError, match="does not understand 'half of it'"):
        check_caption(world, [told(world)], answers=lambda row, seat: ("half of it",))

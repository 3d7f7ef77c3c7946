"""Every way of telling a game states the payoffs that the engine pays, to every seat."""

import itertools
import re
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worlds.captions import Caption, Framing
from worlds.games.captions import DonorGameCaption, MatrixGameCaption, PublicGoodsCaption
from worlds.registry import make
from worlds.types import Seat

KEY = jax.random.PRNGKey(3)
HINTS = typing.get_type_hints(Framing)
PARAPHRASES = typing.get_args(HINTS["paraphrase"])
WHITESPACE = typing.get_args(HINTS["whitespace"])
ORDERS = typing.get_args(HINTS["option_order"])
STORIES = typing.get_args(HINTS["story"])
LINES = (
    r"If you choose (\w+) and the other (?:player|cook|partner) chooses (\w+), you \w+ (\S+) \w+ "
    r"and the other \w+ \w+ (\S+)\.",
    r"When your choice is (\w+) and that of the other \w+ is (\w+), you \w+ (\S+) \w+, and "
    r"the other \w+ \w+ (\S+)\.",
    r"You choose (\w+), the other \w+ chooses (\w+): you \w+ (\S+) \w+, the other \w+ \w+ (\S+)\.",
)
SEATINGS = {
    "all": ((2, 2), {"pairs": "all", "num_slots": 2}),
    "fixed": ((3, 2), {"pairs": "fixed", "num_slots": 4}),
    "across": ((2, 3), {"pairs": "across_groups", "num_slots": 2, "group_sizes": (1, 1)}),
}


def seat(slot):
    return Seat(slot=slot, uid=slot, name=f"Agent {slot}", group="g")


def tellings(**more):
    """Every paraphrase with every white space."""
    for paraphrase, whitespace in itertools.product(PARAPHRASES, WHITESPACE):
        yield Framing(paraphrase=paraphrase, whitespace=whitespace, **more)


def told(caption, slot):
    """Rules as a prompt shows them, their white space read as one space."""
    return " ".join(caption.framing.spaced(caption.rules(seat(slot))).split())


@jax.jit
def begin(world):
    state = world.init(KEY)
    return state, world.observe(state)


@jax.jit
def advance(world, state, action):
    state, transition = world.step(KEY, state, action)
    return transition.reward, state, world.observe(state)


@pytest.mark.parametrize("seating", SEATINGS)
def test_a_matrix_game_is_told_as_it_pays_in_every_variant(seating):
    sizes, params = SEATINGS[seating]
    table = np.random.default_rng(5).integers(-9, 90, (2, *sizes)).astype(np.float32) / 4
    world = make("matrix_game", game="custom", payoffs=table, rounds=2, **params)
    state, seen = begin(world)
    role = np.arange(2) if seating == "all" else np.asarray(seen.view.role)
    partner = np.asarray(seen.view.partner).reshape(-1)
    paid = {}
    for pair in itertools.product(*map(range, sizes)):
        reward, _, _ = advance(world, state, jnp.asarray(np.asarray(pair)[role], jnp.int8))
        for slot in range(world.num_slots):
            key = slot, pair[role[slot]], pair[1 - role[slot]]
            paid[key] = float(reward[slot]), float(reward[partner[slot]])
    variants = itertools.product(STORIES, ORDERS)
    for story, order in variants:
        labels = "QXR"[: max(sizes)]
        for framing in tellings(story=story, option_order=order, labels=labels, currency="coins"):
            caption = MatrixGameCaption(world, framing)
            for slot in range(world.num_slots):
                found = re.findall(LINES[framing.paraphrase], told(caption, slot))
                read = {
                    (slot, labels.index(mine), labels.index(theirs)): (float(own), float(other))
                    for mine, theirs, own, other in found
                }
                assert read == {key: value for key, value in paid.items() if key[0] == slot}


def test_the_donor_game_is_told_as_it_pays_in_every_variant():
    world = make(
        "donor_game", multiplier=2.5, endowment=12.5, punishment="costly", punishment_loss=1.5,
        partner_choice="refuse", rounds=4,
    )  # fmt: skip
    state, seen = begin(world)
    donor = np.asarray(seen.view["donor"]).astype(bool)
    partner = np.asarray(seen.view["partner"])
    before = np.asarray(seen.view["resources"])
    gains = {}
    for share in (0.4, -0.4):
        _, _, after = advance(world, state, jnp.where(donor, share, 0.0).astype(jnp.float32))
        change = np.asarray(after.view["resources"]) - before
        givers = np.flatnonzero(donor)
        gains[share] = -change[partner[givers]] / change[givers]
    for framing in tellings():
        text = told(DonorGameCaption(world, framing), 0)
        numbers = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]
        assert numbers.count(12.5) == 2 == (before == 12.5).sum() // (len(before) // 2)
        (factor,) = re.findall(
            r"gets (\S+) times what|multiplied by (\S+) and goes|the recipient gets (\S+)\. ", text
        )
        np.testing.assert_allclose(gains[0.4], float("".join(factor)), rtol=1e-5)
        (loss,) = re.findall(
            r"the recipient loses (\S+), but|costs the recipient (\S+), though"
            r"|the recipient loses (\S+) for every",
            text,
        )
        np.testing.assert_allclose(-gains[-0.4], float("".join(loss)), rtol=1e-5)
        assert "refuse" in text


@pytest.mark.parametrize(
    "params",
    [
        {"punishment": "costly", "punishment_effect": 2.5, "reward": "costly"},
        {"group_size": 3, "num_slots": 3, "num_players": 3, "multiplier": 1.75, "threshold": 50.0},
    ],
)
def test_public_goods_are_told_as_they_pay_in_every_variant(params):
    world = make("public_goods", rounds=2, endowment=20.0, **params)
    size, phases = world.group_size, world.group_size if world.two_phases else 1
    state, _ = begin(world)
    paid = []
    for shares in ([1.0] * size, [0.0] * size, [0.0] + [1.0] * (size - 1)):
        actions = np.zeros((world.num_slots, phases), np.float32)
        actions[:, 0] = np.resize(shares, world.num_slots)
        _, _, seen = advance(world, state, jnp.asarray(actions))
        paid.append(np.asarray(seen.view["income"])[:2].tolist())
    expected = [paid[0][0], paid[1][0], *paid[2]]
    for framing in tellings():
        caption = PublicGoodsCaption(world, framing)
        for slot in range(size):
            text = told(caption, slot)
            start = text.index(
                caption.examples()[0].split()[0] + " " + caption.examples()[0].split()[1]
            )
            part = text[start : start + len(" ".join(caption.examples()))]
            found = [float(n) for n in re.findall(r"(?:earns|others) (\d+(?:\.\d+)?)", part)]
            np.testing.assert_allclose(found, expected, rtol=1e-6)
            if world.two_phases:
                assert "A fine takes 2.5 for each that is spent." in text


@pytest.mark.parametrize("paraphrase", PARAPHRASES)
def test_wordings_differ_and_hold_the_same_numbers(paraphrase):
    for name, cls in (
        ("matrix_game", MatrixGameCaption),
        ("donor_game", DonorGameCaption),
        ("public_goods", PublicGoodsCaption),
    ):
        world = make(name)
        texts = [cls(world, Framing(paraphrase=which)).rules(seat(0)) for which in PARAPHRASES]
        assert len(set(texts)) == len(PARAPHRASES)
        numbers = [sorted(re.findall(r"\d+(?:\.\d+)?", text)) for text in texts]
        assert numbers[paraphrase] == numbers[0], name


def test_white_space_changes_nothing_else():
    text = "You win 3.5.\nThey lose.\n#.#\n..A\nIs it so?\nYes (quite)."
    for whitespace in WHITESPACE:
        told_so = Framing(whitespace=whitespace).spaced(text)
        assert told_so.split() == text.split()
        assert (told_so == text) == (whitespace in ("plain", "double"))
        assert "#.#" in told_so and "..A" in told_so.replace(" \n", "\n")
    assert Framing(whitespace="wide").spaced("A b.\nC d.") == "A b.\n\nC d."
    assert Framing(whitespace="double").spaced("A b. C d.") == "A b.  C d."


class OneWording(Caption):
    """A caption without paraphrases."""

    def rules(self, seat):
        return "Rules."

    words = question = action = None


OneWording.__abstractmethods__ = frozenset()


def test_a_caption_with_one_wording_refuses_paraphrases():
    OneWording(make("donor_game"))
    with pytest.raises(ValueError, match=r"has one wording only; use framing\.paraphrase: 0"):
        OneWording(make("donor_game"), Framing(paraphrase=2))

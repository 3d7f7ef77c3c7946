"""Captions of games: what they state is what the engine pays, what they read is what was said."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worlds.captions import Framing
from worlds.games.captions import DonorGameCaption, MatrixGameCaption, PublicGoodsCaption
from worlds.registry import make
from worlds.types import ParseError, Seat

KEY = jax.random.PRNGKey(0)
LINE = re.compile(
    r"If you choose (\w+) and the other player chooses (\w+), "
    r"you win (\S+) points? and the other player wins (\S+)\."
)
NEWS = re.compile(
    r"In round \d+, you chose (\w+) and the other player chose (\w+); "
    r"you won (\S+) points? and the other player won (\S+)\."
)


def seat(slot, uid=None):
    return Seat(slot=slot, uid=slot if uid is None else uid, name=f"Agent {slot}", group="g")


def row(observation, slot):
    return jax.tree.map(lambda x: np.asarray(x[slot]), observation.view)


@jax.jit
def begin(world):
    state = world.init(KEY)
    return state, world.observe(state)


@jax.jit
def advance(world, state, action):
    state, transition = world.step(KEY, state, action)
    return state, transition, world.observe(state)


@functools.cache
def two_players():
    """Two prisoners before their first round, as the first sees it."""
    world = make("matrix_game", num_slots=2)
    return world, row(begin(world)[1], 0)


# ---- matrix games: what is stated is what is paid ----------------------------------------

SEATINGS = {
    "all": ((2, 2), {"pairs": "all", "num_slots": 2}),
    "fixed": ((3, 2), {"pairs": "fixed", "num_slots": 4}),
    "random": ((2, 2), {"pairs": "random", "num_slots": 4}),
    "across": ((2, 3), {"pairs": "across_groups", "num_slots": 2, "group_sizes": (1, 1)}),
}


@functools.partial(jax.jit, static_argnames="sizes")
def everything(world, sizes):
    """First observation, and for every pair of actions what all earn and then see."""
    state = world.init(KEY)
    first = world.observe(state)
    role = first.view.role
    if world.pairs == "all":
        role = jnp.arange(world.num_slots)
    choices = jnp.stack([grid.ravel() for grid in jnp.meshgrid(*map(jnp.arange, sizes))])

    def one(pair):
        after, transition = world.step(KEY, state, pair[role].astype(jnp.int8))
        return transition.reward, world.observe(after)

    return first, choices.T, role, jax.vmap(one)(choices.T)


payoff = st.floats(-1000, 1000, width=32, allow_subnormal=False) | st.integers(-9, 9)


@pytest.mark.parametrize("seating", SEATINGS)
@settings(max_examples=8)
@given(data=st.data())
def test_payoffs_read_back_from_the_words_are_what_the_engine_pays(seating, data):
    sizes, params = SEATINGS[seating]
    values = data.draw(st.lists(payoff, min_size=2 * sizes[0] * sizes[1], max_size=64))
    table = np.resize(np.float32(values), (2, *sizes))
    world = make("matrix_game", game="custom", payoffs=table, rounds=3, **params)
    caption = MatrixGameCaption(world)
    first, choices, role, (rewards, later) = everything(world, sizes)
    for slot in range(world.num_slots):
        told = {}
        text = caption.rules(seat(slot)) + "\n" + caption.words(row(first, slot), seat(slot))
        for mine, theirs, own, other in LINE.findall(text):
            key = caption.labels.index(mine), caption.labels.index(theirs)
            told[key] = np.float32(own), np.float32(other)
        assert len(told) == sizes[0] * sizes[1]
        partner = int(np.asarray(first.view.partner).reshape(-1)[slot])
        for pair, reward in zip(np.asarray(choices), np.asarray(rewards), strict=True):
            mine, theirs = pair[role[slot]], pair[1 - role[slot]]
            assert told[mine, theirs] == (reward[slot], reward[partner])
        if seating == "random":  # the next round seats everybody anew
            continue
        for number, pair in enumerate(np.asarray(choices)):
            seen = jax.tree.map(lambda x, n=number: x[n], later)
            ((mine, theirs, own, other),) = NEWS.findall(caption.words(row(seen, slot), seat(slot)))
            assert caption.labels.index(mine) == pair[role[slot]]
            assert caption.labels.index(theirs) == pair[1 - role[slot]]
            assert np.float32(own) == rewards[number][slot]
            assert np.float32(other) == rewards[number][partner]


def test_the_column_player_of_an_asymmetric_game_reads_no_transposed_payoffs():
    world = make("matrix_game", game="battle_of_the_sexes", pairs="all")
    caption = MatrixGameCaption(world, Framing(option_order="fixed"))
    assert LINE.findall(caption.rules(seat(0))) == [
        ("J", "J", "10", "7"),
        ("J", "F", "0", "0"),
        ("F", "J", "0", "0"),
        ("F", "F", "7", "10"),
    ]
    assert [line[2:] for line in LINE.findall(caption.rules(seat(1)))] == [
        ("7", "10"), ("0", "0"), ("0", "0"), ("10", "7"),
    ]  # fmt: skip


def test_three_players_read_what_each_of_them_earns():
    table = np.arange(24, dtype=np.float32).reshape(3, 2, 2, 2)
    world = make("matrix_game", game="custom", payoffs=table, pairs="fixed", num_slots=3)
    caption = MatrixGameCaption(world, Framing(option_order="fixed"))
    lines = caption.rules(seat(1)).splitlines()
    _, transition, _ = advance(world, begin(world)[0], jnp.asarray([1, 0, 1], jnp.int8))
    paid = [f"{value:g}" for value in np.asarray(transition.reward)]
    assert (
        "If you (player 2) choose J, player 1 F and player 3 F, "
        f"you win {paid[1]} points, player 1 {paid[0]} and player 3 {paid[2]}."
    ) in lines


def test_a_choice_against_many_is_told_with_what_it_paid():
    for payoff_rule in ("sum", "mean"):
        world = make(
            "matrix_game", game="prisoners_dilemma", pairs="neighbours", num_slots=4, rounds=2,
            neighbour_payoff=payoff_rule,
        )  # fmt: skip
        caption = MatrixGameCaption(world)
        actions = jnp.asarray([0, 1, 1, 0], jnp.int8)
        _, transition, observation = advance(world, begin(world)[0], actions)
        for slot in range(4):
            text = caption.words(row(observation, slot), seat(slot))
            (own,) = re.findall(r"You won (\S+) point", text)
            assert np.float32(own) == np.float32(transition.reward[slot])


def test_later_movers_are_told_what_was_chosen_before_them():
    world = make("matrix_game", pairs="fixed", order="alternating", rounds=2)
    caption = MatrixGameCaption(world)
    (state, observation), texts = begin(world), []
    for action in (1, 0, 0, 1):
        (mover,) = np.flatnonzero(observation.acting)
        texts.append(caption.words(row(observation, mover), seat(mover)))
        state, _, observation = advance(world, state, jnp.full(2, action, jnp.int8))
    assert "chosen" not in texts[0] and "In round" not in texts[0]
    assert "the other player has already chosen F" in texts[1]
    assert "you chose F and the other player chose J" in texts[2]
    assert "has already chosen J" in texts[3] and "you chose J" in texts[3]


def test_rules_name_length_noise_ending_and_discount():
    def rules(**params):
        return MatrixGameCaption(make("matrix_game", **params)).rules(seat(0))

    assert "There are 10 rounds." in rules(rounds=10)
    assert "chance of 1%" in rules(noise=0.01) and "chance" not in rules()
    text = rules(rounds=50, end_probability=0.4)
    assert "ends with a chance of 40%" in text and "50" not in text
    assert "counts 0.9 times" in rules(discount=0.9)


def test_stories_and_labels_and_currency_change_words_but_not_payoffs():
    world, view = two_players()
    framing = Framing(story="cooking", labels="soup, stew", currency="coins")
    caption = MatrixGameCaption(world, framing)
    text = caption.rules(seat(0))
    assert "you receive 0 coins and the other cook receives 5." in text
    assert "player" not in text and "evening" in text
    assert set(caption.options(view, seat(0))) == {"soup", "stew"}
    assert "plan" in MatrixGameCaption(world, Framing(story="project", labels="QX")).rules(seat(0))


def test_options_are_listed_in_an_order_of_each_individual():
    world, view = two_players()
    caption = MatrixGameCaption(world)
    orders = [caption.options(view, seat(0, uid)) for uid in range(200)]
    assert orders == [caption.options(view, seat(0, uid)) for uid in range(200)]
    assert 60 < sum(order == ("J", "F") for order in orders) < 140
    for order, expected in (("fixed", ("J", "F")), ("reversed", ("F", "J"))):
        assert MatrixGameCaption(world, Framing(option_order=order)).options(view, seat(0)) == (
            expected
        )


@pytest.mark.parametrize("order", ["fixed", "shuffled"])
@pytest.mark.parametrize(
    ("reply", "action"),
    [
        ("J", 0),
        (" F", 1),
        ("Option J", 0),
        ("Answer: F", 1),
        ("answer: option f.", 1),
        ("**Answer:** **J**", 0),
        ("**Answer**: J", 0),
        ("Answer:\nJ", 0),
        ("I chose F last time and J pays 8.\n\nAnswer: J", 0),
        ("Answer: J\nJustification: F would be worse.", 0),
        ("Final answer: 'F'", 1),
        ("<think>Answer: F</think>Answer: J", 0),
        ("Answer: J because...\nAnswer: J", 0),
    ],
)
def test_an_option_is_read_whatever_the_order_shown(order, reply, action):
    world, view = two_players()
    caption = MatrixGameCaption(world, Framing(option_order=order))
    assert caption.action(reply, view, seat(0)) == action


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "Answer:",
        "Answer: J or F",
        "Answer: not J",
        "Answer: Q",
        "I think J is best because F is greedy.",
        "J\nF",
        "Answer: J\nAnswer: F",
        "Justification: the other will choose J",
        "Answer: J, since F is risky",
    ],
)
def test_an_option_is_never_read_out_of_an_argument(reply):
    world, view = two_players()
    with pytest.raises(ParseError, match="Answer"):
        MatrixGameCaption(world).action(reply, view, seat(0))


@pytest.mark.parametrize(
    ("params", "framing", "message"),
    [
        ({"num_slots": 4}, {}, "actions: same"),
        ({"repetitions": 3}, {}, "repetitions: 1"),
        ({}, {"labels": "JFQ"}, "names 3 options"),
        ({}, {"labels": "JJ"}, "different letters"),
        ({"game": "custom", "payoffs": np.zeros((2, 9, 9), np.float32)}, {}, "81 outcomes"),
    ],
)
def test_games_that_cannot_be_told_are_refused_with_what_to_do(params, framing, message):
    with pytest.raises(ValueError, match=message):
        MatrixGameCaption(make("matrix_game", **params), Framing(**framing))


# ---- the Donor Game -----------------------------------------------------------------------


def donor_view(own=10.0, **changes):
    view = {
        "resources": own, "partner_resources": 30.0, "reputation": -1.0, "partner_reputation": -1.0,
        "partner": 4, "round": 2, "game": 0, "donor": 1, "trace": np.full((3, 4), -1.0),
    }  # fmt: skip
    return {name: np.asarray(value) for name, value in (view | changes).items()}


def donor_caption(**params):
    return DonorGameCaption(make("donor_game", **params))


@pytest.mark.parametrize(
    ("reply", "share"),
    [
        ("Answer: 5", 0.5),
        ("Answer: 5 units", 0.5),
        ("Answer: $5", 0.5),
        ("Answer: 50%", 0.5),
        ("Answer: 50 percent of my resources", 0.5),
        ("Answer: 2.5 units of the valuable resource.", 0.25),
        ("5", 0.5),
        ("I will give up 10 units", 1.0),
        ("Answer: 0", 0.0),
        ("Justification: they gave 80% of 30 units, so 3 is fair.\nAnswer: [4]", 0.4),
        ("Answer: **10**", 1.0),
        ("Answer: 5\n\nJustification: I keep 5, or 7 later.", 0.5),
    ],
)
def test_an_amount_is_read_as_a_share(reply, share):
    action = donor_caption().action(reply, donor_view(), seat(0))
    assert action == pytest.approx(share) and action.dtype == np.float32


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ("Answer: -5", "negative"),
        ("Answer: 11", "you own 10 and cannot give up 11"),
        ("Answer: 101%", "more than you own"),
        ("Answer: five", "not an amount"),
        ("Answer: 5 or 6", "not an amount"),
        ("Answer: between 3 and 4", "not an amount"),
        ("Answer: 5 apples", "counts something else"),
        ("Answer: 1e9", "not an amount|counts something else"),
        ("Answer: " + "9" * 400, "cannot give up"),
        ("Answer: nan", "not an amount"),
        ("Answer: inf", "not an amount"),
        ("Answer: punish 3", "cannot punish"),
        ("Answer: refuse", "cannot refuse"),
        ("Answer: 5\nAnswer: 6", "two different answers"),
        ("They gave 5 units, so I think 6 units\nis right", "no 'Answer:' line"),
        ("Justification: 5 is right\nAnswer:", "nothing follows"),
        ("", "empty"),
    ],
)
def test_nonsense_is_refused_with_what_was_expected(reply, message):
    with pytest.raises(ParseError, match=message):
        donor_caption().action(reply, donor_view(), seat(0))


def test_all_that_is_shown_can_be_given_although_it_is_rounded():
    caption = donor_caption()
    view = donor_view(own=13.3267)
    assert "You own 13.33 units." in caption.words(view, seat(0))
    assert caption.action("Answer: 13.33", view, seat(0)) == 1.0
    assert caption.action("Answer: 0", donor_view(own=0.0), seat(0)) == 0.0
    assert caption.action("Answer: 30,720", donor_view(own=30720.0), seat(0)) == 1.0


def test_punishing_and_refusing_are_read_where_the_world_allows_them():
    caption = donor_caption(punishment="costly", partner_choice="refuse")
    assert caption.action("Answer: Punish, 2.5", donor_view(), seat(0)) == -0.25
    assert caption.action("Answer: Donate 2.5 units", donor_view(), seat(0)) == 0.25
    assert caption.action("Answer: Refuse to play", donor_view(), seat(0)) == -2.0
    with pytest.raises(ParseError, match="donate or punish"):
        caption.action("Answer: 5", donor_view(), seat(0))
    rules = caption.rules(seat(0))
    assert "the recipient loses 2" in rules and "refuse to play" in rules


@settings(max_examples=60)
@given(share=st.floats(0, 1), own=st.floats(0.01, 60000), whole=st.booleans())
def test_what_a_caption_describes_it_reads_back(share, own, whole):
    caption = donor_caption()
    view = donor_view(own=own)
    action = np.float32(round(share, 2) if whole else share)
    units = caption.describe(action, view, seat(0)).split()[1]
    again = caption.action(f"Answer: {units} units", view, seat(0))
    assert abs(again - action) * own <= 0.00501 + 1e-6 * own


def test_a_trace_is_told_newest_first_and_ends_where_nobody_had_played():
    caption = donor_caption()
    caption.names = "Zoe Bob Cyd Dan Eve".split().__getitem__
    trace = np.float32([[1, 4, 2, 0.5], [0, 2, 1, 0.125], [-1, -1, -1, -1]])
    text = caption.words(donor_view(trace=trace), seat(0))
    assert text.splitlines()[2] == (
        "In round 2, Eve gave 50% of its units to Cyd. In round 1, Cyd gave 12.5% of its units "
        "to Bob. Bob had not been a donor in this game before."
    )
    nothing = caption.words(donor_view(), seat(0))
    assert "Eve had not been a donor in this game before." in nothing
    assert "Your name is Agent 0. Round 3 of 12 in game 1 of 2." in nothing


# ---- public goods -------------------------------------------------------------------------


def goods(**params):
    return PublicGoodsCaption(make("public_goods", **params))


def goods_view(phase=0, **changes):
    view = {
        "phase": phase, "round": 1, "share": 1.0, "others": np.float32([0.5, 0.0, -1.0]),
        "other_slots": np.int32([3, 1, 2]), "income": 24.0, "received": -2.0, "spent": 1.0,
        "earnings": 50.0,
    }  # fmt: skip
    return {name: np.asarray(value) for name, value in (view | changes).items()}


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"group_size": 5, "num_players": 5, "num_slots": 5, "multiplier": 2.5, "endowment": 7.5},
        {"threshold": 70.0},
        {"threshold": 70.0, "below_threshold": "returned"},
    ],
)
def test_examples_in_the_rules_are_what_the_world_pays(params):
    caption = goods(**params)
    size = caption.world.group_size
    numbers = re.findall(r"earns (\d+(?:\.\d+)?)", " ".join(caption.examples()))
    others = re.findall(r"each of the others (\d+(?:\.\d+)?)", " ".join(caption.examples()))
    told = [float(number) for number in [*numbers[:2], *numbers[2:3], *others]]
    paid = []
    for shares in ([1.0] * size, [0.0] * size, [0.0] + [1.0] * (size - 1)):
        world = caption.world
        actions = jnp.asarray(shares, jnp.float32)[:, None]
        _, transition, _ = advance(world, begin(world)[0], actions)
        paid += [float(transition.reward[0])]
    paid.append(float(transition.reward[1]))
    np.testing.assert_allclose(told, paid, rtol=1e-6)


def test_contributions_are_read_as_shares():
    caption = goods(participation="voluntary")
    for reply, share in (
        ("Answer: 5 points", 0.25), ("20", 1.0), ("Answer: 50%", 0.5), ("Answer: abstain", -1.0),
    ):  # fmt: skip
        assert caption.action(reply, goods_view(), seat(0)).tolist() == [share]
    for reply in ("Answer: 21", "Answer: -1", "Answer: all in", "Answer: 5, then 6"):
        with pytest.raises(ParseError):
            caption.action(reply, goods_view(), seat(0))
    with pytest.raises(ParseError, match="cannot abstain"):
        goods().action("Answer: abstain", goods_view(), seat(0))


def test_levels_become_options_and_nothing_between_them_is_read():
    caption = goods(levels=3)
    options = caption.options(goods_view(), seat(0))
    assert options == ("0", "10", "20")
    shares = [caption.action(option, goods_view(), seat(0))[0] for option in options]
    assert shares == [0.0, 0.5, 1.0]
    with pytest.raises(ParseError, match="0, 10 or 20"):
        caption.action("Answer: 5", goods_view(), seat(0))


def test_points_are_read_by_member_in_the_order_of_the_action():
    caption = goods(punishment="costly", matching="partners")
    view = goods_view(phase=1)
    for reply, points in (
        ("Answer: Agent 1: 3, Agent 3: 0.5", [-0.5, -3, 0]),
        ("Answer:\n- Agent 3: 2 points\n- agent 2: 1", [-2, 0, -1]),
        ("Answer: none", [0, 0, 0]),
        ("Agent 1 put in 0: that is bad.\nAnswer: Agent 1: 10", [0, -10, 0]),
    ):
        assert caption.action(reply, view, seat(0)).tolist() == [0, *points]
    for reply in (
        "Answer: Agent 7: 3", "Answer: 3", "Answer: Agent 1: 11", "Answer: Agent 1: -1",
        "Answer: Agent 1: 3, Agent 1: 4", "Answer: reward Agent 1: 3",
    ):  # fmt: skip
        with pytest.raises(ParseError):
            caption.action(reply, view, seat(0))
    both = goods(punishment="costly", reward="costly")
    reply = "Answer: fine member 2: 3; reward member 1: 1"
    assert both.action(reply, view, seat(0)).tolist() == [0, 1, -3, 0]
    with pytest.raises(ParseError, match="fine or reward"):
        both.action("Answer: member 2: 3", view, seat(0))


def test_strangers_cannot_be_recognised_and_partners_can():
    strangers = goods(punishment="costly").words(goods_view(phase=1), seat(0))
    assert "Agent" not in strangers
    assert "Member 1 put in 10 points. Member 2 put in 0 points. Member 3 abstained." in strangers
    assert "You spent 1 point on others. The others spent 2 points to fine you." in strangers
    partners = goods(matching="partners").words(goods_view(), seat(0))
    assert "Agent 3 put in 10 points. Agent 1 put in 0 points." in partners


@pytest.mark.parametrize("caption", [DonorGameCaption, PublicGoodsCaption])
def test_worlds_without_cover_stories_refuse_them(caption):
    world = make("donor_game" if caption is DonorGameCaption else "public_goods")
    with pytest.raises(ValueError, match=r"framing\.story: cooking is told of matrix_game only"):
        caption(world, Framing(story="cooking"))


def test_captions_of_a_changed_world_tell_the_new_payoffs():
    world = make("matrix_game", rounds=1)
    cheap = dataclasses.replace(world, temptation=jnp.float32(3.5))
    assert "you win 5 points" in MatrixGameCaption(world).rules(seat(0))
    text = MatrixGameCaption(cheap).rules(seat(0))
    assert "you win 3.5 points" in text and "you win 5 points" not in text

"""Short games written out, compared with texts that were read by people.

After a change that is meant to change them, run this file with UPDATE_GOLDEN=1 in the
environment and read the difference.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from rl_agents.scripted.donors import ConstantDonor
from rl_agents.scripted.public_goods import PublicGoodsTypes
from worlds.captions import Framing
from worlds.games.matrix_game import MatrixGame
from worlds.playthrough import playthrough
from worlds.registry import make

GOLDEN = Path(__file__).parents[1] / "golden"


def donor_game_with_words():
    world = make(
        "donor_game", rounds=2, num_slots=4, num_players=4, punishment="costly",
        partner_choice="refuse",
    )  # fmt: skip
    replies = {
        0: ["Answer: Donate 10%", "I give 5 of my 9 units", "Answer: Refuse"],
        1: ["Justification: 3 would be fair.\nAnswer: Donate 5 units", "Answer: Punish 2.5"],
        2: ["Answer: 5", "Answer: Donate 40"],
        3: ["Answer: Punish, 50%", "Answer: Donate 1"],
    }
    return playthrough(world, replies, show=(0, 3))


def donor_game_as_published():
    world = make("donor_game", rounds=4, num_slots=4, num_players=4, protocol="published")
    return playthrough(world, ConstantDonor(fraction=0.5), show=(1,), seed=1)


def public_goods_with_fines():
    world = make("public_goods", rounds=2, punishment="costly")
    replies = {
        0: ["Answer: 20", "Answer: member 1: 2, member 2: 1", "20 points", "none"],
        1: ["Answer: 0", "Answer: none", "Answer: 50%", "Answer: member 9: 2"],
        2: ["I put in all I have", "Answer: none", "Answer: 5 points", "Answer: none"],
        3: ["Answer: 15", "Answer: member 3: 10", "Answer: 15", "Answer: none"],
    }
    return playthrough(world, replies)


def public_goods_with_loners():
    world = make(
        "public_goods", rounds=1, num_slots=10, num_players=8, punishment="costly",
        participation="voluntary", matching="partners", threshold=30.0,
    )  # fmt: skip
    policy = PublicGoodsTypes(mix=("cooperator", "defector", "punisher", "loner"))
    return playthrough(world, policy, show=(2,))


def battle_of_the_sexes():
    world = make("matrix_game", game="battle_of_the_sexes", rounds=2)
    replies = {0: ["Answer: J", "J or F?"], 1: ["Option F", "I think J.\nAnswer: J"]}
    return playthrough(world, replies, show=(0, 1))


def dilemma_among_neighbours():
    world = make(
        "matrix_game", game="prisoners_dilemma_akata", rounds=2, num_slots=3, pairs="neighbours",
        noise=0.1,
    )  # fmt: skip
    framing = Framing(story="cooking", labels="soup, stew", currency="coins")
    replies = {0: ["soup", "stew"], 1: ["stew", "stew"], 2: ["soup", "soup"]}
    return playthrough(world, replies, framing=framing)


GAMES = [
    donor_game_with_words,
    donor_game_as_published,
    public_goods_with_fines,
    public_goods_with_loners,
    battle_of_the_sexes,
    dilemma_among_neighbours,
]


@pytest.mark.parametrize("game", GAMES, ids=lambda game: game.__name__)
def test_a_short_game_reads_as_it_did(game):
    path = GOLDEN / f"{game.__name__}.txt"
    text = game()
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_a_function_may_choose_and_worlds_without_words_show_numbers(monkeypatch):
    monkeypatch.setattr(MatrixGame, "caption", None)
    world = make("matrix_game", rounds=3)
    asked = []

    def choose(step, seat, caption, row):
        asked.append((step, seat.slot))
        assert caption is None and int(row.round) == step
        return np.int8(seat.slot)

    text = playthrough(world, choose, steps=2)
    assert asked == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert "Agent 1 does 1." in text and "Rewards: Agent 0 0, Agent 1 +5" in text
    assert ".round: 1" in text and "Step 3" not in text
    with pytest.raises(ValueError, match="no caption that reads"):
        playthrough(world, {0: ["J"]}, steps=1)


def test_the_seed_decides_everything_and_nothing_else_does():
    world = make("matrix_game", rounds=4, noise=0.5, num_slots=2)
    moves = {0: [0] * 4, 1: [1] * 4}
    texts = [playthrough(world, moves, seed=seed) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]

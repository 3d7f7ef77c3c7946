"""Gridworlds: moves without overlap, hand-made boards, conservation, chances as stated."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worlds import make
from worlds.gridworlds.bodies import WALKS, walk, zapped
from worlds.gridworlds.engine import (
    Window,
    beam,
    board,
    count_near,
    free_cell,
    look,
    open_board,
    settle,
    split_channels,
)
from worlds.random import fold
from worlds.wording import caption_of, row_of

KEY = jax.random.PRNGKey(0)
WORDS = jnp.arange(8, dtype=jnp.uint32) << 16


def settled(cell, target, words=None):
    words = WORDS[: len(cell)] if words is None else jnp.asarray(words, jnp.uint32)
    return settle(jnp.asarray(cell, jnp.int32), jnp.asarray(target, jnp.int32), words).tolist()


# ---- moves -----------------------------------------------------------------------------


@given(st.data())
@settings(max_examples=60)
def test_nobody_ever_shares_a_cell_and_nobody_jumps(data):
    cells = data.draw(st.lists(st.integers(0, 8), min_size=5, max_size=5, unique=True))
    gone = data.draw(st.lists(st.booleans(), min_size=5, max_size=5))
    cell = [-1 if out else at for at, out in zip(cells, gone, strict=True)]
    ways = data.draw(st.lists(st.integers(-1, 3), min_size=5, max_size=5))
    words = data.draw(st.lists(st.integers(0, 2**32 - 1), min_size=5, max_size=5))
    ahead = open_board(3, 3).ahead
    pairs = list(zip(cell, ways, strict=True))
    target = [at if at < 0 or way < 0 else int(ahead[way, at]) for at, way in pairs]
    after = settled(cell, target, words)
    on_map = [at for at in after if at >= 0]
    assert len(set(on_map)) == len(on_map)
    assert all(now in (at, to) for now, at, to in zip(after, cell, target, strict=True))


def test_one_of_several_gets_the_cell_and_words_decide_which():
    assert settled([0, 2], [1, 1], [5 << 8, 9 << 8]) == [0, 1]
    assert settled([0, 2], [1, 1], [9 << 8, 5 << 8]) == [1, 2]


def test_swaps_are_refused_but_rings_and_rows_move():
    assert settled([0, 1], [1, 0]) == [0, 1]
    # 0 -> 1 -> 4 -> 3 -> 0 on a board of three columns
    assert settled([0, 1, 4, 3], [1, 4, 3, 0]) == [1, 4, 3, 0]
    assert settled([0, 1, 2], [1, 2, 5]) == [1, 2, 5]


def test_a_row_behind_somebody_who_stays_stays():
    assert settled([0, 1, 2, 3], [1, 2, 3, 3]) == [0, 1, 2, 3]


def test_contested_cells_go_to_every_slot_equally_often():
    def winner(n):
        words = jax.vmap(lambda lane: jax.random.bits(fold(KEY, n, lane)))(jnp.arange(3))
        cell = jnp.array([1, 3, 5], jnp.int32)
        return settle(cell, jnp.full(3, 4, jnp.int32), words) == 4

    wins = np.asarray(jax.vmap(winner)(jnp.arange(3000)))
    assert (wins.sum(axis=1) == 1).all()
    assert np.abs(wins.mean(axis=0) - 1 / 3).max() < 4 * (2 / 9 / 3000) ** 0.5


def test_free_cells_are_drawn_uniformly_and_never_taken():
    taken = jnp.array([4, 0, -1, 4], jnp.int32)
    words = jax.random.bits(KEY, (7000,))
    drawn = np.asarray(jax.vmap(lambda word: free_cell(taken, word, 9))(words))
    counts = np.bincount(drawn, minlength=9)
    assert counts[[0, 4]].sum() == 0
    assert np.abs(counts[[1, 2, 3, 5, 6, 7, 8]] / 7000 - 1 / 7).max() < 0.017


# ---- views, beams, neighbours -------------------------------------------------------------


def test_views_turn_with_the_viewer():
    grid = board("#####\n#  A#\n#   #\n#####")
    codes = jnp.asarray(grid.wall).astype(jnp.int32) | (grid.mask("A").astype(np.int32) << 1)
    at = jnp.array([2 * 5 + 2, 2 * 5 + 1], jnp.int32)  # two agents side by side
    seen = {}
    for facing, name in enumerate(("north", "east")):
        turned = look(grid, codes, at, jnp.full(2, facing), Window(1, 1, 1), 2)
        seen[name] = np.asarray(split_channels(turned, 3))[0]
    walls, apples, others = (seen["north"][..., i].tolist() for i in range(3))
    assert walls == [[0, 0, 0], [0, 0, 0], [1, 1, 1]]
    assert apples == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert others == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
    # Facing east, what was to the right is ahead: a quarter turn to the left.
    for channel in range(3):
        assert (np.rot90(seen["north"][..., channel]) == seen["east"][..., channel]).all()


def test_beams_stop_at_walls_and_hit_whoever_stands_in_them():
    grid = board("#######\n#  # ##\n#     #\n#     #\n#######")
    at = jnp.array([2 * 7 + 1, 1 * 7 + 2, 2 * 7 + 4, 2 * 7 + 5], jnp.int32)
    east = jnp.ones(4, jnp.int32)
    cells = beam(grid, at, east, 3, 1)[0]
    reached = sorted(cell for cell in cells.tolist() if cell >= 0)
    assert reached == sorted([9, 16, 17, 18, 23, 24, 25])  # the upper lane ends at the wall
    fires = jnp.array([True, False, False, False])
    assert np.asarray(zapped(grid, at, east, fires, 3, 1))[0].tolist() == [False, True, True, False]


def test_neighbours_within_two_are_counted():
    held = np.zeros((5, 5), bool)
    held[2, 2] = held[0, 2] = held[1, 1] = held[4, 4] = True
    count = np.asarray(count_near(open_board(5, 5), jnp.asarray(held.ravel()), 2)).reshape(5, 5)
    places = list(np.ndindex(5, 5))

    def near(row, column):
        gaps = [(r - row) ** 2 + (c - column) ** 2 for r, c in places]
        return sum(bool(held[at]) and 0 < gap <= 4 for at, gap in zip(places, gaps, strict=True))

    brute = [[near(row, column) for column in range(5)] for row in range(5)]
    assert count.tolist() == brute


def test_walking_is_relative_to_the_facing():
    grid = open_board(5, 5)
    cell, east = jnp.array([12]), jnp.array([1])
    after = {}
    for action, name in enumerate(WALKS):
        moved = walk(grid, cell, east, jnp.array([action]), WORDS[:1], jnp.array([True]))
        after[name] = tuple(int(part[0]) for part in moved)
    assert after == {
        "stay": (12, 1),
        "forward": (13, 1),
        "backward": (11, 1),
        "step left": (7, 1),
        "step right": (17, 1),
        "turn left": (12, 0),
        "turn right": (12, 2),
    }


# ---- worlds ------------------------------------------------------------------------------


def play(world, steps, seed=0):
    """Random play; returns states and transitions with a leading time axis."""
    key = jax.random.PRNGKey(seed)
    actions = world.action_space(0).n

    def body(state, step):
        moves = jax.random.randint(fold(key, step, 1), (world.num_slots,), 0, actions)
        after, moved = world.step(fold(key, step, 2), state, moves)
        return after, (after, moved)

    def run(world):
        return jax.lax.scan(body, world.init(key), jnp.arange(steps))[1]

    return jax.tree.map(np.asarray, jax.jit(run)(world))


def test_a_coin_pays_its_taker_and_costs_its_owner():
    world = make("coin_game", max_steps=9)
    state = world.init(KEY)
    state = dataclasses.replace(
        state, cell=jnp.array([0, 8]), coin=jnp.array([1]), colour=jnp.array([1])
    )
    after, moved = world.step(KEY, state, jnp.array([2, 0]))  # slot 0 goes east
    assert moved.reward.tolist() == [1.0, -2.0]
    assert after.others.tolist() == [1, 0] and after.own.tolist() == [0, 0]
    assert int(after.coin[0]) not in after.cell.tolist()
    _, moved = world.step(KEY, dataclasses.replace(state, colour=jnp.array([0])), jnp.array([2, 0]))
    assert moved.reward.tolist() == [1.0, 0.0]


def test_coins_are_conserved_and_players_are_treated_alike():
    world = make("coin_game", size=4, num_slots=3, num_players=3, coins="each", max_steps=10**6)
    states, moved = play(world, 3000)
    taken = moved.metrics["coins"].cumsum()
    assert ((states.own + states.others).sum(axis=1) == taken).all()
    assert (states.coin >= 0).all()
    for step in range(0, 3000, 100):
        cells = [*states.cell[step], *states.coin[step]]
        assert len(set(cells)) == 6
    returns = states.own[-1] + states.others[-1]
    assert returns.max() / returns.min() < 1.25
    penalties = moved.reward.sum() - taken[-1]
    assert penalties == pytest.approx(-2 * states.others[-1].sum())


def test_apples_grow_with_the_stated_chances():
    # Four places, each with a known number of apples near by, over many worlds.
    world = make("commons_harvest", map="#######\n#AAA P#\n#     #\n#A    #\n#    P#\n#######",
                 num_slots=1, num_players=1, growth=10.0, zap="none")  # fmt: skip
    state = world.init(KEY)
    apple = np.zeros(world.grid.cells, bool)
    apple[[1 * 7 + 1, 1 * 7 + 2]] = True
    state = dataclasses.replace(state, apple=jnp.asarray(apple), cell=jnp.array([4 * 7 + 5]))

    def grown(n):
        return world.step(fold(KEY, n), state, jnp.array([0]))[0].apple

    share = np.asarray(jax.jit(jax.vmap(grown))(jnp.arange(20000))).mean(axis=0)
    # (1, 3) has two apples within distance 2; (3, 1) has one; all else is no place for apples.
    assert share[1 * 7 + 3] == pytest.approx(0.05, abs=0.006)
    assert share[3 * 7 + 1] == pytest.approx(0.025, abs=0.0045)
    assert share.sum() - share[[8, 9, 10, 22]].sum() == 0
    empty = dataclasses.replace(state, apple=jnp.zeros_like(state.apple))
    assert not np.asarray(world.step(KEY, empty, jnp.array([0]))[0].apple).any()


def test_what_is_eaten_and_what_grows_accounts_for_the_stock():
    world = make("commons_harvest", layout="small", num_slots=4, num_players=4, timeout=5,
                 cooldown=0, regrowth="perolat", max_steps=10**6)  # fmt: skip
    states, moved = play(world, 400)
    assert (states.eaten.sum(axis=1) == moved.metrics["apples"].cumsum()).all()
    assert moved.reward.sum() == states.eaten[-1].sum()
    gone = (states.cell < 0).sum(axis=1)
    assert gone.max() > 0, "random play must zap somebody out"
    for cells in states.cell:
        here = cells[cells >= 0]
        assert len(set(here)) == len(here)
    out = states.cell[:, 0] < 0
    ends = np.flatnonzero(np.diff(out.astype(int)) == -1)
    starts = np.flatnonzero(np.diff(out.astype(int)) == 1)
    assert len(ends) and ((ends - starts[: len(ends)]) == 5).all()


def test_a_clean_river_grows_apples_and_a_dirty_one_none():
    world = make("clean_up", layout="small", num_slots=2, num_players=2, dirt_chance=0.0)
    state = world.init(KEY)
    river = world.grid.mask("~")

    def apples(dirty):
        dirt = jnp.asarray(river & (np.cumsum(river) <= dirty * river.sum()))
        begun = dataclasses.replace(state, dirt=dirt)
        noop = jnp.zeros(2, jnp.int32)
        grow = jax.vmap(lambda n: world.step(fold(KEY, n), begun, noop)[0].apple.sum())
        return float(np.asarray(grow(jnp.arange(2000))).mean()) / 16

    assert apples(0.5) == 0.0
    assert apples(0.0) == pytest.approx(0.05, abs=0.004)
    assert apples(0.25) == pytest.approx(0.05 * (0.4 - 0.25) / 0.4, abs=0.003)


def test_cleaning_removes_the_dirt_in_front_and_is_counted_once():
    world = make("clean_up", layout="small", num_slots=2, num_players=2, dirt_chance=0.0,
                 initial_dirt=1.0)  # fmt: skip
    state = dataclasses.replace(
        world.init(KEY), cell=jnp.array([3 * 10 + 4, 3 * 10 + 5]), facing=jnp.zeros(2, jnp.int32)
    )
    after, _ = world.step(KEY, state, jnp.array([7, 7]))  # both clean towards the north
    assert int(state.dirt.sum()) - int(after.dirt.sum()) == 8  # lanes 3-5 and 4-6, two rows
    assert after.cleaned.sum() == 8 and after.cleaned[0] == 6


def test_meeting_pays_the_matrix_game_of_what_is_carried():
    world = make("in_the_matrix", layout="small", num_slots=2, num_players=2, growth=0.0)
    state = world.init(KEY)
    state = dataclasses.replace(
        state,
        cell=jnp.array([1 * 9 + 2, 1 * 9 + 4]),
        facing=jnp.array([1, 1]),
        bag=jnp.array([[1, 1], [0, 3]]),
    )
    after, moved = world.step(KEY, state, jnp.array([7, 0]))
    # Half cooperate, half defect against defect: (0 + 1) / 2; the other gets (5 + 1) / 2.
    assert moved.reward.tolist() == [0.5, 3.0]
    assert after.bag.sum() == 0 and after.cell.tolist() == [-1, -1]
    empty = dataclasses.replace(state, bag=jnp.array([[1, 1], [0, 0]]))
    assert world.step(KEY, empty, jnp.array([7, 0]))[1].reward.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("cells", "rewards"), [([6, 8], [5.0, 5.0]), ([6, 24], [-2.0, 0.0]), ([0, 24], [0.0, 0.0])]
)
def test_the_monster_pays_company_and_mauls_the_lonely(cells, rewards):
    world = make("monster_hunt", apples=0)
    state = dataclasses.replace(world.init(KEY), cell=jnp.array(cells), monster=jnp.int32(7))
    after, moved = world.step(KEY, state, jnp.zeros(2, jnp.int32))
    assert moved.reward.tolist() == rewards
    if rewards == [0.0, 0.0]:  # it came one step nearer to the nearest
        assert int(after.monster) in (2, 6)


def test_the_colours_pay_the_owner_of_the_block_more():
    world = make("battle_of_the_colours")
    state = dataclasses.replace(
        world.init(KEY), cell=jnp.array([7, 7]), block=jnp.array([7, 20]), clock=jnp.int32(0)
    )
    stay = jnp.zeros(2, jnp.int32)
    assert world.step(KEY, state, stay)[1].reward.tolist() == [2.0, 1.0]
    blue = dataclasses.replace(state, block=jnp.array([20, 7]))
    assert world.step(KEY, blue, stay)[1].reward.tolist() == [1.0, 2.0]
    apart = dataclasses.replace(state, cell=jnp.array([7, 20]))
    after, moved = world.step(KEY, apart, stay)
    assert moved.reward.tolist() == [0.0, 0.0]
    assert not set(after.block.tolist()) & {7, 20}


def test_goals_can_always_be_reached_and_neighbours_are_those_in_sight():
    world = make("navigation", size=8, obstacles=0.35, num_slots=4, num_players=4, sight=2)
    table = world.grid.ahead
    for seed in range(8):
        state = jax.tree.map(np.asarray, world.init(jax.random.PRNGKey(seed)))
        part = np.zeros(64, bool)
        part[state.cell[0]] = True
        for _ in range(64):
            part = (part | part[table].any(axis=0)) & ~state.wall
        assert part[state.cell].all() and part[state.goal].all()
        seen = world.observe(jax.tree.map(jnp.asarray, state)).view
        rows, columns = np.divmod(state.cell, 8)
        near = np.maximum(abs(rows[:, None] - rows), abs(columns[:, None] - columns)) <= 2
        for slot in range(4):
            links = {link for link in np.asarray(seen["links"])[slot].tolist() if link >= 0}
            assert links == set(np.flatnonzero(near[slot]).tolist()) - {slot}


def test_pictures_show_every_cell():
    for name in ("coin_game", "commons_harvest", "clean_up", "monster_hunt", "navigation",
                 "in_the_matrix", "battle_of_the_colours"):  # fmt: skip
        world = make(name)
        frame = world.frame(jax.device_get(world.init(KEY)))
        assert frame.dtype == np.uint8 and frame.shape[2] == 3
        assert frame.std() > 5 and frame.shape[0] % 24 == 0


def test_words_say_where_things_are():
    world = make("coin_game", size=5)
    state = dataclasses.replace(
        world.init(KEY), cell=jnp.array([12, 2]), coin=jnp.array([16]), colour=jnp.array([0])
    )
    from worlds.types import Seat

    caption = caption_of(world)
    row = row_of(jax.device_get(world.observe(state).view), 0)
    assert caption.words(row, Seat(0)) == (
        "Other players: 2 north.\nYour coins: 1 south and 1 west.\nCoins of others: none in sight."
    )
    assert caption.action("Answer: North", row, Seat(0)) == 1

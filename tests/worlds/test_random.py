"""Random words: known answers, identity with jax.random, and a statistical battery.

All seeds are fixed, so nothing here is a matter of luck. The battery's bound of 1e-4 on
some thirty p-values is tight: generators that are broken on purpose must fail it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from worlds.random import (
    below,
    fold,
    named,
    randint,
    random_bits,
    random_pair,
    threefry2x32,
    threshold,
    uniform,
)

NUM = 1 << 16
LEAST_P = 1e-4
LANES = np.arange(NUM, dtype=np.uint32)
KEY = np.array([0x243F6A88, 0x85A308D3], np.uint32)

words_of = jax.jit(random_bits)
pair_of = jax.jit(random_pair)


# ---- known answers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "counter", "words"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_the_cipher_gives_the_published_answers(key, counter, words):
    """Known answers of Random123 for threefry2x32 with 20 rounds."""
    found = threefry2x32(*(jnp.uint32(word) for word in (*key, *counter)))
    assert tuple(int(word) for word in found) == words


@pytest.mark.parametrize("seed", [0, 1, 7, 2**31 - 1])
def test_words_are_the_bits_of_jax_random(seed):
    key = jax.random.PRNGKey(seed)
    expected = jax.random.bits(key, (1000,), np.uint32)
    found = words_of(key, np.zeros(1000, np.uint32), np.arange(1000, dtype=np.uint32))
    np.testing.assert_array_equal(found, expected)


@given(seed=st.integers(0, 2**31 - 1), data=st.integers(0, 2**32 - 1))
def test_folding_is_the_folding_of_jax_random(seed, data):
    key = jax.random.PRNGKey(seed)
    np.testing.assert_array_equal(fold(key, data), jax.random.fold_in(key, np.uint32(data)))


def test_numbers_are_folded_in_order_two_at_a_time():
    key = jax.random.PRNGKey(3)
    one, two, three = (np.asarray(fold(key, *range(5, 5 + count))) for count in (1, 2, 3))
    np.testing.assert_array_equal(three, fold(jnp.asarray(two), 7))
    traced = jax.jit(lambda a, b, c: fold(key, a, b, c))(*map(jnp.int32, (5, 6, 7)))
    np.testing.assert_array_equal(traced, three)
    assert not np.array_equal(fold(key, 6, 5), two)
    assert not np.array_equal(fold(jnp.asarray(one), 6), two)


def test_places_in_time_have_keys_of_their_own():
    key, far = jax.random.PRNGKey(0), np.arange(64, dtype=np.int32)
    one = jax.jit(jax.vmap(lambda a: fold(key, a)))(far)
    two = jax.jit(jax.vmap(lambda a: jax.vmap(lambda b: fold(key, a, b))(far)))(far)
    keys = np.concatenate([np.asarray(key)[None], one, np.reshape(two, (-1, 2))])
    assert len({tuple(row) for row in keys.tolist()}) == 1 + 64 + 64 * 64
    words = np.ravel(two)
    assert bit_counts(words) > LEAST_P and correlated(words[:-2], words[2:]) > LEAST_P


def test_named_streams_differ_and_do_not_depend_on_hashes():
    key = jax.random.PRNGKey(0)
    streams = {name: named(key, name) for name in ("world", "network", "group/a", "group/b", "")}
    assert len({tuple(np.asarray(stream)) for stream in streams.values()}) == len(streams)
    crc32 = 0x3A771143  # of "world"
    np.testing.assert_array_equal(streams["world"], jax.random.fold_in(key, crc32))
    np.testing.assert_array_equal(streams[""], jax.random.fold_in(key, 0))  # crc32 of nothing


def test_more_lanes_do_not_change_those_before():
    long, short = words_of(KEY, LANES, 3), random_bits(KEY, LANES[:777], 3)
    np.testing.assert_array_equal(long[:777], short)


# ---- the battery ---------------------------------------------------------------------------


def battery(generate):
    """Return {test: p-value} of a generator (key [2], lanes [n], step) -> [n] uint32."""
    by_lane = np.asarray(generate(KEY, LANES, 0))
    later = np.asarray(generate(KEY, LANES, 1))
    by_step = np.asarray(generate(KEY, np.zeros_like(LANES), LANES))
    other = np.asarray(generate(KEY ^ np.uint32([0, 1]), LANES, 0))
    found = {}
    for name, words in (("lanes", by_lane), ("steps", by_step)):
        found[f"{name}: bits"] = bit_counts(words)
        found[f"{name}: bytes"] = byte_counts(words)
        found[f"{name}: runs"] = runs(words >> 31)
        found[f"{name}: runs of the lowest bit"] = runs(words & 1)
        found[f"{name}: repeats"] = repeats(words)
        found[f"{name}: uniform"] = stats.kstest(words / 2.0**32, "uniform").pvalue
        for lag in (1, 2, 3, 64):
            found[f"{name}: lag {lag}"] = correlated(words[:-lag], words[lag:])
    found["step after step"] = correlated(by_lane, later)
    found["step after step, bit by bit"] = bit_counts(by_lane ^ later)
    found["key after key"] = correlated(by_lane, other)
    found["key after key, bit by bit"] = bit_counts(by_lane ^ other)
    found["lanes are not steps"] = repeats(np.concatenate([by_lane[1:], by_step[1:]]))
    found["streams do not overlap"] = repeats(np.concatenate([by_lane, later, other]))
    for name, flipped in avalanche(generate).items():
        found[f"avalanche of {name}"] = flipped
    return found


def bit_counts(words):
    """Each of 32 bits is set half of the time."""
    ones = np.array([int(((words >> bit) & 1).sum()) for bit in range(32)])
    z = (ones - len(words) / 2) / np.sqrt(len(words) / 4)
    return two_sided(stats.chi2, (z**2).sum(), 32)


def byte_counts(words):
    """All bytes are equally frequent, at each of the four places."""
    counts = [np.bincount((words >> shift) & 255, minlength=256) for shift in (0, 8, 16, 24)]
    expected = len(words) / 256
    return two_sided(stats.chi2, ((np.array(counts) - expected) ** 2 / expected).sum(), 4 * 255)


def runs(bits):
    """As many runs of equal bits as a fair coin makes (Wald and Wolfowitz)."""
    bits = bits.astype(np.int64)
    ones, num = bits.sum(), len(bits)
    if ones in (0, num):
        return 0.0
    found = 1 + np.count_nonzero(np.diff(bits))
    mean = 1 + 2.0 * ones * (num - ones) / num
    variance = (mean - 1) * (mean - 2) / (num - 1)
    return two_sided_normal((found - mean) / np.sqrt(variance))


def repeats(words):
    """About as many equal pairs as birthdays give (Poisson)."""
    _, counts = np.unique(words, return_counts=True)
    pairs = (counts * (counts - 1) // 2).sum()
    return stats.poisson.sf(pairs - 1, len(words) * (len(words) - 1) / 2.0**33)


def correlated(one, two):
    """No linear correlation between two series of words."""
    if len(set(one.tolist())) == 1 or len(set(two.tolist())) == 1:
        return 0.0
    r = np.corrcoef(one.astype(np.float64), two.astype(np.float64))[0, 1]
    return two_sided_normal(r * np.sqrt(len(one)))


def avalanche(generate, num=1 << 13):
    """Flipping any input bit flips every output bit half of the time."""
    lanes = np.arange(num, dtype=np.uint32) * np.uint32(2654435761)
    plain = np.asarray(generate(KEY, lanes, np.uint32(5)))
    found = {}
    for bit in (0, 1, 7, 16, 31):
        flip = np.uint32(1 << bit)
        flipped = {
            f"lane bit {bit}": generate(KEY, lanes ^ flip, np.uint32(5)),
            f"step bit {bit}": generate(KEY, lanes, np.uint32(5) ^ flip),
            f"key bit {bit}": generate(KEY ^ np.array([flip, 0], np.uint32), lanes, np.uint32(5)),
            f"key bit {32 + bit}": generate(
                KEY ^ np.array([0, flip], np.uint32), lanes, np.uint32(5)
            ),
        }
        found.update(
            {name: bit_counts(plain ^ np.asarray(words)) for name, words in flipped.items()}
        )
    return found


def two_sided(distribution, value, *parameters):
    """p-value that is small on both sides: too even is as suspicious as too uneven."""
    upper = distribution.sf(value, *parameters)
    return 2 * min(upper, 1 - upper)


def two_sided_normal(z):
    """p-value of a standard normal deviate."""
    return 2 * stats.norm.sf(abs(z))


@pytest.fixture(scope="module")
def passed():
    """The p-values of the generator."""
    return battery(words_of)


def test_words_pass_the_battery(passed):
    failed = {name: p for name, p in passed.items() if not p >= LEAST_P}
    assert not failed
    assert len(passed) >= 40
    assert 0.2 < np.median([p for name, p in passed.items() if "repeats" not in name]) < 0.8


def fewer_rounds(key, lanes, step):
    """Threefry with 4 of its 20 rounds."""
    x0, x1 = lanes + key[0], np.broadcast_to(np.uint32(step) + key[1], lanes.shape)
    for rotation in (13, 15, 26, 6):
        x0 = x0 + x1
        x1 = (x1 << np.uint32(rotation)) | (x1 >> np.uint32(32 - rotation))
        x1 = x0 ^ x1
    return x0 ^ x1


def multiplied(key, lanes, step):
    """A Weyl sequence: even, but each word tells the next."""
    return (lanes + np.uint32(step)) * np.uint32(2654435761) + key[0] + key[1]


BROKEN = {
    "fewer rounds": fewer_rounds,
    "multiplied": multiplied,
    "a bit that is always set": lambda *place: np.asarray(words_of(*place)) | np.uint32(1),
    "a bit that is set too often": lambda key, lanes, step: (
        np.asarray(words_of(key, lanes, step)) | (lanes % 16 == 0).astype(np.uint32)
    ),
    "the key is not used": lambda key, lanes, step: words_of(KEY, lanes, step),
    "half of the key is not used": lambda key, lanes, step: words_of(
        np.stack([KEY[0], key[1]]), lanes, step
    ),
    "the step is not used": lambda key, lanes, step: words_of(key, lanes, 0 * np.uint32(step)),
    "lanes are steps": lambda key, lanes, step: words_of(key, lanes + np.uint32(step), 0),
    "lanes come in pairs": lambda key, lanes, step: words_of(key, lanes >> np.uint32(1), step),
    "16 bits, used twice": lambda key, lanes, step: (
        (np.asarray(words_of(key, lanes, step)) & 0xFFFF) * np.uint32(0x10001)
    ),
    "too even": lambda key, lanes, step: (
        np.uint32(2654435769) * lanes ^ np.uint32(step) * np.uint32(40503) ^ key[0] ^ key[1]
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_battery_rejects_a_broken_generator(name):
    with np.errstate(over="ignore"):
        found = battery(BROKEN[name])
    assert min(found.values()) < 1e-9, "the battery passes a generator that is broken"


def test_the_two_words_of_a_pair_are_independent():
    first, second = (np.asarray(word) for word in pair_of(KEY, LANES, 2))
    assert correlated(first, second) > LEAST_P
    assert bit_counts(first ^ second) > LEAST_P
    joint, _, _ = np.histogram2d(first >> 27, second >> 27, bins=32)
    expected = NUM / 32**2
    chi = ((joint - expected) ** 2 / expected).sum()
    assert two_sided(stats.chi2, chi, 32**2 - 1) > LEAST_P
    for word in (first, second):
        assert byte_counts(word) > LEAST_P
    np.testing.assert_array_equal(first ^ second, words_of(KEY, LANES, 2))


# ---- numbers made from words -----------------------------------------------------------------


def test_uniform_numbers_have_the_moments_of_the_uniform_distribution():
    numbers = np.asarray(uniform(KEY, LANES, 4), np.float64)
    assert numbers.min() >= 0 and numbers.max() < 1
    for power in (1, 2, 3, 4):
        mean, second = 1 / (power + 1), 1 / (2 * power + 1)
        error = np.sqrt((second - mean**2) / NUM)
        assert abs((numbers**power).mean() - mean) < 3.9 * error
    np.testing.assert_array_equal(numbers * 2**24, np.floor(numbers * 2**24))


@pytest.mark.parametrize("bound", [1, 2, 3, 5, 6, 7, 10, 100, 1000])
def test_small_bounds_are_hit_evenly(bound):
    found = np.bincount(np.asarray(randint(KEY, LANES, 6, bound)), minlength=bound)
    assert len(found) == bound
    if bound > 1:
        expected = NUM / bound
        assert (
            two_sided(stats.chi2, ((found - expected) ** 2 / expected).sum(), bound - 1) > LEAST_P
        )


def test_bounds_may_differ_from_lane_to_lane():
    bounds = 1 + LANES % 9
    found = np.asarray(randint(KEY, LANES, 6, bounds))
    assert (found >= 0).all() and (found < bounds).all()
    for bound in range(1, 10):
        np.testing.assert_array_equal(
            found[bounds == bound], np.asarray(randint(KEY, LANES, 6, bound))[bounds == bound]
        )


EDGES = [0, 1, 2, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]
below_of = jax.jit(below)


@given(
    words=st.lists(st.integers(0, 2**32 - 1), min_size=8, max_size=8),
    bounds=st.lists(st.integers(1, 2**31 - 1), min_size=8, max_size=8),
)
def test_below_is_the_high_word_of_the_product(words, bounds):
    found = below_of(np.array(words, np.uint32), np.array(bounds, np.uint32))
    assert found.tolist() == [word * bound >> 32 for word, bound in zip(words, bounds, strict=True)]


def test_below_is_exact_at_the_edges():
    for bound in (1, 2, 3, 0xFFFF, 0x10000, 0x10001, 2**31 - 1):
        found = below(np.array(EDGES, np.uint32), bound)
        assert found.tolist() == [word * bound >> 32 for word in EDGES]
    assert found.dtype == np.int32


@given(st.floats(0, 1, width=32))
def test_thresholds_are_exact_to_one_word_in_four_billion(probability):
    found = int(threshold(np.float32(probability)))
    assert abs(found - probability * 2.0**32) <= 1


def test_thresholds_at_the_extremes():
    found = [int(threshold(value)) for value in (-0.5, 0.0, 1.0, 1.5, 0.5, 0.25)]
    assert found == [0, 0, 2**32 - 1, 2**32 - 1, 2**31, 2**30]
    assert int(threshold(np.nextafter(np.float32(1), np.float32(0)))) == 2**32 - 2**8
    tiny = threshold(np.array([2.0**-32, 2.0**-31, 3 * 2.0**-32], np.float32))
    assert tiny.tolist() == [1, 2, 3]


@pytest.mark.parametrize("probability", [0.001, 0.1, 1 / 3, 0.5, 0.9, 0.999])
def test_words_fall_below_a_threshold_as_often_as_they_should(probability):
    hits = int((np.asarray(words_of(KEY, LANES, 8)) < np.asarray(threshold(probability))).sum())
    assert stats.binomtest(hits, NUM, probability).pvalue > LEAST_P

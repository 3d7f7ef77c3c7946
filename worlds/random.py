"""Counter-based random words, fused into whatever consumes them.

``jax.random`` on CPU runs threefry as a separate, slow kernel; the same twenty rounds
written in plain ``jnp`` fuse with their consumer and cost a tenth. A word is a pure
function of (key, lane, step): a lane is an agent or a match, a step a moment in time.
So draws over padded axes are prefix-stable, and no chunking can change them.

Keys are raw [2] uint32 arrays (what ``jax.random.PRNGKey`` returns), so they can be
handed to ``jax.random`` outside inner loops.

Source: Salmon, Moraes, Dror, Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3",
doi:10.1145/2063384.2063405 (Threefry-2x32, 20 rounds).
"""

import zlib

import jax
import jax.numpy as jnp
import numpy as np

from worlds.types import Array

__all__ = [
    "below",
    "fold",
    "named",
    "randint",
    "random_bits",
    "random_pair",
    "threshold",
    "uniform",
]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_PAIR = 0x9E3779B9


@jax.jit
def threefry2x32(key0: Array, key1: Array, x0: Array, x1: Array) -> tuple[Array, Array]:
    """Return the two words of Threefry-2x32-20; all arguments uint32 and broadcastable.

    Jitted, so that callers do not trace the twenty rounds again; XLA inlines it all the same.
    """
    keys = (key0, key1, key0 ^ key1 ^ jnp.uint32(_PARITY))
    x0, x1 = x0 + keys[0], x1 + keys[1]
    for block in range(5):
        for rotation in _ROTATIONS[block % 2]:
            x0 = x0 + x1
            x1 = (x1 << rotation) | (x1 >> (32 - rotation))
            x1 = x0 ^ x1
        x0 = x0 + keys[(block + 1) % 3]
        x1 = x1 + keys[(block + 2) % 3] + jnp.uint32(block + 1)
    return x0, x1


def random_pair(key: Array, lane: Array, step: Array | int = 0) -> tuple[Array, Array]:
    """Return two independent uint32 words for every lane: one evaluation, two decisions."""
    lane = jnp.asarray(lane).astype(jnp.uint32)
    step = jnp.asarray(step).astype(jnp.uint32)
    return threefry2x32(key[0], key[1], lane, jnp.broadcast_to(step, lane.shape))


def random_bits(key: Array, lane: Array, step: Array | int = 0) -> Array:
    """Return one uint32 word for every lane (the xor of the pair).

    With ``key = jax.random.PRNGKey(s)``, ``lane = zeros`` and ``step = arange(n)`` (the
    64-bit counter's high and low words) the result is bit-identical to
    ``jax.random.bits(key, (n,))`` under JAX's partitionable threefry.
    """
    first, second = random_pair(key, lane, step)
    return first ^ second


def uniform(key: Array, lane: Array, step: Array | int = 0) -> Array:
    """Return float32 in [0, 1) with 24 random bits for every lane."""
    return (random_bits(key, lane, step) >> 8).astype(jnp.float32) * jnp.float32(2.0**-24)


def randint(key: Array, lane: Array, step: Array | int, bound: Array | int) -> Array:
    """Return int32 in [0, bound) for every lane; ``bound`` may differ from lane to lane."""
    return below(random_bits(key, lane, step), bound)


def below(word: Array, bound: Array | int) -> Array:
    """Return int32 in [0, bound) from uint32 words, by the high word of a 32x32-bit product.

    The bias is below bound / 2**32.
    """
    bound = jnp.asarray(bound).astype(jnp.uint32)
    low, high = word & 0xFFFF, word >> 16
    carry = (low * (bound & 0xFFFF)) >> 16
    middle = high * (bound & 0xFFFF) + carry
    other = low * (bound >> 16) + (middle & 0xFFFF)
    return (high * (bound >> 16) + (middle >> 16) + (other >> 16)).astype(jnp.int32)


def threshold(probability: Array | float) -> Array:
    """Return t such that ``word < t`` happens with the given probability, to 2**-32.

    Probability 1 becomes 2**32 - 1, which misses one word in four billion.
    """
    scaled = jnp.asarray(probability, jnp.float32)
    high = jnp.floor(scaled * 65536.0)
    low = (scaled * 65536.0 - high) * 65536.0
    word = jnp.minimum(high, 65535.0).astype(jnp.uint32) * 65536 + low.astype(jnp.uint32)
    return jnp.where(scaled >= 1.0, jnp.uint32(0xFFFFFFFF), jnp.where(scaled <= 0, 0, word))


def fold(key: Array, *data: Array | int) -> Array:
    """Return the key for a place in time: fold numbers into the key, two at a time.

    One number is folded as ``jax.random.fold_in`` does it, bit for bit. A pair takes one
    evaluation under a tweaked key, so that folding (0, n) is not folding n. Fused, where
    ``jax.random`` would run one small kernel for each number.
    """
    words = [np.uint32(n) if isinstance(n, int) else n.astype(jnp.uint32) for n in data]
    while words:
        if len(words) == 1:
            first, second = threefry2x32(key[0], key[1], jnp.uint32(0), jnp.asarray(words.pop()))
        else:
            one, two = jnp.asarray(words.pop(0)), jnp.asarray(words.pop(0))
            first, second = threefry2x32(key[0] ^ jnp.uint32(_PAIR), key[1], one, two)
        # Without the barrier XLA computes the whole chain again in each of its consumers.
        key = jax.lax.optimization_barrier(jnp.stack([first, second]))
    return key


def named(key: Array, name: str) -> Array:
    """Return the key of a named stream (world, matching, network, mutation, a group)."""
    return fold(key, zlib.crc32(name.encode()))

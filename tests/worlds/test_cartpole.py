"""Cart and pole move as Gymnasium's do."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

from worlds.registry import make
from worlds.testing import check_world


def test_cartpole_keeps_the_contract_of_worlds():
    check_world(make("cartpole", num_slots=3, max_steps=20))


def test_every_step_is_that_of_cartpole_v1():
    world = make("cartpole", num_slots=1)
    peer = gymnasium.make("CartPole-v1").unwrapped
    step = jax.jit(world.step)
    rng = np.random.default_rng(0)
    falls = 0
    for episode in range(20):
        peer.reset(seed=episode)
        state = world.init(jax.random.PRNGKey(episode))
        state = state._replace(motion=jnp.asarray(peer.state, jnp.float32)[None])
        for _ in range(500):
            action = int(rng.integers(2)) if episode % 2 else int(peer.state[2] > 0)
            seen, reward, terminated, _, _ = peer.step(action)
            state, moved = step(jax.random.PRNGKey(0), state, jnp.array([action]))
            np.testing.assert_allclose(state.motion[0], seen, rtol=1e-4, atol=1e-5)
            assert bool(moved.terminated[0]) == terminated
            assert float(moved.reward[0]) == reward
            if terminated:
                falls += 1
                break
    assert falls == 20

"""A learner of somebody else's in our worlds: IPPO of skrl, through the PettingZoo edge.

    make test-examples                                # an environment of its own, then the test
    python examples/third_party_learner.py coin_game  # or harmony

skrl (Serrano-Muñoz et al. 2023, https://jmlr.org/papers/v24/23-0112.html) reads a PettingZoo
ParallelEnv and knows nothing of this project. Each agent has networks of its own. What is printed
are mean rewards per agent and step: of random play, and of what was learned.
"""

import os
import sys

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import flax.linen as nn
import gymnasium
import jax
import numpy as np
from skrl.envs.wrappers.jax import wrap_env
from skrl.memories.jax import RandomMemory
from skrl.models.jax import CategoricalMixin, DeterministicMixin, Model
from skrl.multi_agents.jax.base import ExperimentCfg
from skrl.multi_agents.jax.ippo import IPPO
from skrl.resources.preprocessors.jax import RunningStandardScaler
from skrl.trainers.jax import SequentialTrainer
from skrl.utils import set_seed

from worlds import parallel_env

# A board on which coins cost nobody anything, and a game in which both do best to cooperate.
WORLDS = {
    "coin_game": {"penalty": 0.0, "max_steps": 32},
    "harmony": {"game": "harmony", "pairs": "fixed", "rounds": 16},
}
STEPS = {"coin_game": 6_000, "harmony": 3_000}
ROLLOUT = 128
SETTINGS = {
    "rollouts": ROLLOUT,
    "learning_epochs": 4,
    "mini_batches": 2,
    "learning_rate": 3e-3,
    "grad_norm_clip": 0.5,
    "value_loss_scale": 0.5,
    "value_clip": 0.0,
}
# skrl 2.1.1 takes an empty dictionary for one that lacks agents, so each agent is given its own.
UNUSED = (
    "learning_rate_scheduler_kwargs",
    "observation_preprocessor_kwargs",
    "state_preprocessor_kwargs",
    "value_preprocessor_kwargs",
)
SCALED = ("harmony",)  # what is seen there grows with the score


class Flat(gymnasium.spaces.Box):
    """The space of a flattened observation."""

    def __init__(self, space: gymnasium.Space) -> None:
        size = gymnasium.spaces.flatdim(space)
        super().__init__(-np.inf, np.inf, (size,), np.float32)


class FlatViews:
    """A ParallelEnv whose observations are vectors; small integers one-hot, as in Gymnasium."""

    def __init__(self, env) -> None:
        self.env, self.possible_agents = env, env.possible_agents
        self.observation_spaces = {
            name: Flat(env.observation_space(name)) for name in env.possible_agents
        }
        self.action_spaces = {name: env.action_space(name) for name in env.possible_agents}
        self.metadata = env.metadata

    @property
    def agents(self):
        """Those who are there now."""
        return self.env.agents

    def _flat(self, seen):
        return {
            name: gymnasium.spaces.flatten(self.env.observation_space(name), view).astype(
                np.float32
            )
            for name, view in seen.items()
        }

    def reset(self, seed=None, options=None):
        """Begin an episode."""
        seen, infos = self.env.reset(seed=seed, options=options)
        return self._flat(seen), infos

    def step(self, actions):
        """All act."""
        actions = {name: int(np.asarray(action).item()) for name, action in actions.items()}
        seen, *rest = self.env.step(actions)
        return self._flat(seen), *rest

    def state(self):
        """Nobody reads the state of all."""
        return np.zeros(1, np.float32)

    def close(self) -> None:
        """Nothing to close."""


class Actor(CategoricalMixin, Model):
    """Chances of actions."""

    def __init__(self, observation_space, action_space, **kwargs):
        spaces = {"observation_space": observation_space, "action_space": action_space}
        Model.__init__(self, **spaces, **kwargs)
        CategoricalMixin.__init__(self, unnormalized_log_prob=True)

    @nn.compact
    def __call__(self, inputs, role):
        """Two layers."""
        x = nn.tanh(nn.Dense(64)(inputs["observations"]))
        return nn.Dense(self.num_actions)(nn.tanh(nn.Dense(64)(x))), {}


class Critic(DeterministicMixin, Model):
    """What a sight is worth."""

    def __init__(self, observation_space, action_space, **kwargs):
        spaces = {"observation_space": observation_space, "action_space": action_space}
        Model.__init__(self, **spaces, **kwargs)
        DeterministicMixin.__init__(self)

    @nn.compact
    def __call__(self, inputs, role):
        """Two layers."""
        x = nn.tanh(nn.Dense(64)(inputs["observations"]))
        return nn.Dense(1)(nn.tanh(nn.Dense(64)(x))), {}


def world(name: str) -> FlatViews:
    """One of our worlds, as skrl is shown it."""
    use = "matrix_game" if name == "harmony" else name
    return FlatViews(parallel_env(use, **WORLDS[name]))


def scaling(env) -> dict:
    """Settings that standardise what is seen and what it is worth."""
    return {
        "observation_preprocessor": RunningStandardScaler,
        "observation_preprocessor_kwargs": {
            who: {"size": env.observation_space(who)} for who in env.possible_agents
        },
        "value_preprocessor": RunningStandardScaler,
        "value_preprocessor_kwargs": {who: {"size": 1} for who in env.possible_agents},
    }


def learner(env, name: str) -> IPPO:
    """Networks for each agent, and skrl's IPPO."""
    models, memories = {}, {}
    for index, who in enumerate(env.possible_agents):
        spaces = (env.observation_space(who), env.action_space(who))
        models[who] = {"policy": Actor(*spaces), "value": Critic(*spaces)}
        for role, model in models[who].items():
            key = jax.random.PRNGKey(2 * index + (role == "value"))
            model.init_state_dict(role=role, key=key)
        memories[who] = RandomMemory(memory_size=ROLLOUT)
    return IPPO(
        possible_agents=env.possible_agents,
        models=models,
        memories=memories,
        observation_spaces={who: env.observation_space(who) for who in env.possible_agents},
        state_spaces={who: None for who in env.possible_agents},
        action_spaces={who: env.action_space(who) for who in env.possible_agents},
        cfg={
            **SETTINGS,
            **{kwargs: {who: {} for who in env.possible_agents} for kwargs in UNUSED},
            **(scaling(env) if name in SCALED else {}),
            "experiment": ExperimentCfg(write_interval=0, checkpoint_interval=0),
        },
    )


def mean_reward(env: FlatViews, choose, steps: int = 1024, seed: int = 99) -> float:
    """Mean reward of an agent and step; choose: observations -> actions."""
    seen, _ = env.reset(seed=seed)
    total = 0.0
    for _ in range(steps):
        if not env.agents:
            seen, _ = env.reset()
        seen, rewards, *_ = env.step(choose(seen))
        total += float(np.mean(list(rewards.values())))
    return total / steps


def play(name: str) -> tuple[float, float]:
    """Train in a world; mean rewards of random play and of what was learned."""
    set_seed(7)
    bare = world(name)
    rng = np.random.default_rng(0)
    random = mean_reward(
        bare, lambda seen: {who: rng.integers(bare.action_spaces[who].n) for who in seen}
    )
    env = wrap_env(bare, wrapper="pettingzoo")
    agent = learner(env, name)
    cfg = {"timesteps": STEPS[name], "headless": True, "disable_progressbar": True}
    SequentialTrainer(env=env, agents=agent, cfg=cfg).train()
    agent.enable_training_mode(False)

    def choose(seen):
        views = {who: view[None] for who, view in seen.items()}
        actions, _ = agent.act(
            views, dict.fromkeys(views), timestep=STEPS[name], timesteps=STEPS[name]
        )
        return {who: np.asarray(action) for who, action in actions.items()}

    return random, mean_reward(bare, choose)


if __name__ == "__main__":
    for name in sys.argv[1:] or WORLDS:
        random, learned = play(name)
        print(f"{name}: {random:.3f} at random, {learned:.3f} learned, per agent and step")

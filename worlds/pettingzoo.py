"""Worlds as PettingZoo environments: the one place where arrays become dictionaries.

``parallel_env(world)`` and ``aec_env(world)`` are two views of one World. Agents are named
after individuals ("agent_<uid>"), never after slots: a slot that is reused gets a new name.
Whose turn it is follows the ``acting`` mask. Underneath lies one compiled step on arrays,
which is also offered as it is: ``env.unwrapped.step_arrays(action)``.

>>> env = parallel_env("matrix_game", rounds=2)
>>> observations, infos = env.reset(seed=7)
>>> _, rewards, terminations, *_ = env.step({"agent_0": 0, "agent_1": 1})
>>> rewards, terminations
({'agent_0': 0.0, 'agent_1': 5.0}, {'agent_0': False, 'agent_1': False})
"""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv, ParallelEnv

from worlds.framing import Framing
from worlds.registry import make
from worlds.table import Masks, Table, name_of
from worlds.types import Observation, Transition
from worlds.world import World

__all__ = ["AecView", "ParallelView", "aec_env", "parallel_env"]

_MOST_IDLE_STEPS = 100_000


def parallel_env(
    world: World[Any] | str,
    *,
    text: bool = False,
    masks: Masks = "info",
    max_steps: int | None = None,
    render_mode: str | None = None,
    framing: Framing | None = None,
    **params: Any,
) -> "ParallelView":
    """View a world as a PettingZoo ParallelEnv, in which all agents step together.

    Args:
      world: a World, or the name of one (``society list worlds``).
      text: show words beside arrays, ``{"text": ..., "vec": ...}``, and accept texts as
        actions; worlds with texts of their own always do (``vec`` is then the text's words,
        hashed, as learners see them in a run).
      masks: where legal actions are shown, as ``infos[agent]["action_mask"]``, or as
        ``{"observation": ..., "action_mask": ...}``.
      max_steps: truncate episodes after so many steps; for worlds without an end.
      render_mode: "ansi" makes ``render`` return words, in worlds that have any.
      framing: how worlds are told.
      **params: parameters of a world that is given by name.
    """
    return ParallelView(Table(_world(world, params), text, masks, max_steps, framing), render_mode)


def aec_env(
    world: World[Any] | str,
    *,
    text: bool = False,
    masks: Masks = "info",
    max_steps: int | None = None,
    render_mode: str | None = None,
    framing: Framing | None = None,
    **params: Any,
) -> "AecView":
    """View a world as a PettingZoo AECEnv: agents whose turn it is act one after the other.

    The world moves when all of them have; steps in which it is nobody's turn pass by
    themselves. The arguments are those of ``parallel_env``.
    """
    return AecView(Table(_world(world, params), text, masks, max_steps, framing), render_mode)


class _Edge:
    """What both views answer alike."""

    metadata: dict[str, Any]
    render_mode: str | None

    def _open(self, table: Table, render_mode: str | None) -> None:
        modes = ["ansi"] if table.wording is not None or table.world.backend == "host" else []
        if render_mode is not None and render_mode not in modes:
            raise ValueError(
                f"render_mode {render_mode!r} is not one of {modes}; worlds are shown in words "
                "where they have a caption"
            )
        self._table = table
        self.render_mode = render_mode
        self.metadata = {
            "name": f"{name_of(table.world)}_v0",
            "render_modes": modes,
            "is_parallelizable": isinstance(self, ParallelEnv),
        }
        if not table.world.births:
            # Where newcomers are born, nobody can list all agents beforehand.
            self.possible_agents = table.first_names()

    @property
    def world(self) -> World[Any]:
        """The world that is shown."""
        return self._table.world

    @property
    def state_space(self) -> gymnasium.Space[Any]:
        """Space of ``state``."""
        shape = self._table.episode.state_vector().shape
        return spaces.Box(-np.inf, np.inf, shape, np.float32)

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """Space of what an agent sees; the same object every time."""
        return self._table.spaces_of(agent)[0]

    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        """Space of what an agent does; the same object every time."""
        return self._table.spaces_of(agent)[1]

    def state(self) -> np.ndarray:
        """All numbers of the world's state in one float32 vector, for critics that see all."""
        return self._table.episode.state_vector()

    def render(self) -> str | None:
        """What everybody sees, in words; None without ``render_mode="ansi"``."""
        return self._table.render() if self.render_mode == "ansi" else None

    def close(self) -> None:
        """Nothing to release."""

    def rules(self, agent: str) -> str:
        """How the world works for an agent, in words."""
        return self._table.rules(agent)

    def reset_arrays(self, seed: int | None = None) -> Observation:
        """Begin an episode without making dictionaries; NumPy arrays with leading axis N."""
        self.reset(seed=seed)  # type: ignore[attr-defined]
        return self._table.episode.observation

    def step_arrays(self, action: Any) -> tuple[Observation, Transition]:
        """Move the world once without making dictionaries.

        Args:
          action: all rows, as ``World.step`` takes them.

        Returns:
          What everybody sees afterwards, and what the step did, as NumPy arrays. After the
          end of an episode nobody acts any more; call ``reset`` or ``reset_arrays``.
        """
        self.agents, transition = self._table.step_arrays(action)
        return self._table.episode.observation, transition


class ParallelView(_Edge, ParallelEnv[str, Any, Any]):
    """A world in which everybody steps together."""

    def __init__(self, table: Table, render_mode: str | None = None) -> None:
        self._open(table, render_mode)
        self.agents: list[str] = []

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Begin an episode.

        With a seed, the same episode every time (that of generation 0, episode 0 of a run
        with that seed); without one, the next episode of the stream.
        """
        self.agents = self._table.reset(seed)
        return self._table.observations(self.agents), self._table.infos(self.agents)

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[
        dict[str, Any],
        dict[str, float],
        dict[str, bool],
        dict[str, bool],
        dict[str, dict[str, Any]],
    ]:
        """Move the world once.

        Actions of agents whose turn it is not are ignored. Those who were in the game get
        their last observation, newborns appear in ``agents`` and in observations and infos.
        """
        if not self.agents:
            return {}, {}, {}, {}, {}
        before = self.agents
        outcome = self._table.step(actions, before)
        self.agents = outcome.agents
        known = set(before)
        newborn = [name for name in self.agents if name not in known]
        outcome.rewards.update(dict.fromkeys(newborn, 0.0))
        outcome.terminations.update(dict.fromkeys(newborn, False))
        outcome.truncations.update(dict.fromkeys(newborn, False))
        shown = before + newborn
        return (
            self._table.observations(shown),
            outcome.rewards,
            outcome.terminations,
            outcome.truncations,
            self._table.infos(shown),
        )


class AecView(_Edge, AECEnv[str, Any, Any]):
    """A world in which agents act one after the other; it moves when all who may have acted."""

    def __init__(self, table: Table, render_mode: str | None = None) -> None:
        super().__init__()
        self._open(table, render_mode)
        self.agents: list[str] = []

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begin an episode; see ``ParallelView.reset``."""
        self.agents = list(self._table.reset(seed))
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self._skip_agent_selection = None
        self._pass_by()

    def observe(self, agent: str) -> Any:
        """What an agent sees now."""
        return self._table.observations([agent])[agent]

    def step(self, action: Any) -> None:
        """Take the selected agent's action; the last one of a step moves the world."""
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        self._given[agent] = action
        if self._waiting:
            self.agent_selection = self._waiting.pop(0)
            return
        self._move(self._given)
        self._pass_by()
        self._accumulate_rewards()
        self._deads_step_first()

    def step_arrays(self, action: Any) -> tuple[Observation, Transition]:
        """Refused: turns within a step have no meaning for arrays."""
        raise NotImplementedError("use parallel_env(...).unwrapped.step_arrays")

    def _pass_by(self) -> None:
        """Move the world until it is somebody's turn or the episode is over."""
        for _ in range(_MOST_IDLE_STEPS):
            self._waiting, self._given = self._table.acting(), {}
            if self._waiting or self._table.episode.over:
                break
            self._move({})
        else:
            raise RuntimeError(f"nobody acted in {_MOST_IDLE_STEPS} steps; give max_steps")
        self.infos = self._table.infos(self.agents)
        self.agent_selection = self._waiting.pop(0) if self._waiting else self.agents[0]

    def _move(self, actions: Mapping[str, Any]) -> None:
        outcome = self._table.step(actions, self.agents)
        for name, reward in outcome.rewards.items():
            self.rewards[name] += reward
            self.terminations[name] |= outcome.terminations[name]
            self.truncations[name] |= outcome.truncations[name]
        for name in outcome.agents:
            if name not in self.rewards:
                self.agents.append(name)
                self.rewards[name] = self._cumulative_rewards[name] = 0.0
                self.terminations[name] = self.truncations[name] = False


def _world(world: World[Any] | str, params: Mapping[str, Any]) -> World[Any]:
    if isinstance(world, str):
        return make(world, **params)
    if params:
        raise TypeError(
            f"{sorted(params)} can only be given with the name of a world; this world is made "
            "already: use dataclasses.replace(world, ...)"
        )
    return world

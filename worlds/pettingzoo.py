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

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv, ParallelEnv

from worlds.episode import Episode
from worlds.framing import Framing
from worlds.registry import make
from worlds.spaces import AnyText, action_masks, refuse_outside, rows_of
from worlds.types import Observation, ParseError, Transition
from worlds.wording import Wording
from worlds.world import World

__all__ = ["AecView", "ParallelView", "aec_env", "parallel_env"]

_MOST_IDLE_STEPS = 100_000
Masks = Literal["info", "observation"]


class Outcome(NamedTuple):
    """What one step did to those who were in the game: name -> value, and who is in it now."""

    rewards: dict[str, float]
    terminations: dict[str, bool]
    truncations: dict[str, bool]
    agents: list[str]


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
        actions; worlds with texts of their own always do.
      masks: where legal actions are shown, as ``infos[agent]["action_mask"]``, or as
        ``{"observation": ..., "action_mask": ...}``.
      max_steps: truncate episodes after so many steps; for worlds without an end.
      render_mode: "ansi" makes ``render`` return words, in worlds that have any.
      framing: how worlds are told.
      **params: parameters of a world that is given by name.
    """
    return ParallelView(_Table(_world(world, params), text, masks, max_steps, framing), render_mode)


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
    return AecView(_Table(_world(world, params), text, masks, max_steps, framing), render_mode)


class _Table:
    """An episode with names on it: what both views share."""

    def __init__(
        self,
        world: World[Any],
        text: bool,
        masks: Masks,
        max_steps: int | None,
        framing: Framing | None,
    ) -> None:
        self.episode = Episode(world, max_steps)
        self.world = self.episode.world
        self.masks = masks
        self.wording = Wording.of(self.world, framing)
        if text and self.wording is None and world.backend == "jax":
            raise ValueError(
                f"world {_name(self.world)!r} has no caption, so it cannot be shown as text; "
                "leave text=True away, or declare World.caption"
            )
        self.text = text or self.world.backend == "host"
        self.view_space = _shown_space(self.world.observation_space(0))
        self.actions = self.world.action_space(0)
        self.faults: dict[str, str] = {}
        self._spaces: dict[int, tuple[gymnasium.Space[Any], gymnasium.Space[Any]]] = {}
        self._slots: dict[str, int] = {}
        self._rows: list[Any] = []
        self._kept: dict[str, Any] = {}

    def reset(self, seed: int | None) -> list[str]:
        """Begin an episode; returns who is in it."""
        self.episode.reset(seed)
        self._slots, self._kept, self.faults = {}, {}, {}
        return self._seat(())

    def step(self, actions: Mapping[str, Any], known: Sequence[str]) -> Outcome:
        """Move the world once; agents whose turn it is not need not answer.

        known: names that are still asked for afterwards, such as those who die now.
        """
        episode = self.episode
        before = np.flatnonzero(episode.live)
        names = _names(episode.uid[before])
        action, self.faults = self._gathered(actions)
        rows = (self._rows or self._shown()) if self.world.births else []
        transition = episode.step(action)
        self._keep_rows(rows, names, before)
        rewards = np.asarray(transition.reward)[before].tolist()
        return Outcome(
            dict(zip(names, rewards, strict=True)),
            dict(zip(names, episode.terminated[before].tolist(), strict=True)),
            dict(zip(names, episode.truncated[before].tolist(), strict=True)),
            self._seat(known),
        )

    def step_arrays(self, action: Any) -> tuple[list[str], Transition]:
        """Move the world once with all rows given; returns who is in the game now."""
        transition = self.episode.step(action)
        self.faults = {}
        return self._seat(()), transition

    def acting(self) -> list[str]:
        """Whose turn it is, in slot order."""
        return _names(self.episode.uid[self.episode.acting])

    def observations(self, names: Sequence[str]) -> dict[str, Any]:
        """What each of them sees now; whoever lost its slot to a newcomer, what it saw last."""
        if not self._rows:
            self._rows = self._shown()
        kept, rows, slots = self._kept, self._rows, self._slots
        return {name: kept[name] if name in kept else rows[slots[name]] for name in names}

    def infos(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Whether it is their turn, which actions are legal, and what was wrong with the last."""
        acting = set(self.acting())
        infos: dict[str, dict[str, Any]] = {name: {"acting": name in acting} for name in names}
        legal = self.episode.observation.legal
        if legal is not None and self.masks == "info":
            shown = action_masks(self.actions, np.asarray(legal))
            for name in names:
                infos[name]["action_mask"] = shown[self._slots[name]]
        for name, fault in self.faults.items():
            if name in infos:
                infos[name]["fault"] = fault
        return infos

    def spaces_of(self, name: str) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
        """Observation and action space of an agent, the same objects every time."""
        slot = self._slots.get(name)
        if slot is None:
            at_start = np.flatnonzero(self.episode.alive_at_start()).tolist()
            slot = dict(zip(self.first_names(), at_start, strict=True)).get(name)
        if slot is None:
            raise KeyError(f"no agent is called {name!r} now; see env.agents")
        if slot not in self._spaces:
            self._spaces[slot] = (self._observation_space(slot), self.world.action_space(slot))
        return self._spaces[slot]

    def first_names(self) -> list[str]:
        """Names of those who are there when an episode begins."""
        return _names(range(int(self.episode.alive_at_start().sum())))

    def render(self) -> str:
        """What everybody in the game sees, in words."""
        slots = np.flatnonzero(self.episode.live).tolist()
        texts = self._texts()
        names = _names(self.episode.uid[slots])
        return "\n\n".join(
            f"[{name}]\n{texts[slot]}" for name, slot in zip(names, slots, strict=True)
        )

    def rules(self, name: str) -> str:
        """How the world works for an agent, in words."""
        if self.wording is None:
            raise ValueError(f"world {_name(self.world)!r} has no caption, so no rules in words")
        return self.wording.rules(self._slots[name], name)

    # ---- parts ----------------------------------------------------------------------

    def _seat(self, known: Sequence[str]) -> list[str]:
        """Forget what was shown, and name those who are in the game now."""
        self._rows = []
        slots = np.flatnonzero(self.episode.live).tolist()
        names = _names(self.episode.uid[slots])
        self._slots = {name: self._slots[name] for name in known}
        self._slots.update(zip(names, slots, strict=True))
        return names

    def _keep_rows(self, rows: list[Any], names: list[str], slots: np.ndarray) -> None:
        """Keep the last view of those whose slot somebody else holds now."""
        self._kept = {name: row for name, row in self._kept.items() if name in self._slots}
        if rows:
            now = _names(self.episode.uid[slots])
            for name, other, slot in zip(names, now, slots.tolist(), strict=True):
                if name != other:
                    self._kept[name] = rows[slot]

    def _gathered(self, actions: Mapping[str, Any]) -> tuple[Any, dict[str, str]]:
        """All rows of the world's action; what cannot be read becomes the no-op."""
        slots: list[int] = []
        names: list[str] = []
        rows: list[Any] = []
        faults: dict[str, str] = {}
        legal = self.episode.observation.legal
        for name in self.acting():
            if name not in actions:
                raise KeyError(
                    f"{name} must act now, but no action was given for it "
                    f"(actions for {sorted(actions)!r:.100}); see infos[agent]['acting']"
                )
            slot = self._slots[name]
            try:
                row = self._read(actions[name], slot, name)
            except ParseError as error:
                faults[name] = str(error)
                continue
            if legal is not None and not _is_legal(np.asarray(legal[slot]), row):
                faults[name] = f"action {row!r} is not legal now; see action_mask"
                continue
            slots.append(slot)
            names.append(name)
            rows.append(row)
        refuse_outside(self.actions, names, rows)
        return self.episode.gather(slots, rows), faults

    def _read(self, action: Any, slot: int, name: str) -> Any:
        observation = self.episode.observation
        if isinstance(action, str) and self.wording is not None:
            return self.wording.action(action, observation, slot, name)
        options = observation.options
        if options is not None and options[slot] and not isinstance(action, str):
            return options[slot][int(action)]  # type: ignore[index]
        return action

    def _shown(self) -> list[Any]:
        """One row for each slot, as the observation space describes it."""
        observation, num = self.episode.observation, self.world.num_slots
        rows: list[Any] = [{} for _ in range(num)]
        if self.view_space is not None:
            rows = rows_of(self.view_space, observation.view, num)
        masked = observation.legal is not None and self.masks == "observation"
        if self.text:
            key = "vec" if self.view_space is not None else None
            texts = self._texts()
            rows = [
                {"text": text, key: row} if key else {"text": text}
                for text, row in zip(texts, rows, strict=True)
            ]
        elif masked:
            rows = [{"observation": row} for row in rows]
        if masked:
            shown = action_masks(self.actions, np.asarray(observation.legal))
            rows = [{**row, "action_mask": mask} for row, mask in zip(rows, shown, strict=True)]
        return rows

    def _texts(self) -> list[str]:
        """What every slot sees, in words; empty where nobody is."""
        observation, uids = self.episode.observation, self.episode.uid
        if observation.text is not None:
            return list(observation.text)
        assert self.wording is not None
        names = _names(uids)
        held = np.flatnonzero(observation.alive).tolist()
        everybody = {slot: names[slot] for slot in held}
        texts = [""] * self.world.num_slots
        for slot in held:
            texts[slot] = self.wording.words(observation, slot, names[slot], everybody)
        return texts

    def _observation_space(self, slot: int) -> gymnasium.Space[Any]:
        space = _shown_space(self.world.observation_space(slot))
        legal = self.episode.observation_at_start().legal
        masked = self.masks == "observation" and legal is not None
        parts: dict[str, gymnasium.Space[Any]] = {}
        if self.text:
            parts["text"] = AnyText()
        if space is not None:
            parts["vec" if self.text else "observation"] = space
        if masked and legal is not None:
            parts["action_mask"] = spaces.MultiBinary(legal.shape[1])
        if not self.text and not masked:
            return spaces.Dict({}) if space is None else space
        return spaces.Dict(parts)


class _Edge:
    """What both views answer alike."""

    metadata: dict[str, Any]
    render_mode: str | None

    def _open(self, table: _Table, render_mode: str | None) -> None:
        modes = ["ansi"] if table.wording is not None or table.world.backend == "host" else []
        if render_mode is not None and render_mode not in modes:
            raise ValueError(
                f"render_mode {render_mode!r} is not one of {modes}; worlds are shown in words "
                "where they have a caption"
            )
        self._table = table
        self.render_mode = render_mode
        self.metadata = {
            "name": f"{_name(table.world)}_v0",
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

    def __init__(self, table: _Table, render_mode: str | None = None) -> None:
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

    def __init__(self, table: _Table, render_mode: str | None = None) -> None:
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


def _name(world: World[Any]) -> str:
    return getattr(type(world), "component_name", type(world).__name__.lower())


def _names(uids: Iterable[int]) -> list[str]:
    return [f"agent_{uid}" for uid in uids]


def _shown_space(space: gymnasium.Space[Any]) -> gymnasium.Space[Any] | None:
    """The space of the arrays that are shown, or None where there are none."""
    return None if isinstance(space, spaces.Dict) and not space.spaces else space


def _is_legal(legal: np.ndarray, row: Any) -> bool:
    """Whether every action of a row is legal; those outside of the space are refused later."""
    actions = np.ravel(np.asarray(row))
    if not np.issubdtype(actions.dtype, np.integer):
        return True
    known = actions[(actions >= 0) & (actions < legal.shape[0])]
    return bool(legal[known].all())

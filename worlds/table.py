"""An episode with names on it: what both PettingZoo views share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces

from worlds.episode import Episode
from worlds.framing import Framing
from worlds.host import HASHED, hashed_words
from worlds.spaces import AnyText, action_masks, refuse_outside, rows_of
from worlds.types import ParseError, Transition
from worlds.wording import Wording
from worlds.world import World

__all__ = ["Masks", "Outcome", "Table", "name_of"]

Masks = Literal["info", "observation"]


class Outcome(NamedTuple):
    """What one step did to those who were in the game: name -> value, and who is in it now."""

    rewards: dict[str, float]
    terminations: dict[str, bool]
    truncations: dict[str, bool]
    agents: list[str]


class Table:
    """One world, its current episode, and who sits where."""

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
        self.wording = self._wording(framing, text)
        self.text = text or self.world.backend == "host"
        self.view_space = _shown_space(self.world.observation_space(0))
        self.hashed = self.world.backend == "host" and self.view_space is None
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
            pair = (self._observation_space(slot), self.world.action_space(slot))
            for space in pair:
                space.seed(slot)  # samples repeat, also for newborns that nobody could seed
            self._spaces[slot] = pair
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
            raise ValueError(f"world {name_of(self.world)!r} has no caption, so no rules in words")
        return self.wording.rules(self._slots[name], name)

    # ---- parts ----------------------------------------------------------------------

    def _wording(self, framing: Framing | None, needed: bool) -> Wording | None:
        """The words of the world, where it has any for these parameters."""
        try:
            wording = Wording.of(self.world, framing)
        except ValueError:  # what cannot be told can still be played
            if needed:
                raise
            return None
        if wording is None and needed and self.world.backend == "jax":
            raise ValueError(
                f"world {name_of(self.world)!r} has no caption, so it cannot be shown as text; "
                "leave text=True away, or declare World.caption"
            )
        return wording

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
        elif self.hashed:
            rows = [hashed_words(text) for text in observation.text or ()]
        masked = observation.legal is not None and self.masks == "observation"
        if self.text:
            key = "vec" if self.view_space is not None or self.hashed else None
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
        if self.hashed:
            space = spaces.Box(-1.0, 1.0, (HASHED,), np.float32)
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


def name_of(world: World[Any]) -> str:
    """What a world is called where components are listed."""
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

"""The clock of a run: how ticks nest into episodes and generations.

A *tick* is one ``World.step`` of the whole run, counted from 0. Where ticks fall in
episodes and generations depends on the scenario alone, never on the state: a replicate
whose episode ends early waits, frozen, until the others' would have ended.
"""

import dataclasses

__all__ = ["Place", "Plan"]


@dataclasses.dataclass(frozen=True, order=True)
class Place:
    """A moment of a run as journals write it."""

    generation: int = 0
    episode: int = 0
    step: int = 0
    turn: int = 0

    @property
    def clock(self) -> tuple[int, int, int, int]:
        """(generation, episode, step, turn)."""
        return self.generation, self.episode, self.step, self.turn


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long everything lasts.

    generations: number of generations.
    episodes: whole episodes in a generation, or None when ``steps`` is given.
    steps: steps in a generation, a new episode beginning whenever one ends, or None.
    horizon: most steps of an episode, None for worlds without an end.
    talk_turns: turns of talk before the act turn of every step.
    """

    generations: int
    episodes: int | None
    steps: int | None
    horizon: int | None
    talk_turns: int = 0

    def __post_init__(self) -> None:
        """Refuse plans that never end a generation."""
        if (self.episodes is None) == (self.steps is None):
            raise ValueError("give exactly one of episodes and steps")
        if self.episodes is not None and self.horizon is None:
            raise ValueError("this world has no end; give steps instead of episodes")

    @property
    def ticks_per_generation(self) -> int:
        """Ticks from one selection to the next."""
        if self.steps is not None:
            return self.steps
        assert self.episodes is not None and self.horizon is not None
        return self.episodes * self.horizon

    @property
    def total(self) -> int:
        """Ticks of the whole run."""
        return self.generations * self.ticks_per_generation

    @property
    def instant(self) -> bool:
        """True where every tick is a whole generation (imitation dynamics)."""
        return self.ticks_per_generation == 1

    def generation(self, tick: int) -> int:
        """Index of the generation that a tick belongs to."""
        return tick // self.ticks_per_generation

    def next_generation(self, tick: int) -> int:
        """First tick of the generation after the one that ``tick`` belongs to."""
        return (self.generation(tick) + 1) * self.ticks_per_generation

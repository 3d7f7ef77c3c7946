"""Transmission by demonstration: newcomers watch what the best of their forerunners did."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import jax.numpy as jnp

from society.contract import Transmission
from society.transmission import Nothing
from worlds.policy import ArrayPolicy
from worlds.random import named
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array, Births, Mind, Seats

__all__ = ["Demonstration"]


@component("transmission", "demonstration")
@pytree
class Demonstration(Transmission):
    """Newcomers can watch the last trial of the best of the generation before them.

    The task stays the same in all generations of a replicate. ``visible`` are the chances that
    demonstrators are seen at the beginning and at the end of a lifetime (or of a generation,
    as the world's ``schedule`` says). ``minds: inherit`` lets newcomers have their parents'
    networks (in-context generations: what is learned lies in the memory of one life);
    ``naive`` makes networks and optimisers anew (in-weights generations). Text minds read
    nothing; they watch, too. Worlds: memory_sequence, tsp and goal_sequence.

    Source: Cook et al. (2024), "Artificial generational intelligence", arXiv:2406.00392.
    """

    teaches: ClassVar[bool] = True

    visible: tuple[float, ...] = doc_field(
        (1.0, 0.0), "Chances to see demonstrators, first and last."
    )
    minds: Literal["inherit", "naive"] = doc_field(
        "inherit", "Whether newcomers have their parents' networks."
    )

    @property
    def seen(self) -> Any:
        """[2] float32 chances, first and last."""
        return jnp.stack([jnp.asarray(chance, jnp.float32) for chance in self.visible])

    def check(self, policies: Sequence[Any]) -> None:
        """Demand two chances, and networks of one's own where they are made anew."""
        chances = [float(chance) for chance in self.visible]
        if len(chances) != 2 or not all(0.0 <= chance <= 1.0 for chance in chances):
            raise ValueError(
                f"transmission.visible is {chances}; it takes two chances from 0 to 1, at the "
                "beginning and at the end of a lifetime, such as [1, 0]"
            )
        shared = [p for p in policies if getattr(p, "parameters", "separate") == "shared"]
        if self.minds == "naive" and shared:
            raise ValueError(
                "transmission.minds: naive makes each newcomer's network anew, but "
                f"{type(shared[0]).__name__} shares one; set the policy's parameters: separate"
            )

    def pass_on(
        self,
        key: Array,
        policy: ArrayPolicy,
        mind: Mind,
        births: Births,
        seats: Seats | None = None,
    ) -> Mind:
        """Inherit, or make anew."""
        if self.minds == "naive":
            return Nothing().pass_on(key, policy, mind, births, seats)
        return policy.inherit(named(key, "inherit"), mind, births)

    def texts(self, legacies: Mapping[int, str], parents: Sequence[int]) -> tuple[str, ...]:
        """Nothing to read: newcomers watch."""
        return ()

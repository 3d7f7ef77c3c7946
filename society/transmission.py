"""Transmission: what passes from parents to newcomers, at births and between generations.

Array minds inherit through their policy (``ArrayPolicy.inherit``) and change through it
(``ArrayPolicy.mutate``); text minds read what their models left behind. Exchange within a
generation (horizontal transmission) is talk, and goes through channels.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from society.contract import Transmission
from worlds.policy import ArrayPolicy
from worlds.random import named
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array, Births, Mind, Seats

__all__ = ["Advice", "Copy", "Mutate", "Nothing"]


@component("transmission", "copy")
@pytree
class Copy(Transmission):
    """Newcomers copy their parents, now and then with a mistake.

    Text minds read what their own parents left. ``mutation`` and ``sd`` apply to array minds:
    a discrete heritable (a strategy) is drawn anew with chance ``mutation``; a continuous one
    changes by a normal deviate of standard deviation ``sd``.
    """

    mutation: float | None = doc_field(None, "chance that a strategy is drawn anew", ge=0, le=1)
    sd: float | None = doc_field(None, "standard deviation of changes in what is continuous", ge=0)

    def pass_on(
        self,
        key: Array,
        policy: ArrayPolicy,
        mind: Mind,
        births: Births,
        seats: Seats | None = None,
    ) -> Mind:
        """Inherit, then mutate where a rate is given (without one it costs nothing)."""
        return _pass_on(key, policy, mind, births, self.mutation, self.sd)


@component("transmission", "none")
@pytree
class Nothing(Transmission):
    """Newcomers start naive: array minds are made anew, text minds read nothing."""

    def pass_on(
        self,
        key: Array,
        policy: ArrayPolicy,
        mind: Mind,
        births: Births,
        seats: Seats | None = None,
    ) -> Mind:
        """Replace the newcomers' rows by rows of freshly made minds."""
        if seats is None:
            raise ValueError(
                "transmission 'none' makes minds anew and needs the group's seats; "
                "pass seats to pass_on"
            )
        fresh = policy.init(named(key, "naive"), seats)
        rows = seats.num
        born = births.child < rows
        if births.dense:
            born = born & (births.parent[:, 0] != births.child)
        is_new = (
            jnp.zeros(rows, bool).at[jnp.where(born, births.child, rows)].set(True, mode="drop")
        )

        def pick(new: Array, old: Array) -> Array:
            if jnp.ndim(old) == 0 or jnp.shape(old)[0] != rows:
                return old
            return jnp.where(is_new.reshape((rows,) + (1,) * (jnp.ndim(old) - 1)), new, old)

        return jax.tree.map(pick, fresh, mind)

    def texts(self, legacies: Mapping[int, str], parents: Sequence[int]) -> tuple[str, ...]:
        """Return no text."""
        return ()


@component("transmission", "advice")
@pytree
class Advice(Transmission):
    """Newcomers read the strategies of survivors; array minds copy their parents.

    ``route`` says whose texts a newcomer reads: of ``all`` survivors (as in the Donor Game) and
    its own parents, of its parents alone (``vertical``) or of the other survivors (``oblique``).
    Parents may be gone: tournament, roulette and rank replace everybody but the elites.
    Source: Vallinder & Hughes (2024), arXiv:2412.10270; terms of Cavalli-Sforza & Feldman
    (1981), Cultural Transmission and Evolution.
    """

    route: Literal["all", "vertical", "oblique"] = doc_field("all", "whose texts are read")
    limit: int = doc_field(0, "most texts a newcomer reads, in slot order; 0: no limit", ge=0)
    mutation: float | None = doc_field(None, "chance that a strategy is drawn anew", ge=0, le=1)
    sd: float | None = doc_field(None, "standard deviation of changes in what is continuous", ge=0)

    def pass_on(
        self,
        key: Array,
        policy: ArrayPolicy,
        mind: Mind,
        births: Births,
        seats: Seats | None = None,
    ) -> Mind:
        """Inherit, then mutate where a rate is given."""
        return _pass_on(key, policy, mind, births, self.mutation, self.sd)

    def texts(self, legacies: Mapping[int, str], parents: Sequence[int]) -> tuple[str, ...]:
        """Return the texts that this route lets a newcomer read, in slot order, no empty ones."""
        readable = {
            "all": lambda slot: True,
            "vertical": lambda slot: slot in parents,
            "oblique": lambda slot: slot not in parents,
        }[self.route]
        found = tuple(text for slot, text in legacies.items() if text and readable(slot))
        return found[: self.limit] if self.limit else found


@component("transmission", "mutate")
@pytree
class Mutate(Transmission):
    """Newcomers copy their parents with changes, small or heritable in size.

    With ``adapt_sd`` the size of changes is itself inherited: the policy's minds carry it
    (``mutation_scale(mind)`` -> [n]) and ``sd`` multiplies it, row by row.
    Source: Schwefel (1981), Numerical Optimization of Computer Models (self-adaptation).
    """

    sd: float = doc_field(0.01, "standard deviation of changes in what is continuous", ge=0)
    rate: float = doc_field(0.0, "chance that what is discrete is drawn anew", ge=0, le=1)
    adapt_sd: bool = doc_field(False, "scale changes by what each mind itself carries")

    def check(self, policies: Sequence[Any]) -> None:
        """Demand a ``mutation_scale`` of every array policy where ``adapt_sd`` is on."""
        for policy in policies:
            array = getattr(policy, "kind", "") == "array"
            if self.adapt_sd and array and not hasattr(policy, "mutation_scale"):
                name = getattr(policy, "component_name", type(policy).__name__)
                raise ValueError(
                    f"transmission.adapt_sd: minds of policy {name!r} carry no mutation_scale; "
                    "set adapt_sd: false or choose a policy whose minds do"
                )

    def pass_on(
        self,
        key: Array,
        policy: ArrayPolicy,
        mind: Mind,
        births: Births,
        seats: Seats | None = None,
    ) -> Mind:
        """Inherit, then mutate."""

        def size(heirs: Mind) -> Array:
            if not self.adapt_sd:
                return jnp.asarray(self.sd, jnp.float32)
            scale = policy.mutation_scale(heirs)  # type: ignore[attr-defined]
            return self.sd * scale.at[births.child].get(mode="fill", fill_value=0.0)

        return _born(key, policy, mind, births, self.rate, size)


def _pass_on(
    key: Array, policy: ArrayPolicy, mind: Mind, births: Births, rate: Any, sd: Any
) -> Mind:
    if rate is None and sd is None:
        return policy.inherit(named(key, "inherit"), mind, births)
    size = jnp.asarray(0.0 if sd is None else sd, jnp.float32)
    return _born(key, policy, mind, births, 0.0 if rate is None else rate, lambda _: size)


def _born(
    key: Array,
    policy: ArrayPolicy,
    mind: Mind,
    births: Births,
    rate: Any,
    sd: Callable[[Mind], Array],
) -> Mind:
    """Minds of newcomers, mutated also where they took the slot of their own parent.

    Policies leave rows alone that are their own parents; in births that are not dense such
    a row holds a newcomer all the same, so its parent is not shown.
    """
    shown = births
    if not births.dense:
        own = births.parent == births.child[:, None]
        shown = births._replace(parent=jnp.where(own, -1, births.parent))
    keys = named(key, "inherit"), named(key, "mutate")
    return policy.bear(keys, mind, births, shown, jnp.asarray(rate, jnp.float32), sd)

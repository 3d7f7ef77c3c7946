"""Learners of a scenario: built, fitted to the policies that they train, and checked."""

import dataclasses
from typing import Any

from society.population import Population
from worlds.policy import ArrayPolicy

__all__ = ["bound", "make_learners", "with_past_selves"]


def make_learners(scenario: Any, population: Population, world: Any) -> tuple[Any, ...]:
    """The learner of every group, None for those that do not learn; () where nobody does.

    Args:
      world: with its graph and arrays, as checks see it.

    Raises:
      ScenarioError: A learner does not fit its policy or the world.
    """
    learners = [_make(scenario, group, world) for group in population.groups]
    return tuple(learners) if any(learner is not None for learner in learners) else ()


def _make(scenario: Any, group: Any, world: Any) -> Any:
    spec = scenario.groups[group.name].learner
    if spec is None:
        return None
    with scenario.locating(f"groups.{group.name}.learner"):
        if not isinstance(group.policy, ArrayPolicy):
            raise ValueError(
                f"{type(group.policy).__name__} reads and writes texts, which no learner trains; "
                "leave learner out, or choose a network as the policy"
            )
        learner = bound(spec.build(), group.policy, scenario.num_envs)
        learner.check(group.policy, group.seats(world))
        return learner


def bound(learner: Any, policy: Any, num_envs: int) -> Any:
    """The learner, and those inside it, told what they train and in how many worlds."""
    names = {field.name for field in dataclasses.fields(learner)}
    values = {"policy": policy, "num_envs": num_envs}
    given = {name: value for name, value in values.items() if name in names}
    if "learner" in names:
        given["learner"] = bound(learner.learner, policy, num_envs)
    return dataclasses.replace(learner, **given)


def with_past_selves(scenario: Any, population: Population) -> Population:
    """The population in which those who play a group's past know that group's policy."""
    policies = {
        group.name: group.policy
        for group in population.groups
        if scenario.groups[group.name].learner is not None
    }
    groups = []
    for group in population.groups:
        if scenario.groups[group.name].policy.use == "past_self":
            policy: Any = group.policy
            known = dataclasses.replace(policy, inner=policies.get(policy.of))
            group = dataclasses.replace(group, policy=known)
        groups.append(group)
    return Population(tuple(groups))

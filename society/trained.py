"""Policies that learners have trained: kept with their run, used again in another scenario.

A finished run keeps the networks of its learning groups in ``policies/<group>.weights``,
bytes of arrays behind a JSON header (``society.tree_codec``): reading one runs no code.
"""

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from rl_agents.network_policy import NetworkPolicy, Weights
from society.checkpoint import restore_tree, save_tree
from society.components import Context, component_of
from society.durable import write_atomically
from society.recorder import NotARunError, RunFolder
from society.tree_codec import CheckpointError, chunks, decode
from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Decision, Mind, Percept, Seats

__all__ = ["Trained", "export_policies", "fill_in", "runs_in", "train_first"]

_RUNS: contextvars.ContextVar[Path] = contextvars.ContextVar("runs", default=Path("runs"))
_TRAINING: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar("training", default=())


@component("policy", "trained")
@pytree
class Trained(ArrayPolicy):
    """What a learner has made of a policy in another run; it learns no more.

    ``from`` is a run's folder, or a scenario, which is run first unless a run of it (with the
    same hash) lies beside this one. The world must show and allow what the other did.
    """

    from_: str = doc_field(dataclasses.MISSING, "a run's folder, or the scenario that trains it")
    group: str = doc_field("", "which group's; may be left out where one learned")
    replicate: int = doc_field(0, "which of the run's seeds, counted from 0", ge=0)
    decide: Literal["as_trained", "sample", "greedy"] = doc_field(
        "as_trained", "whether actions are drawn or the likeliest is taken"
    )
    inner: Any = provided()
    weights: Any = provided()  # key path -> array, or None before the training run

    def check(self, seats: Seats) -> None:
        """Refuse worlds that show or allow something else than the training world."""
        self.inner.check(seats)
        if self.weights is not None:
            jax.eval_shape(lambda key: self.init(key, seats), jnp.zeros(2, jnp.uint32))

    def init(self, key: Array, seats: Seats) -> Mind:
        """The trained parameters; memory is blank."""
        fresh = self.inner.init(key, seats)
        if self.weights is None:
            raise ValueError(f"{self.from_!r} has not been run; run it first: society run")
        return fresh._replace(params=_fitted(fresh.params, self.weights, self.from_))

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """As the trained policy does."""
        return self.inner.act(key, mind, percept)

    def types(self, mind: Mind) -> Array | None:
        """As the trained policy."""
        return self.inner.types(mind)

    def type_names(self) -> tuple[str, ...]:
        """As the trained policy."""
        return self.inner.type_names()


def _fitted(template: Any, saved: Mapping[str, Array], source: str) -> Any:
    """Saved leaves in the form of a template; members are dealt out in turn."""
    paths, structure = jax.tree_util.tree_flatten_with_path(template)
    names = [jax.tree_util.keystr(path) for path, _ in paths]
    if set(names) != set(saved):
        odd = sorted(set(names) ^ set(saved))[0]
        raise ValueError(f"{source}: its policy differs in {odd}; the worlds do not fit each other")
    members = isinstance(template, Weights) and bool(template.spec.members)
    leaves = []
    for name, (_, wanted) in zip(names, paths, strict=True):
        leaf = saved[name]
        if members and leaf.ndim == wanted.ndim and leaf.shape[1:] == wanted.shape[1:]:
            leaf = leaf[np.arange(wanted.shape[0]) % leaf.shape[0]]
        if leaf.shape != wanted.shape:
            raise ValueError(
                f"{source}: it was trained where {name} is {list(leaf.shape)}, here it would be "
                f"{list(wanted.shape)}; the worlds show or allow different things"
            )
        leaves.append(leaf)
    return structure.unflatten(leaves)


# ---- out of a run ---------------------------------------------------------------------------


def export_policies(folder: RunFolder, simulation: Any, carries: Any) -> list[Path]:
    """Write what the learning groups of a finished run have become."""
    written = []
    for index, learner in enumerate(simulation.parts.learners):
        if learner is None:
            continue
        group = simulation.population.groups[index]
        spec = simulation.scenario.groups[group.name].policy
        minds = [save_tree(carry.minds[index].params) for carry in carries]
        tree = {"format": 1, "policy": spec.resolved(), "replicates": minds}
        path = folder.path / "policies" / f"{group.name}.weights"
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, chunks(tree), "policy")
        written.append(path)
    return written


# ---- into a scenario ------------------------------------------------------------------------


@contextlib.contextmanager
def runs_in(out: str | Path) -> Iterator[None]:
    """Within the block, runs of scenarios are looked for in this folder."""
    token = _RUNS.set(Path(out))
    try:
        yield
    finally:
        _RUNS.reset(token)


def train_first(scenario: Any, run: Any) -> None:
    """Run the scenarios that policies are trained from, where there is no run of them yet.

    Args:
      run: called with each such scenario.

    Raises:
      ScenarioError: They train each other in a circle.
    """
    for name, group in scenario.groups.items():
        if group.policy.use != "trained":
            continue
        with scenario.locating(f"groups.{name}.policy.from"):
            source = _source(scenario, group.policy.params["from"])
            if isinstance(source, Path) or _run_of(source.hash) is not None:
                continue
            underway = _TRAINING.get()
            if source.hash in underway or source.hash == scenario.hash:
                raise ValueError("it would be trained from itself; name another scenario")
            token = _TRAINING.set((*underway, scenario.hash))
            try:
                run(source)
            finally:
                _TRAINING.reset(token)


def fill_in(scenario: Any, policy: Any) -> Any:
    """The policy with its inner policy and, where the run exists, its weights; others as is."""
    if not isinstance(policy, Trained):
        return policy
    source: Any = _source(scenario, policy.from_)
    path = source if isinstance(source, Path) else _run_of(source.hash)
    if path is None:
        groups: Any = getattr(source, "groups", {})
        learned = {name: group.policy for name, group in groups.items() if group.learner}
        name = _which(policy.group, sorted(learned), policy.from_)
        return _with(policy, learned[name].build(), None)
    files = {file.stem: file for file in sorted((path / "policies").glob("*.weights"))}
    file = files[_which(policy.group, sorted(files), policy.from_)]
    try:
        tree = decode(file.read_bytes())
    except CheckpointError as error:
        raise ValueError(f"{file} cannot be used: {error}") from error
    replicates = tree["replicates"]
    if policy.replicate >= len(replicates):
        raise ValueError(f"replicate {policy.replicate} of {len(replicates)}, counted from 0")
    saved = {name: entry["leaf"] for name, entry in replicates[policy.replicate].items()}
    arrays = restore_tree(
        {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for name, leaf in saved.items()},
        {f"[{name!r}]": {"leaf": leaf, "weak": False} for name, leaf in saved.items()},
    )
    inner = component_of("policy", tree["policy"], Context()).build()
    return _with(policy, inner, arrays)


def _with(policy: Trained, inner: Any, weights: Any) -> Trained:
    if isinstance(inner, NetworkPolicy):
        decide = inner.decide if policy.decide == "as_trained" else policy.decide
        inner = dataclasses.replace(inner, decide=decide)
    elif policy.decide != "as_trained":
        raise ValueError(f"decide: {policy.decide} is for networks; leave it out")
    return dataclasses.replace(policy, inner=inner, weights=weights)


def _which(group: str, known: list[str], source: str) -> str:
    if not known:
        raise ValueError(f"{source}: no group has learned there")
    if not group and len(known) == 1:
        return known[0]
    if group not in known:
        raise ValueError(f"{source}: say group: one of {', '.join(known)}")
    return group


def _source(scenario: Any, name: str) -> Any:
    """The run's folder, or the scenario, that a name means."""
    from society.scenario import load_scenario, shipped

    for base in (scenario.folder, Path.cwd(), _RUNS.get()):
        path = base / name
        if (path / "manifest.json").is_file():
            return path
        if path.is_file():
            return load_scenario(path)
    if name in shipped():
        return load_scenario(name)
    raise ValueError(f"{name!r} is neither a run's folder nor a scenario")


def _run_of(wanted: str) -> Path | None:
    """The newest finished run of a scenario with learners, by its hash."""
    found: list[tuple[str, Path]] = []
    for path in _RUNS.get().glob("*/policies"):
        with contextlib.suppress(NotARunError, OSError, ValueError):
            folder = RunFolder.open(path.parent)
            manifest, summary = folder.read_manifest(), folder.read_summary()
            if manifest.get("scenario_hash") == wanted and (summary or {}).get("status") == "ok":
                found.append((str(manifest["created"]), path.parent))
    return max(found)[1] if found else None

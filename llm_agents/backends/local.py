"""A model of the Llama architecture in this process, in JAX: no server, no torch."""

import asyncio
import dataclasses
import functools
import importlib.util
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llm_agents.backends.base import (
    Backend,
    BackendError,
    Capabilities,
    Request,
    Response,
    Usage,
    request_hash,
)
from llm_agents.choice import TokenTree, score_exactly
from llm_agents.choice_forms import check_schema, checked
from worlds.registry import component
from worlds.tree import doc_field

if TYPE_CHECKING:
    from llm_agents.llama.engine import Engine

__all__ = ["Local", "model_folder"]

TINY = "society-tiny"


@component("backend", "local")
@dataclasses.dataclass(frozen=True, eq=False)
class Local(Backend):
    """A Llama in this process, in JAX, without torch: society-tiny, or any Hugging Face folder.

    Every row of a batch draws with its own seed, so an answer does not depend on who shares
    the batch. Options are scored exactly, by the summed log-probabilities of their tokens.
    All work happens on one thread of its own; programs are compiled when a length of prompt
    occurs for the first time, and kept between runs where JAX's compilation cache is on.
    """

    model: str = doc_field(TINY, "society-tiny, or the folder of a model in Hugging Face format")
    dtype: Literal["auto", "float32", "bfloat16"] = doc_field(
        "auto", "numbers that the model computes with; auto: float32"
    )
    _state: dict[str, Any] = dataclasses.field(default_factory=dict, init=False, repr=False)

    def check_params(self) -> None:
        """Raise ValueError where there is no such model, or one of another architecture."""
        from llm_agents.llama.config import Config

        try:
            Config.read(model_folder(self.model))
        except FileNotFoundError as error:
            raise ValueError(str(error)) from error

    @property
    def capabilities(self) -> Capabilities:
        """Honours seeds and options, scores options, continues a text; deterministic."""
        return Capabilities(seed=True, logprobs=True, guided=True, prefill=True, deterministic=True)

    @property
    def fingerprint(self) -> str:
        """The model's name, the hash of its files, and the type of its numbers."""
        folder = model_folder(self.model)
        return f"local {folder.name} {_hash(folder)} {self._dtype}"

    async def generate(self, requests: Sequence[Request]) -> list[Response]:
        """Answer with free text."""
        for request in requests:
            if request.schema is not None:
                check_schema(request.schema)
        return await self._work(_generate, requests)

    async def choose(self, requests: Sequence[Request]) -> list[Response]:
        """Answer with options, scored exactly."""
        return await self._work(_choose, requests)

    async def aclose(self) -> None:
        """Let go of the model and its thread."""
        thread = self._state.pop("thread", None)
        if thread is not None:
            await asyncio.to_thread(thread.shutdown)
        self._state.clear()

    @property
    def _dtype(self) -> str:
        return "float32" if self.dtype == "auto" else self.dtype

    def _engine(self) -> "Engine":
        """The model, loaded once; called on the backend's own thread only."""
        if "engine" not in self._state:
            from llm_agents.llama.engine import Engine

            self._state["engine"] = Engine(model_folder(self.model), self._dtype)
        return self._state["engine"]

    async def _work(
        self,
        work: Callable[["Engine", Sequence[Request]], list[Response]],
        requests: Sequence[Request],
    ) -> list[Response]:
        if not requests:
            return []
        if "thread" not in self._state:
            self._state["thread"] = ThreadPoolExecutor(1, thread_name_prefix="local-model")
        began = time.monotonic()
        found = await asyncio.get_running_loop().run_in_executor(
            self._state["thread"], lambda: work(self._engine(), requests)
        )
        took = time.monotonic() - began
        return [dataclasses.replace(one, latency_s=took, model=self.model) for one in found]


def model_folder(model: str) -> Path:
    """The folder of a model; ``society-tiny`` is shipped.

    Raises:
      ValueError: There is no such folder.
    """
    if model == TINY:
        spec = importlib.util.find_spec("llm_agents.tiny")
        assert spec is not None and spec.submodule_search_locations
        return Path(spec.submodule_search_locations[0]) / TINY
    folder = Path(model).expanduser()
    if not folder.is_dir():
        raise ValueError(
            f"model {model!r} is no folder; the backend `local` takes {TINY!r} or the folder of a "
            "model in Hugging Face format (config.json, *.safetensors, tokenizer.json)"
        )
    return folder


@functools.lru_cache(maxsize=16)
def _hash(folder: Path) -> str:
    from llm_agents.llama.files import files_hash

    return files_hash(folder)


def _generate(engine: "Engine", requests: Sequence[Request]) -> list[Response]:
    from llm_agents.llama.engine import Task

    responses: list[Response | None] = []
    tasks: list[Task] = []
    for request in requests:
        prompt, problem = _prompt(engine, request, request.prefill.rstrip())
        responses.append(problem)
        if problem is None:
            seed = request.seed if request.seed >= 0 else int(request_hash(request)[:8], 16)
            tasks.append(
                Task(
                    prompt,
                    room=max(1, min(request.max_tokens, engine.longest - len(prompt))),
                    seed=seed,
                    temperature=request.temperature,
                    top_p=request.top_p,
                    stop=request.stop,
                )
            )
    said = iter(zip(tasks, engine.generate(tasks), strict=True))
    found = []
    for request, problem in zip(requests, responses, strict=True):
        if problem is None:
            task, one = next(said)
            usage = Usage(len(task.prompt), len(one.tokens))
            answer = Response(text=one.text, finish_reason=one.finish, usage=usage)
            problem = checked(answer, request)
        found.append(problem)
    return found


def _choose(engine: "Engine", requests: Sequence[Request]) -> list[Response]:
    problems = [_prompt(engine, request, "")[1] for request in requests]
    sound = [request for request, one in zip(requests, problems, strict=True) if one is None]

    def tree_of(request: Request, lead: str) -> TokenTree:
        text = engine.text.render(_messages(request), lead)
        return TokenTree.of(engine.text.encode, text, lead, request.options or ())

    chosen = iter(score_exactly(sound, tree_of, engine.score))
    return [next(chosen) if problem is None else problem for problem in problems]


def _prompt(
    engine: "Engine", request: Request, lead: str
) -> tuple[tuple[int, ...], Response | None]:
    """A request in tokens, or why it cannot be answered."""
    from llm_agents.llama.text import TemplateError

    try:
        prompt = engine.text.encode(engine.text.render(_messages(request), lead))
    except TemplateError as error:
        return (), Response(error=BackendError("rejected", str(error)))
    options = [len(engine.text.encode(option)) for option in request.options or ()]
    if len(prompt) + max(options, default=0) + 8 <= engine.longest:
        return prompt, None
    message = (
        f"a prompt of {len(prompt)} tokens does not fit into the model's {engine.longest}; lower "
        "the policy's context"
    )
    return prompt, Response(
        error=BackendError("rejected", message), usage=Usage(prompt_tokens=len(prompt))
    )


def _messages(request: Request) -> list[dict[str, str]]:
    return [{"role": m.role, "content": m.content} for m in request.messages]

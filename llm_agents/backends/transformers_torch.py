"""Hugging Face models on torch, inside this process; nothing is imported until it is used."""

import asyncio
import dataclasses
import importlib
import importlib.util
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from llm_agents.backends.base import (
    Backend,
    BackendError,
    Capabilities,
    Request,
    Response,
    Usage,
)
from llm_agents.backends.vllm_guards import MissingModelError, find_model, fingerprint_of
from llm_agents.choice import Scores, TokenTree, score_exactly
from llm_agents.choice_forms import check_schema, checked
from worlds.registry import component
from worlds.tree import doc_field

__all__ = ["Transformers", "chat_messages"]

LOGIT_DECIMALS = 4  # a batch changes the last digits of logits; samples must not see them
_MISSING = "the transformers backend needs torch; install the extra: pip install 'societylab[hf]'"


@component("backend", "transformers")
@dataclasses.dataclass(frozen=True, eq=False)
class Transformers(Backend):
    """A Hugging Face model on torch in this process; one thread unless told otherwise.

    Answers are sampled here, each row with its own generator and from rounded logits, so a
    row does not depend on who shares its batch. Options are scored exactly, by the summed
    log-probabilities of their tokens.
    """

    model: str = doc_field("society-tiny", "society-tiny, or the folder of a Hugging Face model")
    threads: int = doc_field(
        1, "threads of torch; more are slower where cores are shared", ge=1, operational=True
    )
    device: str = doc_field("auto", "cpu, cuda, or auto: cuda where there is one")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = doc_field(
        "auto", "auto: float32 on a CPU, as stored on a GPU"
    )
    batch_size: int = doc_field(32, "rows that are computed together", ge=1, operational=True)
    _state: dict[str, Any] = dataclasses.field(default_factory=dict, init=False, repr=False)

    def check_params(self) -> None:
        """Raise MissingModelError where there is no such model, or no torch."""
        if not all(map(importlib.util.find_spec, ("torch", "transformers"))):
            raise MissingModelError(_MISSING)
        find_model(self.model)

    @property
    def capabilities(self) -> Capabilities:
        """Honours seeds and options, scores options, continues a text."""
        return Capabilities(seed=True, logprobs=True, guided=True, prefill=True)

    @property
    def fingerprint(self) -> str:
        """The model's name, the hash of its files, and the type of its numbers."""
        return f"transformers {fingerprint_of(self.model)} {self.dtype}"

    async def generate(self, requests: Sequence[Request]) -> list[Response]:
        """Answer with free text, in left-padded batches of rows of similar length."""
        for request in requests:
            if request.schema is not None:
                check_schema(request.schema)
        return await self._work(lambda engine: engine.generate(requests), requests)

    async def choose(self, requests: Sequence[Request]) -> list[Response]:
        """Answer with options, scored exactly."""
        return await self._work(lambda engine: engine.choose(requests), requests)

    async def aclose(self) -> None:
        """Let go of the model."""
        self._state.clear()

    async def _work(
        self, work: Callable[["_Engine"], list[Response]], requests: Sequence[Request]
    ) -> list[Response]:
        if not requests:
            return []
        began = time.monotonic()
        async with self._state.setdefault("turn", asyncio.Lock()):
            found = await asyncio.to_thread(lambda: work(self._engine()))
        took = time.monotonic() - began
        return [dataclasses.replace(one, latency_s=took, model=self.model) for one in found]

    def _engine(self) -> "_Engine":
        if "engine" not in self._state:
            self._state["engine"] = _Engine(self)
        return self._state["engine"]


def chat_messages(request: Request, lead: str) -> tuple[list[dict[str, str]], dict[str, bool]]:
    """Messages and flags for a Hugging Face chat template, the answer begun with the lead."""
    messages = [{"role": m.role, "content": m.content} for m in request.messages]
    if not lead:
        return messages, {"add_generation_prompt": True}
    messages.append({"role": "assistant", "content": lead})
    return messages, {"continue_final_message": True}


class _Row:
    """One request on its way through a batch."""

    def __init__(self, engine: "_Engine", request: Request) -> None:
        self.request, self.engine = request, engine
        self.prompt = engine.encode(engine.text(request, request.prefill.rstrip()))
        self.room = min(request.max_tokens, engine.longest - len(self.prompt))
        self.random = random.Random(request.seed)
        self.said: list[int] = []
        self.text = ""
        self.finish = ""

    def add(self, token: int) -> None:
        """Take a token; ``finish`` says why the row is complete."""
        if token in self.engine.ends:
            self.finish = "stop"
        else:
            self.said.append(token)
            if self.request.stop and self._stopped():
                self.finish = "stop"
            elif len(self.said) >= self.room:
                self.finish = "length"
        if self.finish and not self.text:
            self.text = self.engine.decode(self.said)

    def response(self) -> Response:
        """What was said."""
        usage = Usage(len(self.prompt), len(self.said))
        if self.room < 1:
            message = (
                f"a prompt of {len(self.prompt)} tokens does not fit into the model's "
                f"{self.engine.longest}; lower the policy's context"
            )
            return Response(error=BackendError("rejected", message), usage=usage)
        response = Response(text=self.text, finish_reason=self.finish, usage=usage)
        return checked(response, self.request)

    def _stopped(self) -> bool:
        text = self.engine.decode(self.said)
        places = [place for stop in self.request.stop if (place := text.find(stop)) >= 0]
        if places:
            self.text = text[: min(places)]
        return bool(places)


class _Engine:
    """A model in memory."""

    def __init__(self, told: Transformers) -> None:
        told.check_params()
        torch: Any = importlib.import_module("torch")
        transformers: Any = importlib.import_module("transformers")
        folder = find_model(told.model)
        self.torch, self.batch_size = torch, told.batch_size
        torch.set_num_threads(told.threads)
        self.device = told.device
        if told.device == "auto":
            self.device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = told.dtype
        if dtype == "auto" and self.device == "cpu":
            dtype = "float32"
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        if not self.tokenizer.chat_template:
            raise ValueError(f"{told.model} has no chat template; choose a model made for chats")
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        self.model = self.model.to(self.device).eval()
        config = self.model.config.get_text_config()
        self.longest = int(getattr(config, "max_position_embeddings", 0) or 2**20)
        self.ends = _ends(self.tokenizer, self.model)

    def text(self, request: Request, lead: str) -> str:
        """The whole prompt, up to where the answer goes on."""
        messages, how = chat_messages(request, lead)
        return self.tokenizer.apply_chat_template(messages, tokenize=False, **how)

    def encode(self, text: str) -> list[int]:
        """Tokens; the template has written the special ones."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def decode(self, tokens: Sequence[int]) -> str:
        """Text without special tokens."""
        return self.tokenizer.decode(tokens, skip_special_tokens=True)

    def generate(self, requests: Sequence[Request]) -> list[Response]:
        """Answer every request."""
        rows = [_Row(self, request) for request in requests]
        ready = sorted((row for row in rows if row.room > 0), key=lambda row: len(row.prompt))
        with self.torch.inference_mode():
            for batch in _slices(ready, self.batch_size):
                self._finish(batch)
        return [row.response() for row in rows]

    def choose(self, requests: Sequence[Request]) -> list[Response]:
        """Choose for every request."""

        def tree_of(request: Request, lead: str) -> TokenTree:
            text = self.text(request, lead)
            return TokenTree.of(self.encode, text, lead, request.options or ())

        with self.torch.inference_mode():
            return score_exactly(requests, tree_of, self._score)

    def _finish(self, rows: list[_Row]) -> None:
        """Say token after token until all rows are complete."""
        torch = self.torch
        tokens, mask = self._padded([row.prompt for row in rows])
        cache = None
        while rows:
            positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
            found = self.model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache = found.past_key_values
            said = self._draw(found.logits[:, -1].float(), rows)
            for row, token in zip(rows, said, strict=True):
                row.add(token)
            left = [i for i, row in enumerate(rows) if not row.finish]
            if not left:
                return
            tokens = torch.tensor(said, device=self.device)[:, None]
            mask = torch.cat([mask, mask.new_ones((len(rows), 1))], dim=1)
            if len(left) < len(rows):
                keep = torch.tensor(left, device=self.device)
                cache.batch_select_indices(keep)
                tokens, mask = tokens[keep], mask[keep]
                rows = [rows[i] for i in left]

    def _draw(self, logits: Any, rows: Sequence[_Row]) -> list[int]:
        """One token a row: the likeliest at temperature 0, else by the row's own generator."""
        torch = self.torch
        logits = torch.round(logits * 10**LOGIT_DECIMALS) / 10**LOGIT_DECIMALS
        said = logits.argmax(-1).tolist()
        drawn = [i for i, row in enumerate(rows) if row.request.temperature > 0]
        if not drawn:
            return said
        heat = torch.tensor([rows[i].request.temperature for i in drawn], device=self.device)
        shares = torch.softmax(logits[drawn].double() / heat[:, None], dim=-1)
        shares, order = shares.sort(dim=-1, descending=True, stable=True)
        before = shares.cumsum(-1) - shares
        top = torch.tensor([rows[i].request.top_p for i in drawn], device=self.device)
        shares = shares.masked_fill(before >= top[:, None], 0.0)
        sums = shares.cumsum(-1)
        points = torch.tensor([rows[i].random.random() for i in drawn], device=self.device)
        places = torch.searchsorted(sums, (points.double() * sums[:, -1])[:, None], right=True)
        last = (shares > 0).sum(-1, keepdim=True) - 1
        tokens = order.gather(-1, torch.minimum(places, last))[:, 0].tolist()
        for index, token in zip(drawn, tokens, strict=True):
            said[index] = token
        return said

    def _score(self, trees: Sequence[TokenTree]) -> list[Scores]:
        """Log-probabilities at every place where options part, a few forward passes for all."""
        found: list[dict[tuple[int, ...], Mapping[int, float]]] = [{} for _ in trees]
        paths = [
            (index, node)
            for index, tree in enumerate(trees)
            for node in tree.nodes
            if not any(len(o) > len(node) and o[: len(node)] == node for o in tree.nodes)
        ]
        paths.sort(key=lambda path: len(trees[path[0]].tokens.context) + len(path[1]))
        for batch in _slices(paths, self.batch_size):
            tokens, mask = self._padded([[*trees[i].tokens.context, *node] for i, node in batch])
            logits = self.model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
                use_cache=False,
                logits_to_keep=max(len(node) for _, node in batch) + 1,
            ).logits
            logprobs = self.torch.log_softmax(logits.float(), dim=-1)
            for row, (index, node) in enumerate(batch):
                for place in range(len(node) + 1):
                    nexts = trees[index].nodes[node[:place]]
                    values = logprobs[row, place - len(node) - 1, list(nexts)].tolist()
                    found[index][node[:place]] = dict(zip(nexts, values, strict=True))
        return list(found)

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Any, Any]:
        """Tokens and mask, padded on the left: every row ends at the same place."""
        width = max(map(len, rows))
        tokens = [[0] * (width - len(row)) + list(row) for row in rows]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
        return (
            self.torch.tensor(tokens, device=self.device),
            self.torch.tensor(mask, device=self.device),
        )


def _ends(tokenizer: Any, model: Any) -> frozenset[int]:
    """Tokens that end an answer: the tokenizer's, and those of the model's own settings."""
    found = {tokenizer.eos_token_id}
    settings = getattr(model, "generation_config", None)
    more = getattr(settings, "eos_token_id", None)
    found |= set(more) if isinstance(more, list | tuple) else {more}
    return frozenset(token for token in found if token is not None)


def _slices(items: Sequence[Any], size: int) -> Iterator[Any]:
    for start in range(0, len(items), size):
        yield items[start : start + size]

"""The backend `local`: a Llama in JAX, compared with what transformers computed."""

import asyncio
import functools
import json
import math
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from llm_agents.backends.base import ChatMessage, Request
from llm_agents.backends.local import Local
from llm_agents.choice import Tokens, TokenTree
from llm_agents.llama import batching
from llm_agents.llama.batching import batches
from llm_agents.llama.decode import Manner, prefill, sample
from llm_agents.llama.engine import Engine, Task
from llm_agents.llama.model import merged
from llm_agents.testing import check_backend

FOLDER = Path(__file__).parents[1] / "data" / "llama"
OPTIONS = ("yes", "no", "maybe not")


@pytest.fixture(scope="module")
def engine():
    return Engine(FOLDER)


def ask(text, **more):
    return Request((ChatMessage("system", "Play."), ChatMessage("user", text)), seed=7, **more)


@functools.partial(jax.jit, static_argnums=0)
def _logits(graph, weights, tokens):
    length = tokens.shape[1]
    model = merged(graph, weights)
    places = jnp.broadcast_to(jnp.arange(length), tokens.shape)
    return model.logits(model(tokens, places, jnp.tril(jnp.ones((length, length), bool))[None])[0])


def forward(engine, tokens):
    """Log-probabilities of every next token of one text, without a cache."""
    padded = np.zeros((3, 96), np.int32)
    padded[0, : len(tokens)] = tokens
    logits = np.asarray(_logits(engine.graph, engine.weights, padded)[0], np.float64)
    logits = logits[: len(tokens)]
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def test_logits_equal_those_of_transformers(engine):
    expected = np.load(FOLDER / "expected.npz")
    found = _logits(engine.graph, engine.weights, expected["tokens"])
    found = np.asarray(found)[:, expected["places"]]
    assert np.abs(expected["logits"]).max() > 3
    np.testing.assert_allclose(found, expected["logits"], atol=1e-4, rtol=0)


def test_it_keeps_the_contract():
    asyncio.run(check_backend(Local(model=str(FOLDER))))


def test_a_greedy_answer_takes_the_likeliest_token_each_time(engine):
    prompt = engine.text.encode(engine.text.render([{"role": "user", "content": "Go on."}]))
    said = engine.generate([Task(prompt, room=5)])[0]
    assert len(said.tokens) == 5 and said.finish == "length"
    text = list(prompt)
    for token in said.tokens:
        assert token == int(forward(engine, text)[-1].argmax())
        text.append(token)


def test_options_of_several_tokens_are_scored_whole(engine):
    backend = Local(model=str(FOLDER))
    request = ask("Is it so?", options=OPTIONS, prefill="Answer:", temperature=1.0)
    response = asyncio.run(backend.choose([request]))[0]
    messages = [{"role": m.role, "content": m.content} for m in request.messages]
    context = engine.text.encode(engine.text.render(messages, "Answer:"))
    summed = []
    for option in OPTIONS:
        tokens = engine.text.encode(" " + option)
        logprobs = forward(engine, [*context, *tokens])
        summed.append(
            sum(logprobs[len(context) - 1 + at, token] for at, token in enumerate(tokens))
        )
    total = math.log(sum(map(math.exp, summed)))
    assert len(engine.text.encode(" maybe not")) > 1
    np.testing.assert_allclose(response.option_logprobs, np.array(summed) - total, atol=1e-3)


def test_a_stop_string_ends_an_answer_and_is_left_out(engine):
    prompt = engine.text.encode(engine.text.render([{"role": "user", "content": "Go on."}]))
    whole = engine.generate([Task(prompt, room=40, temperature=1.0, seed=3)])[0].text
    stop = whole[6:8]
    said = engine.generate([Task(prompt, room=40, temperature=1.0, seed=3, stop=(stop,))])[0]
    assert said.text == whole[: whole.index(stop)]
    assert said.finish == "stop"


def test_sampling_follows_the_distribution_and_the_nucleus():
    logits = jnp.log(jnp.array([[0.5, 0.3, 0.15, 0.05]]))
    points = jnp.linspace(0, 0.9999, 200)
    rows = jnp.repeat(logits, 200, axis=0)

    def drawn(top_p, temperature):
        manner = Manner(
            jnp.zeros(200, jnp.uint32),
            jnp.full(200, temperature),
            jnp.full(200, top_p),
            jnp.ones(200, jnp.int32),
            jnp.array([0]),
        )
        return np.bincount(np.asarray(sample(rows, points, manner)), minlength=4) / 200

    np.testing.assert_allclose(drawn(1.0, 1.0), [0.5, 0.3, 0.15, 0.05], atol=0.01)
    np.testing.assert_allclose(drawn(0.7, 1.0), [0.625, 0.375, 0, 0], atol=0.01)
    assert drawn(1.0, 0.0)[0] == 1


def test_a_prompt_that_is_too_long_is_one_requests_error():
    requests = [ask("word " * 400), ask("Hello?", max_tokens=4)]
    long, short = asyncio.run(Local(model=str(FOLDER)).generate(requests))
    assert (
        long.error.kind == "rejected" and "does not fit into the model's 256" in long.error.message
    )
    assert short.error is None and short.usage.completion_tokens <= 4


def test_another_architecture_is_refused_with_what_is_allowed(tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(FOLDER, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"type 'gpt2' .*LlamaForCausalLM.*transformers"):
        Local(model=str(folder)).check_params()
    with pytest.raises(ValueError, match="is no folder"):
        Local(model=str(tmp_path / "nowhere")).check_params()


def test_the_fingerprint_follows_weights_and_template(tmp_path):
    folder = tmp_path / "llama"
    shutil.copytree(FOLDER, folder)
    same = Local(model=str(folder)).fingerprint
    assert same == Local(model=str(FOLDER)).fingerprint
    other = tmp_path / "changed" / "llama"
    shutil.copytree(FOLDER, other)
    settings = json.loads((other / "tokenizer_config.json").read_text())
    settings["chat_template"] += " "
    (other / "tokenizer_config.json").write_text(json.dumps(settings))
    assert Local(model=str(other)).fingerprint != same


@pytest.mark.slow
def test_it_chooses_and_says_what_transformers_does():
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    model = transformers.AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(FOLDER)
    engine = Engine(FOLDER)
    messages = [{"role": "user", "content": "Say the number."}]
    ours = engine.text.render(messages)
    assert ours == tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    tokens = tokenizer(ours, add_special_tokens=False)["input_ids"]
    assert tuple(tokens) == engine.text.encode(ours)
    with torch.no_grad():
        theirs = model(torch.tensor([tokens])).logits[0].numpy()
    theirs = theirs - np.log(np.exp(theirs.astype(np.float64)).sum(-1, keepdims=True))
    np.testing.assert_allclose(forward(engine, tokens), theirs, atol=1e-4)


def alike(number, beginning=100):
    """Prompts of random tokens that begin alike and end differently, in several lengths."""
    rng = np.random.default_rng(5)
    shared = rng.integers(5, 300, beginning).tolist()
    return [
        (*shared, *rng.integers(5, 300, int(rng.integers(3, 40))).tolist()) for _ in range(number)
    ]


def test_batches_hold_every_prompt_once_and_find_what_they_begin_with():
    prompts = [*alike(20), *[(1, 2, 3)] * 5, *[tuple(range(90))] * 16]
    found = list(batches(prompts, (1, 4, 16)))
    indices = [index for batch in found for index in batch.indices]
    assert sorted(indices) == list(range(len(prompts)))
    for batch in found:
        assert len(batch.indices) <= batch.size
        group = [prompts[index] for index in batch.indices]
        assert len({prompt[: batch.shared] for prompt in group}) == 1
        assert all(0 < len(prompt) - batch.shared <= batch.length for prompt in group)
    shared = {index: batch.shared for batch in found for index in batch.indices}
    assert shared[0] == 100 and shared[20] == 0
    assert shared[25] == 89, "one token of a prompt is left, which predicts the next"


def test_a_beginning_that_is_read_once_changes_no_answer(engine, monkeypatch):
    prompts = alike(18)
    options = ((7,), (8, 9), (8, 10))
    trees = [TokenTree(Tokens(prompt, options)) for prompt in prompts]
    tasks = [Task(prompt, room=6, seed=row) for row, prompt in enumerate(prompts)]
    assert {batch.shared for batch in batches(prompts, engine.sizes)} == {100}
    shared, said = engine.score(trees), engine.generate(tasks)
    monkeypatch.setattr(batching, "LEAST_SHARED", 10_000)
    assert {batch.shared for batch in batches(prompts, engine.sizes)} == {0}
    apart, said_apart = engine.score(trees), engine.generate(tasks)
    for one, other in zip(shared, apart, strict=True):
        assert one.keys() == other.keys() == {(), (8,)}
        for node in one:
            np.testing.assert_allclose(
                list(one[node].values()), list(other[node].values()), atol=1e-5, rtol=0
            )
            assert max(one[node], key=one[node].get) == max(other[node], key=other[node].get)
    assert [one.tokens for one in said] == [one.tokens for one in said_apart]


def test_logits_behind_a_shared_beginning_equal_those_of_the_whole(engine):
    prompts = alike(4)
    tokens, pads = batching.padded([prompts[0][:100]], 128, 1)
    _, beginning = prefill(engine.graph, engine.weights, tokens, pads)
    rests = batching.padded([prompt[100:] for prompt in prompts], 64, 4)
    behind, _ = prefill(engine.graph, engine.weights, *rests, (beginning,))
    whole, _ = prefill(engine.graph, engine.weights, *batching.padded(prompts, 160, 4))
    np.testing.assert_allclose(behind, whole, atol=1e-5, rtol=0)


def test_an_answer_does_not_depend_on_who_shares_the_batch(engine):
    prompts = [engine.text.encode(f"Number {n}. " * (n % 7 + 1)) for n in range(40)]
    tasks = [Task(prompt, room=5, seed=n, temperature=1.0) for n, prompt in enumerate(prompts)]
    together = engine.generate(tasks)
    assert together == [engine.generate([task])[0] for task in tasks]

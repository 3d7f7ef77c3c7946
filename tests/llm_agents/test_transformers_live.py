"""Torch models in this process, with a small random Llama; part of `make test-vllm`."""

import asyncio
import math

import pytest

from llm_agents.backends.base import ChatMessage, Request
from llm_agents.backends.transformers_torch import Transformers
from llm_agents.testing import check_backend

pytestmark = pytest.mark.vllm

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random model of 0.3 million parameters over bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("model")
    tokens = Tokenizer(models.BPE())
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|pad|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokens.train_from_iterator(["Answer: yes please, no or maybe"] * 9, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokens, pad_token="<|pad|>", eos_token="<|im_end|>"
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(path)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=64, intermediate_size=128, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
        eos_token_id=2, pad_token_id=0, initializer_range=0.2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(path)
    return str(path)


def ask(number, **changes):
    text = "Which one? " * (1 + number % 5) + str(number)
    values = {"seed": number, "max_tokens": 24, "temperature": 1.0} | changes
    return Request((ChatMessage("user", text),), **values)


def run(backend, how, requests):
    return asyncio.run(getattr(backend, how)(requests))


def test_it_passes_the_conformance_kit(folder):
    asyncio.run(check_backend(Transformers(model=folder)))


@pytest.mark.parametrize("changes", [{}, {"top_p": 0.5}, {"temperature": 0.0}, {"stop": ("e",)}])
def test_a_row_does_not_depend_on_its_batch(folder, changes):
    requests = [ask(number, **changes) for number in range(24)]
    together = run(Transformers(model=folder), "generate", requests)
    turned = run(Transformers(model=folder, batch_size=5), "generate", requests[::-1])[::-1]
    alone = run(Transformers(model=folder, batch_size=1), "generate", requests)
    assert [a.text for a in together] == [a.text for a in turned] == [a.text for a in alone]
    assert len({a.text for a in together}) > 10
    if "stop" in changes:
        assert not any("e" in a.text for a in together)
        assert {"stop"} & {a.finish_reason for a in together}


def test_greedy_texts_are_those_of_the_librarys_own_generate(folder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    requests = [ask(number, temperature=0.0) for number in range(6)]
    ours = run(Transformers(model=folder), "generate", requests)
    model, tokens = (
        AutoModelForCausalLM.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder),
    )
    for request, answer in zip(requests, ours, strict=True):
        said = [{"role": m.role, "content": m.content} for m in request.messages]
        prompt = tokens.apply_chat_template(
            said, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            out = model.generate(**prompt, max_new_tokens=24, do_sample=False)
        text = tokens.decode(out[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
        assert answer.text == text
        assert answer.usage.prompt_tokens == prompt["input_ids"].shape[1]


def test_options_are_scored_as_whole_texts(folder):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options = ("yes", "yes please", "no", "maybe")
    requests = [
        ask(number, options=options, prefill="Answer: " if number % 2 else "Well,")
        for number in range(8)
    ]
    ours = run(Transformers(model=folder, batch_size=3), "choose", requests)
    model, tokens = (
        AutoModelForCausalLM.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder),
    )
    for request, answer in zip(requests, ours, strict=True):
        text = f"<|im_start|>user\n{request.messages[0].content}<|im_end|>\n<|im_start|>assistant\n"
        text += request.prefill.rstrip()
        context = tokens(text, add_special_tokens=False)["input_ids"]
        scores = []
        for option in options:
            joint = tokens(f"{text} {option}", add_special_tokens=False)["input_ids"]
            assert joint[: len(context)] == context
            with torch.inference_mode():
                logprobs = torch.log_softmax(model(torch.tensor([joint])).logits[0].float(), -1)
            scores.append(
                sum(float(logprobs[i - 1, joint[i]]) for i in range(len(context), len(joint)))
            )
        weights = list(map(math.exp, scores))
        weights[0] -= weights[1]  # "yes" is what is left of it when nothing follows
        for weight, found in zip(weights, answer.option_logprobs, strict=True):
            assert math.exp(found) == pytest.approx(max(weight, 0) / sum(weights), abs=2e-3)


def test_a_prompt_that_does_not_fit_is_refused_by_itself(folder):
    long = Request((ChatMessage("user", "word " * 400),), seed=1, max_tokens=4)
    fits, refused = run(Transformers(model=folder), "generate", [ask(1), long])
    assert fits.error is None
    assert refused.error.kind == "rejected" and "does not fit" in refused.error.message


def test_forms_are_checked(folder):
    (said,) = run(Transformers(model=folder), "generate", [ask(1, schema={"type": "object"})])
    assert said.error is not None and said.error.kind == "malformed"

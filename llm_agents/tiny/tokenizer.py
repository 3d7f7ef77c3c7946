"""The tokenizer of society-tiny: byte-level BPE whose tokens may span several words.

Prompts of a simulation repeat whole phrases. Where merges may cross spaces a phrase becomes
one token, and a prompt three times shorter than with tokens of single words. Digits, single
capitals (labels of options) and punctuation stay tokens of their own, so that they can be
copied whatever surrounds them.

Source for merges across words: Liu, Hayase, Hofmann, Oh, Smith and Choi (2025), "SuperBPE:
space travel for language models", arXiv:2503.13423 (they learn words first; we don't).
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

__all__ = ["CHAT_TEMPLATE", "CONTROL", "make_tokenizer", "save_tokenizer"]

CONTROL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
# One capital that begins no word; a digit; line ends; words with the spaces around them, up to
# the next capital; any other sign.
_PIECES = r"[A-Z](?![a-z])|\d|\n+| ?[A-Z]?[a-z][a-z ,'.]*|[ ,'.]+|[^A-Za-z\d\n ,'.]"


def make_tokenizer(texts: Iterable[str], size: int) -> Tokenizer:
    """Learn a vocabulary of ``size`` tokens, bytes and control tokens included."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(CONTROL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=40,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, max_length: int) -> None:
    """Write tokenizer.json and tokenizer_config.json as the Hugging Face libraries read them."""
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "pad_token": "<|pad|>",
        "eos_token": "<|end|>",
        "additional_special_tokens": list(CONTROL[2:]),
        "chat_template": CHAT_TEMPLATE,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")

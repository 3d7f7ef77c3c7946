"""Make tests/data/llama: a small random Llama and what transformers says about it.

    python tests/llm_agents/make_llama_fixture.py      (needs torch and transformers)

Grouped queries, heads wider than width / heads, attention biases, untied embeddings, Llama 3's
stretched rotary positions, weights in two files with an index.
"""

import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

FOLDER = Path(__file__).resolve().parents[1] / "data" / "llama"
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('unknown role') }}{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] | trim }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def main() -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=288,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=12,
        max_position_embeddings=256,
        attention_bias=True,
        tie_word_embeddings=False,
        rms_norm_eps=1e-5,
        eos_token_id=2,
        bos_token_id=1,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 5000.0,
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    )
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            scale = 0.3 if weight.ndim == 2 else 0.2
            weight.copy_(torch.randn_like(weight) * scale + ("norm" in name))
    model.save_pretrained(FOLDER, max_shard_size="80KB")
    write_tokenizer()
    tokens = torch.randint(3, 288, (3, 96))
    with torch.no_grad():
        logits = model(tokens).logits
    np.savez_compressed(
        FOLDER / "expected.npz",
        tokens=tokens.numpy().astype(np.int32),
        places=np.array([0, 1, 17, 63, 95]),
        logits=logits[:, [0, 1, 17, 63, 95]].numpy(),
    )


def write_tokenizer() -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    control = ["<|pad|>", "<|begin|>", "<|im_end|>", "<|im_start|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=288,
        special_tokens=control,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["yes no maybe the number the other the option"], trainer)
    tokenizer.save(str(FOLDER / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|begin|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|pad|>",
        "chat_template": TEMPLATE,
    }
    (FOLDER / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


if __name__ == "__main__":
    main()

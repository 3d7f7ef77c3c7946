"""The model card: what society-tiny is, how it was trained, what it can do and what it cannot."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llm_agents.llama.config import Config

__all__ = ["write_card"]

_OPENING = """# society-tiny

A language model of {millions:.2f} million parameters in Hugging Face format (Llama architecture,
{layers} layers, width {width}, {heads} heads over {shared} heads of keys, vocabulary {vocab}). It
lets language agents run offline with real tokens: for demonstrations, examples and tests.

**It is no substitute for a language model.** It knows the prompts of this project's worlds and
little else. What it shows about a game says how it was taught, not how people or large models play.

## Data

Lessons are recorded while `chat` agents sit in this project's worlds, told by the real captions
and prompts; scripted teachers answer (`llm_agents/tiny/lessons_*.py`):

- the Donor Game: a strategy sentence at birth, with a level of generosity and a rule (give to all,
  copy the recipient's last gift, give nothing to the mean); with advice, the sentence of one
  adviser, its number sometimes moved by ten; then gifts in percent that follow the sentence;
- repeated two-player games with any labels, payoffs and cover stories: tit for tat (also without a
  persona), always cooperate or defect, win-stay lose-shift, alternation, a fixed label;
- public goods: generous, selfish, fair, and conditional cooperators;
- short stories retold and mixed, small talk, invitations, daily plans, ratings of importance,
  yes/no surveys, questions about payoffs, who said what.

Nothing was written by people or by other models. The loss counts answers (and, at a twentieth of
the weight, some places of the prompts). A fifth of the lessons are cut into tokens differently.

## Training

{steps} steps, {tokens:.1f} million tokens (padding included), {minutes:.0f} minutes on two cores
that were shared with other work. `python -m llm_agents.tiny.train` makes it again, and writes the
figures below.

| Step | Loss of the whole | Loss of answers |
|---:|---:|---:|
"""
_TEST = """
## What it can do

Held-out prompts from the same generators with another seed; none occurs in training. The *kinds*
of prompts are the same, so this is template competence, **not generalisation**. Temperature 0;
"decided" compares the option, number or sentence that counts, "exact" the whole text.

| Task | Prompts | Decided | Exact |
|---|---:|---:|---:|
"""
_CLOSING = """
## What it cannot do

- Follow instructions, personas or stories of other kinds than those above; answer in other
  languages; write code; know facts.
- Reckon: gifts are given in percent because it cannot multiply; it compares small numbers at best.
- Keep a long text in mind: prompts beyond about 500 tokens were not trained on.
- Notice that a question makes no sense: it answers with the nearest thing that it knows.
"""


def write_card(
    path: Path,
    config: Config,
    log: Sequence[Mapping[str, Any]],
    scores: Sequence[Any],
    step: int,
) -> None:
    """Write the card from the training's log and the scores of the test."""
    lines = [
        _OPENING.format(
            millions=_parameters(config) / 1e6,
            layers=config.num_layers,
            width=config.width,
            heads=config.num_heads,
            shared=config.num_kv_heads,
            vocab=config.vocab_size,
            steps=step,
            tokens=_total(log, "tokens") / 1e6,
            minutes=_total(log, "s") / 60,
        ).rstrip("\n")
    ]
    size = max(1, len(log) // 16)
    for begin in range(0, len(log) - size + 1, size):
        part = log[begin : begin + size]
        mean = {name: sum(row[name] for row in part) / len(part) for name in ("loss", "answer")}
        lines.append(f"| {part[-1]['step']} | {mean['loss']:.3f} | {mean['answer']:.3f} |")
    lines.append(_TEST.rstrip("\n"))
    asked = sum(score.asked for score in scores)
    for task, number, decided, exact in [
        *scores,
        ("**all**", asked, sum(s.decided for s in scores), sum(s.exact for s in scores)),
    ]:
        lines.append(f"| {task} | {number} | {decided / number:.1%} | {exact / number:.1%} |")
    path.write_text("\n".join(lines) + "\n" + _CLOSING, encoding="utf-8")


def _total(log: Sequence[Mapping[str, Any]], name: str) -> float:
    """The sum over attempts; each counts from 0."""
    rows = [row[name] for row in log]
    return sum(row for row, after in zip(rows, [*rows[1:], 0.0], strict=True) if after < row)


def _parameters(config: Config) -> int:
    heads = (config.num_heads + 2 * config.num_kv_heads) * config.head_width
    block = config.width * (heads + config.num_heads * config.head_width)
    block += 3 * config.width * config.hidden_width + 2 * config.width
    embeddings = config.vocab_size * config.width * (1 if config.tied else 2)
    return embeddings + config.num_layers * block + config.width

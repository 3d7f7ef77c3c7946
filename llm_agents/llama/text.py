"""From a conversation to tokens and back, as the model's folder says: template and tokenizer.

Templates are what ``transformers`` takes (jinja2, in ``chat_template.jinja`` or in
``tokenizer_config.json``), rendered in the same kind of sandbox.
"""

import datetime
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox
from tokenizers import Tokenizer

from llm_agents.llama.config import read_json

__all__ = ["ChatText", "TemplateError"]


class TemplateError(ValueError):
    """A conversation that the model's template cannot write down."""


class ChatText:
    """A model's tokenizer and its chat template."""

    def __init__(self, folder: Path) -> None:
        """Read them.

        Raises:
          FileNotFoundError, ValueError: There is no tokenizer.json, or no template.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} has no tokenizer.json; the backend `local` reads tokenizers in that "
                "form (save the tokenizer with a recent version of transformers)"
            )
        self.tokenizer: Tokenizer = Tokenizer.from_file(str(path))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        settings = folder / "tokenizer_config.json"
        self._settings = read_json(settings) if settings.is_file() else {}
        self.source = _source(folder, self._settings)
        self._template = _environment().from_string(self.source)
        self.encode = functools.lru_cache(maxsize=4096)(self._encode)

    @property
    def end(self) -> int | None:
        """The token that the tokenizer's settings name as the end."""
        token = _content(self._settings.get("eos_token"))
        return self.tokenizer.token_to_id(token) if token else None

    def render(self, messages: Sequence[dict[str, str]], lead: str = "") -> str:
        """The whole prompt, up to where the answer goes on (behind ``lead``).

        A template without system messages gets the system's text before the first user's.

        Raises:
          TemplateError: The template refuses the conversation.
        """
        try:
            return self._render(messages) + lead
        except jinja2.TemplateError as error:
            joined = _without_system(messages)
            if joined is None:
                raise TemplateError(f"the chat template refused: {error}") from error
        try:
            return self._render(joined) + lead
        except jinja2.TemplateError as error:
            raise TemplateError(f"the chat template refused: {error}") from error

    def decode(self, tokens: Sequence[int]) -> str:
        """Text without control tokens."""
        return self.tokenizer.decode(list(tokens), skip_special_tokens=True)

    def _encode(self, text: str) -> tuple[int, ...]:
        """Tokens; the template has written the control tokens."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def _render(self, messages: Sequence[dict[str, str]]) -> str:
        named = {
            name: _content(value)
            for name, value in self._settings.items()
            if name.endswith("_token") and _content(value)
        }
        return self._template.render(messages=messages, add_generation_prompt=True, **named)


def _source(folder: Path, settings: dict[str, Any]) -> str:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    found = settings.get("chat_template")
    if isinstance(found, list):
        named = {entry["name"]: entry["template"] for entry in found}
        found = named.get("default")
    if not found:
        raise ValueError(
            f"{folder} has no chat template (chat_template.jinja, or chat_template in "
            "tokenizer_config.json); choose a model made for chats"
        )
    return found


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(
        value, ensure_ascii=False, **options
    )
    environment.globals["raise_exception"] = _refuse
    # A date in a prompt would make every day another run.
    environment.globals["strftime_now"] = datetime.datetime(2024, 7, 26).strftime
    return environment


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)


def _content(token: Any) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")


def _without_system(messages: Sequence[dict[str, str]]) -> list[dict[str, str]] | None:
    if len(messages) < 2 or messages[0]["role"] != "system" or messages[1]["role"] != "user":
        return None
    text = f"{messages[0]['content']}\n\n{messages[1]['content']}"
    return [{"role": "user", "content": text}, *messages[2:]]

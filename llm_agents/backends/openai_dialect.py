"""What the servers behind the OpenAI dialect do differently, by what they call themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["DIALECTS", "OPENAI", "Dialect", "dialect_of"]


@dataclass(frozen=True)
class Dialect:
    """One server's dialect.

    continues: how it is told to go on from a text: not at all, by vLLM's two flags, or by
      the last message being the assistant's.
    options: how it is held to options: vLLM's ``structured_outputs`` or llama.cpp's
      grammars (both on the boundary after a lead), or an enumeration in a JSON schema.
    regex: whether it can be held to a regular expression.
    """

    name: str
    continues: Literal["", "flags", "last"] = ""
    options: Literal["structured_outputs", "grammar", "schema"] = "schema"
    regex: bool = False

    @property
    def on_boundary(self) -> bool:
        """True where options can be held to right after a lead."""
        return self.options != "schema"


OPENAI = Dialect("openai")
DIALECTS: Mapping[str, Dialect] = {
    "openai": OPENAI,
    "vllm": Dialect("vllm", "flags", "structured_outputs", regex=True),
    "llamacpp": Dialect("llamacpp", "last", "grammar"),
    "ollama": Dialect("ollama", "last", "schema"),
}
_OWNERS = {"vllm": "vllm", "llamacpp": "llamacpp", "library": "ollama", "ollama": "ollama"}


def dialect_of(listed: Sequence[Mapping[str, Any]]) -> Dialect:
    """The dialect of a server, from the owners in its list of models."""
    for item in listed:
        name = _OWNERS.get(str(item.get("owned_by", "")).casefold())
        if name:
            return DIALECTS[name]
    return OPENAI

"""Prompts: templates in files, rendered in a sandbox where an undefined name is an error."""

import functools
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import jinja2.exceptions
import jinja2.sandbox
import jinja2.utils

from llm_agents.prompt_forms import Form, holes_of

__all__ = ["PromptError", "Prompts", "shortened"]

FOLDER = Path(__file__).parent / "prompts"


class PromptError(ValueError):
    """A template is wrong, or uses a name that it is not given."""


class _Names(dict[str, Any]):
    """What a template may use; any other name is missing, which jinja explains."""

    def __missing__(self, name: str) -> Any:
        return jinja2.utils.missing


class Prompts:
    """The templates of one policy: the shipped ones, some of them replaced."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        """Use ``prompts_of``, which shares equal sets."""
        self._sources = dict(sources)
        self._environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
            undefined=jinja2.StrictUndefined,
            loader=jinja2.DictLoader(self._sources),
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
        )
        self._globals = dict(self._environment.globals)
        self._compiled: dict[str, jinja2.Template] = {}
        # Rules, personas, questions and earlier turns repeat; rendering costs as much as the
        # rest of a turn.
        self.render_again = functools.lru_cache(maxsize=1 << 16)(self.render)

    @classmethod
    def shipped(cls, replaced: Mapping[str, str] | None = None) -> "Prompts":
        """The project's own templates, with those in ``replaced`` (name -> source) instead.

        Raises:
          PromptError: A name that no prompt has, or a source that is no template.
        """
        return _shared(tuple(sorted((replaced or {}).items())))

    def render(self, template: str, /, **values: Any) -> str:
        """Fill in a template and strip space around it.

        Raises:
          PromptError: It uses a name that it is not given, or does what the sandbox forbids.
        """
        try:
            found = self._compiled.get(template)
            if found is None:
                found = self._compiled[template] = self._environment.get_template(template)
            # ``Template.render`` would copy the global names through a chain of maps, twice,
            # and look every name up in two dictionaries; which takes longer than all the rest.
            names = _Names(self._globals)
            names.update(values)
            context = self._environment.context_class(
                self._environment, names, found.name, found.blocks
            )
            if not found.blocks:  # their names may be set by the template itself
                context.resolve_or_missing = names.__getitem__  # type: ignore[method-assign]
            return "".join(found.root_render_func(context)).strip()
        except (jinja2.TemplateError, jinja2.exceptions.SecurityError) as error:
            raise PromptError(_explain(template, error, values)) from error
        except (TypeError, OverflowError) as error:
            raise PromptError(f"prompt {template!r}: {error}") from error

    def filler(self, template: str, names: tuple[str, ...]) -> Callable[..., str]:
        """Make a function like ``render`` that takes the values of these names, in this order.

        Faster where a template mostly shows what it is given.
        """
        holes = holes_of(self._environment.parse(self._sources[template]))
        return Form(holes, names, functools.partial(self.render, template)).fill

    def render_text(self, source: str, what: str, /, **values: Any) -> str:
        """Fill in a template that is given as text (a persona)."""
        try:
            return self._from_text(source).render(values).strip()
        except (jinja2.TemplateError, jinja2.exceptions.SecurityError) as error:
            raise PromptError(_explain(what, error, values)) from error
        except (TypeError, OverflowError) as error:
            raise PromptError(f"prompt {what!r}: {error}") from error

    def hashes(self) -> dict[str, str]:
        """SHA-256 of every template's source, by name."""
        return {
            name: hashlib.sha256(source.encode()).hexdigest()
            for name, source in sorted(self._sources.items())
        }

    def check(self) -> None:
        """Raise PromptError where a template cannot be read."""
        for name, source in self._sources.items():
            self.check_text(source, name)

    def check_text(self, source: str, what: str) -> None:
        """Raise PromptError where a text is no template."""
        try:
            self._environment.parse(source)
        except jinja2.TemplateSyntaxError as error:
            raise PromptError(_explain(what, error, {})) from error

    @functools.lru_cache(maxsize=256)  # noqa: B019 - Prompts are shared and few
    def _from_text(self, source: str) -> jinja2.Template:
        return self._environment.from_string(source)


def shortened(items: list[Any], budget_chars: int, size: Any = len) -> tuple[list[Any], int]:
    """Keep the newest items that fit, oldest first; returns them and how many were left out.

    The newest item is kept even where it alone is too long.

    >>> shortened(["aaaa", "bb", "cc"], 5)
    (['bb', 'cc'], 1)
    """
    used = 0
    kept = 0
    for item in reversed(items):
        used += size(item)
        if used > budget_chars and kept:
            break
        kept += 1
    return items[len(items) - kept :], len(items) - kept


@functools.cache
def _sources() -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.j2"))}


@functools.lru_cache(maxsize=64)
def _shared(replaced: tuple[tuple[str, str], ...]) -> Prompts:
    sources = dict(_sources())
    unknown = [name for name, _ in replaced if name not in sources]
    if unknown:
        raise PromptError(f"there is no prompt {unknown[0]!r}; there are {', '.join(sources)}")
    prompts = Prompts(sources | dict(replaced))
    prompts.check()
    return prompts


def _explain(name: str, error: Exception, values: Mapping[str, Any]) -> str:
    line = f", line {error.lineno}" if isinstance(error, jinja2.TemplateSyntaxError) else ""
    known = f"; names it may use: {', '.join(sorted(values))}" if values else ""
    return f"prompt {name!r}{line}: {error}{known}"

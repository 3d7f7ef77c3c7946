"""Reads YAML that strangers wrote: YAML 1.2 core scalars, and nothing that can surprise.

The parser's events are turned into plain dicts, lists, texts, numbers, booleans and None
here, so no constructor of the YAML library ever runs. Anchors, aliases, tags, merge keys,
repeated keys, NaN, infinities, deep nesting and large files are refused where they stand.
Keys are always texts.
"""

import dataclasses
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import yaml

from society.errors import Problem, ScenarioError

__all__ = ["MAX_BYTES", "MAX_DEPTH", "Mark", "Source", "parse", "read", "scalar"]

MAX_BYTES = 1 << 20
MAX_DEPTH = 40
_MAX_INT = 1 << 63

_INT = re.compile(r"[-+]?[0-9]+\Z")
_OCT = re.compile(r"0o[0-7]+\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader


@dataclasses.dataclass(frozen=True)
class Mark:
    """Where a key and its value begin, lines and columns counted from 1."""

    key: tuple[int, int]
    value: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Source:
    """A YAML text and what it says. ``name`` is the file as the user named it."""

    name: str
    text: str
    data: Any

    def find(self, path: tuple[str, ...]) -> tuple[int, Mark]:
        """Return how many parts of a path exist here, and the mark of the last of them."""
        marks: dict[tuple[str, ...], Mark] = {}
        parse(self.text, self.name, marks, most=len(self.text))
        for length in range(len(path), -1, -1):
            if path[:length] in marks:
                return length, marks[path[:length]]
        return 0, Mark((1, 1), (1, 1))


def read(path: Path, name: str | None = None, most: int = MAX_BYTES) -> Source:
    """Read a YAML file.

    Raises:
      ScenarioError: The file cannot be read, or is no acceptable YAML.
    """
    name = name or str(path)
    try:
        if not path.is_file():
            raise OSError("there is no such file" if not path.exists() else "it is not a file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise OSError(
                f"it has {size:,} bytes, at most {MAX_BYTES:,} are read; use a table file"
            )
        raw = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ScenarioError(Problem(name, 1, 1, "", f"cannot read the file: {reason}")) from None
    text = _decode(raw, name)
    return Source(name, text, parse(text, name, most=most))


def parse(
    text: str,
    name: str = "<text>",
    marks: dict[tuple[str, ...], Mark] | None = None,
    most: int = MAX_BYTES,
) -> Any:
    """Return the value of one YAML document.

    Args:
      text: at most ``most`` characters of YAML.
      name: what problems call the text.
      marks: filled with the position of every path, list indices as texts.

    Raises:
      ScenarioError: With line and column.
    """
    if len(text) > most:
        raise ScenarioError(Problem(name, 1, 1, "", f"more than {most:,} characters"))
    try:
        return _Builder(name, marks).build(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        parts = [part for part in (error.context, error.problem) if part]
        message = f"not valid YAML: {', '.join(parts)}"
        raise ScenarioError(Problem(name, line, column, "", message)) from None
    except yaml.YAMLError as error:
        line, column = _control_character(text)
        message = f"not valid YAML: {str(error).splitlines()[0]}"
        raise ScenarioError(Problem(name, line, column, "", message)) from None


def scalar(text: str) -> Any:
    """Return what a plain scalar means in the core schema of YAML 1.2.

    ``0123`` is 123, ``1e-3`` a number, ``yes`` and ``1_000`` are texts.

    Raises:
      ValueError: NaN, an infinity, or a number too large to hold.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        value = int(text) if len(text) < 25 else _MAX_INT
    elif _OCT.match(text):
        value = int(text[2:], 8)
    elif _HEX.match(text):
        value = int(text[2:], 16) if len(text) < 25 else _MAX_INT
    elif _FLOAT.match(text):
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{text[:40]} is too large for a number")
        return value
    elif _NOT_FINITE.match(text):
        raise ValueError(f"{text} is not a finite number; write a number, or quote a text")
    else:
        return text
    if abs(value) >= _MAX_INT:
        raise ValueError(f"{text[:40]} is too large for an integer; quote it if it is a text")
    return value


class _Frame:
    """A collection under construction."""

    __slots__ = ("key", "path", "value")

    def __init__(self, value: Any, path: tuple[str, ...]) -> None:
        self.value = value
        self.path = path
        self.key: tuple[str, tuple[int, int]] | None = None


class _Builder:
    """Turns parser events into values; holds the stack of open collections."""

    def __init__(self, name: str, marks: dict[tuple[str, ...], Mark] | None) -> None:
        self.name = name
        self.marks = marks
        self.stack: list[_Frame] = []
        self.root: Any = None
        self.documents = 0

    def build(self, events: Iterator[yaml.Event]) -> Any:
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    self.fail(event, "a second document begins; one file holds one scenario")
            elif isinstance(event, yaml.AliasEvent):
                self.fail(event, "aliases (*name) are not allowed; use extends or a table")
            elif isinstance(event, yaml.NodeEvent):
                self.node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self.stack.pop()
        return self.root

    def node(self, event: Any) -> None:
        if event.anchor is not None:
            self.fail(event, "anchors (&name) are not allowed; use extends or a table")
        if event.tag is not None:
            self.fail(event, f"tags ({str(event.tag)[:60]}) are not allowed; write plain values")
        frame = self.stack[-1] if self.stack else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            self.key(event, frame)
            return
        if isinstance(event, yaml.ScalarEvent):
            self.put(event, self.value(event))
            return
        if len(self.stack) >= MAX_DEPTH:
            self.fail(event, f"nested more than {MAX_DEPTH} levels deep")
        value: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.stack.append(_Frame(value, self.put(event, value)))

    def key(self, event: Any, frame: _Frame) -> None:
        if isinstance(event, yaml.MappingStartEvent):
            self.fail(event, 'a key must be a text (quote it: "{{ name }}")')
        if isinstance(event, yaml.SequenceStartEvent):
            self.fail(event, "a key must be a text")
        if event.value == "<<" and event.implicit[0]:
            self.fail(event, "merge keys (<<) are not allowed; use extends")
        if event.value in frame.value:
            self.fail(event, "the key appears twice", (*frame.path, event.value))
        frame.key = (event.value, _position(event))

    def value(self, event: Any) -> Any:
        if not event.implicit[0]:
            return event.value
        try:
            return scalar(event.value)
        except ValueError as error:
            self.fail(event, str(error), self.here())

    def put(self, event: Any, value: Any) -> tuple[str, ...]:
        """Hang a value into the open collection; returns its path."""
        path = self.here()
        key = _position(event)
        if not self.stack:
            self.root = value
        else:
            frame = self.stack[-1]
            if frame.key is not None:
                name, key = frame.key
                frame.value[name] = value
                frame.key = None
            else:
                frame.value.append(value)
        if self.marks is not None:
            self.marks[path] = Mark(key, _position(event))
        return path

    def here(self) -> tuple[str, ...]:
        """Path of the value that comes next."""
        if not self.stack:
            return ()
        frame = self.stack[-1]
        last = frame.key[0] if frame.key is not None else str(len(frame.value))
        return (*frame.path, last)

    def fail(self, event: Any, message: str, path: tuple[str, ...] = ()) -> NoReturn:
        line, column = _position(event)
        raise ScenarioError(Problem(self.name, line, column, ".".join(path)[:200], message))


def _position(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _decode(raw: bytes, name: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8", "replace")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        problem = Problem(name, line, column, "", "not UTF-8 text; save the file as UTF-8")
        raise ScenarioError(problem) from None


def _control_character(text: str) -> tuple[int, int]:
    """Position of the first character that YAML does not allow."""
    bad = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
    start = bad.start() if bad else 0
    return text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)

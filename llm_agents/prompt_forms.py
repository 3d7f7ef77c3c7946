r"""Prompts with holes: what a template says is rendered once, what differs is filled in.

Some values of a template are only shown (``{{ text }}``, ``{% if text %}``), or are lists
whose items are only shown. As long as the same of them are empty and the lists have the same
lengths, nothing but their own texts changes from one rendering to the next. So the template is
rendered with a mark in the place of each, and the marks are filled in from then on, which
gives the same text in a tenth of the time.
"""

import dataclasses
import operator
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jinja2 import nodes

__all__ = ["Form", "Holes", "holes_of"]

# What a template says, and what picks the values shown in the order of their places.
Kind = tuple[str, Callable[[Any], tuple]]
_MOST_KINDS = 512
_OPAQUE = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block)
_SIGN = f"\x00{secrets.token_hex(8)}"  # no text can hold it by design
_MARK = re.compile(f"{_SIGN}:(\\d+)\x00")


@dataclasses.dataclass(frozen=True)
class Holes:
    """Names of values that a template only shows, and of lists whose items it only shows."""

    texts: frozenset[str] = frozenset()
    lists: frozenset[str] = frozenset()


class Form:
    """A template whose holes are filled in; other values make another kind of it."""

    fill: Callable[..., str]
    """The text that the template gives with values in the order of the names, stripped."""

    def __init__(self, holes: Holes, names: Sequence[str], render: Callable[..., str]) -> None:
        """Take the names of all values, and how the template is rendered with them."""
        self._texts = [name for name in names if name in holes.texts]
        self._lists = [name for name in names if name in holes.lists]
        self._names, self._render = tuple(names), render
        self._kinds: dict[tuple, Kind] = {}
        self.fill = _filling(names, self._texts, self._lists)(self._kinds, self._fill_any)

    def _fill_any(
        self, values: tuple, shown: tuple, key: tuple, lists: Sequence[Sequence[str]] = ()
    ) -> str:
        """Fill in a kind that may be new, and where there are lists: a kind has their lengths."""
        items = [item for one in lists for item in one]
        named = dict(zip(self._names, values, strict=True))
        if not all(items):
            return self._render(**named)
        key, shown = (*key, *map(len, lists)), (*shown, *items)
        try:
            kind = self._kinds.get(key)
        except TypeError:  # one of the others cannot be hashed
            return self._render(**named)
        if kind is None:
            kind = self._kinds[key] = self._made(named)
        said, pick = kind
        return (said % pick(shown)).strip()

    def _made(self, values: Mapping[str, Any]) -> Kind:
        """What the template says, and what picks the values shown in the order of their places."""
        marked, count = dict(values), 0
        for name in self._texts:
            if values[name]:
                marked[name] = _mark(count)
            count += 1
        for name in self._lists:
            length = len(values[name])
            marked[name] = [_mark(place) for place in range(count, count + length)]
            count += length
        parts = _MARK.split(self._render(**marked))
        if len(self._kinds) >= _MOST_KINDS:
            self._kinds.clear()
        said = "%s".join(part.replace("%", "%%") for part in parts[::2])
        return said, _picker([int(place) for place in parts[1::2]])


def _picker(places: Sequence[Any]) -> Callable[[Any], tuple]:
    """A function that picks a tuple of what is in these places; ``itemgetter``, of any number."""
    if len(places) > 1:
        return operator.itemgetter(*places)
    return lambda held: tuple([held[place] for place in places])


def _filling(
    names: Sequence[str], texts: Sequence[str], lists: Sequence[str]
) -> Callable[..., Callable[..., str]]:
    """What makes ``Form.fill``, which picks texts and what makes a kind: which texts are empty.

    Written out, it takes half the time of going through the names.
    """
    held = {name: f"v{place}" for place, name in enumerate(names)}
    every, shown = _tuple(held.values()), _tuple([held[name] for name in texts])
    listed = [held[name] for name in lists]
    others = [held[name] for name in names if name not in (*texts, *lists)]
    key = _tuple([*(f"{held[name]} and True" for name in texts), *others])
    made: dict[str, Any] = {}
    exec(
        "def make(kinds, fill_any):\n"
        f"    def fill({', '.join(held.values())}):\n"
        f"        key = {key}\n"
        f"        if {' or '.join(listed) or False}:\n"
        f"            return fill_any({every}, {shown}, key, {_tuple(listed)})\n"
        "        try:\n"
        "            said, pick = kinds[key]\n"
        "        except (KeyError, TypeError):\n"
        f"            return fill_any({every}, {shown}, key)\n"
        f"        return (said % pick({shown})).strip()\n"
        "    return fill\n",
        made,
    )
    return made["make"]


def _tuple(parts: Iterable[str]) -> str:
    return f"({''.join([f'{part}, ' for part in parts])})"


def holes_of(template: nodes.Template) -> Holes:
    """Find the holes of a parsed template; what is used in any other way is none."""
    if next(template.find_all(_OPAQUE), None) is not None:
        return Holes()
    uses = _Uses()
    uses.read(template.body, {})
    return Holes(
        frozenset(uses.texts - uses.lists - uses.otherwise),
        frozenset(uses.lists - uses.texts - uses.otherwise),
    )


def _mark(place: int) -> str:
    return f"{_SIGN}:{place}\x00"


class _Uses:
    """How a template uses names: shown or tested, gone through item by item, or otherwise."""

    def __init__(self) -> None:
        self.texts: set[str] = set()
        self.lists: set[str] = set()
        self.otherwise: set[str] = set()

    def read(self, body: Sequence[nodes.Node], items: Mapping[str, str]) -> None:
        """Go through statements; ``items``: name of a loop's item -> name of the list."""
        for node in body:
            if isinstance(node, nodes.Output):
                for part in node.nodes:
                    self._show(part, items)
            elif isinstance(node, nodes.If):
                if not isinstance(node.test, nodes.Name):
                    self._use_otherwise(node.test, items)
                self.read([*node.body, *node.elif_, *node.else_], items)
            elif isinstance(node, nodes.For):
                self._loop(node, items)
            else:
                self._use_otherwise(node, items)

    def _show(self, part: nodes.Node, items: Mapping[str, str]) -> None:
        if isinstance(part, nodes.Name):
            if part.name not in items:
                self.texts.add(part.name)
        elif not isinstance(part, nodes.TemplateData):
            self._use_otherwise(part, items)

    def _loop(self, node: nodes.For, items: Mapping[str, str]) -> None:
        plain = node.test is None and not node.recursive
        source, target = node.iter, node.target
        if not (plain and isinstance(source, nodes.Name) and isinstance(target, nodes.Name)):
            self._use_otherwise(node, items)
            return
        if source.name in items:  # a list of lists
            self.otherwise.add(items[source.name])
        else:
            self.lists.add(source.name)
        self.read(node.body, {**items, target.name: source.name})
        self.read(node.else_, items)

    def _use_otherwise(self, node: nodes.Node, items: Mapping[str, str]) -> None:
        names = {name.name for name in node.find_all(nodes.Name)}
        if isinstance(node, nodes.Name):
            names.add(node.name)
        self.otherwise |= {items.get(name, name) for name in names}

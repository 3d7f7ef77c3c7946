"""Pieces of a report, in HTML and in Markdown at once; every text is escaped here."""

import dataclasses
import html
from collections.abc import Sequence
from typing import Any

__all__ = ["Page", "spoken"]


@dataclasses.dataclass
class Page:
    """A report while it is written: each call adds the same thing to both forms.

    figures: name -> SVG, in the order in which they appear. tables: name -> (columns, rows) that
    are written beside the page as CSV.
    """

    title: str
    body: list[str] = dataclasses.field(default_factory=list)
    text: list[str] = dataclasses.field(default_factory=list)
    figures: dict[str, str] = dataclasses.field(default_factory=dict)
    tables: dict[str, tuple[list[str], list[list[Any]]]] = dataclasses.field(default_factory=dict)

    def head(self, kicker: str, status: str, facts: Sequence[str]) -> None:
        """The title with what kind of thing this is."""
        joined = " · ".join(facts)
        self.body.append(
            f'<header><p class="kicker">{_e(kicker)}</p><h1>{_e(self.title)}</h1>'
            f'<p class="facts"><span class="status {_e(status)}">{_e(status)}</span> · '
            f"{_e(joined)}</p></header>"
        )
        self.text.append(f"# {_m(self.title)}\n\n*{_m(kicker)}* · **{_m(status)}** · {_m(joined)}")

    def section(self, title: str) -> None:
        """A heading."""
        self.body.append(f"<h2>{_e(title)}</h2>")
        self.text.append(f"## {_m(title)}")

    def part(self, title: str) -> None:
        """A smaller heading."""
        self.body.append(f"<h3>{_e(title)}</h3>")
        self.text.append(f"### {_m(title)}")

    def paragraph(self, text: str, kind: str = "") -> None:
        """Some sentences."""
        self.body.append(f'<p class="{kind}">{_e(text)}</p>' if kind else f"<p>{_e(text)}</p>")
        self.text.append(_m(text))

    def tiles(self, entries: Sequence[tuple[str, str, str]]) -> None:
        """The most important numbers: name, value, what stands below."""
        self.body.append(
            '<div class="tiles">'
            + "".join(
                f'<div class="tile"><div class="name">{_e(name)}</div>'
                f'<div class="value">{_e(value)}</div><div class="ends">{_e(below)}</div></div>'
                for name, value, below in entries
            )
            + "</div>"
        )
        self.text.append("\n".join(f"- {_m(n)}: **{_m(v)}** {_m(b)}" for n, v, b in entries))

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> None:
        """A table; the first ``words`` columns are words, the others numbers."""
        kinds = ["" if i < words else ' class="n"' for i in range(len(headings))]
        head = "".join(f"<th{k}>{_e(h)}</th>" for k, h in zip(kinds, headings, strict=True))
        lines = [
            "<tr>"
            + "".join(f"<td{k}>{_e(cell)}</td>" for k, cell in zip(kinds, row, strict=True))
            + "</tr>"
            for row in rows
        ]
        self.body.append(
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(lines)}</tbody></table></div>"
        )
        rule = "|".join("---" if i < words else "--:" for i in range(len(headings)))
        told = ["| " + " | ".join(_m(cell) for cell in row) + " |" for row in [headings, *rows]]
        self.text.append("\n".join([told[0], f"|{rule}|", *told[1:]]))

    def plots(self, entries: Sequence[tuple[str, str, str]], wide: bool = False) -> None:
        """Figures side by side: caption, remark, SVG."""
        kind = ' class="wide"' if wide else ""
        self.body.append(
            '<div class="figures">'
            + "".join(
                f"<figure{kind}><figcaption>{_e(caption)} <span>{_e(remark)}</span></figcaption>"
                f"{svg}</figure>"
                for caption, remark, svg in entries
            )
            + "</div>"
        )
        for caption, remark, svg in entries:
            name = "".join(c if c.isalnum() else "_" for c in caption.lower()).strip("_")[:50]
            while name in self.figures:
                name += "_"
            self.figures[name] = svg
            self.text.append(f"![{_m(f'{caption} {remark}'.strip())}](FIGURES/{name}.svg)")

    def notes(self, texts: Sequence[str]) -> None:
        """What a reader must know before believing the rest."""
        if texts:
            items = "".join(f"<li>{_e(text)}</li>" for text in texts)
            self.body.append(f'<div class="notes"><ul>{items}</ul></div>')
            self.text.append("\n".join(f"> {_m(text)}" for text in texts))

    def claim(self, status: str, words: str) -> None:
        """What may be said, marked by whether it was borne out."""
        kind = {"validated": "good", "qualified": "warn"}.get(status, "plain")
        self.body.append(
            f'<div class="claim {kind}"><b>{_e(status.capitalize())}</b><p>{_e(words)}</p></div>'
        )
        self.text.append(f"**{_m(status.capitalize())}.** {_m(words)}")

    def said(self, when: str, prompt: Sequence[tuple[str, str]], answer: str) -> None:
        """A question to a model and its answer, folded away."""
        asked = "".join(
            f'<p class="role">{_e(role)}</p><div class="said">{_e(text)}</div>'
            for role, text in prompt
        )
        self.body.append(
            f"<details><summary>{_e(_first(answer))} <span>{_e(when)}</span></summary><div>{asked}"
            f'<p class="role">answer</p><div class="said answer">{_e(answer)}</div></div></details>'
        )
        quoted = "\n".join(f">     {line}" for line in _shown(answer).splitlines() or [""])
        self.text.append(f"{_m(when)}:\n\n{quoted}")

    def talk(self, when: str, speaker: str, text: str) -> None:
        """A message between agents."""
        self.body.append(
            f'<p class="talk"><b>{_e(speaker)}</b>: {_e(text)} <span>{_e(when)}</span></p>'
        )
        self.text.append(f"- {_m(speaker)}: {_m(text)} ({_m(when)})")

    def fold(self, title: str, text: str) -> None:
        """A long text, folded away; left out of the Markdown, which names the file instead."""
        self.body.append(f"<details><summary>{_e(title)}</summary><pre>{_e(text)}</pre></details>")


def spoken(name: str) -> str:
    """A measure's name as words."""
    return name.replace("_", " ").replace(".", " · ")


def _first(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else f"{line[:90]}…"


def _e(text: Any) -> str:
    """Text for HTML: control characters dropped, everything special escaped."""
    return html.escape(_shown(text), quote=True)


def _shown(text: Any) -> str:
    """A text without control characters and without marks that turn its direction."""
    return "".join(c for c in str(text) if (ord(c) >= 32 or c in "\n\t") and c not in _TURNS)


_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def _m(text: Any) -> str:
    """Text for Markdown, in which nothing is markup."""
    flat = " ".join(_shown(text).split())
    for mark in "\\`*_{}[]<>#|!&":
        flat = flat.replace(mark, f"\\{mark}" if mark not in "<>&" else _ENTITIES[mark])
    return flat


_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}

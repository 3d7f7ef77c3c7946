"""Reading answers strictly: what follows the last "Answer:", whole, or nothing.

A reply may argue before it answers, and an argument mentions amounts and options that are
not chosen. So only the line after the marker counts (or a reply that is nothing but the
answer), it must match from end to end, and two markers with different answers are refused.
"""

import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from worlds.types import ParseError

__all__ = ["Amount", "clean", "read_amount", "read_answer"]

Value = TypeVar("Value")

_MARKER = re.compile(r"(?i)\b(?:final[ \t]+)?answer[ \t]*[*_`]{0,3}[ \t]*[:=]")
_WRAPPING = " \t*_`\"'\u201c\u201d\u2018\u2019[](){}"
_NUMBER = r"(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
_AMOUNT = re.compile(
    rf"(?P<minus>[-−–]\s*)?(?P<sign>[$€£]\s*)?{_NUMBER}\s*(?P<unit>%|[a-z][a-z ]*|%[a-z ]+)?",
    re.ASCII | re.IGNORECASE,
)
_OF_WHAT = re.compile(r"\s+of\s+(?:(?:my|the|your)\s+)?(?:own\s+|valuable\s+)?[a-z]+$")


class Amount(NamedTuple):
    """A number that stands alone: a count of units, or a share where ``percent``."""

    value: float
    percent: bool


def read_answer(text: str, read: Callable[[str], Value], *, lines: bool = False) -> Value:
    """Apply ``read`` to the answer in a reply.

    Args:
      text: the whole reply.
      read: turns the cleaned answer into a value, raising ParseError.
      lines: the answer may take several lines, up to an empty one.

    Raises:
      ParseError: No marker and more than an answer, an answer that cannot be read, or two
        different answers.
    """
    text = text.rpartition("</think>")[2]
    marks = list(_MARKER.finditer(text))
    if not marks:
        return read(_only_line(text, lines))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    parts = [text[mark.end() : end] for mark, end in zip(marks, ends, strict=True)]
    value = read(_answer_of(parts[-1], lines))
    for part in parts[:-1]:
        try:
            other = read(_answer_of(part, lines))
        except ParseError:
            continue
        if other != value:
            raise ParseError(
                "the reply holds two different answers; give one line that begins with 'Answer:'"
            )
    return value


def read_amount(answer: str, units: frozenset[str], form: str) -> Amount:
    """Read an answer that is nothing but an amount: 5, 5 units, $5, 1,250.5, 50%.

    Args:
      answer: the cleaned answer.
      units: words that may follow a number.
      form: what was asked for, for the error.
    """
    match = _AMOUNT.fullmatch(answer)
    if not match:
        raise ParseError(f"{_quoted(answer)} is not an amount. {form}")
    value = float(match["number"].replace(",", ""))
    if match["minus"]:
        raise ParseError(f"{_quoted(answer)} is negative. {form}")
    unit = _OF_WHAT.sub("", " " + (match["unit"] or "").lower().strip()).strip()
    percent = unit in ("%", "percent", "per cent")
    if unit and not percent and unit not in units:
        raise ParseError(f"{_quoted(answer)} counts something else. {form}")
    if percent and match["sign"]:
        raise ParseError(f"{_quoted(answer)} mixes money and percent. {form}")
    return Amount(value, percent)


def clean(answer: str) -> str:
    """Take off the signs that models wrap around an answer, and the full stop behind it."""
    return answer.strip(_WRAPPING + "\r\n").rstrip(".!").strip(_WRAPPING + "\r\n")


def _only_line(text: str, lines: bool) -> str:
    stripped = text.strip()
    if not stripped:
        raise ParseError("the reply is empty; end it with a line that begins with 'Answer:'")
    if "\n" in stripped and not lines:
        raise ParseError("the reply has no 'Answer:' line; end it with one")
    return clean(stripped)


def _answer_of(part: str, lines: bool) -> str:
    # A marker may stand in a line of its own, with the answer below; signs that close
    # an emphasis around the marker stay behind it.
    block = part.lstrip(" \t*_`\r\n")
    end = re.search(r"\n\s*\n" if lines else r"\n", block)
    answer = clean(block[: end.start()] if end else block)
    if not answer:
        raise ParseError("nothing follows 'Answer:'; give your answer behind it")
    return answer


def _quoted(answer: str) -> str:
    return repr(answer if len(answer) <= 60 else answer[:57] + "...")

"""Finding the parts of a reply: answers, messages, strategies, lists, ratings, insights."""

import re

__all__ = [
    "answer_part",
    "insights",
    "labelled",
    "message_part",
    "messages_in",
    "numbered",
    "ratings",
    "strategy_sentence",
    "without_message",
]

_THOUGHT = re.compile(r"<think>.*?</think>\s*", re.S | re.I)
_ANSWER = re.compile(r"(?im)^[\s*_#>-]*(?:final\s+)?answer[\s*_]*[:\uff1a=]\s*(.*)$")
_INLINE = re.compile(r"(?i)\banswer\s*[:\uff1a]\s*([^\n]*)")
_MESSAGE = re.compile(
    r"(?im)^[\s*_]*message(?:[ \t]+to[ \t]+([^:\n]{1,80}?))?[\s*_]*[:\uff1a][ \t]*(.*)$"
)
_ITEM = re.compile(r"^(?:\d{1,3}\s*[.):]|[-*\u2022])\s*(.+)$")
_RATING = re.compile(r"(?m)^[\s*_-]*(\d{1,3})\s*[.:)=\u2013-]+\s*(\d{1,2})\b")
_BECAUSE = re.compile(r"(?i)[(\[]?\s*because of\s*([\d,;\s and]*)[)\].]*\s*$")
_STRATEGY = re.compile(r"my strategy (?:will be|is)\b", re.I)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+(?=[A-Z\"'“(]|$)|\n")
_MARKS = " \t*_`\"'“”"


def answer_part(reply: str) -> str | None:
    r"""What stands after the last "Answer:", or None where there is none.

    >>> answer_part("Justification: fair.\n**Answer:** 4 units")
    '4 units'
    """
    reply = without_thoughts(reply)
    found = _ANSWER.findall(reply) or _INLINE.findall(reply)
    if not found:
        return None
    return found[-1].strip(_MARKS)


def message_part(reply: str) -> str:
    """What the first message says, or nothing."""
    return next((text for _, text in messages_in(reply)), "")


def without_message(reply: str) -> str:
    """The reply without its message lines, which are for others and decide nothing."""
    return _MESSAGE.sub("", reply) if "essage" in reply or "ESSAGE" in reply else reply


def strategy_sentence(reply: str, longest_chars: int = 600) -> str | None:
    """The last sentence that begins with "My strategy will be", or None.

    >>> strategy_sentence("Hm. My strategy will be to give 40%. Good luck!")
    'My strategy will be to give 40%.'
    """
    reply = without_thoughts(reply)
    starts = [found.start() for found in _STRATEGY.finditer(reply)]
    if not starts:
        return None
    sentence = _SENTENCE_END.split(reply[starts[-1] :], maxsplit=1)[0].strip(_MARKS)
    return " ".join(sentence.split())[:longest_chars]


def without_thoughts(reply: str) -> str:
    """The reply without a reasoning model's thoughts."""
    return _THOUGHT.sub("", reply) if "</" in reply else reply


def numbered(reply: str, most: int, longest_chars: int = 300) -> list[str]:
    r"""The entries of a list, one a line, without numbers or dashes; at most ``most``.

    >>> numbered("Sure:\n1. Get up\n2) Eat", 5)
    ['Get up', 'Eat']
    """
    lines = [line.strip() for line in without_thoughts(reply).split("\n") if line.strip()]
    marked = [found[1].strip(_MARKS) for line in lines if (found := _ITEM.match(line))]
    items = marked or [line.strip(_MARKS) for line in lines]
    return [item[:longest_chars] for item in items if item][:most]


def labelled(reply: str, *labels: str) -> dict[str, str]:
    r"""What stands after "Label:" at the beginning of a line, by label, in small letters.

    >>> labelled("Belief: they cooperate.\nDesire: more", "belief", "desire", "intention")
    {'belief': 'they cooperate.', 'desire': 'more'}
    """
    text = without_thoughts(reply)
    found = {}
    for label in labels:
        match = re.search(rf"(?im)^[\s*_#>-]*{label}s?[\s*_]*[:\uff1a][ \t]*(.+)$", text)
        if match and match[1].strip(_MARKS):
            found[label] = match[1].strip(_MARKS)
    return found


def ratings(reply: str, count: int) -> dict[int, int]:
    r"""Ratings from 1 to 10 by number of the item; what cannot be read is left out.

    >>> ratings("1: 4\n2 - 11\n3: 7", 3)
    {1: 4, 3: 7}
    """
    text = without_thoughts(reply)
    found = {int(item): int(value) for item, value in _RATING.findall(text)}
    if not found and count == 1 and (alone := re.search(r"\b(10|[1-9])\b", text)):
        found = {1: int(alone[1])}
    return {i: value for i, value in found.items() if 1 <= i <= count and 1 <= value <= 10}


def insights(reply: str, most: int, count: int) -> list[tuple[str, tuple[int, ...]]]:
    """Conclusions with the numbers (1 to ``count``) of what they rest on.

    >>> insights("1. Ada gives. (because of 2, 9)", 5, 3)
    [('Ada gives.', (2,))]
    """
    found = []
    for line in numbered(reply, most):
        because = _BECAUSE.search(line)
        text = line[: because.start()].strip(_MARKS) if because else line
        named = [int(number) for number in re.findall(r"\d+", because[1])] if because else []
        if text:
            found.append((text, tuple(n for n in dict.fromkeys(named) if 1 <= n <= count)))
    return found


def messages_in(reply: str) -> list[tuple[str, str]]:
    r"""Every message of a reply: (whom it names, or "" for everybody; the text).

    >>> messages_in("Message to Ada: hi\nMessage: hello all\nAnswer: 3")
    [('Ada', 'hi'), ('', 'hello all')]
    """
    found = []
    for name, text in _MESSAGE.findall(without_thoughts(reply)):
        text = text.strip(_MARKS)
        if text not in ("", "-", "\u2013", "\u2014"):
            found.append((name.strip(_MARKS), text))
    return found

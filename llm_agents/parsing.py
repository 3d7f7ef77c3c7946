"""Finding the parts of a reply: the answer line, the message line, the strategy sentence."""

import re

__all__ = ["answer_part", "message_part", "strategy_sentence", "without_message"]

_THOUGHT = re.compile(r"<think>.*?</think>\s*", re.S | re.I)
_ANSWER = re.compile(r"(?im)^[\s*_#>-]*(?:final\s+)?answer[\s*_]*[:\uff1a=]\s*(.*)$")
_INLINE = re.compile(r"(?i)\banswer\s*[:\uff1a]\s*([^\n]*)")
_MESSAGE = re.compile(r"(?im)^[\s*_]*message[\s*_]*[:\uff1a]\s*(.*)$")
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
    """What stands after "Message:", or nothing."""
    found = _MESSAGE.search(without_thoughts(reply))
    text = found[1].strip(_MARKS) if found else ""
    return "" if text in ("-", "\u2013", "\u2014") else text


def without_message(reply: str) -> str:
    """The reply without its message lines, which are for others and decide nothing."""
    return _MESSAGE.sub("", reply)


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
    return _THOUGHT.sub("", reply)

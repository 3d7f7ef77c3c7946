"""Checks of the words that a caption makes, and of the answers that it reads."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from worlds.captions import Caption, Framing
from worlds.types import Observation, ParseError, Seat
from worlds.wording import caption_of, row_of
from worlds.world import World

__all__ = ["Answers", "check_caption"]

Answers = Callable[[Any, Seat], Sequence[str]]
ILLEGAL = ("", "  \n ", "none of your business", "Answer: qqqq", "Answer:", "{}", "\x00")
_MOST_SLOTS = 16


def check_caption(
    world: World[Any],
    moments: Sequence[tuple[Observation, Any]],
    answers: Answers | None = None,
    framing: Framing | None = None,
) -> None:
    """Check a world's caption on every seat of every moment.

    Rules, words and questions are texts; every option that is listed (or every text that
    ``answers`` gives) is read as a legal action; what is no answer raises ParseError.

    Args:
      world: with the caption. moments: (observation, action) of a rollout.
      answers: (row, seat) -> answers that must be understood, where there are no options.
      framing: to tell the world with.
    """
    caption = caption_of(world, framing)
    assert caption is not None, f"{type(world).__name__} declares no caption"
    assert isinstance(caption, Caption), (
        f"{world.caption} is no subclass of worlds.captions.Caption"
    )
    for step, (seen, action) in enumerate(moments):
        for slot in np.flatnonzero(seen.alive).tolist()[:_MOST_SLOTS]:
            seat = Seat(slot=slot, uid=slot, name=f"Agent {slot}")
            row = row_of(seen.view, slot)
            where = f"{type(caption).__name__}, step {step}, slot {slot}"
            _check_words(caption, row, seat, where)
            if bool(seen.acting[slot]):
                _check_answers(caption, world, seen, row, seat, answers, where)
            if bool(seen.acting[slot]):
                told = caption.describe(row_of(action, slot), row, seat)
                _check_text(told, f"{where}: describe")


def _check_words(caption: Caption, row: Any, seat: Seat, where: str) -> None:
    _check_text(caption.rules(seat), f"{where}: rules")
    _check_text(caption.words(row, seat), f"{where}: words")
    again = caption.words(row, seat)
    assert again == caption.words(row, seat), f"{where}: words change from call to call"


def _check_answers(
    caption: Caption,
    world: World[Any],
    seen: Observation,
    row: Any,
    seat: Seat,
    answers: Answers | None,
    where: str,
) -> None:
    _check_text(caption.question(row, seat), f"{where}: question")
    options = caption.options(row, seat)
    if options is None:
        _check_text(
            caption.answer_hint(row, seat), f"{where}: answer_hint, as there are no options"
        )
    else:
        assert isinstance(options, tuple) and options, f"{where}: options are {options!r:.60}"
        assert len(set(options)) == len(options), f"{where}: an option stands twice in {options}"
    texts = options if options is not None else tuple(answers(row, seat) if answers else ())
    for text in texts:
        try:
            action = caption.action(text, row, seat)
        except ParseError as error:
            raise AssertionError(
                f"{where}: the caption does not understand {text!r}, which it must: {error}"
            ) from error
        _check_action(world, seen, seat.slot, action, f"{where}: {text!r} is read as")
    for text in ILLEGAL:
        _check_refused(caption, text, row, seat, where)


def _check_refused(caption: Caption, text: str, row: Any, seat: Seat, where: str) -> None:
    try:
        action = caption.action(text, row, seat)
    except ParseError as error:
        assert str(error).strip(), f"{where}: the ParseError for {text!r} says nothing"
    except Exception as error:
        raise AssertionError(
            f"{where}: {text!r} raises {type(error).__name__}; what cannot be read is a ParseError"
        ) from error
    else:
        raise AssertionError(f"{where}: {text!r} is no answer but is read as {action!r}")


def _check_action(world: World[Any], seen: Observation, slot: int, action: Any, where: str) -> None:
    space = world.action_space(slot)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.Box):
        array = np.asarray(action)
        whole = not isinstance(space, spaces.Box)
        assert array.shape == space.shape and (array.dtype.kind in "iu" or not whole), (
            f"{where} {action!r}, which is not in {space}"
        )
        member = space.contains(np.asarray(action, space.dtype)[()] if whole else array)
        member = member or space.contains(array.astype(space.dtype))
        assert member, f"{where} {action!r}, which is not in {space}"
    if seen.legal is not None and isinstance(space, spaces.Discrete):
        assert bool(seen.legal[slot][int(action) - int(space.start)]), (
            f"{where} {action!r}, which is not legal now"
        )


def _check_text(text: Any, what: str) -> None:
    assert isinstance(text, str) and text.strip(), f"{what} is {text!r:.60}, not a text"

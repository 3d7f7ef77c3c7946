"""Twenty questions: a guesser asks, a judge who knows the secret answers."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from worlds.host import Happening, HostWorld, moved, read_choice, shown, words_of
from worlds.messages import render_messages
from worlds.registry import component
from worlds.text.words import tokens
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Message, Observation, ParseError, Seat, Transition

__all__ = ["TwentyQuestions"]

_ANSWERS = ("yes", "no", "sometimes", "unknown")
_SECRETS = (
    "apple", "bicycle", "bridge", "candle", "cat", "clock", "cloud", "drum", "elephant", "fire",
    "guitar", "hammer", "horse", "island", "key", "ladder", "lemon", "letter", "mirror", "moon",
    "mountain", "needle", "ocean", "owl", "pencil", "piano", "rain", "river", "rose", "salt",
    "ship", "shoe", "snake", "spoon", "star", "table", "tiger", "train", "tree", "window",
)  # fmt: skip


@component("world", "twenty_questions")
@pytree
class TwentyQuestions(HostWorld[dict[str, Any]]):
    """A guesser finds out what the judge thinks of by asking questions.

    Slot 0 asks, slot 1 answers yes, no, sometimes or unknown; each turn is one step of the one
    whose turn it is. A question that names the secret ("Is it a cat?") ends the game, by the
    words alone and without asking the judge. After ``questions`` the guesser must name it.
    Reward, to both: 1 - 0.02 max(t - 5, 0) for a success at question t, else 0.
    Source: Zhang et al. (2023), "The Entity-Deduction Arena", arXiv:2310.01468, with their
    score; secrets are our own.
    """

    fitness: ClassVar[str] = "score"

    questions: int = doc_field(20, "questions before the guesser must name it", ge=1)
    secrets: tuple[str, ...] = doc_field(_SECRETS, "what the judge may think of")
    num_slots: int = provided(2)

    @property
    def horizon(self) -> int:
        """Question and answer in turn, and a last guess."""
        return 2 * self.questions + 1

    @property
    def ends_early(self) -> bool:
        """When the secret is named."""
        return True

    def check_params(self) -> None:
        """Two seats, and something to think of."""
        if self.num_slots != 2:
            raise ValueError(
                f"twenty_questions is for two, not {self.num_slots}: a guesser, then a judge"
            )
        if not self.secrets or not all(tokens(secret) for secret in self.secrets):
            raise ValueError("secrets: give at least one word, such as [cat, river]")

    def init(self, key: Array) -> dict[str, Any]:
        """The judge thinks of one of the secrets."""
        word = int(words_of(key, 1)[0])
        secret = self.secrets[word * len(self.secrets) >> 32]
        return {"secret": secret, "step": 0, "said": [], "score": 0.0, "won": False}

    def observe(self, state: dict[str, Any]) -> Observation:
        """Questions and answers so far; the judge also sees the secret."""
        playing = not state["won"] and state["step"] < self.horizon
        turn = state["step"] % 2
        acting = np.array([playing and turn == 0, playing and turn == 1])
        said = [Message("table", who, ("Guesser", "Judge")[who], words, step=number)
                for number, (who, words) in enumerate(state["said"])]  # fmt: skip
        past = "So far:\n" + render_messages(said) if said else "Nothing was asked yet."
        left = max(self.questions - (state["step"] + 1) // 2, 0)
        texts = (
            f"{past}\nQuestions left: {left}.",
            f"You think of: {state['secret']}.\n{past}",
        )
        options = (None, _ANSWERS if acting[1] else None)
        return shown(np.ones(2, bool), acting, texts, options)

    def step(
        self, key: Array, state: dict[str, Any], action: Sequence[str]
    ) -> tuple[dict[str, Any], Transition]:
        """Put the question or the answer on the table."""
        if state["won"] or state["step"] >= self.horizon:
            return state, self._moved(state, state)
        who = state["step"] % 2
        words = str(action[who]).strip()[: self.most_chars] or (
            "I pass." if who == 0 else "unknown"
        )
        after = {**state, "said": [*state["said"], [who, words]], "step": state["step"] + 1}
        if who == 0 and set(tokens(state["secret"])) <= set(tokens(words)):
            asked = state["step"] // 2 + 1
            after["won"], after["score"] = True, 1.0 - 0.02 * max(asked - 5, 0)
        return after, self._moved(state, after)

    def _moved(self, before: dict[str, Any], after: dict[str, Any]) -> Transition:
        gain = np.full(2, after["score"] - before["score"], np.float32)
        won = np.full(2, after["won"])
        late = np.full(2, after["step"] >= self.horizon) & ~won
        metrics = {"won": np.float32(after["won"])}
        return moved(gain, won | late, np.zeros(2, bool), metrics)

    def outcome(self, state: dict[str, Any]) -> dict[str, Any]:
        """Score of both, whether it was found, and after how many questions."""
        return {
            "score": np.full(2, state["score"], np.float32),
            "found": np.float32(state["won"]),
            "asked": np.float32((state["step"] + 1) // 2),
        }

    def noop(self) -> list[str]:
        """Both say nothing."""
        return ["", ""]

    def rules(self, seat: Seat) -> str:
        """The game, for guesser and judge."""
        if seat.slot == 1:
            return (
                "You are the judge of a guessing game. You think of one thing. Answer the "
                "guesser's questions truthfully, and never name the thing."
            )
        return (
            f"You are the guesser. The judge thinks of one thing. Ask up to {self.questions} "
            "questions that can be answered with yes or no. Name the thing in a question as soon "
            "as you know it; fewer questions score more."
        )

    def question(self, state: dict[str, Any], slot: int) -> str:
        """What is decided now."""
        if slot == 1:
            return "What is the answer to the last question?"
        last = state["step"] + 1 >= self.horizon
        return "Name the thing now." if last else "What do you ask?"

    def read(self, text: str, state: dict[str, Any], slot: int) -> str:
        """A question in one's own words; an answer of the four."""
        if slot == 1:
            return read_choice(text, _ANSWERS)
        said = " ".join(text.split())
        if not tokens(said):
            raise ParseError("the question is empty; ask something")
        return said[: self.most_chars]

    def happenings(
        self, before: dict[str, Any], action: Sequence[str], after: dict[str, Any]
    ) -> list[Happening]:
        """Each question and answer; the secret once it is over."""
        rows = [
            Happening("said", who, words) for who, words in after["said"][len(before["said"]) :]
        ]
        if after["won"] and not before["won"]:
            rows.append(Happening("found", -1, after["secret"]))
        return rows

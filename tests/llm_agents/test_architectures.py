"""Parts of a language agent: memory streams, reflection, plans, beliefs, samples, revision."""

import asyncio
import json
import re

import numpy as np
import pytest

from llm_agents.backends.base import BackendError, Response
from llm_agents.chat import Chat
from llm_agents.deciding import settled
from llm_agents.memory_search import Recall, Remember
from llm_agents.memory_stream import Stream
from llm_agents.planning import Plan
from llm_agents.prediction import scored
from worlds.framing import Framing
from worlds.types import Birth, Draft, Message, ParseError, Seat, Turn

SEAT = Seat(slot=0, group="people", uid=7, name="Ada")


def read(text):
    found = re.fullmatch(r"(?s).*?(?:answer:\s*)?([JF])\s*", text, re.I)
    if not found:
        raise ParseError("write J or F")
    return np.int32("JF".index(found[1].upper()))


def number(text):
    found = re.fullmatch(r"(?s).*?answer:\s*(\d+)\s*", text, re.I)
    if not found:
        raise ParseError("write a number")
    return np.float32(found[1])


def turn(step=0, **changes):
    values = {
        "seat": SEAT, "rules": "A game.", "text": f"Round {step}.", "question": "Which option?",
        "options": ("J", "F"), "parse": read, "fallback": 1, "answer_hint": "J or F.",
        "step": step, "first": step == 0,
    }  # fmt: skip
    return Turn(**(values | changes))


class Script:
    """An Ask with a memory of its own, which answers by purpose and keeps what it was asked."""

    def __init__(self, policy, **replies):
        self.streams, self.replies, self.requests = policy.streams(1), replies, []

    async def __call__(self, request):
        if isinstance(request, Remember):
            return self.streams.remember(0, request)
        if isinstance(request, Recall):
            return self.streams.search([(0, request)])[0]
        return (await self.many([request]))[0]

    async def many(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        self.requests.append(request)
        reply = self.replies.get(request.purpose, "J")
        if isinstance(reply, list):
            reply = reply.pop(0)
        if request.options is None:
            return Response(text=reply)
        if reply not in request.options:
            return Response(text=reply, error=BackendError("not_an_option", "no"))
        return Response(text=reply, choice=request.options.index(reply), method="test")

    @property
    def purposes(self):
        return [request.purpose for request in self.requests]

    def prompt(self, purpose):
        """The user's part of the last request of a purpose."""
        return [r for r in self.requests if r.purpose == purpose][-1].messages[1].content


def play(policy, turns, **replies):
    """Play some turns; returns replies, the mind, and the script."""
    ask = Script(policy, **replies)

    async def main():
        mind = await policy.birth(ask, Birth(SEAT, rules="A game."))
        said = []
        for one in turns:
            reply, mind = await policy.act(ask, mind, one)
            said.append(reply)
        return said, mind

    said, mind = asyncio.run(main())
    assert json.loads(json.dumps(mind)) == mind
    return said, mind, ask


# ---- memory ---------------------------------------------------------------------------------


def test_what_was_seen_heard_and_done_comes_to_mind_when_it_fits():
    policy = Chat(memory=Stream(turns=1, retrieved=2, recency=0, importance_weight=0))
    inbox = (Message("talk", 3, "Bob", "The treasure lies under the oak tree."),)
    turns = [turn(0, inbox=inbox)] + [turn(n) for n in range(1, 9)]
    turns.append(turn(9, text="Where does the treasure lie?", question="Which tree?"))
    _, mind, ask = play(policy, turns)
    prompt = ask.prompt("act")
    remembered = prompt.split("What you remember:")[1].split("What happened before")[0]
    assert re.search(r"Bob said: [0-9a-f]{6}\| The treasure lies under the oak", remembered)
    assert prompt.count("Round 8.") == 1 and "Round 3." not in prompt
    assert mind["stream"]["length"] == 10 + 1 + 10 and len(mind["history"]) == 1
    kinds = [e.kind for e in ask.streams._entries[0]]
    assert kinds[:3] == ["saw", "heard", "did"] and kinds.count("heard") == 1


def test_a_stream_outlives_the_episode_and_the_window_does_not():
    policy = Chat(memory=Stream(turns=5))
    turns = [turn(0), turn(1), turn(0, episode=1, text="A new day.")]
    _, mind, ask = play(policy, turns)
    assert len(mind["history"]) == 1 and mind["stream"]["length"] == 6
    assert "What happened before" not in ask.prompt("act")
    assert "- Round 1." in ask.prompt("act")


def test_the_model_rates_what_is_remembered_in_one_call_a_turn():
    policy = Chat(memory=Stream(importance="model"))
    _, _, ask = play(policy, [turn(0)], importance="1: 9\n2: nonsense")
    assert ask.purposes == ["act", "importance"]
    assert "1. Round 0.\n2. J" in ask.prompt("importance")
    assert ask.streams.importance[0, :2].tolist() == [9.0, 1.0]  # the rule where it said nothing
    assert Chat(memory=Stream(importance="constant")).memory.importance == "constant"


def test_enough_experience_makes_an_agent_reflect_on_evidence():
    policy = Chat(memory=Stream(importance="constant", reflect_at=25, questions=2, insights=1))
    thought = ["1. Rounds go on (because of 1, 3)", "- Nothing else follows"]
    _, mind, ask = play(
        policy, [turn(n) for n in range(3)], focus="1. What goes on?\n2. Why?", reflect=thought
    )
    assert ask.purposes == ["act"] * 3 + ["focus", "reflect", "reflect"]
    assert 'question "What goes on?"' in ask.requests[4].messages[1].content
    rows = ask.streams._entries[0]
    thoughts = [entry for entry in rows if entry.kind == "thought"]
    assert [entry.text for entry in thoughts] == ["Rounds go on", "Nothing else follows"]
    shown = ask.requests[4].messages[1].content
    for place, row in zip((1, 3), thoughts[0].evidence, strict=True):
        assert f"{place}. " in shown and rows[row].text.split(".")[0] in shown
    assert thoughts[1].evidence == ()
    assert mind["stream"]["weight"] == 0.0 and mind["stream"]["reflected"] == 8
    assert mind["stream"]["length"] == 8


@pytest.mark.parametrize("steps", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_what_an_agent_keeps_is_bounded_however_long_it_lives(steps):
    policy = Chat(memory=Stream(turns=3, capacity=64, retrieved=2))
    _, mind, ask = play(policy, [turn(n) for n in range(steps)])
    held = ask.streams
    assert mind["stream"]["length"] == 2 * steps  # counted, not kept
    assert held.ids.shape == (1, 64) and len(held._entries[0]) == 64
    assert held.vectors.shape[:2] == (1, 64) and len(mind["history"]) == 3
    assert sorted(held.ids[0].tolist()) == list(range(2 * steps - 64, 2 * steps))
    assert len(json.dumps(mind)) < 2000
    assert len(ask.prompt("act")) < 4000


def test_an_agent_asked_aside_remembers_all_and_keeps_nothing():
    policy = Chat(memory=Stream(turns=0), plan="steps", reasoning="cot")
    _, mind, ask = play(policy, [turn(0), turn(1)], act="Answer: J", steps="1. wait")
    before = ask.streams.state
    ask.replies["act"] = "J"
    reply, _ = asyncio.run(policy.aside().act(ask, mind, turn(2, text="A survey.")))
    assert reply.action == 0 and "Round 1." in ask.prompt("act")
    after = ask.streams.state
    assert before["entries"] == after["entries"]
    assert np.array_equal(before["used"], after["used"])


# ---- plans, beliefs, samples --------------------------------------------------------------


def test_a_daily_plan_is_broad_and_then_broken_down_as_it_is_used_up():
    policy = Chat(plan=Plan(use="daily", ahead=2))
    replies, mind, ask = play(
        policy, [turn(n) for n in range(3)], plan="1. explore\n2. trade", steps="1. go\n2. look"
    )
    assert ask.purposes == ["plan", "steps", "act", "act", "steps", "act"]
    assert "Your plan:\n- explore\n- trade" in ask.requests[3].messages[1].content
    assert "Your plan for this turn: look" in ask.requests[3].messages[1].content
    assert replies[0].events["plan"] == {"broad": ["explore", "trade"], "steps": ["go", "look"]}
    assert mind["plan"]["steps"] == ["look"]


def test_plans_begin_anew_with_the_day_and_survive_nonsense():
    policy = Chat(plan=Plan(use="daily", ahead=9, every=2), max_reasks=1)
    _, _, ask = play(policy, [turn(n) for n in range(3)], plan=["1. a", "1. b"], steps="1. x")
    assert ask.purposes.count("plan") == 2
    _, mind, ask = play(Chat(plan="steps", max_reasks=1), [turn(0)], steps="")
    assert ask.purposes == ["steps", "steps", "act"] and mind["plan"]["steps"] == []
    assert "Your plan for this turn: go on as before" in ask.prompt("act")


def test_beliefs_desires_and_intentions_are_stated_and_remembered():
    said = "Belief: They\nplay F.\nDesire: Win.\nIntention: Play J.\nAnswer: J"
    replies, mind, ask = play(Chat(reasoning="bdi"), [turn(0), turn(1)], act=said)
    assert replies[0].action == 0 and ask.requests[0].options is None
    assert mind["bdi"] == {"belief": "They", "desire": "Win.", "intention": "Play J."}
    assert "Your intention, as you last put it: Play J." in ask.prompt("act")
    assert "as you last put it" not in ask.requests[0].messages[1].content


def test_most_samples_decide():
    replies, _, ask = play(
        Chat(samples=5, reasoning="cot"), [turn(0)],
        act=["Answer: F", "Answer: J", "what?", "Answer: F", "Answer: F"],
    )  # fmt: skip
    assert replies[0].action == 1 and replies[0].notes["agreement"] == 3 / 5
    assert len(ask.requests) == 5
    replies, _, ask = play(Chat(samples=2, reasoning="cot"), [turn(0)], act=["?", "?", "Answer: F"])
    assert replies[0].action == 1 and len(ask.requests) == 3


def test_samples_of_numbers_are_settled_by_the_middle_one():
    free = turn(0, options=None, parse=number)
    replies, _, _ = play(
        Chat(samples=4, reasoning="cot"), [free], act=[f"Answer: {n}" for n in (9, 1, 4, 2)]
    )
    assert replies[0].action == 2
    assert settled([np.int32(4), np.int32(1), np.int32(2)]) == (0, 1)
    vectors = [np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.0, 1.0])]
    assert settled(vectors) == (1, 2)


# ---- predictions and strategies -------------------------------------------------------------


def test_predictions_are_compared_with_what_the_others_did():
    turns = [turn(0), turn(1, others=("F",)), turn(2, others=("J", "F"))]
    replies, _, _ = play(Chat(reasoning="scot"), turns, predict=["F", "F", "J"])
    assert "prediction" not in replies[0].events
    assert replies[1].events["prediction"] == {"predicted": "F", "actual": ["F"], "score": 1.0}
    assert replies[2].events["prediction"]["score"] == 0.5
    mind = {"prediction": "perhaps J"}
    assert scored(mind, turn(1, others=("J",))) is None
    assert scored({"prediction": "J"}, turn(1)) is None


def test_a_prediction_is_not_carried_into_another_episode():
    turns = [turn(0), turn(0, episode=1, others=("F",))]
    replies, _, _ = play(Chat(reasoning="scot"), turns, predict="F")
    assert not replies[1].events


def test_strategies_are_revised_after_an_episode_in_the_light_of_it():
    policy = Chat(strategy="revised")
    turns = [turn(0), turn(1), turn(0, episode=1)]
    replies, mind, ask = play(
        policy, turns, birth="My strategy will be to try J.",
        revise=["Hm.", "It paid. My strategy will be to stay with J."],
    )  # fmt: skip
    assert ask.purposes == ["birth", "act", "act", "revise", "revise", "act"]
    assert "Round 1." in ask.requests[3].messages[1].content
    assert "Your strategy so far was: My strategy will be to try J." in ask.prompt("revise")
    assert policy.legacy(mind) == "My strategy will be to stay with J."
    assert replies[2].events["strategy"] == {
        "text": "My strategy will be to stay with J.", "changed": True,
    }  # fmt: skip
    assert "Round 1." not in ask.prompt("act")


def test_strategies_are_revised_every_so_many_turns_and_kept_where_none_is_said():
    policy = Chat(strategy="revised", revise_every=2, max_reasks=0)
    replies, mind, ask = play(
        policy, [turn(n) for n in range(5)], birth="My strategy will be X.", revise="no idea"
    )
    assert ask.purposes.count("revise") == 2 and mind["strategy"] == "My strategy will be X."
    assert replies[2].events["strategy"]["changed"] is False


# ---- talk and personas ----------------------------------------------------------------------


def test_messages_go_to_whom_they_name():
    both = {"hearers": {"talk": {"Bob": 3, "Cyd": 4}}, "talk": ("talk",)}
    said = "Message to Bob: hi\nMessage to Eve: psst\nMessage: all of you!"
    replies, _, ask = play(Chat(), [turn(0, acting=False, **both)], talk=said)
    assert replies[0].messages == (Draft("talk", "hi", (3,)), Draft("talk", "all of you!"))
    assert "You can speak to Bob, Cyd." in ask.prompt("talk")
    inline = f"{said}\nJustification: none.\nAnswer: F"
    replies, _, ask = play(Chat(reasoning="justify"), [turn(0, **both)], act=inline)
    assert replies[0].action == 1 and [d.to for d in replies[0].messages] == [(3,), None]
    only = both | {"addressed": ("talk",)}
    _, _, ask = play(Chat(reasoning="justify"), [turn(0, **only)], act=inline)
    assert "Every message must name its reader." in ask.prompt("act")
    _, _, ask = play(Chat(), [turn(0, acting=False, **only)], talk="Message to Eve: psst")
    assert "to all of them" not in ask.prompt("talk")
    assert not play(Chat(), [turn(0, acting=False, **only)], talk="Message: -")[0][0].messages


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("sentence", "You are Ada. You like bread."),
        ("list", "About you:\n- You are Ada.\n- You like bread."),
        ("json", 'Your profile: {"persona": ["You are Ada.", "You like bread."]}'),
        ("interview", "please introduce yourself.\nOn file: You are Ada. You like bread."),
    ],
)
def test_a_persona_is_written_down_as_the_framing_says(form, expected):
    policy = Chat(persona="You are {{ name }}. You like bread.")
    birth = Birth(SEAT, framing=Framing(persona_format=form))
    assert asyncio.run(policy.birth(None, birth))["persona"].endswith(expected)
    own = Chat(persona=policy.persona, framing=Framing(persona_format=form))
    other = Birth(SEAT, framing=Framing(persona_format="list"))
    assert asyncio.run(own.birth(None, other))["persona"].endswith(expected)

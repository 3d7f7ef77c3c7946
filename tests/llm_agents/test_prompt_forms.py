"""What is filled in reads as what is rendered."""

import jinja2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llm_agents import questions
from llm_agents.prompt_forms import Form, Holes, holes_of
from llm_agents.prompting import PromptError, Prompts

words = st.text(st.sampled_from("ab %\x00\n{}1:"), max_size=6)
lines = st.lists(words, max_size=3)
TURN = {
    "strategy": words,
    "plan": lines.map(tuple),
    "intent": words,
    "beliefs": st.none() | st.dictionaries(st.sampled_from(["belief", "desire"]), words),
    "memories": lines,
    "forgotten": st.integers(0, 3),
    "history": lines,
    "left_out": st.integers(0, 3),
    "inbox": words,
    "unread": st.integers(0, 3),
    "text": words,
    "prediction": words,
    "ask": words,
}


def holes(source):
    return holes_of(jinja2.Environment().parse(source))


@given(st.lists(st.fixed_dictionaries(TURN), min_size=1, max_size=4))
@example([dict.fromkeys(TURN, "%s") | {"plan": ["%d", "\x00"], "memories": [], "history": [""],
                                       "beliefs": None}])  # fmt: skip
def test_the_turn_is_filled_in_as_it_is_rendered(turns):
    prompts = Prompts.shipped()
    fill = prompts.filler("turn", tuple(TURN))
    for values in turns:
        assert fill(*[values[name] for name in TURN]) == prompts.render("turn", **values)


def test_all_of_the_shipped_turn_but_the_beliefs_are_holes():
    prompts = Prompts.shipped()
    found = holes_of(prompts._environment.parse(prompts._sources["turn"]))
    assert found.lists == {"plan", "memories", "history"}
    assert found.texts == set(TURN) - found.lists - {"beliefs"}
    assert tuple(TURN) == questions.TURN


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ a }}{% if a %}{% for x in b %}{{ x }}{{ loop.index }}{% endfor %}{% endif %}",
         Holes(frozenset("a"), frozenset("b"))),
        ("{{ a | upper }}{{ a }}{{ b }}", Holes(frozenset("b"))),
        ("{% if a == 'x' %}{{ a }}{% elif c %}{{ c }}{% endif %}", Holes(frozenset("c"))),
        ("{% for x in b %}{{ x | indent }}{% endfor %}", Holes()),
        ("{% for x in b %}{% for y in x %}{{ y }}{% endfor %}{% endfor %}", Holes()),
        ("{% for x in b if x %}{{ x }}{% endfor %}", Holes()),
        ("{% for a in b %}{{ a }}{% endfor %}{{ a }}{{ b }}", Holes(frozenset("a"))),
        ("{% set a = 'y' %}{{ a }}", Holes()),
        ("{% filter upper %}{{ a }}{% endfilter %}{{ b }}", Holes(frozenset("b"))),
        ("{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b) }}{{ a }}", Holes()),
        ("{% include 'other' %}{{ a }}", Holes()),
        ("{{ a ~ b }}", Holes()),
    ],
)  # fmt: skip
def test_only_what_is_merely_shown_is_a_hole(source, expected):
    assert holes(source) == expected


def test_a_template_of_ones_own_is_filled_in_and_checked_too():
    prompts = Prompts.shipped(
        {"turn": "{% if text is string %}{{ text | upper }}{% endif %}{{ ask }}"}
    )
    fill = prompts.filler("turn", ("text", "ask"))
    assert [fill(t, a) for t in "ab" for a in "xy"] == ["Ax", "Ay", "Bx", "By"]
    wrong = Prompts.shipped({"turn": "{{ text }} {{ message }}"}).filler("turn", ("text", "ask"))
    for _ in range(2):
        with pytest.raises(PromptError, match="'message' is undefined"):
            wrong("a", "b")


def test_a_form_is_rendered_once_for_each_kind():
    asked = []

    def render(**values):
        asked.append(values)
        return "".join(["<", str(values["a"]), *values["b"], str(values["c"]), ">"])

    form = Form(Holes(frozenset("a"), frozenset("b")), ("a", "b", "c"), render)
    for text in "xyz":
        assert form.fill(text, [text, "w"], 1) == f"<{text}{text}w1>"
    assert len(asked) == 1
    assert form.fill("", ["w"], 1) == "<w1>"
    assert form.fill("x", [], 2) == "<x2>"
    assert form.fill(0, [], [1]) == "<0[1]>"
    assert len(asked) == 4

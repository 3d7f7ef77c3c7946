"""Choosing among options: exact scores, walks along listed tokens, forms; without a model."""

import asyncio
import itertools
import math
import re

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_agents.backends.base import NEVER, ChatMessage, Request
from llm_agents.choice import (
    LEAD,
    TokenTree,
    continued,
    leads,
    options_regex,
    read_top,
    renormalised,
    score_exactly,
    walk,
)
from llm_agents.choice_forms import check_schema, form_problem, number_schema, schema_problem


class Letters:
    """A model over letters whose next letter depends on the last one; "." ends."""

    alphabet = "abcdefghijklmnopqrstuvwxyz :."

    def logprobs(self, text):
        weights = [1 + (31 * ord(text[-1:] or "?") + 17 * ord(sign)) % 23 for sign in self.alphabet]
        total = sum(weights)
        return {s: math.log(w / total) for s, w in zip(self.alphabet, weights, strict=True)}

    def of(self, text, added):
        return sum(self.logprobs(text + added[:i])[sign] for i, sign in enumerate(added))

    def encode(self, text):
        return [ord(sign) for sign in text]

    def score(self, trees):
        found = []
        for tree in trees:
            context = "".join(map(chr, tree.tokens.context))
            found.append(
                {
                    node: {
                        token: self.logprobs(context + "".join(map(chr, node)))[chr(token)]
                        for token in nexts
                    }
                    for node, nexts in tree.nodes.items()
                }
            )
        return found


def ask(options, **changes):
    return Request((ChatMessage("user", "q"),), options=tuple(options), **({"seed": 1} | changes))


words = st.lists(
    st.text(alphabet="abc", min_size=1, max_size=4), min_size=2, max_size=5, unique=True
)


@given(words, st.sampled_from(["", "say:"]))
def test_scores_are_the_probabilities_of_whole_options(options, lead):
    model = Letters()
    tree = TokenTree.of(model.encode, "x" + lead, lead, options)
    scores = tree.scores(model.score([tree])[0])
    texts = continued(lead, options)
    for text, score in zip(texts, scores, strict=True):
        own = math.exp(model.of("x" + lead, text))
        longer = sum(
            math.exp(model.of("x" + lead, other))
            for other in texts
            if other != text and other.startswith(text)
        )
        if own > longer:
            assert score == pytest.approx(math.log(own - longer), abs=1e-9)
        else:
            assert score == -math.inf


@given(words)
def test_a_choice_asks_no_more_places_than_options_part_at(options):
    tree = TokenTree.of(Letters().encode, "x", "", options)
    prefixes = {option[:i] for option in options for i in range(len(option))}
    assert len(tree.nodes) == len(prefixes)


def test_a_token_that_spans_the_boundary_moves_it_for_all_options():
    def encode(text):  # "n:" followed by " J" is one token, otherwise letters
        return [*map(ord, text.replace("n: J", "\0").replace("n: ", "\1"))]

    tree = TokenTree.of(encode, "question:n:", "n:", ("J", "F"))
    assert tree.tokens.context == tuple(map(ord, "question:"))
    assert tree.tokens.options == ((0,), (1, ord("F")))


@given(st.lists(st.floats(-40, 0), min_size=1, max_size=6))
def test_probabilities_over_the_options_add_up_to_one(logprobs):
    found = renormalised(logprobs)
    assert sum(map(math.exp, found)) == pytest.approx(1, abs=1e-5)
    order = sorted(range(len(logprobs)), key=logprobs.__getitem__)
    assert all(found[a] <= found[b] for a, b in itertools.pairwise(order))
    assert min(found) >= NEVER


def test_impossible_options_share_evenly():
    assert renormalised((-math.inf, -math.inf)) == (-0.693147, -0.693147)


class Said:
    """A model that says one word: bare, or only after the lead."""

    def __init__(self, bare):
        self.bare, self.asked = bare, 0

    def score(self, trees):
        self.asked += len(trees)
        found = []
        for tree in trees:
            led = "".join(map(chr, tree.tokens.context)).endswith(LEAD)
            sure = led != self.bare
            found.append(
                {
                    node: {t: math.log(0.9 if t == ord("F") or len(nexts) == 1 else 0.05) if sure
                           else math.log(0.01) for t in nexts}
                    for node, nexts in tree.nodes.items()
                }
            )  # fmt: skip
        return found


@pytest.mark.parametrize(
    ("bare", "method", "trees"), [(True, "logprobs", 1), (False, "led_logprobs", 2)]
)
def test_the_usual_lead_is_tried_where_a_bare_reply_is_no_option(bare, method, trees):
    def tree_of(request, lead):
        return TokenTree.of(lambda text: [*map(ord, text)], "q" + lead, lead, request.options)

    model = Said(bare)
    (response,) = score_exactly([ask("JF")], tree_of, model.score)
    assert (response.text, response.method, model.asked) == ("F", method, trees)
    (own,) = score_exactly([ask("JF", prefill="I say ")], tree_of, model.score)
    assert own.method == "logprobs" and leads(ask("JF", prefill="I say ")) == ("I say",)


# ---- walks ------------------------------------------------------------------------------


def served(model, most=20):
    """What a server lists: the likeliest next tokens after a text."""

    def top(text):
        found = sorted(model.logprobs(text).items(), key=lambda item: -item[1])
        return [(sign, value) for sign, value in found][:most]

    return top


@given(words)
def test_a_walk_finds_what_exact_scores_find_where_options_are_letters_apart(options):
    """Each option's mass is followed as far as it is shared; the rest of it is certain."""
    top = served(Letters(), most=len(Letters.alphabet))

    async def after(beginning):
        return top("x" + beginning)

    found, mass = asyncio.run(walk(options, top("x"), after))
    if found is None:
        return
    expected = []
    for option in options:
        others = [o for o in options if o != option]
        parts = max(len(_shared(option, o)) for o in others)
        until = option[: parts + 1]
        value = math.exp(Letters().of("x", until))
        if len(option) == parts:  # an option that others continue keeps what is left
            more = {o[parts] for o in others if o.startswith(option)}
            value *= 1 - sum(math.exp(Letters().of("x" + option, sign)) for sign in more)
        expected.append(value)
    total = sum(expected)
    assert mass > 0
    for value, logprob in zip(expected, found, strict=True):
        assert math.exp(logprob) == pytest.approx(value / total, abs=0.02)


def _shared(one, other):
    return one[: next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
                      min(len(one), len(other)))]  # fmt: skip


def test_tokens_count_for_the_one_option_that_they_begin():
    top = [(" co", math.log(0.5)), ("De", math.log(0.2)), ("J.", math.log(0.1)), ("Jo", -0.1)]
    found = read_top(top, ("cooperate", "defect", "J"))
    assert found.mass == pytest.approx((0.5, 0.2, 0.1)) and not found.shared


def test_a_walk_is_bounded_and_gives_up_where_nothing_can_be_continued():
    options = ("Option J", "Option F")
    alike = [("Option", -0.01)]
    asked = []

    async def ask(beginning):
        asked.append(beginning)
        return [(" J", -0.1), (" F", -2.5)]

    assert asyncio.run(walk(options, alike, None))[0] is None
    assert asyncio.run(walk(options, [("Well", -0.01)], ask)) == (None, 0.0)
    found, mass = asyncio.run(walk(options, alike, ask))
    assert found == pytest.approx((-0.0868, -2.4868), abs=1e-3) and asked == ["Option"]
    assert mass == pytest.approx(0.99, abs=0.01)


def test_an_expression_keeps_signs_as_they_are():
    assert options_regex(("a+b", "(c)"), "Answer:") == r"Answer: (a\+b|\(c\))"


# ---- forms ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "schema", "problem"),
    [
        (3, number_schema(0, 10, step=1), ""),
        (3.5, number_schema(0, 10, step=1), "integer"),
        (3.0, number_schema(0, 10, step=1), ""),
        (2.5, number_schema(0, 10, step=0.5), ""),
        (2.6, number_schema(0, 10, step=0.5), "multiple of 0.5"),
        (-1, number_schema(low=0), "the least is 0"),
        (1, {"exclusiveMaximum": 1}, "below 1"),
        (True, {"type": "integer"}, "integer"),
        ("x", {"enum": ["a", "b"]}, "none of"),
        ("abc", {"maxLength": 2}, "3 characters"),
        ("abc", {"pattern": "^b"}, "match"),
        ([1, "x"], {"items": {"type": "integer"}}, r"it\[1\]"),
        ([], {"minItems": 1}, "0 items"),
        ({}, {"required": ["a"]}, "no 'a'"),
        ({"b": 1}, {"properties": {"a": {}}, "additionalProperties": False}, "not asked for"),
        ({"a": {"b": 5}}, {"properties": {"a": {"properties": {"b": {"maximum": 4}}}}}, "it.a.b"),
        (1, {"anyOf": [{"type": "string"}, {"type": "null"}]}, "0 of 2"),
        (1, {"oneOf": [{"type": "number"}, {"minimum": 0}]}, "2 of 2"),
        (None, {"type": ["null", "string"]}, ""),
        (1, {"const": 2}, "must be 2"),
    ],
)  # fmt: skip
def test_values_are_held_to_their_schema(value, schema, problem):
    check_schema(schema)
    found = schema_problem(value, schema)
    if problem:
        assert re.search(problem, found), found
    else:
        assert found == ""


@pytest.mark.parametrize(
    "schema", [{"$ref": "#/a"}, {"type": "float"}, {"items": {"if": {}}}, {"anyOf": [{"not": {}}]}]
)
def test_a_schema_that_is_not_understood_is_refused_before_it_is_used(schema):
    with pytest.raises(ValueError, match=r"not understood|is none of"):
        check_schema(schema)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
schemas = st.sampled_from(
    [
        {"type": "object", "required": ["a"]},
        {"type": "integer", "minimum": 3},
        {"items": {"type": "string"}, "maxItems": 2},
        {"enum": [None, 1, "x"]},
    ]
)


@given(values, schemas)
def test_the_check_agrees_with_a_full_validator(value, schema):
    full = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert (schema_problem(value, schema) == "") == full


def test_a_regex_must_match_the_whole_answer():
    asked = ask((), regex="[0-9]+")
    assert form_problem("12", asked) == "" and "does not match" in form_problem("12 or so", asked)

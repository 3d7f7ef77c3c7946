"""Credentials leave texts; everything else stays."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

import worlds.redact
from worlds.redact import HIDDEN, redact, redact_tree, redact_url, register_secret

FORMS = [
    "Authorization: Bearer abcdef0123456789",
    '{"authorization": "Basic dXNlcjpwYXNz"}',
    "x-api-key: 0123456789abcdef",
    "X-My-Token: 0123456789abcdef",
    "bearer 0123456789abcdef",
    "AIza0123456789abcdefghij",
    "Set-Cookie: session=0123456789",
    "Incorrect API key provided: sk-proj-0123456789abcdefghij",
    "token hf_0123456789abcdefghij was revoked",
    "ghp_0123456789abcdefghijklmnopqrstuvwx",
    "AKIA0123456789ABCDEF",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "https://user:0123456789@host/v1",
    "https://0123456789@host/v1",
    "http://host/v1?api_key=0123456789&x=1",
    "http://host/v1?x=1&X-Amz-Signature=0123456789",
]


@pytest.mark.parametrize("text", FORMS)
def test_every_known_form_of_a_credential_is_hidden(text):
    hidden = redact(f"before {text} after")
    assert hidden.startswith("before ")
    assert hidden.endswith(" after")
    for secret in ("0123456789", "abcdef0123456789", "dXNlcjpwYXNz", "c2lnbmF0dXJl"):
        assert secret not in hidden
    assert redact(hidden) == hidden, "doing it twice changes nothing more"


PIECES = [
    *FORMS,
    *("Bearer", "bearer ", "api", "key", "API_KEY", "x-my-token", "cookie", "\u017fk-", "\u212aey"),
    *(": ", "=", "-", "_", " ", "sk", "hf", "akia", "AIza", "eyJ", "0123456789" * 2, ".", "\u0131"),
    *("PROXY-AUTHORIZATION", "r8", "github_pat", "tok\u0130", "://", "\u017fet-cookie"),
]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_the_look_for_signs_passes_no_credential_over(text):
    shorter = worlds.redact._URL.sub(lambda match: redact_url(match[0]), text)
    shorter = worlds.redact._HEADER.sub(worlds.redact._HIDDEN_VALUE, shorter)
    assert redact(text) == worlds.redact._FORMS.sub(HIDDEN, shorter)


@pytest.mark.parametrize(
    "text",
    [
        "I keep 4 and donate 6, because the key to trust is a token of goodwill.",
        "see https://arxiv.org/abs/2412.10270?context=cs#section-3 and http://localhost:8000/v1",
        "the basic bearer of news asks: who cooperates?",
        "max_tokens: 200, prompt_tokens=11",
        "",
    ],
)
def test_ordinary_text_is_left_alone(text):
    assert redact(text) == text


def test_values_of_telling_variables_are_hidden_in_any_text(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "a/b c+d unguessable")
    monkeypatch.setenv("MONKEY", "ordinary value")
    monkeypatch.setenv("SHORT_KEY", "true")
    assert redact("x a/b c+d unguessable y", forms=False) == f"x {HIDDEN} y"
    assert redact("?q=a%2Fb%20c%2Bd%20unguessable") == f"?q={HIDDEN}"
    assert redact("ordinary value is true") == "ordinary value is true"


def test_secrets_that_come_and_change_later_are_hidden_too(monkeypatch):
    said = "first-value second-value third-value"
    assert redact(said) == said
    monkeypatch.setenv("LATE_API_KEY", "first-value")
    assert redact(said) == f"{HIDDEN} second-value third-value"
    monkeypatch.setenv("LATE_API_KEY", "second-value")
    assert redact(said) == f"first-value {HIDDEN} third-value"
    monkeypatch.delenv("LATE_API_KEY")
    assert redact(said) == said
    monkeypatch.setattr(worlds.redact, "_registered", set(worlds.redact._registered))
    register_secret("third-value")
    assert redact(said) == f"first-value second-value {HIDDEN}"


def test_scenario_texts_keep_what_only_looks_like_a_credential():
    text = "Cookie: chocolate, and http://me:pw@host/v1"
    assert redact(text, forms=False) == "Cookie: chocolate, and http://host/v1"


def test_trees_are_redacted_through_and_through():
    tree = {"a": ["http://u:p@h", 1, None], "b": {"c": ("ok", 2.5)}}
    assert redact_tree(tree) == {"a": ["http://h", 1, None], "b": {"c": ["ok", 2.5]}}
    assert redact_url("https://host/v1?model=a") == "https://host/v1?model=a"


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(worlds.redact).failed == 0

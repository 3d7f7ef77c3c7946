import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.errors import ScenarioError
from society.overrides import OverrideError, parse_assignment, put, split_path

BASE = {
    "world": {"use": "donor_game", "rounds": 12, "trace": 3},
    "groups": {
        "donors": {
            "count": 12,
            "policy": {"use": "chat", "reasoning": "justify", "sampling": {"temperature": 0.8}},
        }
    },
    "graph": {"use": "cycle", "k": 4, "assign": "in_order"},
    "selection": {"use": "truncation", "keep": 0.5, "fitness": "resources", "among": "group"},
    "backend": "tiny",
    "seeds": [1, 2],
    "interventions": {"news": {"use": "message", "at": 3, "text": "hi"}},
}


def change(*texts):
    tree = BASE
    for text in texts:
        path, value, _ = parse_assignment(text)
        tree = put(tree, path, value)
    return tree


def test_a_value_replaces_one_value():
    assert change("world.rounds=20")["world"] == {"use": "donor_game", "rounds": 20, "trace": 3}


def test_values_are_yaml():
    tree = change("world.noise=1e-3", "seeds=[3, 4]", "about=yes", "world.trace='3'")
    assert tree["world"]["noise"] == 0.001
    assert tree["seeds"] == [3, 4]
    assert tree["about"] == "yes"
    assert tree["world"]["trace"] == "3"


def test_maps_merge():
    tree = change("groups.donors.policy={sampling: {max_tokens: 5}, every: 2}")
    assert tree["groups"]["donors"]["policy"] == {
        "use": "chat",
        "reasoning": "justify",
        "sampling": {"temperature": 0.8, "max_tokens": 5},
        "every": 2,
    }


def test_another_use_drops_the_old_parameters():
    expected = {"use": "constant_donor", "fraction": 0.5}
    path = "groups.donors.policy"
    for texts in (
        (f"{path}=constant_donor", f"{path}.fraction=0.5"),
        (f"{path}.use=constant_donor", f"{path}.fraction=0.5"),
        (f"{path}={{fraction: 0.5, use: constant_donor}}",),
    ):
        assert change(*texts)["groups"]["donors"]["policy"] == expected
    assert change(f"{path}=constant_donor")["groups"]["donors"]["policy"] == {
        "use": "constant_donor"
    }


def test_the_same_use_keeps_the_parameters():
    assert change("groups.donors.policy=chat") == BASE
    assert change("world.use=donor_game") == BASE


def test_keys_of_the_frame_survive_another_use():
    assert change("selection.use=roulette")["selection"] == {
        "use": "roulette",
        "fitness": "resources",
        "among": "group",
    }
    assert change("graph={use: grid_2d, periodic: true}")["graph"] == {
        "use": "grid_2d",
        "assign": "in_order",
        "periodic": True,
    }
    assert change("interventions.news.use=broadcast")["interventions"]["news"] == {
        "use": "broadcast",
        "at": 3,
    }


def test_a_name_becomes_a_map_when_a_parameter_is_set():
    assert change("backend.url=http://x")["backend"] == {"use": "tiny", "url": "http://x"}


def test_null_removes_an_entry():
    tree = change("graph=null", "world.trace=null", "interventions.news=~", "nothing.at.all=null")
    assert "graph" not in tree
    assert "nothing" not in tree
    assert tree["world"] == {"use": "donor_game", "rounds": 12}
    assert tree["interventions"] == {}


def test_entries_appear_where_there_were_none():
    assert change("limits.calls=5")["limits"] == {"calls": 5}
    assert change("channels.talk={use: text}")["channels"] == {"talk": {"use": "text"}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("world.rounds", "has no '='"),
        ("=3", "is no path"),
        ("a..b=3", "is no path"),
        ("a b=3", "is no path"),
        (".a=3", "is no path"),
    ],
)
def test_malformed_assignments_are_explained(text, words):
    with pytest.raises(OverrideError, match=words):
        parse_assignment(text)


def test_values_that_are_no_yaml_are_located():
    with pytest.raises(ScenarioError, match="--set a=\\[1:"):
        parse_assignment("a=[1")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seeds.0=3", "seeds is a list"),
        ("world.rounds.x=3", "world.rounds is the value '12'"),
    ],
)
def test_what_has_no_entries_is_replaced_whole(text, words):
    with pytest.raises(OverrideError, match=words):
        change(text)


names = st.sampled_from(["world", "groups", "donors", "policy", "use", "rounds", "graph", "x"])
paths = st.lists(names, min_size=1, max_size=4).map(tuple)
values = st.recursive(
    st.none() | st.integers(0, 9) | st.sampled_from(["chat", "a text", "cycle"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.tuples(paths, values), max_size=6))
def test_changes_never_touch_the_tree_they_are_put_over(changes):
    before = copy.deepcopy(BASE)
    tree = BASE
    for path, value in changes:
        try:
            tree = put(tree, path, value)
        except OverrideError as error:
            assert ".".join(error.path) in str(error)
    assert before == BASE


@given(paths, values)
def test_a_change_made_twice_is_made_once(path, value):
    try:
        once = put(BASE, path, value)
    except OverrideError:
        return
    assert put(once, path, value) == once


@given(paths, st.integers() | st.lists(st.integers(), max_size=3))
def test_what_was_put_is_found(path, value):
    try:
        tree = put(BASE, path, value)
    except OverrideError:
        return
    for part in path:
        tree = tree[part]
    assert tree == value


@given(st.text(max_size=30))
def test_any_path_is_split_or_explained(text):
    try:
        parts = split_path(text)
    except OverrideError as error:
        assert "is no path" in str(error)
    else:
        assert ".".join(parts) == text

import io

from rich.console import Console

from society.report import print_summary

SUMMARY = {
    "run_dir": "runs/x",
    "scenario": "x",
    "status": "ok",
    "steps": 1200,
    "generations": 3,
    "seeds": [0, 1, 2],
    "wall_s": 1.25,
    "llm": {"calls": 0},
    "measures": {},
}


def printed(target="x", **changes):
    text = io.StringIO()
    print_summary(Console(file=text, width=80), SUMMARY | changes, target)
    assert all(len(line) <= 120 for line in text.getvalue().splitlines())
    return text.getvalue()


def row(text, start):
    (line,) = (line for line in text.splitlines() if line.strip().startswith(start))
    return line.split()


def test_numbers_come_with_their_interval():
    number = {"mean": 0.51234, "ci95": [0.4, 0.6123456], "few": True}
    text = printed(measures={"cooperation": number})
    assert row(text, "cooperation") == ["cooperation", "0.5123", "0.4", "to", "0.6123"]
    assert "below 5 seeds" in text
    assert "society run x --set seeds=10" in text


def test_one_seed_has_no_interval():
    number = {"mean": 12.0, "ci95": None, "few": True}
    text = printed(measures={"resources": number, "nothing": {"mean": None}}, seeds=[0])
    assert row(text, "resources") == ["resources", "12"]
    assert row(text, "nothing") == ["nothing", "undefined"]
    assert "interval" not in text.partition("folder")[0]


def test_courses_are_drawn():
    text = printed(measures={"cooperation_by_round": [0.0, 0.5, 1.0]})
    assert row(text, "cooperation by round") == "cooperation by round 0 ▁▅█ 1".split()


def test_long_courses_fit_the_line():
    text = printed(measures={"a": [float(x) for x in range(1000)], "b": [None, float("nan")]})
    assert len(row(text, "a ")[2]) <= 24


def test_names_with_columns_become_a_ranking():
    measures = {
        "names": ["tit_for_tat", "always_defect", "grudger"],
        "scores": [2.5, 1.25, 3.0],
        "wins": [0, 2, 1],
        "total_scores": [[1, 2, 3], [1, 2, 3], [1, 2, 3]],
    }
    text = printed(measures=measures)
    lines = [line.split() for line in text.splitlines()]
    assert ["1", "grudger", "3", "1"] in lines
    assert ["3", "always_defect", "1.25", "2"] in lines
    assert "3 x 3 table" in text


def test_shares_of_strategies_are_drawn_by_name():
    measures = {
        "strategy_names": ["a", "b"],
        "strategy_shares": [[0.5, 0.5], [0.25, 0.75]],
        "strategy_generations": [0, 1],
    }
    text = printed(measures=measures)
    assert row(text, "share of a") == ["share", "of", "a", "0.5", "█▁", "0.25"]
    assert "strategy" not in text


def test_language_is_counted():
    llm = {"calls": 1234, "prompt_tokens": 9, "completion_tokens": 8, "faults": 0, "fallbacks": 2}
    text = printed(llm=llm)
    assert "1,234 calls" in text
    assert "2 fallbacks" in text


def test_a_limit_is_explained_with_the_way_on():
    text = printed(status="limit", reason="limits.calls is used up")
    assert "limits.calls is used up" in text
    assert "society resume runs/x" in text
    assert "society replay" not in text


def test_anything_a_measure_returns_can_be_shown():
    measures = {
        "flag": True,
        "name": "tit_for_tat",
        "empty": [],
        "map": {"a": 1.5, "b": {"c": 1}},
        "mixed": ["a", 1, None],
        "ragged": [[1], [1, 2]],
        "big": 123456789.0,
        "small": 1.23456789e-9,
        "none": None,
    }
    text = printed(measures=measures)
    assert row(text, "big") == ["big", "123,456,789"]
    assert row(text, "small") == ["small", "1.235e-09"]
    assert row(text, "name")[-1] == "tit_for_tat"

"""Comparisons: matched cells, paired seeds, baselines, noise floors, warnings, theory."""

import json

import numpy as np
import pytest

from society.recorder import NotARunError
from society.study.compare import compare
from society.study.read import CellResults, Results, read_results


def cell(name, values, **more):
    """A cell with one number (or a list of them) a measure."""
    values = {m: dict(enumerate(v)) for m, v in values.items()}
    seeds = tuple(range(max(map(len, values.values()))))
    return CellResults(
        name,
        values=values,
        seeds=seeds,
        summaries=({"status": "ok"},),
        **{"condition": name} | more,
    )


def study(*cells, method="grid"):
    return Results("study", "made_up", cells, {"method": method})


RNG = np.random.default_rng(0)
SEED = RNG.normal(0, 1, 10)


def test_runs_with_the_same_seeds_are_compared_seed_by_seed():
    """What the seed does is far larger than the effect, and is the same on both sides."""
    found = compare(
        study(
            cell("base", {"x": SEED}),
            cell("more", {"x": SEED + 0.2 + RNG.normal(0, 0.05, 10)}),
        )
    )
    (one,) = found["contrasts"]
    assert one["paired"] and one["p_holm"] < 0.01
    assert one["ci95"][0] > 0.1 and one["ci95"][1] < 0.3
    unpaired = compare(study(cell("base", {"x": SEED}), cell("more", {"x": SEED[:9] + 0.2})))
    assert not unpaired["contrasts"][0]["paired"]
    assert unpaired["contrasts"][0]["p"] > 0.3


def test_five_pairs_are_not_paired_because_no_flip_of_signs_could_find_anything():
    found = compare(study(cell("a", {"x": [1, 2, 3, 4, 5]}), cell("b", {"x": [6, 7, 8, 9, 10]})))
    assert not found["contrasts"][0]["paired"]
    assert found["contrasts"][0]["p"] == pytest.approx(2 / 252)


def test_factors_are_compared_level_by_level_with_the_rest_held_equal():
    cells = [
        cell(
            f"base/{g}/{t}",
            {"x": [10 * (g == "ring") + t + 0.01 * seed for seed in range(6)]},
            condition="base",
            point={"graph": g, "world.t": str(t)},
        )
        for g in ("complete", "ring")
        for t in (1, 2)
    ]
    found = compare(study(*cells))
    differences = {one["first"]: one["difference"] for one in found["contrasts"]}
    assert differences == {"graph=ring": pytest.approx(10), "world.t=2": pytest.approx(1)}
    assert all(one["strata"] == 2 for one in found["contrasts"])
    shares = found["variance"]["x"]
    assert shares["graph"] > 0.95 and sum(shares.values()) == pytest.approx(1)
    assert {"graph", "world.t", "interactions", "seed"} == set(shares)


def test_p_values_are_adjusted_over_everything_that_is_shown():
    cells = [cell(name, {"x": SEED[:6] + k, "y": SEED[:6] - k}) for k, name in enumerate("abc")]
    found = compare(study(*cells))
    assert len(found["contrasts"]) == 4
    assert all(one["p"] == pytest.approx(2 / 64) for one in found["contrasts"])
    assert all(one["p_holm"] == pytest.approx(4 * 2 / 64) for one in found["contrasts"])


def test_an_aa_pair_gives_the_noise_floor_and_is_no_finding():
    found = compare(
        study(cell("base", {"x": SEED}), cell("robust_again", {"x": SEED[::-1] + 0.01}))
    )
    assert found["contrasts"] == []
    floor = found["noise_floor"]["x"]
    assert floor["difference"] == pytest.approx(0.01)
    assert floor["ci95"][0] < 0 < floor["ci95"][1]


def test_variance_is_told_apart_into_prompt_model_and_seed():
    cells = [
        cell(
            f"{story}/{model}",
            {"x": [5 * (story == "cooking") + 1 * (model == "b") + noise for noise in SEED[:6]]},
            condition="base",
            point={"framing.story": story, "backend": model},
        )
        for story in ("game", "cooking")
        for model in ("a", "b")
    ]
    shares = compare(study(*cells))["variance"]["x"]
    assert set(shares) == {"framing.story (prompt)", "backend (model)", "interactions", "seed"}
    assert shares["framing.story (prompt)"] > shares["seed"] > shares["interactions"]


def test_few_runs_and_missing_cells_are_said():
    found = compare(study(cell("a", {"x": [1, 2]}), cell("b", {"x": [2, 3]}), CellResults("c")))
    said = " ".join(found["warnings"])
    assert "fewer than 5 runs" in said and "c" in said and "no finished run" in said


def test_names_are_checked():
    one = study(cell("base", {"generosity": [1, 2]}), cell("other", {"generosity": [1, 3]}))
    with pytest.raises(NotARunError, match="did you mean 'generosity'"):
        compare(one, ["generosty"])
    with pytest.raises(NotARunError, match="did you mean 'other'"):
        compare(one, baseline="othr")
    assert compare(one, baseline="other")["contrasts"][0]["second"] == "other"


def test_sampled_designs_say_what_a_number_depends_on():
    pytest.importorskip("SALib")
    from society.study.sensitivity import design

    for method, size in (("morris", 20), ("saltelli", 256)):
        units = design(method, 3, size)
        cells = [
            cell(
                str(place),
                {"x": [4 * unit[0] + unit[1] ** 2]},
                condition="base",
                point={"a": "", "b": "", "c": ""},
                unit=tuple(unit),
            )
            for place, unit in enumerate(units)
        ]
        found = compare(study(*cells, method=method))["sensitivity"]["x"]
        key = "effect" if method == "morris" else "total"
        assert found["a"][key] > found["b"][key] > found["c"][key] == pytest.approx(0, abs=1e-6)
    # Analytic: Var(4 u) = 16/12, Var(u^2) = 4/45.
    assert found["a"]["first"] == pytest.approx((16 / 12) / (16 / 12 + 4 / 45), abs=0.05)


@pytest.fixture(scope="module")
def moran(tmp_path_factory):
    """A tiny run with a known chance of fixation."""
    from society.run import run_scenario
    from society.scenario import load_scenario

    folder = tmp_path_factory.mktemp("moran")
    scenario = load_scenario("moran_fixation", ["generations=3", "seeds=2"])
    return run_scenario(scenario, folder)["run_dir"]


def test_theory_stands_beside_data_where_there_is_an_oracle(moran):
    found = compare(read_results([moran]))
    lines = found["cells"][0]["theory"]["fixation.always_cooperate"]
    assert lines[0]["value"] == pytest.approx((1 - 1 / 1.5) / (1 - 1.5**-10), abs=1e-6)


def test_runs_are_read_by_their_folder_and_a_study_stands_alone(moran, tmp_path):
    assert read_results([moran]).kind == "run"
    two = read_results([moran, moran])
    assert two.kind == "runs" and len(two.cells) == 2
    (tmp_path / "study.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(NotARunError, match="compare one study alone"):
        read_results([moran, tmp_path])
    with pytest.raises(NotARunError, match="study format 99"):
        read_results([tmp_path])

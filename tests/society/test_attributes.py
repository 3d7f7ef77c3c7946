import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.attributes import Choice, Cycle, Lognormal, Normal, Poisson, Uniform, group_columns
from society.scenario import load_scenario

N = 20_000


def sample(distribution, seed=0, n=N):
    distribution.check_params()
    return distribution.sample(np.random.default_rng(seed), n)


@pytest.mark.parametrize(
    ("distribution", "mean", "sd"),
    [
        (Normal(mean=3.0, sd=2.0), 3, 2),
        (Uniform(low=-1.0, high=3.0), 1, 4 / np.sqrt(12)),
        (Poisson(mean=4.0), 4, 2),
        (Lognormal(mean=0.0, sd=0.5), np.exp(0.125), np.sqrt(np.exp(0.25) * np.expm1(0.25))),
        (Choice(values=(0, 1), weights=(1.0, 3.0)), 0.75, np.sqrt(0.1875)),
    ],
)
def test_samples_have_the_moments_of_their_distribution(distribution, mean, sd):
    values = sample(distribution)
    error = sd / np.sqrt(N)
    assert abs(values.mean() - mean) < 5 * error
    assert abs(values.std() / sd - 1) < 0.06
    assert (sample(distribution) == values).all()
    assert (sample(distribution, seed=1) != values).any()


def test_choices_come_in_the_shares_of_their_weights():
    values = sample(Choice(values={"a": 1.0, "b": 3.0, "c": 0.0}))
    names, counts = np.unique(values, return_counts=True)
    assert names.tolist() == ["a", "b"]
    assert abs(counts[1] / N - 0.75) < 5 * np.sqrt(0.75 * 0.25 / N)


def test_cycles_deal_values_in_turn():
    assert sample(Cycle(values=("a", "b", 3)), n=5).tolist() == ["a", "b", "3", "a", "b"]
    assert sample(Cycle(values=(1, 2)), n=3).tolist() == [1, 2, 1]


@pytest.mark.parametrize(
    "distribution",
    [
        Choice(values=()),
        Choice(values=("a", "b"), weights=(1.0,)),
        Choice(values={"a": -1.0, "b": 2.0}),
        Choice(values={"a": 0.0}),
        Choice(values={"a": 1.0}, weights=(1.0,)),
        Cycle(values=()),
        Uniform(low=1.0, high=0.0),
    ],
)
def test_parameters_that_make_no_sense_are_refused(distribution):
    with pytest.raises(ValueError, match=r"\w"):
        distribution.check_params()


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    folder = tmp_path_factory.mktemp("columns")
    (folder / "people.csv").write_text(
        "name,age,w\n" + "".join(f"p{row},{20 + row},{row}\n" for row in range(5))
    )

    def load(extra):
        path = folder / "case.yaml"
        path.write_text(
            "world: {use: donor_game}\n"
            "groups: {a: {policy: constant_donor, "
            f"attributes: {{city: Ulm, luck: {{use: normal}}}}, {extra}}}}}\n"
        )
        return load_scenario(path).groups["a"]

    return load


def columns(group, size, seed=0):
    return group_columns(group, size, np.random.default_rng(seed))


def test_columns_come_from_the_table_and_the_attributes(group):
    found = columns(group("table: people.csv"), 5)
    assert found["name"].tolist() == ["p0", "p1", "p2", "p3", "p4"]
    assert found["age"].tolist() == [20, 21, 22, 23, 24]
    assert found["city"].tolist() == ["Ulm"] * 5
    assert found["luck"].shape == (5,)


def test_another_attribute_changes_no_other_column(group):
    first = columns(group("count: 9"), 9)
    second = columns(group("count: 9, table: people.csv, draw: with_replacement"), 9)
    assert (first["luck"] == second["luck"]).all()


def test_rows_of_a_table_are_drawn_as_asked(group):
    shuffled = columns(group("table: people.csv, draw: without_replacement"), 5)
    assert sorted(shuffled["age"].tolist()) == [20, 21, 22, 23, 24]
    whole = columns(
        group("table: people.csv, count: 2000, draw: with_replacement, weight: w"), 2000
    )
    names, counts = np.unique(whole["name"], return_counts=True)
    assert names.tolist() == ["p1", "p2", "p3", "p4"]
    assert np.abs(counts / 2000 - np.arange(1, 5) / 10).max() < 0.05


def test_slots_kept_for_births_have_attributes_too(group):
    found = columns(group("table: people.csv, capacity: 12"), 12)
    assert found["age"].tolist() == [20, 21, 22, 23, 24, 20, 21, 22, 23, 24, 20, 21]


@given(st.integers(0, 40), st.sampled_from(["in_order", "without_replacement", "with_replacement"]))
def test_any_number_of_rows_can_be_drawn(num, draw):
    from society.tables import draw_rows, table_of_rows

    table = table_of_rows([{"a": index} for index in range(7)])
    rows = draw_rows(table, num, draw, None, np.random.default_rng(0))
    assert rows.shape == (num,)
    assert ((rows >= 0) & (rows < 7)).all()
    if draw != "with_replacement":
        counts = np.bincount(rows, minlength=7)
        assert counts.max() - counts.min() <= 1

"""The measure of contributions, on generations computed by hand."""

import numpy as np
import pytest

from society.contract import Record
from society.measures.contributions import Contributions
from worlds.registry import make


def record(world, **generations):
    none = np.zeros(0)
    return Record(world, (), {}, none, generations, {}, none, none, none)


def test_contributions_are_averaged_and_listed_over_generations():
    found = Contributions().finish(
        (),
        record(
            make("public_goods"),
            contribution=np.array([0.0, 0.5, 1.0]),
            points=np.array([0.0, 1.0, 5.0]),
            earnings=np.array([20.0, 25.0, 29.0]),
        ),
    )
    assert found["contribution"] == 1.0 and found["contribution_mean"] == 0.5
    assert found["points"] == 5.0 and found["points_mean"] == 2.0
    assert found["earnings_by_generation"] == [20.0, 25.0, 29.0]
    # All put in everything: 12 more than the endowment of 20; 9 of them were earned.
    assert found["efficiency"] == pytest.approx(0.75)


def test_where_nothing_can_be_gained_there_is_no_efficiency():
    found = Contributions().finish((), record(make("public_goods", multiplier=1.0)))
    assert np.isnan(found["efficiency"]) and np.isnan(found["contribution"])


def test_other_worlds_are_refused():
    with pytest.raises(ValueError, match="needs world public_goods, not 'donor_game'"):
        Contributions().check(make("donor_game"), ())

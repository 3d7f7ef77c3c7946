"""A learner from PyPI that knows nothing of us learns in two worlds (`make test-examples`)."""

import importlib.util
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party_learner.py"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        importlib.util.find_spec("skrl") is None,
        reason="skrl is not among the development tools; `make test-examples` installs it apart",
    ),
]


def example():
    spec = importlib.util.spec_from_file_location("third_party_learner", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "margin"), [("coin_game", 0.15), ("harmony", 1.0)])
def test_skrl_learns_through_the_pettingzoo_edge(name, margin):
    """A step brings 0.1 coins at random; a round 2.5, and 4 where both cooperate."""
    random, learned = example().play(name)
    assert learned > random + margin, (random, learned)

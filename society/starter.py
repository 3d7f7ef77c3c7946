"""The scenario that ``society new`` writes: small, commented, and it runs."""

import re
from pathlib import Path

from society.errors import Problem, ScenarioError

__all__ = ["STARTER", "write_starter"]

STARTER = """\
# {name}: a scenario of its own. Everything that decides a result is in this file.
#   society validate {file}     check it
#   society run {file}          run it
#   society list                what can be named here
#   society show donor_game     parameters of a component
about: Do reciprocators survive among defectors?   # the first line is shown by `society list`

# Where they live: an iterated prisoner's dilemma, everybody against everybody.
world:
  use: matrix_game
  game: prisoners_dilemma
  rounds: 20
  noise: 0.01                # chance that a move comes out wrong

# Who lives there. File order is slot order; names are yours.
groups:
  players:
    count: 60
    policy:
      use: strategies        # a population of different strategies
      mix: [tit_for_tat, always_cooperate, always_defect, win_stay_lose_shift]

# Time: a generation is one tournament; then the better half is copied.
generations: 30
selection: {{use: truncation, keep: 0.5}}
transmission: {{use: mutate, rate: 0.01}}

measures: [strategy_shares]  # added to the world's own
seeds: 3                     # replicates: seeds 0, 1 and 2

# Language agents instead? Replace the policy, or try it from the command line:
#   society run {file} --set groups.players.policy=chat --set groups.players.count=6 \\
#     --set generations=2 --set seeds=1 --set world.rounds=3 --set world.actions=same \\
#     --set selection=null --set transmission=null --set backend=mock

# Studies: every condition is a set of changes. `society validate` lists and checks them,
# `society sweep {file}` makes their runs, compares them and writes a report.
sweep:
  conditions:
    baseline: {{}}
    no_noise: {{world.noise: 0}}
    long: {{world.rounds: 100}}
"""


def write_starter(name: str, folder: Path) -> Path:
    """Write ``<folder>/<name>.yaml``; returns its path.

    Raises:
      ScenarioError: The name is no file name, or the file exists.
    """
    name = name.removesuffix(".yaml")
    path = folder / f"{name}.yaml"
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name):
        message = "a scenario's name has letters, digits, _ and -; choose folders with --out"
        raise ScenarioError(Problem(str(path), 1, 1, "", message))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(STARTER.format(name=name, file=path))
    except FileExistsError:
        message = "the file exists; choose another name, or delete it"
        raise ScenarioError(Problem(str(path), 1, 1, "", message)) from None
    except OSError as error:
        message = f"cannot write: {error.strerror}"
        raise ScenarioError(Problem(str(path), 1, 1, "", message)) from None
    return path

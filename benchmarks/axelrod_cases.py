"""Write tests/data/axelrod_cases.json: what Axelrod's strategies do, move by move.

Run with the Axelrod library installed (``pip install torch==2.13.0 axelrod==4.14.0``):
``python benchmarks/axelrod_cases.py``. Every case drives one player against a fixed random
sequence while some of its own moves are flipped, so that states that only noise reaches
are covered too.
"""

import itertools
import json
import random
from pathlib import Path

import axelrod
from axelrod import Action

OUT = Path(__file__).parents[1] / "tests" / "data" / "axelrod_cases.json"
CASES, TURNS = 8, 80
LENGTHS = (1, 2, 63, 333)
CLASSES = {
    "tit_for_tat": axelrod.TitForTat,
    "always_cooperate": axelrod.Cooperator,
    "always_defect": axelrod.Defector,
    "alternator": axelrod.Alternator,
    "grudger": axelrod.Grudger,
    "tit_for_two_tats": axelrod.TitFor2Tats,
    "two_tits_for_tat": axelrod.TwoTitsForTat,
    "suspicious_tit_for_tat": axelrod.SuspiciousTitForTat,
    "anti_tit_for_tat": axelrod.AntiTitForTat,
    "hard_tit_for_tat": axelrod.HardTitForTat,
    "win_stay_lose_shift": axelrod.WinStayLoseShift,
    "gradual": axelrod.Gradual,
    "contrite_tit_for_tat": axelrod.ContriteTitForTat,
    "cycler": axelrod.CyclerCCD,
}
TOURNAMENT = list(CLASSES)[:12]
CHANCES = {
    "generous_tit_for_tat": axelrod.GTFT,
    "zd_extort": axelrod.ZDExtort2,
    "zd_generous": axelrod.ZDGTFT2,
}


def drive(player, rng, flip_chance, defect_chance):
    """Play against a fixed sequence; returns opponent's moves, flips, and the intended moves."""
    opponent = axelrod.MockPlayer()
    player.set_match_attributes(length=-1, game=axelrod.DefaultGame, noise=0)
    text = {"other": "", "flips": "", "intended": ""}
    for _ in range(TURNS):
        intended = player.strategy(opponent)
        flip = rng.random() < flip_chance
        done = intended.flip() if flip else intended
        theirs = Action.D if rng.random() < defect_chance else Action.C
        player.update_history(done, theirs)
        opponent.update_history(theirs, done)
        text["other"] += str(theirs)
        text["flips"] += "x" if flip else "."
        text["intended"] += str(intended)
    return text


def moves():
    """Cases of every strategy: no noise, own noise, kind and hostile opponents."""
    found = {}
    for name, cls in CLASSES.items():
        rng = random.Random(name)
        found[name] = [
            drive(cls(), rng, (0.0, 0.1)[case % 2], (0.05, 0.2, 0.5, 0.9)[case // 2])
            for case in range(CASES)
        ]
    return found


def round_robins():
    """Totals and cooperations of all pairs, row against column, at several lengths."""
    found = {}
    for turns in LENGTHS:
        scores, acts = [], []
        for first, second in itertools.product(TOURNAMENT, repeat=2):
            match = axelrod.Match((CLASSES[first](), CLASSES[second]()), turns=turns)
            match.play()
            scores.append(int(match.final_score()[0]))
            acts.append(int(match.cooperation()[0]))
        size = len(TOURNAMENT)
        found[str(turns)] = {
            "total_scores": [scores[i * size : (i + 1) * size] for i in range(size)],
            "cooperation_counts": [acts[i * size : (i + 1) * size] for i in range(size)],
        }
    return found


def four_vectors():
    """Chances to cooperate after CC, CD, DC, DD in the default game."""
    found = {}
    for name, cls in CHANCES.items():
        player = cls()
        player.set_match_attributes(length=-1, game=axelrod.DefaultGame, noise=0)
        vector = player._four_vector
        found[name] = [
            float(vector[(a, b)]) for a in (Action.C, Action.D) for b in (Action.C, Action.D)
        ]
    return found


if __name__ == "__main__":
    OUT.parent.mkdir(parents=True, exist_ok=True)
    cases = {
        "axelrod_version": axelrod.__version__,
        "tournament": TOURNAMENT,
        "moves": moves(),
        "round_robins": round_robins(),
        "four_vectors": four_vectors(),
    }
    OUT.write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    print(f"wrote {OUT}: {OUT.stat().st_size} bytes")

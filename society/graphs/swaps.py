"""Double edge swaps, all ties at once: randomise who is tied to whom, keep every degree."""

import numpy as np

from society.graphs.sampling import code_pairs

__all__ = ["swap_ends"]


def swap_ends(
    rng: np.random.Generator,
    pairs: np.ndarray,
    num: int,
    *,
    directed: bool = False,
    rounds: int = 10,
    share: float = 1.0,
) -> np.ndarray:
    """Let random couples of ties exchange their second ends.

    In each round every chosen tie takes part in one swap at most; a swap that would make
    a tie to oneself, or one that exists or is being made by another, does not happen.

    Args:
      rng: consumed.
      pairs: [E, 2] ties, each once.
      num: number of nodes.
      directed: senders stay senders.
      rounds: of swapping; ten leave next to nothing of the ties at the start.
      share: of the ties that take part in a round.

    Returns:
      [E, 2] int32, row by row the tie that took the place of the old one.

    Source: Maslov and Sneppen (2002), doi:10.1126/science.1065103, in parallel rounds.
    """
    pairs = np.array(pairs, np.int32)
    for _ in range(rounds):
        chosen = rng.permutation(len(pairs))[: round(share * len(pairs))]
        half = len(chosen) // 2
        one, two = chosen[:half], chosen[half : 2 * half]
        if not directed:
            flip = two[rng.random(half) < 0.5]
            pairs[flip] = pairs[flip, ::-1]
        new_one = np.stack([pairs[one, 0], pairs[two, 1]], 1)
        new_two = np.stack([pairs[two, 0], pairs[one, 1]], 1)
        codes_one, codes_two = (code_pairs(new, num, directed) for new in (new_one, new_two))
        codes = np.sort(np.concatenate([code_pairs(pairs, num, directed), codes_one, codes_two]))
        taken = codes[1:][codes[1:] == codes[:-1]]
        good = (new_one[:, 0] != new_one[:, 1]) & (new_two[:, 0] != new_two[:, 1])
        good &= ~np.isin(codes_one, taken) & ~np.isin(codes_two, taken)
        pairs[one[good]], pairs[two[good]] = new_one[good], new_two[good]
    return pairs

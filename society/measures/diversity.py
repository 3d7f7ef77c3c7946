"""Diversity of minds: how far genomes are from one another, and in how many clusters."""

import dataclasses
from typing import Any

import numpy as np

__all__ = ["Diversity", "clusters", "diversity_of"]


@dataclasses.dataclass(frozen=True)
class Diversity:
    """Of one moment: mean pairwise distance, effective number of clusters, their labels [n]."""

    distance: float
    effective: float
    labels: np.ndarray


def clusters(traits: np.ndarray, radius: float) -> np.ndarray:
    """[n] labels: who is within ``radius`` of somebody of a cluster belongs to it.

    Single linkage, labels in the order of first members.
    """
    labels = np.full(len(traits), -1)
    for start in range(len(traits)):
        if labels[start] >= 0:
            continue
        name, front = labels.max() + 1, [start]
        labels[start] = name
        while front:
            here = traits[front.pop()]
            near = np.sqrt(((traits - here) ** 2).sum(-1)) <= radius
            new = np.flatnonzero(near & (labels < 0))
            labels[new] = name
            front += new.tolist()
    return labels


def diversity_of(traits: np.ndarray, radius: float) -> Diversity:
    """Diversity of individuals described by traits [n, F] (genotype or behaviour).

    ``effective`` is the exponential of the Shannon entropy of cluster sizes (Hill number of
    order 1): 1 where all are alike, k where k clusters are equally large.
    Source: Hill (1973), doi:10.2307/1934352. ``traits`` of an evolved policy's minds projects
    weights on 16 fixed random directions (Johnson and Lindenstrauss, 1984), which keeps
    distances in expectation.
    """
    traits = np.asarray(traits, float)
    if len(traits) < 2:
        return Diversity(0.0, float(len(traits)), np.zeros(len(traits), int))
    apart = np.sqrt(((traits[:, None] - traits[None]) ** 2).sum(-1))
    labels = clusters(traits, radius)
    share = np.bincount(labels) / len(labels)
    mean = apart.sum() / (len(traits) * (len(traits) - 1))
    return Diversity(float(mean), float(np.exp(-(share * np.log(share)).sum())), labels)


def behaviour(actions: Any) -> np.ndarray:
    """[n, A] mean actions of each row over time, as descriptors of behaviour.

    actions: [T, n, A].
    """
    return np.asarray(actions, float).mean(axis=0)

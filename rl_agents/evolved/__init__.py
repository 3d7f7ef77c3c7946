"""Evolved minds: networks with weights of their own, changed by birth and mutation alone."""

from rl_agents.evolved.networks import EvolvedAttention, EvolvedLstm, EvolvedMlp

__all__ = ["EvolvedAttention", "EvolvedLstm", "EvolvedMlp"]

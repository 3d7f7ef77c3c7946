"""Strategies without learning: each a policy, and any mix of them a population."""

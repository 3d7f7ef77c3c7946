"""Strategies without learning."""

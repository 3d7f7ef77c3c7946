"""Worlds whose state and actions are language."""

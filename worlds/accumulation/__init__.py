"""Worlds whose hidden task takes longer to learn than one life lasts."""

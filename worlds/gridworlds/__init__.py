"""Worlds on a grid: one engine, one world a file."""

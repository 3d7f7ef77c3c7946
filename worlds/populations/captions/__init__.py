"""Populations in words."""

"""Scenario files, their schema and prompt templates, shipped as package data."""

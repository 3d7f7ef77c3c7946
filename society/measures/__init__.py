"""Measures: numbers about a run, one family a file; formulas and sources in each class."""

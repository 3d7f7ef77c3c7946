"""Studies: which runs a sweep needs, who runs them, and what they say together."""

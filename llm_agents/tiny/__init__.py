"""society-tiny: a language model of about a million parameters, and how it is made.

A demonstration and test model. ``python -m llm_agents.tiny.train`` makes it from lessons
that the project's own worlds, captions and prompts produce with scripted teachers.
"""

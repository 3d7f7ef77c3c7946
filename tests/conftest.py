"""Settings that every test shares: CPU, a kept compilation cache, reproducible examples."""

import os
from pathlib import Path

# jax reads these once, when it is first imported.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".cache" / "jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import pytest
from hypothesis import settings

# The first call of a jitted function compiles, so a deadline would measure the compiler.
settings.register_profile("default", derandomize=True, deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

SLOW = Path(__file__).with_name("slow.txt")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests listed in slow.txt."""
    listed = {line for line in SLOW.read_text().splitlines() if line and line[0] != "#"}
    for item in items:
        if item.nodeid in listed:
            item.add_marker("slow")

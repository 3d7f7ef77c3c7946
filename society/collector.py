"""Python's cycle collector, kept from walking over what lives as long as a run.

A thousand agents hold some fifty thousand short-lived objects within a step. With the default
thresholds the collector walks over the modules, compiled programs and minds of the whole
process several times in each, which takes a sixth of the step.
"""

import contextlib
import gc
from collections.abc import Iterator

__all__ = ["calm_collector"]

THRESHOLDS = (400_000, 20, 50)


@contextlib.contextmanager
def calm_collector() -> Iterator[None]:
    """Leave out what exists already, and look at the rest less often; afterwards as before."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()

"""`cached_property` without a lock, which a fork could leave held for ever.

That of Python 3.11 computes under a lock of its class: in a child that was forked while
another thread computed, whoever reads the property waits for ever. Without one, two
threads may compute the same value; the last one is kept.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

T = TypeVar("T")


def cached_property(compute: Callable[[Any], T]) -> functools.cached_property[T]:
    """Let *compute* make the value of a property once, and keep it in the instance."""
    made = functools.cached_property(compute)
    if sys.version_info < (3, 12):
        vars(made)["lock"] = nullcontext()
    return made

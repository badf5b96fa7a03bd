"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(
    holds: Callable[[], object], what: str = "it never came true", seconds: float = 60
) -> None:
    """Wait until *holds* does; fail with *what* after *seconds*."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)

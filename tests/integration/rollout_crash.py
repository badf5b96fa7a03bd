"""Let a controller die between two lines of a move, and look at what it left.

The child is a fork of this process that ends without a goodbye (`os._exit`) when its
main thread is about to run the n-th line of the files in `BETWEEN`. So every pair of
steps has a crash between them: records before, flag, lock, rename, records after.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

BETWEEN = (
    "openfeature_gov_rollout/controller.py",
    "openfeature_gov_rollout/moving.py",
    "openfeature_gov_rollout/recording.py",
    "openfeature_gov/targets/file.py",
    "openfeature_gov/targets/featbit.py",
    "openfeature_gov/targets/steps.py",
    "featbit/writing.py",
    "featbit/management/client.py",
    "featbit/management/writes.py",
)
DIED, ENDED, RAISED = 9, 0, 1


class Lines:
    """Count the lines that run in `BETWEEN`, and die at line *last*, 0 for never."""

    def __init__(self, last: int) -> None:
        self.seen, self.last = 0, last

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        """Be the trace function of every frame."""
        if not frame.f_code.co_filename.endswith(BETWEEN):
            return None
        if event == "line":
            self.seen += 1
            if self.seen == self.last:
                os._exit(DIED)
        return self


def lines_of(move: Callable[[], object]) -> int:
    """Return how many lines *move* runs."""
    counted = Lines(0)
    sys.settrace(counted)
    try:
        move()
    finally:
        sys.settrace(None)
    return counted.seen


def died(move: Callable[[], object], at: int) -> bool:
    """Let a fork make *move* and die at its line *at*; say whether it got there."""
    child = os.fork()
    if child == 0:
        code = RAISED
        with suppress(BaseException):
            sys.settrace(Lines(at))
            try:
                move()
                code = ENDED
            except BaseException:
                sys.settrace(None)
                traceback.print_exc()
        os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (DIED, ENDED), code
    return code == DIED

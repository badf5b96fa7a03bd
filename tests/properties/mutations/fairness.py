"""Mutants of what lets other threads go on beside a busy loop."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of

_fair = partial(tests_of, "test_fairness.py")
FAIRNESS = (
    *mutants(
        "fairness.py",
        _fair("a_busy_loop_gives_way"),
        ("(alone or worked - _alone.worked > passed * BUSY)", "False"),
        ("        return False\n    return True", "        pass\n    return False"),
    ),
    *mutants(
        "fairness.py",
        _fair("a_loop_that_rests_does_not_sleep"),
        ("(alone or worked - _alone.worked > passed * BUSY)", "True"),
    ),
    *mutants(
        "fairness.py",
        _fair("busy_is_who_never_rests_or_next_to_never"),
        ("rested == _alone.rested is not None", "rested is not None"),
        ("rested == _alone.rested is not None", "rested == _alone.rested"),
        ("alone or worked - _alone.worked > passed * BUSY", "alone"),
        ("alone or worked - _alone.worked > passed * BUSY", "worked > passed"),
    ),
    *mutants(
        "fairness.py",
        _fair("who_is_not_on_a_loop_does_not_sleep"),
        (" and _on_a_loop()", ""),
    ),
    *mutants(
        "fairness.py",
        _fair("who_gave_way_goes_on_alone_for_a_while"),
        ("    if passed < after_s:\n        return False\n", ""),
    ),
    *mutants(
        "fairness.py",
        _fair("a_loop_on_which_a_task_waits_for_a_thread_gives_way"),
        ("        _nap(min(passed / SHARE, LONGEST_S))\n", "        pass\n"),
        ("busy = give_way(WAITING_S)", "busy = False"),
        ("return await answered(asyncio", "return await (asyncio"),
    ),
    *mutants(
        "fairness.py",
        _fair("nothing_is_left_on_the_loop_of_who_waited"),
        ("        self._timer.cancel()\n", "        pass\n"),
    ),
    *mutants(
        "fairness.py",
        _fair("what_runs_in_a_thread_has_the_context"),
        ("contextvars.copy_context().run, function", "function"),
    ),
    *mutants(
        "deciding.py",
        _fair("a_loop_that_is_busy_deciding_gives_way"),
        ("        give_way()\n        return self.judge", "        return self.judge"),
    ),
    *mutants(
        "stores/waiting.py",
        _fair("a_loop_on_which_a_task_waits_for_a_record_gives_way"),
        ("told = await answered(self._future)", "told = await self._future"),
    ),
)

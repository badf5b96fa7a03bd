"""Mutants of what lets other threads go on beside a busy loop."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of

_fair = partial(tests_of, "test_fairness.py")
_threads = partial(tests_of, "test_threads.py")
FAIRNESS = (
    *mutants(
        "fairness.py",
        _fair("a_busy_loop_gives_way"),
        ("busy = alone or worked - self._worked > passed * BUSY", "busy = False"),
    ),
    *mutants(
        "fairness.py",
        _fair("a_loop_that_rests_does_not_sleep"),
        ("busy = alone or worked - self._worked > passed * BUSY", "busy = True"),
    ),
    *mutants(
        "fairness.py",
        _fair("busy_is_who_never_rests_or_next_to_never"),
        ("rested == self._rested is not None", "rested is not None"),
        ("rested == self._rested is not None", "rested == self._rested"),
        ("alone or worked - self._worked > passed * BUSY", "alone"),
        ("alone or worked - self._worked > passed * BUSY", "worked > passed"),
    ),
    *mutants(
        "fairness.py",
        _fair("who_is_not_on_a_loop_does_not_sleep"),
        ("busy = busy and self.loop is not None", "pass"),
    ),
    *mutants(
        "fairness.py",
        _fair("who_gave_way_goes_on_alone_for_a_while"),
        ("time.monotonic() - _mine.watch.since < after_s", "_mine.watch.since < 0"),
    ),
    *mutants(
        "fairness.py",
        _fair("a_loop_on_which_a_task_waits_for_a_thread_gives_way"),
        ("        _nap(min(passed / SHARE, LONGEST_S))\n", "        pass\n"),
        ("        if self._waiting:\n", "        if False:\n"),
        ("    watch.wait()\n", "    watch.waited()\n"),
        ("return await answered(asyncio.wrap", "return await (asyncio.wrap"),
    ),
    *mutants(
        "fairness.py",
        _fair("nothing_is_left_on_a_loop_after_a_while"),
        ("        elif now >= self._ends:\n            return\n", ""),
        ("        self._waiting -= 1\n", "        pass\n"),
    ),
    *mutants(
        "fairness.py",
        _fair("one_looks_for_all_who_wait"),
        ("    if _mine.watch.loop is not loop:\n", "    if False:\n"),
    ),
    *mutants(
        "fairness.py",
        _fair("who_begins_to_wait_puts_no_look_off"),
        ("self._timer is None or self._pause_s > WAITING_S", "self._waiting"),
    ),
    *mutants(
        "fairness.py",
        _fair("a_loop_that_rests_is_looked_at_rarely"),
        ("min(2 * self._pause_s, rarely)", "self._pause_s"),
    ),
    *mutants(
        "fairness.py",
        _fair("a_loop_that_decided_gives_way_when_it_is_busy_later"),
        ("    watch.last()\n", "    pass\n"),
        ("            self._look_after(ALONE_S)\n", "            pass\n"),
    ),
    *mutants(
        "fairness.py",
        _fair("each_loop_is_looked_at"),
        (
            "    if _mine.watch.loop is not loop:\n",
            "    if _mine.watch.loop is None:\n",
        ),
    ),
    *mutants(
        "threads.py",
        _fair("what_runs_in_a_thread_has_the_context"),
        ("submit(context.run, begun.done, work)", "submit(begun.done, work)"),
    ),
    *mutants(
        "threads.py",
        tests_of(
            "test_governor_async.py",
            "tools_in_threads_that_wait_for_tools_in_threads_go_on",
        ),
        ("        _work.set(self)\n", ""),
    ),
    *mutants(
        "threads.py",
        _threads("what_goes_on_after_its_work_ended_needs_no_deeper_threads"),
        ("            self._ended = True\n", "            pass\n"),
    ),
    *mutants(
        "deciding.py",
        _threads("what_a_person_reads_may_take_a_decision_of_its_own"),
        (
            "in_thread(self._settled, call, demanded)",
            "in_thread(FORGETS, self._settled, call, demanded)".replace(
                "FORGETS", "__import__('contextvars').copy_context().run"
            ),
        ),
    ),
    *mutants(
        "fairness.py",
        _fair("loops_that_take_turns_in_a_thread_are_looked_at_once_each"),
        ("found = self._watches.get(loop)", "found = None"),
    ),
    *mutants(
        "fairness.py",
        _fair("a_handler_that_decides_while_timers_are_sorted_breaks_no_loop"),
        ("self.loop.call_soon_threadsafe(self._begin)", "self._begin()"),
    ),
    *mutants(
        "deciding.py",
        tests_of(
            "test_governor_async.py",
            "a_handler_that_waits_for_a_thread_never_becomes_the_tool",
        ),
        ('if again.ran == "tool" != route.ran:', "if False:"),
    ),
    *mutants(
        "running.py",
        tests_of(
            "test_governor_async.py",
            "a_handler_that_no_longer_stands_never_becomes_the_tool",
        ),
        ('if again.route.ran == "tool" != judged.route.ran:', "if False:"),
    ),
    *mutants(
        "threads.py",
        _threads("nothing_begins_after_the_end"),
        ("            if self.closed:\n                return None\n", ""),
    ),
    *mutants(
        "threads.py",
        _threads("who_closes_waits_for_what_runs"),
        ("one.shutdown(wait=True)", "one.shutdown(wait=False)"),
    ),
    *mutants(
        "threads.py",
        _threads("a_handler_that_interrupts_who_begins_does_not_wait"),
        ("        if interrupted(self._lock):\n            return\n", ""),
    ),
    *mutants(
        "threads.py",
        _threads("a_forked_child_has_threads_of_its_own"),
        ("        renewed(self)\n", ""),
    ),
    *mutants(
        "fairness.py",
        _threads(
            "a_decision_waits_for_no_thread_of_the_host",
            "what_waits_in_threads_of_the_host_for_decisions_goes_on",
        ),
        (
            "    begun = _threads.begin(partial(function, *args, **given))\n",
            "    return await asyncio.to_thread(function, *args, **given)\n    begun = None\n",
        ),
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

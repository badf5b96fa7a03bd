"""Mutants of judgement, run, tickets and the gate."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of

_admission = partial(tests_of, "test_admission.py")
_ticketing = partial(tests_of, "test_ticketing.py")
_governor = partial(tests_of, "test_governor.py")
_arguments = partial(tests_of, "test_governor_arguments.py")
_async = partial(tests_of, "test_governor_async.py")
_narrowing = partial(tests_of, "test_governor_narrowing.py")
_records = partial(tests_of, "test_governor_records.py")
_tools = partial(tests_of, "test_governor_tools.py")
_store = partial(tests_of, "test_stores_sqlite.py")
JUDGING = (
    *mutants(
        "judging.py",
        _governor("unknown_tools_and_unknown_actors_are_denied"),
        (
            'raise InvalidCallError("tool_unknown", "no',
            'tool = Tool("x", print)\n            print("no',
        ),
        (
            'raise InvalidCallError("context_missing", "nobody said who acts")',
            "return None",
        ),
    ),
    *mutants(
        "judging.py",
        _narrowing("constraints_need_a_tool_that_applies_them"),
        (
            "    if decision.constraints:\n",
            "    if decision.constraints and smaller:\n",
        ),
        ("smaller.arguments, smaller.canonical)", "contract.arguments, b'')"),
        ("case Effect.CONSTRAIN if decision.full", "case Effect.CONSTRAIN if False"),
    ),
    *mutants(
        "judging.py",
        _narrowing("a_fault_of_our_own_denies"),
        ("except Exception as error:", "except ZeroDivisionError as error:"),
    ),
    *mutants(
        "judging.py",
        _governor("each_mode_runs_what_it_may"),
        ("tool.handler_below(decision.mode)", "tool.handler_below(Mode.AUTONOMOUS)"),
        (
            "        case _:\n            return None",
            '        case _:\n            return "tool", tool.function',
        ),
    ),
    *mutants(
        "judging.py",
        _records("decision_is_on_disk_before_a_consequential_action"),
        ("and not contract.mere_read", "and contract.mere_read"),
        ("(runs or queued)", "queued"),
    ),
    *mutants(
        "judging.py",
        _records("queued_action_is_on_disk_when_the_caller_hears_of_it"),
        ("(runs or queued)", "runs"),
    ),
    *mutants(
        "judging.py",
        _records("decide_and_report"),
        ("route.canonical if runs else None", "None"),
    ),
    *mutants(
        "deciding.py",
        _records("decision_is_on_disk_before_a_consequential_action"),
        (
            "self._records.commit(judged.record)",
            "self._records.append(judged.record)",
        ),
    ),
    *mutants(
        "deciding.py",
        _store("commit_that_fails_denies_and_nothing_runs"),
        ("decision=refused, route=Route()", "decision=refused"),
        ("judged, decision=refused, ", "judged, "),
    ),
    *mutants(
        "deciding.py",
        _records("async_decision_is_on_disk_and_a_failed_one_denies"),
        (
            "await self._records.acommit(judged.record)",
            "self._records.append(judged.record)",
        ),
    ),
    *mutants(
        "toolbox.py",
        _tools("registration_refuses_what_cannot_be_governed"),
        ("if tool.name in self._tools", "if tool is None"),
        ("or tool.name not in self._governance", ""),
    ),
    *mutants(
        "governor.py",
        _governor("plan_has_no_effect"),
        (
            "return heard(self._decider.judged(call, demanded), Status.PLANNED)\n\n    async",
            "return heard(self._decider.recorded(call), Status.PLANNED)\n\n    async",
        ),
    ),
    *mutants(
        "running.py",
        _records(
            "outcome_follows_the_decision", "tool_exceptions_are_recorded_and_passed_on"
        ),
        ('self._decider.settle(judged, "executed", None, started, value)', "pass"),
        ("self._decider.settle(judged, status, error, started)", "pass"),
    ),
    *mutants(
        "governor.py",
        _async("async_twins_do_the_same"),
        (
            "refuse_async(self._decider.known(call))\n        refuse_injected",
            "refuse_injected",
        ),
    ),
    *mutants(
        "tickets.py",
        _ticketing(
            "ticket_lets_exactly_this_call_run_once",
            "late_edit_of_the_arguments_meets_a_decision",
            "ticket_is_single_use_across_threads",
            "ticket_expires",
            "ticket_is_for_one_tool",
        ),
        ("bool(self._fresh.acquire(blocking=False))", "True"),
        ("            and self.canonical == canonical\n", ""),
        ("            and self.expires_ns > now_ns\n", ""),
        ("            and self.tool == tool\n", ""),
        ("and ticket.take()", ""),
        ("LIFETIME_NS = 10 *", "LIFETIME_NS = 0 *"),
    ),
    *mutants(
        "gate.py",
        _arguments("misfit_arguments_are_denied_with_a_record"),
        ("None if surplus else named", "named"),
        ("len(args) > len(tool.positions) or", ""),
        (" or named.keys() & kwargs.keys()", ""),
    ),
    *mutants(
        "gate.py",
        _ticketing("direct_call_without_context_is_denied"),
        (
            "return _answer(runner.ran(tickets.honoured(tool, call) or call, extra))",
            "return tool.function(**kwargs)",
        ),
    ),
    *mutants(
        "narrowing.py",
        _narrowing("narrowing_that_widens_is_denied"),
        ("    if grew:", "    if False:"),
    ),
    *mutants(
        "judging.py",
        _narrowing(
            "a_narrowed_call_is_weighed_once_more",
            "a_narrowed_call_is_not_narrowed_again",
        ),
        ("if smaller.canonical != contract.canonical:", "if False:"),
        ("if decision.constraints != first.constraints:", "if False:"),
    ),
    *mutants(
        "narrowing.py",
        _narrowing(
            "a_narrowed_call_is_weighed_once_more",
            "a_narrowed_call_is_not_narrowed_again",
            "what_says_no_more_of_the_narrowed_call_changes_nothing",
        ),
        ("or new.cap < old.cap", ""),
        ("or new.need > old.need", ""),
        ("or new.fallback > old.fallback", ""),
        ("bool(new.constraints and new.constraints != old.constraints)", "False"),
    ),
    *mutants(
        "narrowing.py",
        _arguments("foreign_code_cannot_change_what_runs"),
        ("if canonical != contract.canonical:", "if False:"),
    ),
    *mutants(
        "judging.py",
        _records("what_cannot_be_written_down_does_not_happen"),
        ("record = encoded_now(record)", "pass"),
    ),
    *mutants(
        "judging.py",
        _narrowing("handlers_honour_constraints_too"),
        ("if decision.constraints:", "if decision.constraints and decision.full:"),
    ),
    *mutants(
        "ticketing.py",
        _ticketing(
            "a_kill_between_decision_and_run_is_obeyed",
            "ticket_is_for_the_one_decided_about",
        ),
        (" or not self._decider.stands(found)", ""),
        ("return ambient.get() in (None, found.contract.context)", "return True"),
    ),
    *mutants(
        "ticketing.py",
        _admission(
            "a_tool_gets_what_its_framework_makes_of_json",
            "what_was_decided_with_a_type_runs_with_it",
        ),
        ("        if ticket.converts:\n", "        if True:\n"),
        ("        if ticket.converts:\n", "        if False:\n"),
        ("plain(arrived) or kinds(found.route.arguments)", "plain(arrived)"),
    ),
    *mutants(
        "handing.py",
        _records("report_takes_one_known_status_for_one_known_decision"),
        ("if status not in REPORTED:", "if not status:"),
    ),
    *mutants(
        "governor.py",
        _records("the_loop_goes_on_while_a_report_waits_for_the_disk"),
        (
            "        await self.records.acommit(record)",
            "        self.records.append(record)",
        ),
    ),
    *mutants(
        "awaited.py",
        _records("report_takes_one_known_status_for_one_known_decision"),
        ("return self._ids.pop(record_id)", "return self._ids.pop(record_id, None)"),
        ("return self._ids.pop(record_id)", "return self._ids[record_id]"),
    ),
    *mutants(
        "toolbox.py",
        _arguments("injected_parameters_are_not_the_agents"),
        ("not injected.keys() <= tool.injected", "False"),
    ),
    *mutants(
        "running.py",
        tests_of(
            "test_governor_async.py",
            "a_kill_is_obeyed_by_what_waits_for_a_thread",
            "what_still_stands_runs_when_there_is_a_thread",
            "what_waits_for_a_thread_while_it_closes_does_not_run",
        ),
        ("if not late or judged.contract", "if late or judged.contract"),
        ("self._decider.stands(judged):\n", "True:\n"),
        ('self._decider.settle(judged, "not_run")', "pass"),
        ("        if self._threads.closed:\n", "        if False:\n"),
    ),
    *mutants(
        "running.py",
        _tools("unfinished_work_is_no_execution"),
        ("value = finished_work(call())", "value = call()"),
        ("several = isinstance(value, list | tuple)", "several = False"),
        ("return issubclass(kind, Future) or any(", "return any("),
        ('"__await__", "__next__", "__anext__"', '"__await__", "__anext__"'),
    ),
    *mutants(
        "governor.py",
        _async("async_twins_do_the_same"),
        ("refuse_async(self._decider.known(call))\n        judged", "judged"),
    ),
    *mutants(
        "tickets.py",
        _ticketing("ticket_is_for_one_governor", "ticket_is_for_one_process"),
        ("self.owner is owner", "True"),
        ("            and self.pid == os.getpid()\n", ""),
    ),
)

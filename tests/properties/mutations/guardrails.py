"""Mutants of guardrails, of what they remember, and of the foreign policies."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of

_pure = partial(tests_of, "test_guardrails.py")
_kept = partial(tests_of, "test_observing.py")
_asked = partial(tests_of, "test_policies.py")
_cases = _pure("cases_and_their_edges")
HERE = "controls/guardrails"
GUARDRAILS = (
    *mutants(
        f"{HERE}/amounts.py",
        _cases,
        ("limit.__le__ if exclusive", "limit.__lt__ if exclusive"),
        ("else limit.__lt__", "else limit.__le__"),
        ("or amount < ZERO", ""),
        ("not amount.is_finite()", "amount is None"),
        ("if currency != expected:", "if False:"),
        ("if amount < HUGE and remainder(amount, unit):", "if False:"),
    ),
    *mutants(
        f"{HERE}/money.py",
        _cases,
        ("total = added(spent, amount)", "total = amount + 0 * spent"),
        ("if spent is None:", "if False:"),
    ),
    *mutants(
        f"{HERE}/risk.py", _cases, ("contract.claimed_risk or derived", "derived")
    ),
    *mutants(
        f"{HERE}/sources.py",
        _cases,
        ("if among else outside", "if True else outside"),
        (
            "if not asked:\n            return everywhere",
            "if not asked:\n            return within",
        ),
    ),
    *mutants(
        f"{HERE}/segments.py",
        _cases,
        ("if not value:", "if False:"),
        (" or value in refused", ""),
    ),
    *mutants(f"{HERE}/discount.py", _cases, (" or ZERO < percent < ONE", "")),
    *mutants(
        f"{HERE}/bulk.py",
        _cases,
        ("records > limit", "records >= limit"),
        ("type(records) is not int", "not isinstance(records, int)"),
    ),
    *mutants(
        f"{HERE}/age.py",
        _cases,
        ("if created > now:", "if False:"),
        ("if passed > limit_us", "if passed >= limit_us"),
    ),
    *mutants(
        f"{HERE}/proof.py",
        _cases,
        ("not user or given.subject != user", "not user"),
        ("if given.at_us > now:", "if False:"),
        ("if given is None:\n", "if given is None and False:\n"),
        ("amount <= above", "amount < above"),
    ),
    *mutants(
        f"{HERE}/hours.py",
        _cases,
        ("opens <= clock < closes", "opens <= clock <= closes"),
        ("day -= _DAY", "day -= 0 * _DAY"),
        (" and day not in settings.holidays", ""),
    ),
    *mutants(
        f"{HERE}/confidence.py",
        _cases,
        ("if not _share(stated):", "if False:"),
        ("if stated < least:", "if stated <= least:"),
        ("if result == CONFLICT else", "if False else"),
        ("if result is None:", "if False:"),
        ("one.cap < found.cap", "one.cap < one.cap"),
    ),
    *mutants(
        f"{HERE}/signal.py",
        (*_cases, *_pure("signal_holds_until_it_is_back")),
        ("if standing.fired or is_beyond", "if is_beyond"),
        ("return mean > settings.above", "return mean >= settings.above"),
        ("settings.named_release or not is_back(mean, settings)", "False"),
    ),
    *mutants(
        f"{HERE}/breaker.py",
        (*_cases, *_pure("breaker_opens_probes_and_closes")),
        ("if now < state.opened_us + rest:", "if False:"),
        ("if state.probing_us is not None and now", "if False and now"),
        ("if state.probing_us != began_us:", "if False:"),
        ("len(failures) >= settings.failures", "len(failures) > settings.failures"),
    ),
    *mutants(
        f"{HERE}/refusals.py",
        _cases,
        ("len(times) < count", "len(times) <= count"),
        (">= window else", "> window else"),
    ),
    *mutants(
        f"{HERE}/data.py",
        _cases,
        ("if not record:", "if False:"),
        ("return beginning or record in", "return record in"),
        ("if situation.erased is None:", "if False:"),
    ),
    *mutants(
        f"{HERE}/sequence.py",
        _cases,
        ("if now is None or name not in", "if now is None or None in"),
    ),
    *mutants(
        f"{HERE}/answers.py",
        _pure("approval_required_needs_a_human_for_every_class"),
        ("AUTONOMOUS if cap is APPROVAL_REQUIRED else OFF", "OFF"),
    ),
    *mutants(
        f"{HERE}/__init__.py",
        _pure(
            "a_guardrail_that_raises_says_its_strictest",
            "a_foreign_policy_that_nobody_asked_cannot_tell",
        ),
        ("given.append(failed)", "pass"),
        ("answers.get(name) or unasked", "answers.get(name)"),
    ),
    *mutants(
        "observing/observer.py",
        _kept(
            "64_threads_cannot_spend_a_day_twice",
            "a_failing_tool_rests_and_is_probed_once",
            "actions_that_a_limit_is_not_for_spend_nothing",
            "a_call_with_a_ticket_does_not_count_against_itself",
            "only_what_did_not_run_gives_its_money_back",
        ),
        ("if asked and self._changed(", "if False and self._changed("),
        (" and concerns(one, contract, rules)", ""),
        ("(self._running.get(own) if own else None) or _NONE", "_NONE"),
        ('if status == "not_run":', 'if status != "executed":'),
    ),
    *mutants(
        "observing/days.py",
        _kept(
            "a_clock_that_goes_back_does_not_empty_the_day",
            "amounts_that_nobody_can_read_use_the_day_up",
        ),
        ("found.day >= today", "found.day == today"),
    ),
    *mutants(
        "observing/table.py",
        _kept("a_table_forgets_only_what_no_longer_counts"),
        ("if not self.room(key, now_us):", "if False:"),
        ("> self._lifetime", ">= self._lifetime"),
    ),
    *mutants(
        "observing/steps.py",
        _kept("reading_a_secret_closes_the_way_out_for_its_task"),
        (
            "for name in (context.task, context.parent_task)",
            "for name in (context.task,)",
        ),
    ),
    *mutants(
        "recalling.py",
        _kept(
            "a_restart_remembers_the_day",
            "an_agent_that_keeps_asking_is_paused",
            "a_signal_takes_authority_back_until_somebody_lets_go",
        ),
        ('undone=body["id"] in undone', "undone=False"),
        ("observer.refused(", "bool("),
        ("observer.recall_signal(", "bool("),
    ),
    *mutants(
        "observing/standings.py",
        tests_of(
            "test_cli_signals.py", "a_release_says_nothing_of_what_turns_bad_later"
        ),
        ("or before.bad_us <= at_us", "or True"),
    ),
    *mutants(
        "observing/releases.py",
        tests_of("test_cli_signals.py", "a_log_that_cannot_be_read_lets_go_of_nothing"),
        ("if one.id not in self._seen:", "if True:"),
        ("found[-1].at_us - OVERLAP_US", "found[-1].at_us"),
    ),
    *mutants(
        "policies/functions.py",
        _asked("what_a_function_answers"),
        ("if answer is True:", "if answer:"),
        ("if type(answer) is Mode:", "if isinstance(answer, int):"),
    ),
    *mutants(
        "policies/cedar.py",
        _asked("a_forbid_that_errors_counts_as_forbid"),
        ("    if errors:\n", "    if errors and not result.allowed:\n"),
    ),
    *mutants(
        "policies/point.py",
        _asked("only_a_clear_answer_counts"),
        ("if response.status != 200:", "if response.status >= 400:"),
        ("if len(read) > MOST_BYTES or", "if"),
        ("not result.keys() <= _KEYS", "not result"),
        ("type(allow) is not bool", "allow is None"),
    ),
    *mutants(
        "policies/budget.py",
        _asked("too_many_hanging_calls_are_answered_at_once"),
        ("if len(self._late) >= self._stuck:", "if False:"),
        ("                self._late.discard(job[1])", "                pass"),
    ),
)

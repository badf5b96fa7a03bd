"""Mutants of limits and identity: what may be spent, how often, and by whom."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of

_allowances = partial(tests_of, "test_allowances.py")
_aside = partial(tests_of, "test_allowances_aside.py")
_shared = partial(tests_of, "test_allowances_shared.py")
_agents = partial(tests_of, "test_identity_agents.py")
_tokens = partial(tests_of, "test_identity_tokens.py")
LIMITS = (
    *mutants(
        "stores/ledger.py",
        _allowances(
            "what_was_spent_is_gone",
            "the_edges_of_a_ceiling",
            "a_clock_that_steps_back_opens_no_window_again",
            "another_unit_is_another_budget",
            "an_end_counts_once",
            "a_report_settles",
        ),
        (
            "b.unit = excluded.unit AND b.taken + excluded.taken <= :ceiling",
            "b.unit = excluded.unit",
        ),
        ("WHERE b.unit = excluded.unit AND", "WHERE"),
        (
            "CASE WHEN n.newest > :begins_us THEN n.newest ELSE",
            "CASE WHEN 0 THEN 0 ELSE",
        ),
        ("execute(HOLD, _only(HOLD, values))", "pass"),
        ("if not rows or settle.cost is None:", "if not rows:"),
        ("back = amount - settle.cost", "back = amount"),
    ),
    *mutants(
        "controls/budget.py",
        _allowances(
            "a_cost_that_nobody_can_tell_is_refused",
            "a_task_without_a_name_has_no_envelope",
            "no_account_stands_in_the_ledger",
        ),
        ('if contract.currency == budget.unit else "currency"', "if True else ''"),
        ('budget.per == "task" and not task', "False"),
        (
            'digest = sha256(f"{budget.name}\\0{account}".encode()).hexdigest()',
            "digest = account",
        ),
    ),
    *mutants(
        "allowances/taking.py",
        _allowances(
            "failure_gives_back_and_the_end_settles",
            "counters_that_are_away_stop_what_is_consequential",
            "a_share_of_less_than_one_is_none",
            "a_runaway_agent_meets_its_limit_and_the_others_go_on",
            "a_report_settles",
        ),
        ("if contract.consequential:", "if False:"),
        ("limit.count // among", "limit.count"),
        ("return None if free else _limited(one)", "return None"),
        ('status in ("not_run", "failed")', "False"),
    ),
    *mutants(
        "allowances/counting.py",
        _allowances(
            "windows_slide_by_the_monotonic_clock",
            "no_time_sees_more_begin_than_its_limit",
            "a_bucket_refills_at_its_rate",
        ),
        ("begun[0][1] <= since", "begun[0][1] < since"),
        ("begun[0][1] <= since", "begun[0][0] <= since"),
        ("if self._total >= count:", "if self._total > count:"),
        ("begun.append((first, now, many + 1))", "begun.append((first, now, many))"),
        ("if used > burst * self._width:", "if used >= burst * self._width:"),
        ("max(0, now - self._at) * self._count", "abs(now - self._at) * self._count"),
    ),
    *mutants(
        "allowances/taking.py",
        _allowances("a_share_of_a_bucket_is_a_bucket"),
        ("(burst > 0 or not limit.burst)", "True"),
        ("(limit.burst or 0) // among", "(limit.burst or 0)"),
    ),
    *mutants(
        "allowances/aside.py",
        _aside(
            "a_share_is_spent_while_the_ledger_is_away",
            "a_call_that_costs_more_uses_the_share_up",
            "a_clock_that_steps_back_gives_no_share_again",
            "a_share_is_of_its_window",
            "shares_are_bounded",
            "whatever_happens_no_more_is_spent_than_the_ceiling",
        ),
        ("if total > share.amount:", "if False:"),
        ("self._shares[purse].used = total", "pass"),
        ("share.used += more", "pass"),
        ("share is None or spend.begins_us > share.begins_us", "share is None"),
        ("Settle(purse, share.ref, share.used)", "Settle(purse, share.ref, 0)"),
        ("if len(self._shares) >= MOST:", "if False:"),
    ),
    *mutants(
        "governance/envelopes.py",
        tests_of("test_governance_envelopes.py", "no_more_is_set_aside_than_there_is"),
        ("if self.away_share and self.away_share >= self.ceiling:", "if False:"),
    ),
    *mutants(
        "judging.py",
        _aside("a_share_is_spent_while_the_ledger_is_away"),
        ("alone = bool(charges) and health.failing_ns > 0", "alone = False"),
    ),
    *mutants(
        "allowances/daily.py",
        tests_of(
            "test_daily_money.py",
            "what_a_limit_is_not_for_takes_nothing_of_the_day",
            "what_runs_above_its_limit_counts_as_well",
            "a_day_of_a_tool_needs_no_name",
        ),
        ("or not concerns(one, contract, rules)", ""),
        ("if within else GRANTED", ""),
        ("return one.ceiling_micro + 1", "return 0"),
    ),
    *mutants(
        "observing/days.py",
        tests_of("test_daily_money.py", "the_customer_is_whom_the_contract_names"),
        (
            "return skeleton(contract.named or contract.record)",
            "return contract.record",
        ),
        ("skeleton(str(value)) if", "str(value) if"),
    ),
    *mutants(
        "allowances/shared.py",
        _shared(
            "a_server_that_came_back_empty_is_not_believed",
            "no_name_stands_in_redis",
            "many_who_meet_a_new_server_agree",
            "a_first_start_waits_unless_it_is_told_to_begin",
            "an_emptied_bucket_is_not_believed_until_it_would_be_full",
            "many_take_no_more_from_a_bucket_than_it_holds",
        ),
        ("if not known:", "if False:"),
        ("max(width, refilled)", "width"),
        ("if used + width > burst * width then", "if used > burst * width then"),
        ("    since = micros", "    since = 0"),
        ("sha256(key.encode()).hexdigest()[:32]", "key"),
    ),
    *mutants(
        "judging.py",
        _allowances("what_was_paid_for_runs"),
        ("is not None and not begun:", "is not None:"),
    ),
    *mutants(
        "identity/identities.py",
        _agents(
            "only_who_was_authenticated_acts",
            "nobody_hides_a_blocked_scope",
            "a_delegation_is_recorded_narrows_and_ends",
            "a_token_acts_for_its_user_until_it_ends",
        ),
        ("if named != own or", "if"),
        ("if actor.scopes != principal.scopes:", "if False:"),
        (
            "self._standing(principal.behind) or self._standing(to)",
            "self._standing(to)",
        ),
        ("return key.ended(now)", 'return ""'),
        ("principal.expires_us is not None and now >=", "False and now >="),
    ),
    *mutants(
        "identity/principals.py",
        _agents("a_chain_only_narrows", "a_chain_ends_and_turns_on_nobody"),
        ("scopes=wanted & to.scopes", "scopes=wanted"),
        ("if not wanted <= holder.scopes:", "if False:"),
        ("if len(chain) > DEPTH:", "if False:"),
        ("if to.agent in chain:", "if False:"),
    ),
    *mutants(
        "identity/agent_keys.py",
        _agents(
            "nobody_elses_text_is_a_key",
            "an_id_twice_and_a_file_of_everybody_are_refused",
            "a_key_says_who_and_is_kept_nowhere",
        ),
        ("if key is None or not same:", "if key is None:"),
        ("& WRITABLE:", "& 0:"),
        ("digest=_digest(secret),", "digest=_digest('') + secret[:0],"),
    ),
    *mutants(
        "identity/tokens.py",
        _tokens(
            "nobody_else_can_sign",
            "every_claim_is_held_to_its_rule",
            "loose_rules_are_refused",
        ),
        ("if algorithm not in self.rules.algorithms:", "if False:"),
        ("if not now < expires + leeway:", "if False:"),
        ("audience=self.rules.audience", "audience=None"),
        ("if odd or not self.algorithms:", "if not self.algorithms:"),
    ),
)

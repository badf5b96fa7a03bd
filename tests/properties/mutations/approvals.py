"""Mutants of approvals: whose word counts, for what, until when, and how often."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of

_rules = partial(tests_of, "properties/test_approvals.py")
_queue = partial(tests_of, "test_approvals_queue.py")
_attacks = partial(tests_of, "integration/test_approvals_attacks.py")
_governor = partial(tests_of, "test_governor_approvals.py")
APPROVALS = (
    *mutants(
        "approvals/steps.py",
        _rules(
            "an_answer_that_comes_late_changes_nothing",
            "nobody_answers_after_the_deadline",
            "who_saw_something_else_approves_nothing",
            "a_quorum_counts_people",
            "a_reviewer_only_tightens",
            "a_refusal_needs_a_reason_and_takes_back_an_unused_release",
            "silence_escalates_and_then_expires",
            "a_deadline_moves_forward_by_a_day_at_most",
            "a_release_is_used_for_exactly_what_was_bound",
            "only_the_requester_withdraws",
            "whoever_released_it_must_still_be_a_reviewer",
            "two_people_break_the_glass",
            "not_everybody_breaks_the_glass",
            "one_person_is_not_two",
            "whoever_broke_the_glass_must_still_be_on_duty",
            "what_nobody_can_have_read_is_not_approved",
        ),
        ("directory) < GLASS_VOICES", "directory) < 1"),
        ("had_us < request.minimum_us", "False"),
        ("max(request.created_us, busy_us)", "request.created_us"),
        (
            "request.callers, directory) >= GLASS_VOICES",
            "request.callers, directory) >= 1",
        ),
        ("now_us < request.created_us + REACH_US", "False"),
        (
            "elif stop is None and callers & {",
            "elif stop is None and False and callers & {",
        ),
        ("not _released(request, directory)", "False"),
        (
            'request.binding:\n        return Denied("shown_something_else", request.state)\n    stop = objection',
            "request.binding and False:\n        pass\n    stop = objection",
        ),
        (
            "voices(request, votes, directory) >= request.quorum",
            "voices(request, votes, directory) >= 1",
        ),
        ("merge((*request.constraints, *constraints))", "tuple(constraints)"),
        ('stop = unsaid(reason, "reason") or objection', "stop = objection"),
        ("until_us <= now_us + LONGEST_EXTENSION_US", "until_us"),
        ("if subject not in request.requesters:", "if False:"),
        ("if now_us < request.deadline_us:\n", "if False:\n"),
        ("request.state is State.APPROVED and now_us >=", "False and now_us >="),
        ("request.state is State.APPROVED and binding !=", "False and binding !="),
        ("    if now_us >= request.deadline_us:\n", "    if False:\n"),
    ),
    *mutants(
        "approvals/turns.py",
        _rules(
            "a_question_is_answered_once_by_who_stands_behind",
            "a_request_is_passed_on_within_the_contract",
        ),
        (
            "    elif not stands_behind(request, caller.subject, directory):\n",
            "    elif False:\n",
        ),
        ("    if stands_behind(request, name, directory):\n", "    if False:\n"),
        ("if name not in request.chain and", "if False and"),
    ),
    *mutants(
        "approvals/people.py",
        _rules(
            "nobody_behind_the_action_releases_it",
            "who_is_not_authenticated_says_nothing",
        ),
        ("if not reviewer.subject or not reviewer.way:", "if False:"),
        (
            "    if stands_behind(request, reviewer.subject, directory):\n",
            "    if False:\n",
        ),
        ("(request.agent, *request.requesters)", "request.requesters"),
        ("for one in (name, *same)", "for one in (name,)"),
    ),
    *mutants(
        "approvals/states.py",
        _rules(
            "terminal_states_are_final",
            "only_a_release_can_be_used_and_only_once",
        ),
        ("(_A, Event.CONSUME): State.CONSUMED", "(_P, Event.CONSUME): State.CONSUMED"),
        ("(_C, Event.FAIL): State.FAILED", "(_C, Event.FAIL): State.APPROVED"),
    ),
    *mutants(
        "approvals/requests.py",
        _governor(
            "changed_flags_supersede_a_release",
            "another_agent_of_the_same_user_asks_for_itself",
        ),
        (
            '                "flags": flag_states(flags),\n                "constraints',
            '                "constraints',
        ),
        (
            '                "agent": contract.context.actor.agent,\n                "region"',
            '                "region"',
        ),
    ),
    *mutants(
        "approvals/requests.py",
        _attacks("a_release_binds_the_types_of_arguments"),
        ('                **({"kinds": found} if found else {}),\n', ""),
    ),
    *mutants(
        "approvals/queue.py",
        _queue("a_step_that_is_denied_is_recorded_and_changes_nothing"),
        ("        if isinstance(taken, Denied):\n            return record\n", ""),
    ),
    *mutants(
        "approvals/ending.py",
        _governor("what_nobody_saw_end_is_unknown"),
        ("steps.finish(request, Event.LOSE)", "steps.finish(request, Event.SUCCEED)"),
        ("found[request.consumed_by] =", "found[request.id] ="),
    ),
    *mutants(
        "releasing.py",
        _attacks(
            "a_release_that_ran_out_is_none",
            "the_release_of_a_removed_reviewer_ends",
            "a_resume_is_no_permission",
            "a_refusal_is_stronger_than_what_another_agent_got",
            "who_gave_the_release_is_not_behind_the_run",
            "an_action_that_ran_very_often_is_still_asked_about",
        ),
        ("if request.agent != one.agent:", "if False:"),
        ("sorted(found, key=_allows)", "found"),
        ("*requests.requesters(again.contract))", ")"),
        ("digest=digest, newest=True)", "digest=digest)"),
        ("        self._queue.expire(request.id)\n", ""),
        ("            self._queue.supersede(request.id, used.reason)\n", ""),
    ),
    *mutants(
        "releasing.py",
        _governor(
            "the_same_call_asks_once",
            "an_approved_call_runs_once",
            "no_release_overrides_a_kill",
            "changed_flags_supersede_a_release",
            "a_refusal_holds",
            "a_tighter_release_narrows_what_runs",
            "a_refusal_holds_for_what_a_call_is_narrowed_to",
            "silence_leads_to_the_lower_mode",
            "a_retry_of_a_call_that_ran_does_not_run",
            "what_nobody_can_explain_is_not_asked",
            "one_agent_cannot_flood_the_reviewers",
            "more_than_json_is_not_resumed",
        ),
        (
            "case State.PENDING | State.APPROVED if not same:",
            "case State.PENDING | State.APPROVED if False:",
        ),
        ("digest=smaller.digest)", "digest=one.contract.digest)"),
        ('Mode.OFF, "refused_by_person"', 'Mode.AUTONOMOUS, "refused_by_person"'),
        ("constraints=request.constraints,\n            evidence", "evidence"),
        ("cap = one.rules.approval.timeout_fallback", "cap = Mode.AUTONOMOUS"),
        ("request.call_id != one.contract.call_id", "True"),
        ("if not text and one.contract.consequential:", "if False:"),
        (">= MOST_OPEN:", "> 10 * MOST_OPEN:"),
        (
            "record=record,\n            approval=request.id,\n            used",
            "approval=request.id,\n            used",
        ),
        (
            '"resumable": orjson.loads(contract.canonical) == contract.arguments',
            '"resumable": True',
        ),
    ),
    *mutants(
        "stores/statements.py",
        tests_of("test_stores.py", "what_came_too_late_undoes_nobody_elses_step"),
        ("WHERE id = ? AND version = ?", "WHERE id = ? AND version >= ?"),
    ),
    *mutants(
        "stores/statements.py",
        _queue("of_two_answers_at_once_the_first_counts"),
        ("    if done.rowcount != 1:\n", "    if False:\n"),
    ),
)

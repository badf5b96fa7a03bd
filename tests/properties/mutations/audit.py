"""Mutants of queries, reports, findings, histories and the forwarding of records."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of

_queries = partial(tests_of, "test_stores_queries.py")
_questions = partial(tests_of, "test_stores_questions.py")
_reports = partial(tests_of, "test_evidence_reports.py")
_findings = partial(tests_of, "test_stores_inspection.py")
_flat = partial(tests_of, "test_evidence_queries.py")
_histories = partial(tests_of, "test_evidence_histories.py")
_otlp = partial(tests_of, "test_evidence_otlp.py")
AUDIT = (
    *mutants(
        "stores/queries.py",
        _queries("any_filter_finds_what_a_reader_would_pick"),
        ('"<", "to_us"', '"<=", "to_us"'),
        ('(">", "ASC")\n', '("<", "ASC")\n'),
        ("yield f\"kind = 'outcome' AND ref > '' AND {where}\"", "pass"),
    ),
    *mutants(
        "stores/queries.py",
        _queries("amounts_are_compared_exactly"),
        ("return Page(kept, ", "return Page(found, "),
    ),
    *mutants(
        "stores/queries.py",
        _queries("rare_values_are_found_by_an_index"),
        ("yield \"kind = 'decision'\"", 'yield "1 = 1"'),
    ),
    *mutants(
        "stores/questions.py",
        _questions("the_latest_come_with_what_became_of_them"),
        ('decided = replace(wanted, kind=("decision",))', "decided = wanted"),
    ),
    *mutants(
        "evidence/actions.py",
        _reports("access_follows_what_ran"),
        ('or status == "not_run"', ""),
        ('reads = ran != "tool" or', "reads ="),
    ),
    *mutants(
        "evidence/actions.py",
        _reports("resolutions_are_words"),
        ('if not one.get("denied")', ""),
    ),
    *mutants(
        "evidence/reports.py",
        _reports("allowed_actions_met_no_boundary"),
        ('if group.effect == "allow":', "if False:"),
    ),
    *mutants(
        "evidence/reports.py",
        _reports("what_has_no_outcome_yet_is_open"),
        ("max(0, group.decided - sum(group.ends))", "group.decided"),
    ),
    *mutants(
        "evidence/authority.py",
        _reports("authority_names_who_put_the_policy_in_force"),
        ('elif change.get("revisionAfter"):', "elif False:"),
    ),
    *mutants(
        "evidence/spending.py",
        _reports("cost_is_exact_and_held_against_the_envelope"),
        ("amount > limit", "amount >= limit"),
        ("group.decided if group.executes else 0", "group.decided"),
    ),
    *mutants(
        "evidence/queries.py",
        _flat("no_cell_is_a_formula"),
        ('text[0] in "=+-@"', 'text[0] in "=+@"'),
    ),
    *mutants(
        "evidence/histories.py",
        _histories("answers_of_people_are_its_approvals"),
        ("if not steps and one", "if one"),
    ),
    *mutants(
        "evidence/findings.py",
        _findings("clock_steps_are_told_once_and_only_beyond_the_tolerance"),
        ("latest[line] = max(before, entry.at_us)", "latest[line] = entry.at_us"),
        ("            before = entry.at_us\n", "            pass\n"),
    ),
    *mutants(
        "evidence/findings.py",
        _findings("an_erasure_explains_what_is_missing"),
        ("if entry.id not in erased:", "if True:"),
        ("if entry.id in erased:", "if False:"),
    ),
    *mutants(
        "evidence/otlp.py",
        _otlp("what_was_not_taken_is_sent_again"),
        ("if partial.rejected_log_records:", "if False:"),
        (" or status != 200", ""),
    ),
    *mutants(
        "evidence/otlp.py",
        _otlp("what_was_sent_is_not_sent_again"),
        ("            write_cursor(cursor, at)\n", "            pass\n"),
    ),
    *mutants(
        "evidence/otlp.py",
        _otlp("another_log_is_refused"),
        ("    _know_again(read, at, cursor)\n", ""),
    ),
)

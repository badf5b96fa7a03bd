"""Mutants of what promotes: gates, their bounds, what they count, and lineages."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of

HOUSE = "../rollout/openfeature_gov_rollout"
_gates = partial(tests_of, "test_rollout_gates.py")
_rates = partial(tests_of, "test_rollout_simulation.py")
_seen = partial(tests_of, "test_rollout_evidence.py")
_lineage = partial(tests_of, "test_controls_lineage.py")
_compared = partial(tests_of, "test_rollout_lineage.py")
EDGE = _gates("answers_at_the_edge")
RATES = _rates(
    "a_bad_agent_is_rarely_promoted_however_often_one_looks",
    "a_bad_agent_is_rarely_promoted_by_one_look",
)
ROLLOUT = (
    *mutants(
        f"{HOUSE}/judging.py",
        _gates("no_data_is_hold"),
        ("not count.sound or not count.trials", "not count.sound"),
        ("count is None or not count.sound or", "count is None or"),
    ),
    *mutants(
        f"{HOUSE}/gates.py",
        _gates("no_data_is_hold"),
        ("whole and 0 <= self.successes", "0 <= self.successes"),
        ("<= self.trials <= MAX_SAMPLES", "<= self.trials"),
    ),
    *mutants(
        f"{HOUSE}/judging.py",
        EDGE,
        ("    if not off and not more:", "    if not more:"),
        ("    if events:\n", "    if events > 1:\n"),
        ("if size is not None and count.trials != size:", "if False:"),
        ("off = bound < gate.target if", "off = bound > gate.target if"),
        ("    if off or more:\n", "    if more:\n"),
        ("    if more > 0:\n", "    if more > 1:\n"),
    ),
    *mutants(
        f"{HOUSE}/judging.py",
        _gates("more_samples_than_the_bound_needs_can_be_demanded"),
        ("if not off and not more:", "if not off:"),
    ),
    *mutants(
        f"{HOUSE}/judging.py",
        _gates("a_stage_says_the_strictest"),
        ("    if failed:\n", "    if not failed:\n"),
        ("    if held:\n", "    if len(held) > 1:\n"),
        ("paused = not failed and any(", "paused = any("),
    ),
    *mutants(
        f"{HOUSE}/judging.py",
        _gates("the_error_level_is_split_over_the_proofs"),
        ("float(error_level) / max(proofs, 1)", "float(error_level)"),
    ),
    *mutants(
        f"{HOUSE}/judging.py",
        _gates("nothing_passes_without_a_proof"),
        ("    if not proofs:\n", "    if proofs < 0:\n"),
    ),
    *mutants(
        f"{HOUSE}/gates.py",
        _gates("a_gate_that_could_mean_something_else_is_refused"),
        ("if self.metric not in NAMES:", "if False:"),
        ('if self.kind == "evidence" and zero:', "if False:"),
        ('if self.kind == "guardrail" and not zero:', "if False:"),
        ("if fixed is (self.sample_size is None):", "if False:"),
    ),
    *mutants(
        f"{HOUSE}/bounds.py",
        RATES,
        (">= -math.log(alpha)", ">= 0.5 * -math.log(alpha)"),
        ("<= math.log(alpha)", "<= 0.5 * math.log(alpha)"),
        ("math.log(0.5) + whole", "whole"),
        ("successes, trials - successes + 1)", "successes, trials - successes)"),
    ),
    *mutants(
        f"{HOUSE}/counting.py",
        tests_of("test_rollout_counting.py", "the_first_samples_are_the_first"),
        ("del self.first[self.size :]", "pass"),
        ("known < self.first[-1][0]", "known > self.first[-1][0]"),
    ),
    *mutants(
        f"{HOUSE}/counting.py",
        _seen("a_signal_counts_for_its_tool_or_the_whole_workflow"),
        ("trials = max(decisions, tally.successes)", "trials = decisions"),
        ("if tally is not None and within and", "if tally is not None and"),
    ),
    *mutants(
        f"{HOUSE}/counting.py",
        _seen("in_observe_the_next_stage_tells"),
        ("not in OBSERVED:", "in OBSERVED:"),
    ),
    *mutants(
        f"{HOUSE}/metrics.py",
        _seen(
            "answers_are_counted_as_people_gave_them",
            "a_request_that_nobody_answers_was_not_decided_in_time",
        ),
        ("row.told in RELEASING if row.told in ANSWERING", "True if row.told"),
        ("return row.told in ANSWERING and row.took_us", "return row.took_us"),
        ("clean = row.told in RELEASING and", "clean ="),
    ),
    *mutants(
        f"{HOUSE}/evidence.py",
        _seen("a_scope_is_tool_mode_and_time"),
        ("window.from_us <= at_us and", ""),
        (" and known[0] < window.until_us", ""),
    ),
    *mutants(
        f"{HOUSE}/lineage.py",
        _compared(
            "what_a_held_release_would_have_done_is_in_its_records",
            "a_stage_that_holds_both_is_no_shadow_of_a_lineage",
        ),
        ('shadow["effect"] if held', 'shadow["effect"] if shadow'),
        ('shadow["effect"] if held', 'shadow["effect"] if False'),
    ),
    *mutants(
        "controls/lineage.py",
        _lineage(
            "only_what_is_listed_has_full_authority",
            "a_share_of_the_tasks_of_a_new_release_runs_nothing",
            "raising_the_percentage_keeps_everyone",
        ),
        ("min(rules.cap, Mode.OBSERVE)", "rules.cap"),
        ("Verdict(NAME, rules.cap,", "Verdict(NAME, Mode.AUTONOMOUS,"),
        ("place * 100 < percentage", "place * 100 > percentage"),
    ),
    *mutants(
        "governance/lineage.py",
        _lineage("only_what_is_listed_has_full_authority"),
        ("self.agent_version in (None, version)", "True"),
        ("and self.model in (None, model)", ""),
        ("and self.prompt_digest in (None, prompt_digest)", ""),
    ),
    *mutants(
        "controls/__init__.py",
        _lineage("a_new_release_falls_back_in_the_governor"),
        ("if rules.lineage is not None:", "if False:"),
    ),
    *mutants(
        "evidence/shadow.py",
        tests_of(
            "test_evidence_shadow.py",
            "the_shadow_is_the_law_with_one_verdict_replaced",
            "what_else_was_said_stays_said",
        ),
        ("staged is not RUNGS.get(staged.cap)", "False"),
        ("one if one is not staged else RUNGS[rung]", "RUNGS[rung]"),
        ("if one > rung)", "if one >= rung)"),
    ),
)

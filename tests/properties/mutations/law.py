"""Mutants of the law and the ladder."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of

_law = partial(tests_of, "properties/test_law.py")
LAW = _law("law_agrees_around_full_autonomy")
DECISIONS = (
    *mutants(
        "decisions.py",
        LAW,
        ("RiskClass.SEARCH: SEARCH_ONLY", "RiskClass.SEARCH: SCOPED_READ"),
        ("RiskClass.SCOPED_READ: SCOPED_READ", "RiskClass.SCOPED_READ: SEARCH_ONLY"),
        ("SENSITIVE_READ: AUTONOMOUS", "SENSITIVE_READ: SCOPED_READ"),
        ("REVERSIBLE_WRITE: AUTONOMOUS", "REVERSIBLE_WRITE: DRAFT_WRITE"),
        ("EXTERNAL_EFFECT: AUTONOMOUS", "EXTERNAL_EFFECT: APPROVAL_REQUIRED"),
        ("ADMIN_ACTION: AUTONOMOUS", "ADMIN_ACTION: APPROVAL_REQUIRED"),
        ("IRREVERSIBLE: AUTONOMOUS", "IRREVERSIBLE: APPROVAL_REQUIRED"),
        ("{RiskClass.IRREVERSIBLE, RiskClass.ADMIN_ACTION}", "{RiskClass.SEARCH}"),
        ("{RiskClass.IRREVERSIBLE, ", "{"),
        (", RiskClass.ADMIN_ACTION}", "}"),
        ("Reversibility.NONE and", "Reversibility.EXPENSIVE and"),
        ("and risk not in READS", "and risk in READS"),
        ("reversibility is Reversibility.AUTOMATIC:", "True:"),
        ("risk is RiskClass.REVERSIBLE_WRITE and", "True and"),
        ("        return DRAFT_WRITE", "        return SCOPED_READ"),
        ("held <= frozenset(", "not held <= frozenset("),
        ("else APPROVAL_REQUIRED", "else AUTONOMOUS"),
        ("lowered = [OFF]", "lowered = [OBSERVE]"),
        ("else lowered[-1]", "else mode"),
        ("clamped[min(", "clamped[max("),
        ("need = max(", "need = min("),
        ("lifted = approved and", "lifted ="),
        ("cap = AUTONOMOUS if lifted", "cap = AUTONOMOUS if False"),
        ("full = effect is Effect.ALLOW", "full = effect is not Effect.DENY"),
        ("            return Effect.DENY", "            return Effect.CONSTRAIN"),
        ("case Mode.OBSERVE:", "case Mode.SEARCH_ONLY:"),
        ("if need <= cap", "if need < cap"),
        ("if need <= cap", "if need <= cap + 1"),
        ("if need <= cap", "if need >= cap"),
        ("            return Effect.FALLBACK", "            return Effect.CONSTRAIN"),
        (
            "            return Effect.QUEUE_FOR_APPROVAL",
            "            return Effect.ALLOW",
        ),
    ),
    *mutants(
        "decisions.py",
        _law("silence_is_off"),
        ("default=OFF", "default=AUTONOMOUS"),
    ),
    *mutants(
        "decisions.py",
        _law("approval_lifts_only_a_queued_action"),
        (" and not fallen", ""),
        ("cap is APPROVAL_REQUIRED", "cap >= DRAFT_WRITE"),
        ("case _ if fallen:", "case _ if fallen and cap is not APPROVAL_REQUIRED:"),
        ("constraints, lifted)", "constraints, approved)"),
    ),
    *mutants(
        "decisions.py",
        _law("reason_is_that_of_the_strictest_verdict"),
        ("min(ranks)", "min(ranks, key=lambda one: one[2])"),
        ("not verdict.fallback, verdict.control", "verdict.control"),
        ("cap, not verdict.fallback", "cap, verdict.fallback"),
        ("clamped[verdict.cap] is cap", "verdict.cap is cap"),
    ),
    *mutants(
        "decisions.py",
        _law("fallback_counts_where_the_clamp_put_it"),
        ("fallen = True in", "fallen = False not in"),
        ("verdict.fallback for verdict in lowest", "given[-1].fallback for _ in '1'"),
    ),
    *mutants(
        "decisions.py",
        _law("verdict_raises_the_need"),
        ("[need, *[verdict.need for verdict in given]]", "[need]"),
    ),
    *mutants(
        "decisions.py",
        _law("needs_are_those_of_the_design"),
        ("RiskClass.SEARCH: SEARCH_ONLY", "RiskClass.SEARCH: OBSERVE"),
    ),
    *mutants(
        "decisions.py",
        _law("opt_in_opens_only_the_class_that_it_names"),
        ("& {risk, effective", "& {effective"),
        (", effective_risk(risk, reversibility)}", "}"),
        ("held <= frozenset(autonomy_for)", "not held or held & set(autonomy_for)"),
        ("return RiskClass.IRREVERSIBLE", "return risk"),
    ),
    *mutants(
        "decisions.py",
        _law(
            "allow_under_constraints_is_constrain",
            "merge_keeps_the_tightest_of_each_kind",
        ),
        ("if full and constraints:", "if not full and constraints:"),
        ("min(limits", "max(limits"),
        ("frozenset.intersection(", "frozenset.union("),
        ("merged.get(new.kind, new)", "new"),
        ("in (old, new) if c.limit", "in (new,) if c.limit"),
        ("if sets else None", "if len(sets) > 1 else None"),
        ("merged[new.kind] =", "merged.setdefault(new.kind, new); merged['x'] ="),
    ),
    *mutants(
        "ladder.py",
        LAW,
        (
            "SEARCH_ONLY = 2\n    SCOPED_READ = 3",
            "SEARCH_ONLY = 3\n    SCOPED_READ = 2",
        ),
        (", RiskClass.SENSITIVE_READ}", ", RiskClass.EXTERNAL_EFFECT}"),
    ),
    *mutants("decisions.py", LAW, ("fallen = True in", "fallen = False in")),
)

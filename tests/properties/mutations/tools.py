"""Mutants of tools and what is derived from arguments."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of

_extracting = partial(tests_of, "test_extracting.py")
_governor = partial(tests_of, "test_governor.py")
_arguments = partial(tests_of, "test_governor_arguments.py")
_tools = partial(tests_of, "test_governor_tools.py")
_hostile = partial(tests_of, "properties/test_hostile.py")
TOOLS = (
    *mutants(
        "extracting.py",
        _extracting("extractors_decide_what_the_action_is"),
        ("            risk = max(", "            risk = min("),
        ('self.faults.append("amount_unreadable")', "pass"),
        ('self.faults.append("records_unreadable")', "pass"),
        ("type(count) is not int or", "not isinstance(count, int) or"),
        ("not 0 <= count <=", "not count <="),
        ("0 <= count <= MAX_RECORDS", "0 <= count"),
    ),
    *mutants(
        "extracting.py",
        _extracting("extractor_that_fails_leaves_the_worst"),
        (
            "self._word(self._extractors.reversibility, Reversibility.NONE)",
            "self._word(self._extractors.reversibility, Reversibility.AUTOMATIC)",
        ),
        (
            "self._word(self._extractors.risk, RiskClass.IRREVERSIBLE)",
            "self._word(self._extractors.risk, RiskClass.SEARCH)",
        ),
        ('self.faults.append("classification_unreadable")', "pass"),
        ('self.faults.append("target_unreadable")', "pass"),
    ),
    *mutants(
        "extracting.py",
        _extracting("claims_only_lower_authority"),
        (
            "except ValueError:\n        return worst",
            "except ValueError:\n        return None",
        ),
    ),
    *mutants(
        "tools.py",
        _governor("each_mode_runs_what_it_may"),
        ("if rung <= mode]", "if rung >= mode]"),
        ("rung = max(usable)", "rung = min(usable)"),
    ),
    *mutants(
        "tools.py",
        _arguments(
            "misfit_arguments_are_denied_with_a_record",
            "a_misfit_is_named_unless_the_model_made_it_up",
        ),
        ("missing = self.required - given", "missing = set()"),
        ("given - self.accepted", "set()"),
        (" and _NAME.fullmatch(one)", ""),
        ("_NAME.fullmatch(one)", "_NAME.match(one)"),
    ),
    *mutants(
        "tools.py",
        _arguments("defaults_and_injected_parameters"),
        ("return {**self.defaults, **arguments}", "return {**arguments}"),
        ("if p.name not in self.injected", ""),
    ),
    *mutants(
        "tools.py",
        _tools("registration_refuses_what_cannot_be_governed"),
        ("if inspect.isgeneratorfunction(function) or", "if"),
        ("inspect.iscoroutinefunction(function) and not is_async", "False"),
        ("(parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL)", "()"),
    ),
    *mutants(
        "extracting.py",
        _extracting("extractors_only_tighten"),
        ("undo = max(undo", "undo = min(undo"),
        ("(need_of(one, undo), SEVERITY[one])", "-SEVERITY[one]"),
    ),
    *mutants(
        "extracting.py",
        _hostile("money_is_a_finite_amount"),
        ("(type(value) is float and isfinite(value))", "type(value) is float"),
        ("type(value) is Decimal and value.is_finite()", "type(value) is Decimal"),
        ("if type(value) is int or", "if isinstance(value, int) or"),
        ("if amount < 0:", "if amount < -1:"),
    ),
    *mutants(
        "tools.py",
        _arguments("injected_parameters_are_not_the_agents"),
        ("if self.injected & given:", "if False:"),
    ),
    *mutants(
        "tools.py",
        _arguments("arguments_that_deny_what_they_hold_are_refused"),
        ("arguments = dict(arguments)", "pass"),
    ),
    *mutants(
        "tools.py",
        _arguments("foreign_code_cannot_change_what_runs"),
        (
            "Derivation(self.extractors, _own(self, arguments))",
            "Derivation(self.extractors, arguments)",
        ),
    ),
    *mutants(
        "extracting.py",
        _extracting("targets_that_are_no_ids_are_kept_as_digests"),
        ("if not name or is_opaque(name):", "if True:"),
        ("if not name or is_opaque(name):", "if is_opaque(name):"),
    ),
)

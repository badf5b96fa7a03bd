"""Mutants of action contracts and canonical arguments."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of

_arguments = partial(tests_of, "test_governor_arguments.py")
_hostile = partial(tests_of, "properties/test_hostile.py")
_contract = partial(tests_of, "test_contracts.py")
CONTRACTS = (
    *mutants(
        "contracts.py",
        _contract("digest_binds_what_where_and_for_whom"),
        ('f"{self.tool}\\0', 'f"\\0'),
        ("{self.target_system}\\0", "\\0"),
        ("\\0{self.context.environment}", "\\0"),
        ("\\0{self.context.account}", "\\0"),
        ("\\0{self.context.actor.targeting_key}", "\\0"),
        ("scope.encode() + self.canonical", "scope.encode()"),
    ),
    *mutants(
        "contracts.py",
        _contract(
            "subject_is_the_user_before_the_agent",
            "bands_are_closed_above",
            "unreadable_amount_is_in_the_highest_band",
            "only_plain_reads_are_without_consequence",
        ),
        ("return self.user or self.agent", "return self.agent"),
        ("if amount <= limit", "if amount < limit"),
        ('"amount_unreadable" in faults', "False"),
        ('    return "over_10000"\n', '    return "0"\n'),
        ("in (RiskClass.SEARCH, ", "in (RiskClass.SENSITIVE_READ, RiskClass.SEARCH, "),
        ("not (self.mere_read or undoable)", "not undoable"),
        ("            and self.reversibility is Reversibility.AUTOMATIC\n", ""),
    ),
    *mutants(
        "contracts.py",
        _hostile("ids_in_the_flag_context_are_opaque"),
        (
            "if not isinstance(value, str) or not _OPAQUE_ID.fullmatch(value)",
            "if False",
        ),
        ("_OPAQUE_ID.fullmatch(value)", "_OPAQUE_ID.match(value)"),
        ('"agent", self.agent, required=True', '"agent", self.agent'),
    ),
    *mutants(
        "canonical.py",
        _hostile("values_that_break_comparisons_are_denied"),
        ("kind is float and isfinite(value)", "kind is float"),
        ("self.nodes > MAX_NODES", "False"),
        ("len(encoded) > max_bytes", "False"),
    ),
    *mutants(
        "canonical.py",
        _hostile("as_many_values_as_may_be_are_counted"),
        ("        len(copied) > MAX_NODES\n", "        len(copied) > MAX_NODES + 1\n"),
        ("self.nodes > MAX_NODES", "self.nodes > MAX_NODES + 1"),
        ("or not _KEY.issuperset(map(type, copied))", ""),
    ),
    *mutants(
        "canonical.py",
        _hostile("depth_is_bounded_exactly"),
        ("if depth > MAX_DEPTH", "if depth >= MAX_DEPTH"),
        ("if depth > MAX_DEPTH", "if depth > MAX_DEPTH + 1"),
    ),
    *mutants(
        "canonical.py",
        _hostile("seal_is_exact_about_its_domain"),
        ("kind is Decimal and value.is_finite()", "kind is Decimal"),
        ("if kind is list or kind is tuple", "if isinstance(value, list | tuple)"),
        ("        if kind is dict:", "        if isinstance(value, dict):"),
        ("_PLAIN | {int}", "_PLAIN | {int, float}"),
        ("kind is int and", "isinstance(value, int) and"),
        ("default=_text, option=orjson.OPT_SORT_KEYS", "default=_text"),
    ),
    *mutants(
        "canonical.py",
        _hostile("bytes_and_kinds_say_all"),
        ("sorted(sealed.items())", "()"),
        ("inner = enumerate(sealed)", "inner = ()"),
        ("isinstance(sealed, str | int | float)", "not isinstance(sealed, UUID)"),
        ("[[*place, type(sealed).__name__]]", "[[type(sealed).__name__]]"),
        ("[[*place, type(sealed).__name__]]", "[[*place]]"),
    ),
    *mutants(
        "canonical.py",
        _arguments("arguments_are_copied_before_anything_happens"),
        ("return [self.any(item, depth + 1) for item in value]", "return value"),
    ),
    *mutants(
        "contracts.py",
        _contract("context_keeps_what_it_was_given"),
        ('        _freeze(self, "claims")\n', ""),
        ("MappingProxyType(dict(getattr(owner, name)))", "getattr(owner, name)"),
    ),
    *mutants(
        "canonical.py",
        _hostile("seal_is_exact_about_its_domain"),
        ("        return _scalar(value)", "        return value"),
    ),
)

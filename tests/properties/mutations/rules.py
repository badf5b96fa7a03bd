"""Mutants of governance contracts and the YAML they are written in."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of

_rules = partial(tests_of, "test_governance.py")
RULES = (
    *mutants(
        "governance/contract.py",
        _rules("unsafe_or_unclear_contracts_are_refused"),
        ("    owner: Name\n    tool", '    owner: Name = "nobody"\n    tool'),
        (
            "    safest_mode: LadderMode\n    owner: Name",
            '    safest_mode: LadderMode\n    owner: Name = "x"',
        ),
        ("self.default_mode > Mode.DRAFT_WRITE", "False"),
        ("if safest > min(self", "if safest > max(self"),
        ("if mode not in self.modes:", "if False:"),
        ("if (twice := repeated(self.allowed_modes)) is not None:", "if False:"),
        ("name != FALLBACK and name not in MODES", "False"),
        ("if odd:\n            raise", "if not odd and False:\n            raise"),
        ("if keys.count(key) > 1", "if keys.count(key) > 2"),
        ("    log_decision: Kept", "    log_decision: bool"),
        ("avoid_sensitive_inputs: Kept", "avoid_sensitive_inputs: bool"),
    ),
    *mutants(
        "governance/parts.py",
        _rules("unsafe_or_unclear_contracts_are_refused"),
        ("if not value.strip():", "if value is None:"),
        ("TOOL_NAME.fullmatch(value)", "value"),
        ('extra="forbid"', 'extra="ignore"'),
        (
            "type(value) is not str or value not in MODES",
            "str(value).lower() not in MODES",
        ),
    ),
    *mutants(
        "governance/contract.py",
        _rules("what_a_contract_leaves_open_is_the_strictest"),
        (
            "REVERSIBLE_WRITE: Reversibility.MANUAL",
            "REVERSIBLE_WRITE: Reversibility.AUTOMATIC",
        ),
        (
            "EXTERNAL_EFFECT: Reversibility.NONE",
            "EXTERNAL_EFFECT: Reversibility.MANUAL",
        ),
        ("ADMIN_ACTION: Reversibility.NONE", "ADMIN_ACTION: Reversibility.MANUAL"),
        ("IRREVERSIBLE: Reversibility.NONE", "IRREVERSIBLE: Reversibility.MANUAL"),
        (
            "AfterValidator(_unreleased)] = Mode.OFF",
            "AfterValidator(_unreleased)] = Mode.AUTONOMOUS",
        ),
        ('"0.8"', '"0.1"'),
        ("self.reversibility or UNDO", "UNDO"),
        ("frozenset((Mode.OFF, *listed))", "frozenset(listed)"),
        ("max_length=64)], ...] = ()", 'max_length=64)], ...] = ("to",)'),
        ("] = 65_536", "] = 16_777_216"),
        (
            "autonomy_for: tuple[Annotated[RiskClass, Field(strict=False)], ...] = ()",
            "autonomy_for: tuple[RiskClass, ...] = (RiskClass.IRREVERSIBLE,)",
        ),
    ),
    *mutants(
        "governance/contract.py",
        _rules("every_scope_of_the_boundary_is_demanded"),
        ("frozenset((*own, *self.required_scopes))", "frozenset(own)"),
    ),
    *mutants(
        "governance/loading.py",
        _rules("look_alike_tools_are_duplicates"),
        ("if folded in seen:", "if contract.tool in seen:"),
        ("problems += _look_alikes(found)", "list(_look_alikes(found))"),
    ),
    *mutants(
        "governance/parts.py",
        _rules("look_alike_tools_are_duplicates"),
        (".casefold()", ""),
    ),
    *mutants(
        "governance/loading.py",
        _rules("all_problems_are_reported_at_once", "what_is_no_contract_is_refused"),
        (
            "    if problems:\n        raise Inv",
            "    if len(problems) > 2:\n        raise Inv",
        ),
        ("if not documents:", "if documents is None:"),
    ),
    *mutants(
        "strict_yaml.py",
        _rules("all_problems_are_reported_at_once", "what_is_no_contract_is_refused"),
        (
            "not isinstance(data, dict) or root not in data",
            "not isinstance(data, dict)",
        ),
    ),
    *mutants(
        "governance/parts.py",
        _rules("loaded_contracts_do_not_change"),
        ("        frozen=True", "        frozen=False"),
    ),
    *mutants(
        "governance/contract.py",
        _rules("unsafe_default_needs_a_reason"),
        (" and not self.unsafe_default_reason", ""),
    ),
    *mutants(
        "strict_yaml.py",
        _rules("off_is_a_mode_and_not_false", "words_stay_words"),
        ('if text in ("true", "false"):', 'if text in ("true", "false", "off"):'),
        ('if text in ("true", "false"):', 'if text in ("true", "false", "no"):'),
        ("node.style in (", "node.style in () and ("),
    ),
    *mutants(
        "strict_yaml.py",
        _rules("aliases_and_huge_files_are_refused"),
        ("    if id(node) in seen:", "    if False:"),
        ("        if len(path) > MAX_DEPTH:", "        if len(path) > 999:"),
        ("if len(data) > MAX_BYTES", "if False"),
    ),
    *mutants(
        "strict_yaml.py",
        _rules("unsafe_or_unclear_contracts_are_refused"),
        ("        if key in data:", "        if key is None:"),
    ),
)

"""The table of mutants: where, which text, what instead, and which test must notice.

Each old text stands exactly once in its file. Keep it as short as that allows.
"""

from __future__ import annotations

from dataclasses import dataclass

Tests = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mutant:
    """Describe one change of *file*, below the package, that *tests* must notice."""

    file: str
    old: str
    new: str
    tests: Tests

    def applied(self, text: str) -> str:
        """Return *text* with the change made.

        Raises:
            LookupError: when the old text does not stand there exactly once.

        """
        if (found := text.count(self.old)) != 1:
            raise LookupError(f"the old text stands there {found} times, not once")
        return text.replace(self.old, self.new)

    def __str__(self) -> str:
        return f"{self.file}: {self.old!r} -> {self.new!r}"


def mutants(file: str, tests: Tests, *changes: tuple[str, str]) -> list[Mutant]:
    """Return one mutant a change of *file*."""
    return [Mutant(file, old, new, tests) for old, new in changes]


def tests_of(file: str, *names: str) -> Tests:
    """Return the node ids of the tests called *names* in *file*."""
    return tuple(f"{file}::test_{name}" for name in names)


def _law(*names: str) -> Tests:
    return tests_of("properties/test_law.py", *names)


def _controls(*names: str) -> Tests:
    return tests_of("test_controls.py", *names)


def _governor(*names: str) -> Tests:
    return tests_of("test_governor.py", *names)


def _flags(*names: str) -> Tests:
    return tests_of("test_flags_reader.py", *names)


def _rules(*names: str) -> Tests:
    return tests_of("test_governance.py", *names)


def _store(*names: str) -> Tests:
    return tests_of("test_stores_sqlite.py", *names)


def _hostile(*names: str) -> Tests:
    return tests_of("properties/test_hostile.py", *names)


def _contract(*names: str) -> Tests:
    return tests_of("test_contracts.py", *names)


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
        ("key=_rank", "key=lambda one: one.control"),
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
CONTROLS = (
    *mutants(
        "controls/__init__.py",
        _controls("every_control_has_a_voice"),
        ("    authorization,\n    classification", "    classification"),
        ("    classification,\n    switch", "    switch"),
        ("    switch,\n    mode", "    mode"),
        ("    mode,\n    approval", "    approval"),
        ("    approval,\n    denylist", "    denylist"),
        ("    denylist,\n    fallback", "    fallback"),
        ("    fallback,\n)", ")"),
    ),
    *mutants(
        "controls/__init__.py",
        _controls("failing_records_stop_what_has_consequences"),
        ("recording(contract, rules, health)", "recording(contract, rules, HEALTHY)"),
    ),
    *mutants(
        "controls/__init__.py",
        _controls("bounds_of_the_deployment_count"),
        ("flags, self.bounds)", "flags, BOUNDS)"),
    ),
    *mutants(
        "controls/__init__.py",
        _controls(
            "guardrail_that_answers_nonsense_says_off",
            "guardrail_that_raises_says_off",
        ),
        ('Mode.OFF, "control_failed"', 'Mode.AUTONOMOUS, "control_failed"'),
        ('Mode.OFF, "control_answered', 'Mode.AUTONOMOUS, "control_answered'),
        ("type(verdict) is not Verdict", "not isinstance(verdict, Verdict)"),
        (" or not _sound(verdict)", ""),
        ("type(verdict.cap) is Mode and ", ""),
        (" and type(verdict.need) is Mode", ""),
    ),
    *mutants(
        "controls/switch.py",
        LAW,
        ('Verdict(NAME, Mode.OFF, "kill_switch")', "ON"),
        ("return Verdict(NAME, Mode.OFF,", "return Verdict(NAME, Mode.AUTONOMOUS,"),
    ),
    *mutants(
        "controls/switch.py",
        _controls("only_the_exact_value_lets_through"),
        ("ON if reading.value is True", "ON if reading.value is not False"),
        ("ON if reading.value is True", "ON if reading.value"),
    ),
    *mutants(
        "controls/mode.py",
        LAW,
        ("return Verdict(NAME, Mode.OFF, r", "return Verdict(NAME, Mode.OBSERVE, r"),
        ('mode_fallback", fallback=True', 'mode_fallback", fallback=False'),
        ("rules.rollback.safest_mode", "Mode.AUTONOMOUS"),
    ),
    *mutants(
        "controls/mode.py",
        _controls(
            "flag_that_no_contract_names",
            "only_the_exact_value_lets_through",
            "mode_flag_sets_the_rung",
        ),
        ("_DEFAULTS[rules.default_mode]", "_DEFAULTS[Mode.AUTONOMOUS]"),
        ("or not known", ""),
        ("return _RUNGS[reading.value]", 'return _RUNGS["autonomous"]'),
    ),
    *mutants(
        "controls/approval.py",
        LAW,
        (
            'Verdict(NAME, Mode.APPROVAL_REQUIRED, "app',
            'Verdict(NAME, Mode.AUTONOMOUS, "app',
        ),
        ("            Mode.APPROVAL_REQUIRED,\n", "            Mode.AUTONOMOUS,\n"),
        ("WAIVED if reading.value is False", "WAIVED if reading.value is True"),
    ),
    *mutants(
        "controls/approval.py",
        _controls("flag_that_no_contract_names", "only_the_exact_value_lets_through"),
        ("None:\n        return REQUIRED", "None:\n        return WAIVED"),
        ("WAIVED if reading.value is False", "WAIVED if not reading.value"),
    ),
    *mutants(
        "controls/approval.py",
        _controls("named_classes_are_conditions", "unknown_condition_holds"),
        ("        need=Mode.AUTONOMOUS", "        need=Mode.OFF"),
        ("            rules.risk_class,\n", ""),
        (
            "            contract.risk_class,\n            contract.cl",
            "            contract.cl",
        ),
        ("            contract.claimed_risk,\n", ""),
        (
            "            effective_risk(contract.risk_class, contract.reversibility),\n",
            "",
        ),
        ("return _met(tuple(met)) if met", "return _met(tuple(met)) if met[1:]"),
        ("rules)\n    return True", "rules)\n    return False"),
    ),
    *mutants(
        "controls/approval.py",
        _controls("incident_is_a_condition", "incident_holds_when_nobody_can_tell"),
        ("reading is None or", "reading is not None and"),
        ("reading.fault is not None or reading.value", "reading.value"),
        ("or reading.value is not False", "or reading.value is True"),
    ),
    *mutants(
        "controls/approval.py",
        _controls("confidence_is_a_condition"),
        ("return confidence is None or", "return confidence is not None and"),
        ("confidence_below <= confidence", "confidence_below < confidence"),
        ("<= confidence <= 1", "<= confidence"),
        (
            "ArithmeticError):\n        return True",
            "ArithmeticError):\n        return False",
        ),
    ),
    *mutants(
        "controls/approval.py",
        _governor("conditions_need_a_human_unless_someone_says_no"),
        ("predicates[name](contract) is not False", "bool(predicates[name](contract))"),
        ("is met\n            return True", "is met\n            return False"),
    ),
    *mutants(
        "controls/authorization.py",
        _controls("hard_boundary"),
        ("boundary.service_identity and actor", "actor.service and actor"),
        ("actor.service != boundary.service_identity", "False"),
        ("boundary.demanded - actor.scopes", "actor.scopes - boundary.demanded"),
        ("if missing:", "if missing == boundary.demanded:"),
        ("if held:", "if not held:"),
        ("Verdict(NAME, Mode.OFF, reason", "Verdict(NAME, Mode.OBSERVE, reason"),
    ),
    *mutants(
        "controls/denylist.py",
        _controls("denylist_entries"),
        ('return _hit("flag_malformed", reading.key)', "return CLEAR"),
        ('_hit("denylisted", reading.key) if listed', "CLEAR if listed"),
        ("any(_matches(", "all(_matches("),
        ("tool = skeleton(contract.tool)", "tool = contract.tool.upper()"),
        ("skeleton(entry), tool", "entry, tool"),
        ('value.keys() != {"tools"}', '"tools" not in value'),
        ("not isinstance(entries, list)", "entries is None"),
        (" and entry.strip()", ""),
        ("if len(texts) == len(entries) else None", ""),
        ('entry.endswith("*")', 'entry == "*"'),
        ("tool.startswith(", "tool.endswith("),
        ("return entry == tool", "return tool.startswith(entry)"),
    ),
    *mutants(
        "controls/denylist.py",
        LAW,
        ("return _hit(reading.fault, reading.key)", "return CLEAR"),
        ("Verdict(NAME, Mode.OFF, reason", "Verdict(NAME, Mode.SEARCH_ONLY, reason"),
    ),
    *mutants(
        "controls/fallback.py",
        LAW,
        (
            "reading.fault is None and reading.value is False",
            "reading.value is not True",
        ),
        ("fallback=True", "fallback=False"),
    ),
    *mutants(
        "controls/fallback.py",
        _controls(
            "only_the_exact_value_lets_through",
            "code_default_is_as_strict_as_a_loss",
        ),
        ("reading.value is False", "reading.value is not True"),
        ("reading.fault is None and", ""),
    ),
    *mutants(
        "controls/freshness.py",
        _controls("age_of_the_flags_lowers_the_cap"),
        ("(15 * SECOND", "(16 * SECOND"),
        ("SECOND, Mode.APPROVAL_REQUIRED", "SECOND, Mode.AUTONOMOUS"),
        ("(60 * SECOND", "(61 * SECOND"),
        ("SECOND, Mode.DRAFT_WRITE", "SECOND, Mode.APPROVAL_REQUIRED"),
        ("(900 * SECOND", "(901 * SECOND"),
        ("_stale(Mode.SEARCH_ONLY", "_stale(Mode.SCOPED_READ"),
        ("if age <= limit", "if age < limit"),
        (" and age >= 0", ""),
        ("age is not None and age >= 0", "(age := age or 0) >= 0"),
        ("Verdict(NAME, Mode.OFF, flags.standing", "Verdict(NAME, Mode.OBSERVE, 'x'"),
        ("flags.standing is not None", "flags.standing is None"),
    ),
    *mutants(
        "controls/classification.py",
        _controls("fault_of_the_description_denies"),
        ("if contract.faults:", "if len(contract.faults) > 1:"),
        ("            Mode.OFF,", "            Mode.AUTONOMOUS,"),
        ("            need=Mode.AUTONOMOUS", "            need=Mode.OFF"),
    ),
    *mutants(
        "controls/classification.py",
        _controls("claims_count_beside_what_is_known"),
        ("{stated, risk, claimed_risk or risk}", "{stated, risk}"),
        (
            "undo = {reversibility, claimed_reversibility or ",
            "undo = {reversibility or ",
        ),
        ("need = max(", "need = min("),
        ("cap = min(", "cap = max("),
    ),
    *mutants(
        "controls/classification.py",
        _controls("claims_never_lower_what_is_known"),
        ("{stated, risk, claimed", "{stated, claimed"),
        ("{reversibility, claimed", "{claimed"),
    ),
    *mutants(
        "controls/recording.py",
        _controls("failing_records_stop_what_has_consequences"),
        ("if health == HEALTHY", "if not health.full"),
        ("health.full or", ""),
        ("health.failing_ns > GRACE_NS or", ""),
        ("health.failing_ns > GRACE_NS", "health.failing_ns >= GRACE_NS"),
        (" or not contract.mere_read", ""),
        ("not contract.mere_read", "contract.consequential"),
        ("Verdict(NAME, Mode.OFF,", "Verdict(NAME, Mode.SEARCH_ONLY,"),
        ("rules.rollback.safest_mode", "Mode.AUTONOMOUS"),
    ),
    *mutants(
        "controls/classification.py",
        _controls("contracts_class_counts_beside_the_derived_one"),
        ("{stated, risk,", "{risk,"),
    ),
    *mutants(
        "controls/fallback.py",
        _controls("incident_caps_at_the_safest_mode_by_name"),
        ("rules.rollback.safest_mode", "rules.default_mode"),
    ),
)
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
        ("kind is int and", "isinstance(value, int) and"),
        ("default=_text, option=orjson.OPT_SORT_KEYS", "default=_text"),
    ),
    *mutants(
        "canonical.py",
        _governor("arguments_are_copied_before_anything_happens"),
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
RULES = (
    *mutants(
        "governance.py",
        _rules("unsafe_or_unclear_contracts_are_refused"),
        ("    owner: Name\n    tool", '    owner: Name = "nobody"\n    tool'),
        (
            "    safest_mode: LadderMode\n    owner: Name",
            '    safest_mode: LadderMode\n    owner: Name = "x"',
        ),
        ("if not value.strip():", "if value is None:"),
        ("TOOL_NAME.fullmatch(value)", "value"),
        ('extra="forbid"', 'extra="ignore"'),
        (
            "type(value) is not str or value not in MODES",
            "str(value).lower() not in MODES",
        ),
        ("self.default_mode > Mode.DRAFT_WRITE", "False"),
        ("if safest > min(self", "if safest > max(self"),
        ("if mode not in self.modes:", "if False:"),
        (
            "if len(set(self.allowed_modes)) != len(",
            "if len(set(self.allowed_modes)) > len(",
        ),
        ("name != FALLBACK and name not in MODES", "False"),
        ("if odd:\n            raise", "if not odd and False:\n            raise"),
        ("if keys.count(key) > 1", "if keys.count(key) > 2"),
        ("    log_decision: Kept", "    log_decision: bool"),
        ("avoid_sensitive_inputs: Kept", "avoid_sensitive_inputs: bool"),
    ),
    *mutants(
        "governance.py",
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
            "timeout_fallback: LadderMode = Mode.OFF",
            "timeout_fallback: LadderMode = Mode.AUTONOMOUS",
        ),
        ('"0.8"', '"0.1"'),
        ("self.reversibility or UNDO", "UNDO"),
        ("frozenset((Mode.OFF, *listed))", "frozenset(listed)"),
        (
            "record_fields: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = ()",
            'record_fields: tuple[str, ...] = ("to",)',
        ),
        ("] = 65_536", "] = 16_777_216"),
        (
            "autonomy_for: tuple[Annotated[RiskClass, Field(strict=False)], ...] = ()",
            "autonomy_for: tuple[RiskClass, ...] = (RiskClass.IRREVERSIBLE,)",
        ),
    ),
    *mutants(
        "governance.py",
        _rules("every_scope_of_the_boundary_is_demanded"),
        ("frozenset((*own, *self.required_scopes))", "frozenset(own)"),
    ),
    *mutants(
        "governance.py",
        _rules("look_alike_tools_are_duplicates"),
        ("if folded in seen:", "if contract.tool in seen:"),
        (".casefold()", ""),
        ("problems += _look_alikes(found)", "list(_look_alikes(found))"),
    ),
    *mutants(
        "governance.py",
        _rules("all_problems_are_reported_at_once", "what_is_no_contract_is_refused"),
        (
            "    if problems:\n        raise Inv",
            "    if len(problems) > 2:\n        raise Inv",
        ),
        ("if not documents:", "if documents is None:"),
        (
            "not isinstance(data, dict) or ROOT not in data",
            "not isinstance(data, dict)",
        ),
    ),
    *mutants(
        "governance.py",
        _rules("loaded_contracts_do_not_change"),
        ("        frozen=True", "        frozen=False"),
    ),
    *mutants(
        "governance.py",
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
        ("if id(node) in seen or", "if"),
        (" or len(path) > MAX_DEPTH", ""),
        ("if len(text.encode()) > MAX_BYTES", "if False"),
    ),
    *mutants(
        "strict_yaml.py",
        _rules("unsafe_or_unclear_contracts_are_refused"),
        ("        if key in data:", "        if key is None:"),
    ),
)
FLAGS = (
    *mutants(
        "flags/kinds.py",
        _controls("code_default_is_as_strict_as_a_loss"),
        (
            '"switch", FlagType.BOOLEAN, lambda: False',
            '"switch", FlagType.BOOLEAN, lambda: True',
        ),
        ('lambda: "off"', 'lambda: "observe"'),
        (
            '"approval", FlagType.BOOLEAN, lambda: True',
            '"approval", FlagType.BOOLEAN, lambda: False',
        ),
        ('lambda: ["*"]', "lambda: []"),
        (
            '"fallback", FlagType.BOOLEAN, lambda: True',
            '"fallback", FlagType.BOOLEAN, lambda: False',
        ),
    ),
    *mutants(
        "flags/kinds.py",
        _flags("illegal_values_never_widen", "closed_sets_are_exact"),
        ("type(value) is bool", "value in (True, False)"),
        ("type(value) is str and value in VARIANTS", "str(value).lower() in VARIANTS"),
        ("entries_of(value) is not None", "True"),
    ),
    *mutants(
        "flags/kinds.py",
        _flags("values_are_copies"),
        ("_is_list, entries_of", "_is_list, _same"),
    ),
    *mutants(
        "flags/hook.py",
        _flags("illegal_values_never_widen", "hook_that_did_not_check_says_so"),
        ("None if error is None else", "None if error is not None else"),
        ("fault is None and key not in notes.values", "False"),
    ),
    *mutants(
        "flags/hook.py",
        _flags("hook_completes_the_context_of_flags_read_inside_a_tool"),
        ("if contract is None", "if contract is not None"),
    ),
    *mutants(
        "flags/hook.py",
        _flags("hook_refuses_illegal_values"),
        ('raise ParseError("illegal value")', "return"),
    ),
    *mutants(
        "flags/reader.py",
        _flags("no_provider_is_a_fault", "shutdown_is_a_fault"),
        ('return "provider_missing", about.name', "return None, about.name"),
    ),
    *mutants(
        "flags/reader.py",
        _flags("borrowed_and_replaced_providers_are_faults"),
        ("provider is not self._bound", "False"),
        ('return "provider_borrowed"', "return None"),
        ('return "provider_replaced"', "return None"),
        ("if known is not provider:", "if known is None:"),
    ),
    *mutants(
        "flags/reader.py",
        _flags("unready_providers_deny"),
        ("standing is None and status not in _TRUSTED", "False"),
        ("ProviderStatus.READY, Prov", "*ProviderStatus, Prov"),
    ),
    *mutants(
        "flags/reader.py",
        _flags("stale_status_ages_from_the_last_ready"),
        ("if status is ProviderStatus.READY:", "if True:"),
        ('"age_ns": now - self._ready_ns', '"age_ns": 0'),
    ),
    *mutants(
        "flags/reader.py",
        _flags("age_is_the_providers_own"),
        ('"age_ns": now - state.verified_ns', '"age_ns": 0'),
        ("dated = getattr(provider", "dated = None and getattr(provider"),
    ),
    *mutants(
        "flags/reader.py",
        _flags("a_client_that_raises_is_a_fault"),
        ('standing="flag_layer_failed"', "standing=None, age_ns=0"),
        ("Reading(key, None, fault=code)", 'Reading(key, None, fault="")'),
    ),
    *mutants(
        "flags/reader.py",
        _flags("interrupts_come_through"),
        ("KeyboardInterrupt | SystemExit", "ZeroDivisionError"),
    ),
    *mutants(
        "flags/reader.py",
        _flags(
            "alteration_after_our_hook_is_named",
            "foreign_hooks_cannot_widen",
            "readings_without_our_check_are_faults",
            "fault_of_the_source_is_a_fault_of_every_flag",
        ),
        ('fault = "flag_altered"', "pass"),
        ("if reading is None or answer is None", "if reading is None"),
        ("fault = standing or reading.fault", "fault = standing"),
        ("standing or reading.fault", "reading.fault"),
    ),
    *mutants(
        "flags/reader.py",
        _flags("illegal_values_are_checked_twice"),
        ("if not kind.legal(value):", "if False:"),
    ),
    *mutants(
        "flags/memo.py",
        _flags(
            "repeated_reads_are_remembered_until_the_data_changes",
            "memory_is_of_one_provider_and_one_context",
        ),
        ("known != generation", "False"),
        ("held is not provider or ", ""),
        ("(flags, context.targeting_key, *", "(flags, *"),
        (", *context.attributes.values())", ")"),
        ("return (flags, ", "return ("),
    ),
    *mutants(
        "flags/memo.py",
        _flags("nothing_is_remembered_while_a_foreign_hook_takes_part"),
        ("api.get_hooks() or", ""),
        (" or client.hooks", ""),
        (" or provider.get_provider_hooks()", ""),
    ),
    *mutants(
        "flags/memo.py",
        _flags("nothing_is_remembered_while_a_foreign_context_takes_part"),
        ("        api.get_evaluation_context(),\n", ""),
        ("        client.context,\n", ""),
        ("        api.get_transaction_context(),\n", ""),
        ("return not any(", "return True or any("),
    ),
    *mutants(
        "flags/memo.py",
        _flags("nothing_is_remembered_without_a_generation"),
        ("type(generation) is not int or", ""),
    ),
    *mutants(
        "flags/lifecycle.py",
        tests_of("test_flags_lifecycle.py", "batch_equals_the_client"),
        ("ProviderStatus.FATAL: ProviderFatalError,", ""),
        ("details.value = default", "pass"),
        ("_check(kind, details.value)", "pass"),
        ("merged = lower.merge(merged)", "merged = merged.merge(lower)"),
        ("for hook, about in chain:", "for hook, about in reversed(chain):"),
    ),
    *mutants(
        "flags/reader.py",
        _flags("safest_defaults_cannot_be_emptied"),
        ("answer if default == kind.default() else None", "answer"),
    ),
    *mutants(
        "flags/reader.py",
        _flags("a_decision_never_mixes_two_snapshots"),
        ("if not whole and self._moved(", "if False and self._moved("),
        ("pin or provider, status", "provider, status"),
    ),
    *mutants(
        "flags/reader.py",
        _flags("the_same_key_as_another_kind_is_evaluated_anew"),
        ('f"{kind.name}:{key}" for', 'f"{key}" for'),
    ),
    *mutants(
        "flags/hook.py",
        _flags("foreign_hooks_cannot_choose_the_subject"),
        ("            return context\n", "            return None\n"),
    ),
)
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
        _governor("constraints_need_a_tool_that_applies_them"),
        (
            "            return Route()\n        smaller",
            "            return Route(*chosen, arguments, canonical)\n        smaller",
        ),
        ("arguments, canonical = smaller.arguments, smaller.canonical", "pass"),
        ("case Effect.CONSTRAIN if decision.full", "case Effect.CONSTRAIN if False"),
    ),
    *mutants(
        "judging.py",
        _governor("a_fault_of_our_own_denies"),
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
        _governor("decision_is_on_disk_before_a_consequential_action"),
        ("and not contract.mere_read", "and contract.mere_read"),
        ("(runs or queued)", "queued"),
    ),
    *mutants(
        "judging.py",
        _governor("queued_action_is_on_disk_when_the_caller_hears_of_it"),
        ("(runs or queued)", "runs"),
    ),
    *mutants(
        "judging.py",
        _governor("decide_and_report"),
        ("route.canonical if runs else None", "None"),
    ),
    *mutants(
        "governor.py",
        _governor("decision_is_on_disk_before_a_consequential_action"),
        (
            "self.records.commit(seen.judged.record)",
            "self.records.append(seen.judged.record)",
        ),
    ),
    *mutants(
        "governor.py",
        _store("commit_that_fails_denies_and_nothing_runs"),
        ("decision=refused, route=Route()", "decision=refused"),
        ("judged, decision=refused, ", "judged, "),
    ),
    *mutants(
        "governor.py",
        _governor("async_decision_is_on_disk_and_a_failed_one_denies"),
        (
            "await self.records.acommit(seen.judged.record)",
            "self.records.append(seen.judged.record)",
        ),
    ),
    *mutants(
        "governor.py",
        _governor("registration_refuses_what_cannot_be_governed"),
        ("if tool.name in self._tools", "if tool is None"),
        ("or tool.name not in self.governance", ""),
    ),
    *mutants(
        "governor.py",
        _governor("plan_has_no_effect"),
        (
            "_outcome(self._judged(call), Status.PLANNED)",
            "_outcome(self._recorded(call), Status.PLANNED)",
        ),
    ),
    *mutants(
        "governor.py",
        _governor(
            "outcome_follows_the_decision", "tool_exceptions_are_recorded_and_passed_on"
        ),
        ('self._close_record(judged, "executed", started=started)', "pass"),
        ("self._close_record(judged, status, type(error).__name__, started)", "pass"),
        ("type(error).__name__, started", "str(error), started"),
    ),
    *mutants(
        "governor.py",
        _governor("async_twins_do_the_same"),
        (
            "self._refuse_async(call)\n        self._refuse_foreign",
            "self._refuse_foreign",
        ),
    ),
    *mutants(
        "tickets.py",
        _governor(
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
        _governor("misfit_arguments_are_denied_with_a_record"),
        ("None if surplus else named", "named"),
        ("len(args) > len(tool.positions) or", ""),
        (" or named.keys() & kwargs.keys()", ""),
    ),
    *mutants(
        "gate.py",
        _governor("direct_call_without_context_is_denied"),
        (
            "return _answer(run(ticketed(tool, call) or call, extra))",
            "return tool.function(**kwargs)",
        ),
    ),
    *mutants(
        "judging.py",
        _governor("narrowing_that_widens_is_denied"),
        ("    if grew:", "    if False:"),
    ),
    *mutants(
        "judging.py",
        _governor("foreign_code_cannot_change_what_runs"),
        ("if canonical != contract.canonical:", "if False:"),
    ),
    *mutants(
        "judging.py",
        _governor("what_cannot_be_written_down_does_not_happen"),
        ("partial(bytes, record.encoded())", "record.encoded"),
    ),
    *mutants(
        "judging.py",
        _governor("handlers_honour_constraints_too"),
        ("if decision.constraints:", "if decision.constraints and decision.full:"),
    ),
    *mutants(
        "governor.py",
        _governor(
            "a_kill_between_decision_and_run_is_obeyed",
            "ticket_is_for_the_one_decided_about",
        ),
        ("if same and here", "if here"),
        (" and here in (None, context)", ""),
    ),
    *mutants(
        "governor.py",
        _governor("report_takes_one_known_status_for_one_known_decision"),
        ("if status not in REPORTED:", "if not status:"),
        ("if self._awaited.pop(record_id, record_id) is not None:", "if False:"),
    ),
    *mutants(
        "governor.py",
        _governor("injected_parameters_are_not_the_agents"),
        ("not injected.keys() <= tool.injected", "False"),
    ),
    *mutants(
        "governor.py",
        _governor("unfinished_work_is_no_execution"),
        ("value = _finished(call())", "value = call()"),
    ),
    *mutants(
        "governor.py",
        _governor("async_twins_do_the_same"),
        ("self._refuse_async(call)\n        judged", "judged"),
    ),
    *mutants(
        "tickets.py",
        _governor("ticket_is_for_one_governor", "ticket_is_for_one_process"),
        ("self.owner is owner", "True"),
        ("            and self.pid == os.getpid()\n", ""),
    ),
)
TOOLS = (
    *mutants(
        "tools.py",
        _governor("extractors_decide_what_the_action_is"),
        ("            risk = max(", "            risk = min("),
        ('self.faults.append("amount_unreadable")', "pass"),
        ('self.faults.append("records_unreadable")', "pass"),
        ("type(count) is not int or", "not isinstance(count, int) or"),
        ("not 0 <= count <=", "not count <="),
        ("0 <= count <= MAX_RECORDS", "0 <= count"),
    ),
    *mutants(
        "tools.py",
        _governor("extractor_that_fails_leaves_the_worst"),
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
        "tools.py",
        _governor("claims_only_lower_authority"),
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
        _governor("misfit_arguments_are_denied_with_a_record"),
        ("        if missing:", "        if False:"),
        ("not given <= self.accepted", "False"),
    ),
    *mutants(
        "tools.py",
        _governor("defaults_and_injected_parameters"),
        ("return {**self.defaults, **arguments}", "return {**arguments}"),
        ("if p.name not in self.injected", ""),
    ),
    *mutants(
        "tools.py",
        _governor("registration_refuses_what_cannot_be_governed"),
        ("if inspect.isgeneratorfunction(function) or", "if"),
        ("inspect.iscoroutinefunction(function) and not is_async", "False"),
        ("(parameter.POSITIONAL_ONLY, parameter.VAR_POSITIONAL)", "()"),
    ),
    *mutants(
        "tools.py",
        _governor("extractors_only_tighten"),
        ("undo = max(undo", "undo = min(undo"),
        ("(need_of(one, undo), SEVERITY[one])", "-SEVERITY[one]"),
    ),
    *mutants(
        "tools.py",
        _hostile("money_is_a_finite_amount"),
        ("(type(value) is float and isfinite(value))", "type(value) is float"),
        ("type(value) is Decimal and value.is_finite()", "type(value) is Decimal"),
        ("if type(value) is int or", "if isinstance(value, int) or"),
        ("if amount < 0:", "if amount < -1:"),
    ),
    *mutants(
        "tools.py",
        _governor("injected_parameters_are_not_the_agents"),
        ("if self.injected & given:", "if False:"),
    ),
    *mutants(
        "tools.py",
        _governor("foreign_code_cannot_change_what_runs"),
        (
            "_Facts(self.extractors, _own(self, arguments))",
            "_Facts(self.extractors, arguments)",
        ),
    ),
    *mutants(
        "tools.py",
        _governor("targets_that_are_no_ids_are_kept_as_digests"),
        ("name if is_opaque(name) else", "name if name else"),
    ),
)
RECORDS = (
    *mutants(
        "evidence/records.py",
        _governor("records_hold_no_arguments_but_the_listed_ones"),
        ("for name in rules.evidence.record_fields", "for name in contract.arguments"),
    ),
    *mutants(
        "evidence/records.py",
        _hostile("control_characters_cannot_forge_a_record"),
        (".translate(_CONTROLS)", ""),
        ('.encode("ascii", "backslashreplace").decode("ascii")', ""),
    ),
    *mutants(
        "evidence/records.py",
        _store("record_that_cannot_be_encoded_keeps_its_place"),
        (
            "        return record.encoded()\n    except Exception",
            "        return record.encoded()\n    except ZeroDivisionError",
        ),
    ),
    *mutants(
        "stores/schema.py",
        _store("settings_are_in_force"),
        ('("synchronous", "FULL", 2)', '("synchronous", "NORMAL", 1)'),
        ('    ("recursive_triggers", "ON", 1),\n', ""),
        ('"journal_mode", "WAL", "wal"', '"journal_mode", "DELETE", "delete"'),
    ),
    *mutants(
        "stores/schema.py",
        _store("records_are_append_only"),
        ("BEFORE UPDATE ON records", "BEFORE UPDATE OF seq ON records"),
        (
            "records_no_delete BEFORE DELETE ON records",
            "records_no_delete BEFORE UPDATE ON records",
        ),
        ('"recursive_triggers", "ON", 1', '"recursive_triggers", "OFF", 0'),
    ),
    *mutants(
        "stores/schema.py",
        _store(
            "what_is_no_record_log_is_refused", "setting_that_does_not_take_is_refused"
        ),
        ("if version not in (0, VERSION)", "if version is None"),
        ("if actual != expected", "if actual is None"),
    ),
    *mutants(
        "stores/schema.py",
        _store("orphans_of_a_dead_writer_become_unknown"),
        ("int(record.executes)", "0"),
        ("s.kind = 'start' AND NOT EXISTS", "s.kind = 'start' AND EXISTS"),
        ("o.kind = 'outcome'", "o.kind = 'note'"),
    ),
    *mutants(
        "stores/sqlite.py",
        _store("orphans_of_a_dead_writer_become_unknown"),
        ('status="unknown"', 'status="executed"'),
        ("                self._reconcile()\n", ""),
        (" or self._lease.alive(writer)", ""),
    ),
    *mutants(
        "stores/sqlite.py",
        _store("clean_close_settles_its_own_orphans"),
        ("                self._settle_orphans(self.writer)\n", ""),
    ),
    *mutants(
        "stores/sqlite.py",
        _store("full_disk_fails_the_commit_and_keeps_the_record"),
        ("failure.append(error)", "pass"),
        ("                done(error)", "                done(None)"),
        (
            "self._failing_since = self._clock()\n        self._p",
            "pass\n        self._p",
        ),
        ("self._pending.extendleft(", "list("),
    ),
    *mutants(
        "stores/sqlite.py",
        _store("full_backlog_refuses_and_says_how_many"),
        ("if not room or self._full():", "if not room:"),
        ("            self._lost += 1\n", ""),
        ("full=self._full()", "full=False"),
    ),
    *mutants(
        "stores/sqlite.py",
        _store("closed_store_takes_nothing"),
        (
            "        if self._closing:\n            raise",
            "        if False:\n            raise",
        ),
    ),
    *mutants(
        "stores/leases.py",
        _store("orphans_of_a_dead_writer_become_unknown"),
        (
            "except BlockingIOError:\n            return True",
            "except BlockingIOError:\n            return False",
        ),
        (
            "        else:\n            return False",
            "        else:\n            return True",
        ),
    ),
    *mutants(
        "stores/sqlite.py",
        _store("a_batch_that_hangs_counts_as_failing"),
        ("        self._busy_since = self._clock()\n", ""),
    ),
    *mutants(
        "stores/sqlite.py",
        _store("close_says_what_it_could_not_write"),
        ('raise RecordStoreError(f"{self.path}: {lost}: {error}") from error', "pass"),
    ),
    *mutants(
        "stores/leases.py",
        _store("the_lock_of_a_batch_is_waited_for_in_bounds"),
        ("if time.monotonic() > deadline:", "if deadline < 0:"),
    ),
)
MUTANTS = (
    *DECISIONS,
    *CONTROLS,
    *CONTRACTS,
    *RULES,
    *FLAGS,
    *JUDGING,
    *TOOLS,
    *RECORDS,
)

"""Mutants of the flag layer."""

from __future__ import annotations

from functools import partial

from tests.properties.mutations.mutant import mutants, tests_of

_controls = partial(tests_of, "test_controls.py")
_demanded = partial(tests_of, "test_demanded_freshness.py")
_flags = partial(tests_of, "test_flags_reader.py")
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
        _demanded("unmet_demand_denies"),
        ("None if caught_up is True else BEHIND", "None if caught_up else BEHIND"),
        ("            caught_up = False\n", "            caught_up = True\n"),
        ("standing = standing or demanded.standing", "standing = standing"),
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
            "illegal_values_never_widen",
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
        ("_says(api.get_evaluation_context())", "False"),
        ("        or _says(client.context)\n", ""),
        ("        or _says(api.get_transaction_context())\n", ""),
        ("return not (", "return True or ("),
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

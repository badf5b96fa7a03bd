"""Enumerate the decision space in full and check the law's promises on every state.

The space is finite: every class, every value of every flag and its loss, every band of
freshness, with and without an approval, under several governance contracts. The real
controls and the real `decide` answer for each state; nothing is sampled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import product
from math import prod
from operator import mul
from typing import Any

from openfeature_gov.contracts import ActionContract, Actor, CallContext
from openfeature_gov.controls import Controls
from openfeature_gov.controls.freshness import BOUNDS
from openfeature_gov.controls.readings import Reading, Readings
from openfeature_gov.decisions import (
    HELD_BACK,
    Decision,
    Effect,
    Verdict,
    decide,
    effective_risk,
    need_of,
)
from openfeature_gov.governance import FALLBACK, GovernanceContract, RuntimeControls
from openfeature_gov.ladder import MODES, Intent, Mode, Reversibility, RiskClass

LOST = "lost"
UNTRUSTED = "untrusted"
AGES = (0, *(limit + 1 for limit, _ in BOUNDS))
FLAGS: dict[str, tuple[Any, ...]] = {
    "switch": (True, False, LOST),
    "mode": (*reversed(MODES), FALLBACK, LOST),
    "approval": (False, True, LOST),
    "denylist": ([], ["tool"], LOST),
    "fallback": (False, True, LOST),
}
"""Every kind of flag with its values, the last one always its loss."""

_KEYS = RuntimeControls.model_validate(
    {
        "globalFlag": "switch",
        "modeFlag": "mode",
        "approvalFlag": "approval",
        "denylistFlag": "denylist",
        "fallbackFlag": "fallback",
    }
)
_CONTEXT = CallContext(actor=Actor(agent="agent"))


def _contract(safest: str, modes: tuple[str, ...], *names: str) -> GovernanceContract:
    return GovernanceContract.model_validate(
        {
            "workflow": "w",
            "owner": "o",
            "tool": "tool",
            "riskClass": "search",
            "defaultMode": safest,
            "allowedModes": modes,
            "rollback": {"safestMode": safest, "owner": "o"},
            "runtimeControls": _KEYS.model_dump(by_alias=True),
            "autonomyFor": names,
        }
    )


CONTRACTS = (
    _contract("search_only", tuple(MODES)),
    _contract("search_only", tuple(MODES), "irreversible", "admin_action"),
    _contract("search_only", tuple(MODES), "irreversible"),
    _contract("observe", ("off", "observe", "draft_write", "approval_required")),
)
"""The whole ladder, without, with both and with one opt-in; one with missing rungs."""

Choice = tuple[int, ...]
"""A state, as the index of each dimension's value."""
AXES: dict[str, tuple[Any, ...]] = {
    "contract": CONTRACTS,
    "risk": tuple(RiskClass),
    "reversibility": tuple(Reversibility),
    **FLAGS,
    "freshness": (*AGES, UNTRUSTED),
    "approved": (False, True),
}
_WHERE = {name: place for place, name in enumerate(AXES)}


@dataclass(frozen=True, slots=True)
class Report:
    """Hold the result: how many states, what was broken, and the table's digest.

    *digest* is the SHA-256 over effect, mode and scope of every state in order: any
    change of the law's meaning changes it.
    """

    states: int
    violations: tuple[str, ...]
    digest: str
    invariants: tuple[str, ...]


def size() -> int:
    """Return the number of states."""
    return prod(len(values) for values in AXES.values())


def state(choice: Choice) -> dict[str, Any]:
    """Return the values of *choice* by the name of their dimension."""
    pairs = zip(AXES.items(), choice, strict=True)
    return {name: values[index] for (name, values), index in pairs}


def rule(values: dict[str, Any]) -> Decision:
    """Return what the real controls and the law say about the state *values*."""
    return _decided(values, _opinions(values), approved=values["approved"])


def _opinions(values: dict[str, Any]) -> list[Verdict]:
    contract = ActionContract(
        tool="tool",
        workflow="w",
        context=_CONTEXT,
        target_system="",
        risk_class=values["risk"],
        reversibility=values["reversibility"],
        intent=Intent.SEARCH,
        arguments={},
        canonical=b"{}",
    )
    untrusted = values["freshness"] == UNTRUSTED
    flags = Readings(
        flags={kind: _reading(kind, values[kind]) for kind in FLAGS},
        age_ns=0 if untrusted else values["freshness"],
        standing="provider_missing" if untrusted else None,
    )
    return _CONTROLS.verdicts(contract, values["contract"], flags)


def _decided(
    values: dict[str, Any], verdicts: list[Verdict], *, approved: bool
) -> Decision:
    return decide(
        verdicts,
        need=need_of(values["risk"], values["reversibility"]),
        listed=values["contract"].modes,
        approved=approved,
    )


_CONTROLS = Controls()


def _reading(kind: str, value: Any) -> Reading:
    if isinstance(value, str) and value == LOST:
        return Reading(kind, None, fault="flag_not_found")
    return Reading(kind, value)


class Table:
    """Hold the decision of every state in a byte. Lives for one verification."""

    def __init__(self, progress: Callable[[int, int], None] | None = None) -> None:
        self.cells = bytearray()
        total = size()
        for count, choice in enumerate(choices()):
            if choice[-1] == 0:  # the verdicts do not depend on the last axis
                values = state(choice)
                verdicts = _opinions(values)
            made = _decided(values, verdicts, approved=bool(choice[-1]))
            self.cells.append(_CODES[made.effect, made.mode, made.full])
            if progress is not None and count % 4096 == 0:
                progress(count, total)
        if progress is not None:
            progress(total, total)

    def __getitem__(self, choice: Choice) -> Cell:
        return _CELLS[self.cells[sum(map(mul, choice, _STRIDES))]]


Cell = tuple[Effect, Mode, bool]
_CELLS: tuple[Cell, ...] = tuple(product(Effect, Mode, (False, True)))
_CODES = {cell: code for code, cell in enumerate(_CELLS)}
_STRIDES = tuple(
    prod(len(values) for values in tuple(AXES.values())[place + 1 :])
    for place in range(len(AXES))
)
Check = Callable[[Table, Choice, dict[str, Any]], bool]


def choices() -> Iterator[Choice]:
    """Yield every state."""
    return product(*(range(len(values)) for values in AXES.values()))


def _instead(choice: Choice, name: str, index: int) -> Choice:
    place = _WHERE[name]
    return (*choice[:place], index, *choice[place + 1 :])


def _narrower(table: Table, less: Choice, more: Choice) -> bool:
    _, mode_less, full_less = table[less]
    _, mode_more, full_more = table[more]
    return mode_less <= mode_more and full_less <= full_more


def losing_a_flag(table: Table, choice: Choice, values: dict[str, Any]) -> bool:
    """Losing any one flag never allows more."""
    return all(
        _narrower(table, _instead(choice, kind, len(legal) - 1), choice)
        for kind, legal in FLAGS.items()
        if values[kind] != LOST
    )


def losing_all_flags(table: Table, choice: Choice, _: dict[str, Any]) -> bool:
    """Losing every flag denies."""
    for kind, legal in FLAGS.items():
        choice = _instead(choice, kind, len(legal) - 1)
    return table[choice][0] is Effect.DENY


def growing_older(table: Table, choice: Choice, values: dict[str, Any]) -> bool:
    """Older flag data never allows more, and untrusted data denies."""
    index = choice[_WHERE["freshness"]]
    if values["freshness"] == UNTRUSTED:
        return table[choice][0] is Effect.DENY
    return _narrower(table, _instead(choice, "freshness", index + 1), choice)


def approving(table: Table, choice: Choice, values: dict[str, Any]) -> bool:
    """An approval only turns a queued action into one that runs."""
    if not values["approved"]:
        return True
    before = table[_instead(choice, "approved", 0)]
    after = table[choice]
    lifted = before[0] is Effect.QUEUE_FOR_APPROVAL and after[2]
    same = before[0] is after[0] and before[2] == after[2]
    return lifted or same


def killing(table: Table, choice: Choice, values: dict[str, Any]) -> bool:
    """A kill switch, a denylist hit and mode off deny, whatever else is said."""
    killed = values["switch"] is not True or values["denylist"] != []
    if killed or values["mode"] in ("off", LOST):
        return table[choice][0] is Effect.DENY
    return True


def holding_back(table: Table, choice: Choice, values: dict[str, Any]) -> bool:
    """What is irreversible runs by itself only where the contract opts in."""
    risk = values["risk"]
    held = HELD_BACK & {risk, effective_risk(risk, values["reversibility"])}
    if held <= set(values["contract"].autonomy_for):
        return True
    return not table[choice][2] or values["approved"]


def hardening(table: Table, choice: Choice, _: dict[str, Any]) -> bool:
    """What is harder to undo never gets more authority."""
    index = choice[_WHERE["reversibility"]] + 1
    if index == len(Reversibility):
        return True
    harder = _instead(choice, "reversibility", index)
    return _narrower(table, harder, choice)


def observing(table: Table, choice: Choice, values: dict[str, Any]) -> bool:
    """At observe nothing runs; a tool never runs above the released mode."""
    effect, mode, full = table[choice]
    if mode <= Mode.OBSERVE:
        return not full and effect in (Effect.DENY, Effect.CONSTRAIN)
    need = need_of(values["risk"], values["reversibility"])
    return not full or need <= mode


def falling_back(table: Table, choice: Choice, values: dict[str, Any]) -> bool:
    """In an incident nothing is queued and nothing runs above the safest mode."""
    effect, mode, _ = table[choice]
    if values["fallback"] is False and values["mode"] != FALLBACK:
        return effect is not Effect.FALLBACK
    safest = values["contract"].rollback.safest_mode
    return effect is not Effect.QUEUE_FOR_APPROVAL and mode <= safest


INVARIANTS: tuple[Check, ...] = (
    losing_a_flag,
    losing_all_flags,
    growing_older,
    approving,
    killing,
    holding_back,
    hardening,
    observing,
    falling_back,
)


def verify_space(progress: Callable[[int, int], None] | None = None) -> Report:
    """Return the report over all states; *progress* gets (done, total) now and then."""
    table = Table(progress)
    violations = []
    for choice in choices():
        values = state(choice)
        for check in INVARIANTS:
            if not check(table, choice, values):
                named = ", ".join(f"{k}={_shown(v)}" for k, v in values.items())
                violations.append(f"{check.__doc__} Broken at {named}")
    return Report(
        size(),
        tuple(violations[:20]),
        sha256(table.cells).hexdigest(),
        tuple(str(check.__doc__) for check in INVARIANTS),
    )


def _shown(value: Any) -> str:
    return (
        f"contract {CONTRACTS.index(value) + 1}" if value in CONTRACTS else str(value)
    )

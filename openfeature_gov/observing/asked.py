"""Which guardrails of a tool need a memory, sorted when the rules are loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from openfeature_gov.governance.guardrails import (
    DataRules,
    Money,
    Refusals,
    Sequence,
    Signal,
    ToolErrors,
)
from openfeature_gov.governance.settings import Setting


class Asked(NamedTuple):
    """Hold the guardrails of one tool that need a memory: *every* one, and by kind.

    *erased* says that one of them asks whether somebody was erased, *named* are the
    signals that wait for a release by name.
    """

    every: tuple[Setting, ...] = ()
    money: tuple[Money, ...] = ()
    errors: tuple[ToolErrors, ...] = ()
    refusals: tuple[Refusals, ...] = ()
    signals: tuple[Signal, ...] = ()
    sequences: tuple[Sequence, ...] = ()
    erased: bool = False
    named: tuple[Signal, ...] = ()


NOBODY = Asked()


def asked_of(listed: Iterable[Setting]) -> Asked:
    """Return those of *listed* that need a memory."""
    every = [*listed]
    money = [one for one in every if isinstance(one, Money) and one.per != "action"]
    errors = [one for one in every if isinstance(one, ToolErrors)]
    refusals = [one for one in every if isinstance(one, Refusals)]
    signals = [one for one in every if isinstance(one, Signal)]
    sequences = [one for one in every if isinstance(one, Sequence)]
    data = [one for one in every if isinstance(one, DataRules)]
    return Asked(
        (*money, *errors, *refusals, *signals, *sequences, *data),
        tuple(money),
        tuple(errors),
        tuple(refusals),
        tuple(signals),
        tuple(sequences),
        any(one.erased for one in data),
        tuple(one for one in signals if one.named_release),
    )

"""Guardrail: a tool that fails again and again on a target gets a rest."""

from __future__ import annotations

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import Weigher, clear, fired, unknown
from openfeature_gov.controls.guardrails.situation import Breaker, Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import ToolErrors

SECOND_US = 1_000_000


def breaker(rules: GovernanceContract, settings: ToolErrors) -> Weigher:
    """Fire while the breaker is open, or half open with a probe under way.

    Half open it lowers nothing: the probe runs under every other control. It never
    raises anything either. Source: article 003, "circuit breakers".
    """
    name, rest = settings.name, settings.cooldown_seconds * SECOND_US
    closed, unsaid = clear(settings), unknown(rules, settings, "errors_unknown")
    opened = fired(rules, settings, "breaker_open", failures=settings.failures)
    probing = fired(rules, settings, "breaker_probing")

    def weigh(_: ActionContract, situation: Situation) -> Verdict:
        state, now = situation.breakers.get(name), situation.now_us
        if state is None or now is None:
            return unsaid
        if state.opened_us is None:
            return closed
        if now < state.opened_us + rest:
            return opened
        if state.probing_us is not None and now < state.probing_us + rest:
            return probing
        return closed

    return weigh


def begun(state: Breaker, settings: ToolErrors, now_us: int) -> Breaker:
    """Return *state* after a call began: the first after the rest is the probe."""
    if state.opened_us is None:
        return state
    rested = now_us >= state.opened_us + settings.cooldown_seconds * SECOND_US
    return state._replace(probing_us=now_us) if rested else state


def ended(
    state: Breaker,
    settings: ToolErrors,
    began_us: int,
    now_us: int,
    *,
    ok: bool | None,
) -> Breaker:
    """Return *state* after the call of *began_us* ended; *ok* is None for not run.

    Of an open breaker only the probe counts: what began before says nothing new.
    """
    if state.opened_us is None:
        return state if ok is not False else _failed(state, settings, now_us)
    if state.probing_us != began_us:
        return state
    if ok is None:
        return state._replace(probing_us=None)
    if not ok:
        return Breaker(opened_us=now_us)
    if state.passed + 1 >= settings.probes:
        return Breaker()
    return state._replace(probing_us=None, passed=state.passed + 1)


def _failed(state: Breaker, settings: ToolErrors, now_us: int) -> Breaker:
    since = now_us - settings.window_seconds * SECOND_US
    failures = (*(at for at in state.failures if at >= since), now_us)
    if len(failures) >= settings.failures:
        return Breaker(opened_us=now_us)
    return Breaker(failures)

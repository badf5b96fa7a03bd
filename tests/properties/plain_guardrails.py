"""The guardrails once more, as plainly as they can be written.

Each answer is made anew, from the settings, at every call. What runs in the product is
prepared when the rules are loaded; a property holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.matching import act_of, is_like, is_named
from openfeature_gov.controls.guardrails.situation import Situation, Standing
from openfeature_gov.decisions import Constraint, Verdict, effective_risk
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import (
    AccountValue,
    Bulk,
    BusinessHours,
    DataRules,
    DenyList,
    Discount,
    EvidenceNeeded,
    Money,
    Reauthentication,
    RecordAge,
    Refusals,
    RiskThreshold,
    Segments,
    Sequence,
    Signal,
    SourceAllowlist,
    ToolErrors,
)
from openfeature_gov.governance.parts import EXACT
from openfeature_gov.governance.settings import Setting
from openfeature_gov.ladder import EFFORT, SEVERITY, Mode, Reversibility, RiskClass

OFF, APPROVAL_REQUIRED, AUTONOMOUS = Mode.OFF, Mode.APPROVAL_REQUIRED, Mode.AUTONOMOUS

PREFIX = "guardrail."


def clear(settings: Setting) -> Verdict:
    """Return the verdict that lowers nothing."""
    return _clear(settings.name)


def _clear(name: str) -> Verdict:
    return Verdict(f"{PREFIX}{name}", Mode.AUTONOMOUS, "clear")


def fired(
    rules: GovernanceContract, settings: Setting, reason: str, **seen: Any
) -> Verdict:
    """Return the verdict at the guardrail's cap; *seen* is its evidence."""
    return capped(rules, settings, settings.cap, reason, **seen)


def unknown(
    rules: GovernanceContract, settings: Setting, reason: str, **seen: Any
) -> Verdict:
    """Return the strictest verdict of the guardrail: it cannot tell."""
    return capped(rules, settings, settings.unknown, reason, **seen)


def capped(
    rules: GovernanceContract, settings: Setting, cap: Mode, reason: str, **seen: Any
) -> Verdict:
    """Return the verdict of *settings* at *cap*.

    One at approval_required needs a human whatever the action is: a mere read would
    else pass below that cap.
    """
    if settings.fallback:
        cap = min(cap, rules.rollback.safest_mode)
    need = AUTONOMOUS if cap is APPROVAL_REQUIRED else OFF
    name = _clear(settings.name).control
    return Verdict(name, cap, reason, need, (), seen, settings.fallback)


HUGE = Decimal(10) ** 15

ZERO = Decimal(0)

FINE = 4


def unreadable(
    amount: object, currency: str, expected: str, decimals: int = FINE
) -> str | None:
    """Return why *amount* is not one of *expected*, None when it is.

    More than *decimals* digits after the point is a mix-up of units.
    """
    if amount is None:
        return "amount_missing"
    if type(amount) is not Decimal or not amount.is_finite() or amount < ZERO:
        return "amount_unreadable"
    if currency != expected:
        return "currency_mismatch"
    if amount < HUGE and EXACT.remainder(amount, _unit(decimals)):
        return "amount_too_fine"
    return None


def beyond(amount: Decimal, limit: Decimal, *, exclusive: bool) -> bool:
    """Say whether *amount* is above *limit*, or with *exclusive* at it."""
    return amount >= limit if exclusive else amount > limit


def _unit(decimals: int) -> Decimal:
    return Decimal(1).scaleb(-decimals)


DAY_US = 86_400_000_000


def age(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: RecordAge,
    situation: Situation,
) -> Verdict:
    """Fire for records older than the limit; one from the future cannot be told.

    A record of exactly that many days is not older. Source: article 003, "within 30
    days of creation".
    """
    created, now = contract.facts.created_us, situation.now_us
    if type(created) is not int or now is None:
        return unknown(rules, settings, "age_unknown")
    if created > now:
        return unknown(rules, settings, "created_in_the_future")
    if now - created > settings.days * DAY_US:
        days = (now - created) // DAY_US
        return fired(rules, settings, "record_too_old", days=days, limit=settings.days)
    return clear(settings)


SECOND_US = 1_000_000


def breaker(
    _: ActionContract,
    rules: GovernanceContract,
    settings: ToolErrors,
    situation: Situation,
) -> Verdict:
    """Fire while the breaker is open, or half open with a probe under way.

    Half open it lowers nothing: the probe runs under every other control. It never
    raises anything either. Source: article 003, "circuit breakers".
    """
    state, now = situation.breakers.get(settings.name), situation.now_us
    if state is None or now is None:
        return unknown(rules, settings, "errors_unknown")
    if state.opened_us is None:
        return clear(settings)
    rest = settings.cooldown_seconds * SECOND_US
    if now < state.opened_us + rest:
        return fired(rules, settings, "breaker_open", failures=settings.failures)
    if state.probing_us is not None and now < state.probing_us + rest:
        return fired(rules, settings, "breaker_probing")
    return clear(settings)


def bulk(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: Bulk,
    _: Situation,
) -> Verdict:
    """Fire above the limit; an action of which nobody counts the records cannot tell.

    Source: article 002, "bulk operations affecting more than 100 records".
    """
    records, limit = contract.records, settings.limit
    if records is None:
        return unknown(rules, settings, "records_missing")
    if type(records) is not int or records < 0:
        return unknown(rules, settings, "records_unreadable")
    if records > limit or (settings.exclusive and records == limit):
        return fired(
            rules, settings, "records_above_limit", records=records, limit=limit
        )
    return clear(settings)


CONFLICT = "conflict"


def confidence(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: EvidenceNeeded,
    _: Situation,
) -> Verdict:
    """Fire for low confidence and contradictions; missing sources cannot be told.

    The lowest of what was found holds. Source: article 000, "low-evidence actions";
    article 002, "route to" the owner.
    """
    found = list(_found(contract, rules, settings))
    return min(found, key=_cap) if found else clear(settings)


def _cap(verdict: Verdict) -> Mode:
    return verdict.cap


def _found(
    contract: ActionContract, rules: GovernanceContract, settings: EvidenceNeeded
) -> Iterator[Verdict]:
    evidence = contract.context.evidence
    if len(evidence.sources) < settings.sources:
        yield unknown(
            rules,
            settings,
            "sources_missing",
            sources=len(evidence.sources),
            wanted=settings.sources,
        )
    for name in settings.conflicts:
        result = evidence.evaluations.get(name)
        if result is None:
            yield unknown(rules, settings, "evaluation_missing", evaluator=name)
        elif result == CONFLICT:
            told = {"evaluator": name, "escalateTo": rules.owner}
            yield fired(rules, settings, "policies_contradict", **told)
    least = settings.min_confidence
    if least is None:
        return
    stated = evidence.confidence
    if type(stated) not in (Decimal, float, int) or stated is None:
        yield unknown(rules, settings, "confidence_missing")
    elif not _share(stated):
        yield unknown(rules, settings, "confidence_unreadable")
    elif stated < least:
        seen = {"confidence": f"{stated}", "wanted": f"{least}"}
        yield fired(rules, settings, "confidence_too_low", **seen)


def _share(value: Decimal | float) -> bool:
    return isfinite(value) and 0 <= value <= 1


HASHED = "sha256:"


def data(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: DataRules,
    situation: Situation,
) -> Verdict:
    """Fire for a record or account on the list, or a user who was erased.

    A tool that does not say which record it is about cannot be told. Source: article
    003, "do not process data from users who have requested deletion".
    """
    if settings.never:
        record = contract.record
        if not record:
            return unknown(rules, settings, "record_unknown")
        account = contract.context.account
        if _listed(contract.named or record, settings.never) or (
            account and is_named(account, settings.never)
        ):
            return fired(rules, settings, "record_off_limits")
    if not settings.erased:
        return clear(settings)
    if situation.erased is None:
        return unknown(rules, settings, "erasures_unknown")
    return (
        fired(rules, settings, "user_erased") if situation.erased else clear(settings)
    )


def _listed(record: str, never: tuple[str, ...]) -> bool:
    if not record.startswith(HASHED):
        return is_named(record, never)
    # Of a digest nobody can tell how the name began: every beginning might match.
    return any(one.endswith("*") or _hashed(one) == record for one in never)


def _hashed(name: str) -> str:
    return f"{HASHED}{sha256(name.encode()).hexdigest()}"


ONE, ALL = Decimal(1), Decimal(100)


def discount(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: Discount,
    _: Situation,
) -> Verdict:
    """Fire above the limit; a share between 0 and 1 is a mix-up with percent.

    Source: article 002, "pricing discounts above 20%".
    """
    percent = contract.facts.discount
    if percent is None:
        return unknown(rules, settings, "discount_missing")
    if unreadable(percent, "", "") is not None:
        return unknown(rules, settings, "discount_unreadable")
    if percent > ALL or ZERO < percent < ONE:
        return unknown(rules, settings, "discount_no_percentage")
    if not beyond(percent, settings.limit, exclusive=settings.exclusive):
        return clear(settings)
    seen = {"percent": f"{percent}", "limit": f"{settings.limit}"}
    return fired(rules, settings, "discount_above_limit", **seen)


MINUTE_US = 60_000_000

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_DAY = timedelta(days=1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def hours(
    _: ActionContract,
    rules: GovernanceContract,
    settings: BusinessHours,
    situation: Situation,
) -> Verdict:
    """Fire outside business hours, by the wall clock of the time zone.

    An hour that daylight saving repeats is judged alike both times; one that it skips
    never comes.
    """
    now = situation.now_us
    if now is None:
        return unknown(rules, settings, "time_unknown")
    minute = now // MINUTE_US
    key = (settings.timezone, settings.opens, settings.closes)
    try:
        inside = _open(minute, *key, settings.days, settings.holidays)
    except (OverflowError, ValueError):
        return unknown(rules, settings, "time_unknown")
    if inside:
        return clear(settings)
    return fired(rules, settings, "outside_business_hours", timezone=settings.timezone)


def _open(
    minute: int,
    timezone: str,
    opens: time,
    closes: time,
    days: tuple[str, ...],
    holidays: tuple[date, ...],
) -> bool:
    at = (_EPOCH + timedelta(minutes=minute)).astimezone(ZoneInfo(timezone))
    clock, day = at.time(), at.date()
    if opens < closes:
        within = opens <= clock < closes
    else:
        within = clock >= opens or clock < closes
        if clock < closes:
            day -= _DAY  # the night belongs to the day on which it began
    return within and DAYS[day.weekday()] in days and day not in holidays


def money(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: Money,
    situation: Situation,
) -> Verdict:
    """Fire when the amount, with what the day moved before it, is above the limit.

    An amount that is missing, not finite, negative, in another currency or finer than
    the currency's smallest coin cannot be told.
    """
    amount, limit = contract.amount, settings.limit
    fault = unreadable(amount, contract.currency, settings.currency, settings.decimals)
    if fault is not None or amount is None:
        return unknown(rules, settings, fault or "amount_missing")
    total = amount
    if settings.per != "action" and amount < HUGE:
        spent = situation.spent.get(settings.name)
        if spent is None:
            return unknown(rules, settings, "spent_unknown")
        total = EXACT.add(spent, amount)
    if not beyond(total, limit, exclusive=settings.exclusive):
        return clear(settings)
    return fired(
        rules,
        settings,
        "amount_above_limit",
        amount=f"{amount}",
        total=f"{total}",
        limit=f"{limit}",
        currency=settings.currency,
        per=settings.per,
    )


def names(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: DenyList,
    _: Situation,
) -> Verdict:
    """Fire when the tool or its target is listed, in any spelling.

    Source: article 000, "Tool denylist: tool name, incident state, operator".
    """
    if settings.tools and is_named(contract.tool, settings.tools):
        return fired(rules, settings, "tool_denied", **_why(settings))
    if not settings.targets:
        return clear(settings)
    if not contract.target_system:
        return unknown(rules, settings, "target_unknown")
    if is_named(contract.target_system, settings.targets):
        return fired(rules, settings, "target_denied", **_why(settings))
    return clear(settings)


def _why(settings: DenyList) -> dict[str, str | None]:
    since = None if settings.since is None else f"{settings.since}"
    told = {"incident": settings.incident, "operator": settings.operator}
    return {**told, "since": since}


def proof(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: Reauthentication,
    situation: Situation,
) -> Verdict:
    """Fire above the amount unless the server holds a fresh proof of this very user.

    Source: article 002, "re-authentication before processing refunds above $1,000".
    """
    amount, now = contract.amount, situation.now_us
    fault = unreadable(amount, contract.currency, settings.currency)
    if fault is not None or amount is None:
        return unknown(rules, settings, fault or "amount_missing")
    if amount <= settings.above:
        return clear(settings)
    given, user = contract.context.proof, contract.context.actor.user
    if given is None:
        return fired(rules, settings, "reauthentication_required")
    if now is None:
        return unknown(rules, settings, "time_unknown")
    if not user or given.subject != user:
        return fired(rules, settings, "proof_of_somebody_else")
    if given.at_us > now:
        return unknown(rules, settings, "proof_from_the_future")
    if now - given.at_us > settings.minutes * MINUTE_US:
        return fired(rules, settings, "proof_too_old", minutes=settings.minutes)
    return clear(settings)


REASON = "refused_repeatedly"


def refusals(
    _: ActionContract,
    rules: GovernanceContract,
    settings: Refusals,
    situation: Situation,
) -> Verdict:
    """Fire while so many refusals lie within the window.

    What this guardrail refuses itself is not counted, so that its pause ends.
    """
    times, now = situation.refusals.get(settings.name), situation.now_us
    if times is None or now is None:
        return unknown(rules, settings, "refusals_unknown")
    if len(times) < settings.count:
        return clear(settings)
    if now - times[-settings.count] >= settings.window_minutes * MINUTE_US:
        return clear(settings)
    seen = {"count": settings.count, "windowMinutes": settings.window_minutes}
    return fired(rules, settings, REASON, **seen)


def risk(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: RiskThreshold,
    _: Situation,
) -> Verdict:
    """Fire by the worst class and reversibility stated, derived or claimed.

    Source: article 000, "Risk class threshold: queue high-risk actions for approval".
    """
    undo = contract.claimed_reversibility or contract.reversibility
    worst, effort = _worst(
        rules.risk_class,
        contract.risk_class,
        contract.claimed_risk or contract.risk_class,
        contract.reversibility,
        undo,
    )
    if SEVERITY[worst] > SEVERITY[settings.above]:
        return fired(rules, settings, "risk_above_threshold", riskClass=worst.value)
    if settings.harder_than and EFFORT[effort] > EFFORT[settings.harder_than]:
        return fired(rules, settings, "too_hard_to_undo", reversibility=effort.value)
    return clear(settings)


def _worst(
    stated: RiskClass,
    derived: RiskClass,
    claimed: RiskClass,
    undo: Reversibility,
    claimed_undo: Reversibility,
) -> tuple[RiskClass, Reversibility]:
    effort = max(undo, claimed_undo, key=EFFORT.__getitem__)
    classes = [effective_risk(one, effort) for one in (stated, derived, claimed)]
    return max(stated, derived, claimed, *classes, key=SEVERITY.__getitem__), effort


def segments(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: Segments,
    _: Situation,
) -> Verdict:
    """Fire outside what is listed; what is listed and not known cannot be told.

    Source: article 000, "Account or region rule". The account stays out of the
    evidence: it is in the record's personal part.
    """
    context, facts = contract.context, contract.facts
    for dimension, value, chosen, refused in (
        ("account", context.account, settings.accounts, settings.not_accounts),
        ("region", context.region, settings.regions, settings.not_regions),
        ("segment", facts.segment, settings.segments, settings.not_segments),
    ):
        if not (chosen or refused):
            continue
        if not value:
            return unknown(rules, settings, f"{dimension}_unknown")
        if (chosen and value not in chosen) or value in refused:
            told = {} if dimension == "account" else {dimension: value}
            return fired(rules, settings, f"{dimension}_not_released", **told)
    return clear(settings)


def sequence(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: Sequence,
    situation: Situation,
) -> Verdict:
    """Fire for the second step while the first lies within the window.

    What the agent claims counts as well: naming a class can only lower authority.
    """
    if settings.then is not None and not is_like(
        act_of(contract, rules), settings.then
    ):
        return clear(settings)
    now = situation.now_us
    if now is None or settings.name not in situation.preceded:
        return unknown(rules, settings, "sequence_unknown")
    before = situation.preceded[settings.name]
    if before is None or now - before > settings.within_minutes * MINUTE_US:
        return clear(settings)
    return fired(rules, settings, "sequence_completed", minutes=settings.within_minutes)


KEPT = 64


def signal(
    _: ActionContract,
    rules: GovernanceContract,
    settings: Signal,
    situation: Situation,
) -> Verdict:
    """Fire while the signal is beyond its threshold, or still holds.

    Without a sample in the window the guardrail is at *missing*. Source: article 000,
    "Quality or safety signal: roll back from autonomy to approval-required mode".
    """
    standing, now = situation.signals.get(settings.name), situation.now_us
    if standing is None or standing.mean is None or now is None:
        return _missing(rules, settings, standing)
    if standing.fired or is_beyond(standing.mean, settings):
        return fired(rules, settings, "signal_fired", **_seen(settings, standing))
    if not 0 <= now - standing.samples[-1][0] <= settings.window_seconds * SECOND_US:
        return _missing(rules, settings, standing)
    return clear(settings)


def _missing(
    rules: GovernanceContract, settings: Signal, standing: Standing | None
) -> Verdict:
    if standing is not None and standing.fired:
        return fired(rules, settings, "signal_fired", metric=settings.metric)
    said = {"metric": settings.metric}
    return capped(rules, settings, settings.missing, "signal_missing", **said)


def _seen(settings: Signal, standing: Standing) -> dict[str, str]:
    limit = settings.below if settings.above is None else settings.above
    return {
        "metric": settings.metric,
        "mean": f"{standing.mean}",
        "threshold": f"{limit}",
        "newMode": settings.cap.label,
    }


def is_beyond(mean: Decimal, settings: Signal) -> bool:
    """Say whether *mean* is on the bad side of the threshold; at it is not."""
    if settings.above is not None:
        return mean > settings.above
    return settings.below is None or mean < settings.below


KIND = "sources"


def sources(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: SourceAllowlist,
    _: Situation,
) -> Verdict:
    """Constrain to the allowed sources; fire when none that is asked for is.

    A call of which nobody can tell the sources is constrained to the allowed ones: a
    tool that cannot be narrowed then does not run. Source: article 000.
    """
    asked, allowed = contract.facts.sources, settings.permitted
    if asked and allowed.issuperset(asked):
        return clear(settings)
    if not asked:
        return _confined(settings, allowed, 0)
    among = allowed.intersection(asked)
    if not among:
        return fired(rules, settings, "source_not_allowed", asked=len(asked))
    return _confined(settings, among, len(asked))


def _confined(settings: SourceAllowlist, among: frozenset[str], asked: int) -> Verdict:
    return Verdict(
        f"{PREFIX}{settings.name}",
        Mode.AUTONOMOUS,
        "sources_confined",
        constraints=(Constraint(KIND, among=among),),
        evidence={"asked": asked, "allowed": sorted(settings.permitted)},
    )


def worth(
    contract: ActionContract,
    rules: GovernanceContract,
    settings: AccountValue,
    _: Situation,
) -> Verdict:
    """Fire for an account above the limit; one of unknown value cannot be told.

    Source: article 002, "account value exceeds $50,000".
    """
    facts = contract.facts
    value = facts.account_value
    fault = unreadable(value, facts.currency, settings.currency)
    if fault is not None or value is None:
        return unknown(rules, settings, f"account_{fault or 'amount_missing'}")
    if not beyond(value, settings.limit, exclusive=settings.exclusive):
        return clear(settings)
    seen = {"limit": f"{settings.limit}", "currency": settings.currency}
    return fired(rules, settings, "account_value_above_limit", **seen)


PLAIN: dict[
    str, Callable[[ActionContract, GovernanceContract, Any, Situation], Verdict]
] = {
    "risk_threshold": risk,
    "source_allowlist": sources,
    "denylist": names,
    "segments": segments,
    "money": money,
    "account_value": worth,
    "discount": discount,
    "bulk": bulk,
    "record_age": age,
    "reauthentication": proof,
    "business_hours": hours,
    "evidence": confidence,
    "signal": signal,
    "tool_errors": breaker,
    "refusals": refusals,
    "data_rules": data,
    "sequence": sequence,
}

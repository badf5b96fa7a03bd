"""Guardrail: what waits for somebody to be at work."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import clear, fired, unknown
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import BusinessHours

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


@lru_cache(maxsize=256)
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

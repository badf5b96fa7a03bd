"""Guardrail: what waits for somebody to be at work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import Weigher, clear, fired, unknown
from openfeature_gov.controls.guardrails.situation import Situation
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import BusinessHours

MINUTE_US = 60_000_000
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def hours(rules: GovernanceContract, settings: BusinessHours) -> Weigher:
    """Fire outside business hours, by the wall clock of the time zone.

    An hour that daylight saving repeats is judged alike both times; one that it skips
    never comes.
    """
    at_work, timeless = clear(settings), unknown(rules, settings, "time_unknown")
    outside = fired(
        rules, settings, "outside_business_hours", timezone=settings.timezone
    )

    @lru_cache(maxsize=4)
    def is_open(minute: int) -> bool:
        return _open(minute, settings)

    def weigh(_: ActionContract, situation: Situation) -> Verdict:
        now = situation.now_us
        if now is None:
            return timeless
        try:
            inside = is_open(now // MINUTE_US)
        except (OverflowError, ValueError):
            return timeless
        return at_work if inside else outside

    return weigh


def _open(minute: int, settings: BusinessHours) -> bool:
    at = _EPOCH + timedelta(minutes=minute)
    at = at.astimezone(ZoneInfo(settings.timezone))
    clock, day = at.time(), at.date()
    opens, closes = settings.opens, settings.closes
    if opens < closes:
        within = opens <= clock < closes
    else:
        within = clock >= opens or clock < closes
        if clock < closes:
            day -= _DAY  # the night belongs to the day on which it began
    return (
        within and DAYS[day.weekday()] in settings.days and day not in settings.holidays
    )

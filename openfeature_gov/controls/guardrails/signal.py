"""Guardrail: a quality or safety signal that turned bad takes authority back."""

from __future__ import annotations

from decimal import Decimal, localcontext

from openfeature_gov.contracts import ActionContract
from openfeature_gov.controls.guardrails.answers import (
    Weigher,
    capped,
    clear,
    fired,
    seeing,
)
from openfeature_gov.controls.guardrails.situation import Situation, Standing
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.governance.guardrails import Signal
from openfeature_gov.governance.parts import EXACT

SECOND_US = 1_000_000
KEPT = 64
"""How many samples of a window the mean is made of: the last."""


def signal(rules: GovernanceContract, settings: Signal) -> Weigher:
    """Fire while the signal is beyond its threshold, or still holds.

    Without a sample in the window the guardrail is at *missing*. Source: article 000,
    "Quality or safety signal: roll back from autonomy to approval-required mode".
    """
    name, metric, mode = settings.name, settings.metric, settings.cap.label
    limit = f"{settings.below if settings.above is None else settings.above}"
    window, good = settings.window_seconds * SECOND_US, clear(settings)
    bad = seeing(fired(rules, settings, "signal_fired"))
    held = fired(rules, settings, "signal_fired", metric=metric)
    missing = capped(rules, settings, settings.missing, "signal_missing", metric=metric)

    def weigh(_: ActionContract, situation: Situation) -> Verdict:
        standing, now = situation.signals.get(name), situation.now_us
        if standing is None:
            return missing
        mean = standing.mean
        if mean is None or now is None:
            return held if standing.fired else missing
        if standing.fired or is_beyond(mean, settings):
            return bad(
                {
                    "metric": metric,
                    "mean": str(mean),
                    "threshold": limit,
                    "newMode": mode,
                }
            )
        return good if 0 <= now - standing.samples[-1][0] <= window else missing

    return weigh


def is_beyond(mean: Decimal, settings: Signal) -> bool:
    """Say whether *mean* is on the bad side of the threshold; at it is not."""
    if settings.above is not None:
        return mean > settings.above
    return settings.below is None or mean < settings.below


def is_back(mean: Decimal, settings: Signal) -> bool:
    """Say whether *mean* is so good again that the guardrail lets go."""
    limit = settings.release_at
    if limit is None or is_beyond(mean, settings):
        return not is_beyond(mean, settings)
    return mean <= limit if settings.above is not None else mean >= limit


def sampled(
    standing: Standing, settings: Signal, value: Decimal, now_us: int
) -> Standing:
    """Return *standing* after the sample *value* at *now_us*."""
    since = now_us - settings.window_seconds * SECOND_US
    recent = [one for one in standing.samples if since <= one[0] <= now_us]
    samples = (*recent[-KEPT + 1 :], (now_us, value))
    with localcontext(EXACT):
        mean = sum((one[1] for one in samples), Decimal(0)) / len(samples)
    fired_now = is_beyond(mean, settings)
    held = standing.fired and (settings.named_release or not is_back(mean, settings))
    by = "" if fired_now else standing.released_by
    bad_us = now_us if fired_now else standing.bad_us
    return Standing(samples, mean, fired_now or held, by, bad_us)


def released(standing: Standing, settings: Signal, by: str) -> Standing:
    """Return *standing* after *by* let go of it; one that is still bad holds on."""
    still = standing.mean is None or is_beyond(standing.mean, settings)
    return standing._replace(
        fired=still, released_by=standing.released_by if still else by
    )

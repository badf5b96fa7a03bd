"""Control: people who are overrun, or who keep refusing, decide nothing more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from openfeature_gov.contracts import ActionContract, nothing
from openfeature_gov.decisions import Verdict
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.ladder import Mode

NAME = "queue"
HOUR_US = 3_600_000_000
FLOWING = Verdict(NAME, Mode.AUTONOMOUS, "queue_flowing")


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Say what reviewers can carry: *depth* requests, none older than *oldest_us*.

    *pause_us* is how long a workflow rests after repeated refusals. In microseconds.
    """

    depth: int = 500
    oldest_us: int = 24 * HOUR_US
    pause_us: int = HOUR_US


LIMITS = QueueLimits()


@dataclass(frozen=True, slots=True)
class QueueHealth:
    """Say how the queue does: *depth* requests wait, the oldest for *oldest_us*.

    *paused* maps each workflow of which people refused one request after another to
    the end of its pause, in microseconds since 1970. Without *known* the rest is what
    was last known: nobody can tell how the queue does now.
    """

    depth: int = 0
    oldest_us: int = 0
    paused: Mapping[str, int] = field(default_factory=nothing)
    known: bool = True

    def saturated(self, limits: QueueLimits) -> bool:
        """Say whether more waits, or for longer, than *limits* allow."""
        return self.depth > limits.depth or self.oldest_us > limits.oldest_us


def queue(
    contract: ActionContract,
    rules: GovernanceContract,
    health: QueueHealth,
    limits: QueueLimits = LIMITS,
) -> Verdict:
    """Cap by the state of the queue of requests.

    At the safest mode, as fallback, while it is saturated or nobody can tell; at
    observe while the workflow is paused. Of two the lower holds.
    """
    found = _caps(contract, rules, health, limits)
    return min(found, key=lambda one: one.cap, default=FLOWING)


def _caps(
    contract: ActionContract,
    rules: GovernanceContract,
    health: QueueHealth,
    limits: QueueLimits,
) -> Iterator[Verdict]:
    safest = rules.rollback.safest_mode
    if not health.known:
        yield Verdict(NAME, safest, "queue_unknown", fallback=True)
    if health.saturated(limits):
        seen = {
            "depth": health.depth,
            "depthLimit": limits.depth,
            "oldestUs": health.oldest_us,
            "oldestLimitUs": limits.oldest_us,
        }
        yield Verdict(NAME, safest, "queue_saturated", evidence=seen, fallback=True)
    until = health.paused.get(contract.workflow)
    if until is not None:
        evidence = {"workflow": contract.workflow, "untilUs": until}
        yield Verdict(NAME, Mode.OBSERVE, "workflow_paused", evidence=evidence)

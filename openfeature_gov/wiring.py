"""Put together what a Governor decides with."""

from __future__ import annotations

from collections.abc import Callable

from openfeature_gov.allowances.rates import LocalRates, Rates
from openfeature_gov.allowances.taking import Allowances
from openfeature_gov.approvals.watching import QueueWatch
from openfeature_gov.controls import Controls
from openfeature_gov.deciding import Decider
from openfeature_gov.flags.reader import FlagReader
from openfeature_gov.governance import Governance
from openfeature_gov.judging import Judge
from openfeature_gov.observing import Observer
from openfeature_gov.policies import Erasures, Hosted, Knowing, Policies
from openfeature_gov.releasing import Approvals
from openfeature_gov.stores import RecordStore

Release = Callable[[], None]


def decider_of(
    governance: Governance,
    reader: FlagReader,
    records: RecordStore,
    *,
    controls: Controls,
    approvals: Approvals | None,
    rates: Rates | None,
    clock: Callable[[], int],
    now: Callable[[], int],
) -> tuple[Decider, list[Release]]:
    """Return what decides, without tools, and what lets go of its parts.

    *clock* counts monotonic and *now* wall nanoseconds.

    Raises:
        InvalidContractError: for a policy that cannot be asked.

    """

    def now_us() -> int:
        return now() // 1000

    hosted = Hosted(controls)
    controls = hosted.controls
    allowances = None
    if any(one.rate_limits or one.budgets or one.daily for one in governance):
        allowances = Allowances(rates or LocalRates(clock), clock, now_us)
    erasures = None if controls.erased is None else Erasures(controls.erased)
    observer = Observer(governance, now_us, erasures)
    policies = Policies(governance, controls.functions)
    policies.check()
    judge = Judge(
        governance,
        reader,
        controls,
        writer=lambda: records.writer,
        health=records.health,
        clock=clock,
        now=now,
        waiting=None
        if approvals is None
        else QueueWatch(approvals.shelf, clock, now_us, controls.limits),
        allowances=allowances,
        knowing=Knowing(observer, policies),
        waits=hosted.waits,
    )
    decider = Decider(judge, reader, records, clock, observer)
    decider.allowances = allowances
    releases = [policies.close, hosted.close]
    if erasures is not None:
        releases.append(erasures.close)
    return decider, releases

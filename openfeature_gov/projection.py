"""`Projection`: one decision as telemetry shows it, from its beginning to its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from openfeature_gov.allowances.taking import Anomaly
from openfeature_gov.evidence.telemetry import UNKNOWN_TOOL, Telemetry
from openfeature_gov.judging import Judged
from openfeature_gov.tools import Tool


class Projection:
    """Project the decision that stands at the end of the block on telemetry.

    *judged* is set before the block ends.
    """

    __slots__ = ("_clock", "_span", "_started", "_telemetry", "alerts", "judged")
    judged: Judged

    def __init__(
        self, telemetry: Telemetry, tool: Tool | None, clock: Callable[[], int]
    ) -> None:
        self._telemetry, self._clock = telemetry, clock
        self._started = clock()
        self._span = telemetry.start(tool.name if tool else UNKNOWN_TOOL)
        self.alerts: tuple[Anomaly, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: object, error: BaseException | None, _trace: object
    ) -> None:
        if error is not None:
            self._telemetry.break_off(self._span, error)
            return
        judged = self.judged
        for anomaly in self.alerts:
            self._telemetry.anomaly(self._span, anomaly.facts())
        self._telemetry.end(
            self._span,
            judged.decision,
            judged.record.id,
            self._clock() - self._started,
            contract=judged.contract,
            flags=judged.flags,
        )

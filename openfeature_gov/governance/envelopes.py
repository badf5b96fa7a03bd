"""Rate limits and budgets of a governance contract: how often, and how much.

Source: article 002, "Cost Governance": an envelope per task, per hour and per day, and
per tool; a warning at a multiple of what is usual comes before the ceiling.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from openfeature_gov.governance.parts import EXACT, LadderMode, Part
from openfeature_gov.ladder import Mode
from openfeature_gov.once import cached_property

MICRO = 1_000_000
"""Envelopes are counted in whole millionths: nothing is ever rounded off."""
MOST = Decimal(10**12)
SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
MOST_BURST = 100_000
"""More would not be counted exactly: in Redis numbers are exact up to 2^53."""
TOKENS, CALLS = "tokens", "calls"
_NUMBER = re.compile(r"[0-9]{1,13}(\.[0-9]{1,6})?")
_RATE = re.compile(r"([1-9][0-9]{0,6})/(second|minute|hour|day)")


def _plain(value: Any) -> Any:
    """Return a plain number as a Decimal, exactly as it is written."""
    text = value if type(value) is str else str(value) if type(value) is int else ""
    if isinstance(value, Decimal):
        return value
    if not _NUMBER.fullmatch(text) or Decimal(text) > MOST:
        raise ValueError(
            'must be a plain number from 0 to 10^12 in quotes, such as "250.00", with '
            "at most six decimals"
        )
    return Decimal(text)


def _rate(value: str) -> str:
    if not _RATE.fullmatch(value):
        raise ValueError(
            f"{value!r} is no rate; write a count and a time, such as 20/minute "
            "(second, minute, hour, day)"
        )
    return value


Quantity = Annotated[Decimal, BeforeValidator(_plain)]
EnvelopeName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Unit = Annotated[str, Field(pattern=r"^([A-Z]{3}|tokens|calls)$")]


class RateLimit(Part):
    """Let calls begin no more often than *rate*, counted in a sliding window.

    With *burst* they are counted in a token bucket: so many may begin at once, and
    *rate* refills it. *of* says whose calls are counted together: those of one agent
    instance, of one account, or all of the tool. Contracts that give a limit the same
    *name* share it; without one it is the tool's own.
    """

    rate: Annotated[str, AfterValidator(_rate)]
    of: Literal["agent", "tool", "account"] = "agent"
    name: EnvelopeName | None = None
    burst: Annotated[int, Field(ge=1, le=MOST_BURST)] | None = None

    @cached_property
    def count(self) -> int:
        """Return how many calls may begin within `seconds`."""
        return int(self.rate.partition("/")[0])

    @cached_property
    def seconds(self) -> int:
        """Return the length of the window."""
        return SECONDS[self.rate.partition("/")[2]]


class Budget(Part):
    """Let calls of one window spend no more than *ceiling* of *unit* together.

    *unit* is a currency, ``tokens`` or ``calls``. *charge* says what of a call counts:
    the ``amount`` that it moves, or its ``cost`` to run, of which *reserve* is taken
    beforehand where no estimate is known. *per* is the window, *of* whose calls are
    counted together. *anomaly_multiple* of the usual is told before the ceiling, and
    *anomaly_mode* caps what comes after it. Contracts that name the same budget share
    it, and must agree on it.

    While the ledger does not answer nothing is spent, unless *away_share* sets a part
    of the ceiling aside: each process reserves so much of a window in the ledger, with
    its first read, and may spend it on reads while the ledger is away. A process for
    which too little was left has none, and then spends nothing.
    """

    name: EnvelopeName
    unit: Unit
    ceiling: Quantity
    per: Literal["task", "hour", "day"]
    of: Literal["agent", "tool", "account", "workflow", "everyone"] = "agent"
    charge: Literal["amount", "cost"] = "cost"
    reserve: Quantity | None = None
    anomaly_multiple: Annotated[int, Field(ge=2, le=1000)] | None = None
    anomaly_mode: LadderMode = Mode.AUTONOMOUS
    away_share: Quantity = Decimal(0)

    @cached_property
    def ceiling_micro(self) -> int:
        """Return in millionths what the ledger grants at most."""
        return micro(self.ceiling)

    @cached_property
    def away_micro(self) -> int:
        """Return in millionths what one process may spend while the ledger is away."""
        return micro(self.away_share)

    @cached_property
    def shared(self) -> tuple[object, ...]:
        """Return what every contract that names this budget must say alike."""
        return (
            *(self.unit, self.ceiling, self.per, self.of),
            *(self.anomaly_multiple, self.anomaly_mode),
            self.away_share,
        )

    @model_validator(mode="after")
    def _meant(self) -> Self:
        if self.charge == "amount" and self.unit in (TOKENS, CALLS):
            raise ValueError(f"unit: {self.unit} is no currency; an amount is money")
        if self.charge == "amount" and self.reserve is not None:
            raise ValueError("reserve: an amount is known before the call")
        if self.unit == CALLS and self.reserve is not None:
            raise ValueError("reserve: a call counts as one")
        if self.away_share and self.away_share >= self.ceiling:
            raise ValueError(
                f"awayShare: {self.away_share} leaves nothing of the ceiling"
                f" {self.ceiling} to spend otherwise; state less"
            )
        if self.anomaly_multiple is None and self.anomaly_mode is not Mode.AUTONOMOUS:
            raise ValueError("anomalyMode: needs anomalyMultiple")
        return self


def micro(amount: Decimal) -> int:
    """Return *amount* in millionths, rounded up: to spend is never to spend less."""
    whole = EXACT.multiply(amount, MICRO)
    return int(whole.to_integral_value(ROUND_CEILING, EXACT))

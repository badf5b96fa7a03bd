"""Read a time from the command line: a date, a time, or how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

ADVICE = "give a date or time such as 2026-11-21 or 2026-11-21T10:30Z, or 90m, 24h, 7d"
_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(text: str | None, *, option: str) -> int | None:
    """Return the time that *text* says, in microseconds since 1970; None for None.

    Without a zone it is UTC; a number with a unit is that long before now.

    Raises:
        typer.BadParameter: when it is no time; names *option*.

    """
    if text is None:
        return None
    try:
        at = _time(text.strip())
        return (at - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is no time; {ADVICE}", param_hint=f"'{option}'"
        ) from None


def _time(text: str) -> datetime:
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    at = datetime.fromisoformat(text)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)

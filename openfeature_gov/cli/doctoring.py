"""What a look at FeatBit, this machine and the contracts comes to, line by line. Pure.

How the servers are asked is in `probing`. What they hold is judged in `flag_data`, and
the flags that contracts name in `flag_checks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from openfeature.contrib.provider.featbit.management import (
    ManagementError,
    MissingError,
    NoAnswerError,
    NotPermittedError,
)

OLDEST_TOKEN_S = 30.0
"""How far the evaluation server lets the clock of a streaming token be off."""
UNEASY_S = 5.0
"""How far clocks may be apart before that is worth a word."""
REFUSED, UNAVAILABLE = 4003, 1011
"""Close codes of the stream."""
NTP = "let NTP set the clocks of both machines"


class State(StrEnum):
    """Say how a check came out."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNREACHED = "unreached"
    UNCHECKED = "unchecked"


class Check(NamedTuple):
    """One line: what was looked at, what was *seen* there, and what to do."""

    about: str
    state: State
    seen: str
    do: str = ""


class Skew(NamedTuple):
    """How many seconds a server's clock is ahead, give or take *margin*."""

    seconds: float
    margin: float

    def __str__(self) -> str:
        side = "ahead of" if self.seconds > 0 else "behind"
        return f"{abs(self.seconds):.1f} s {side} this machine (± {self.margin:.1f} s)"


@dataclass(frozen=True, slots=True)
class Answer:
    """What an HTTP request got: status 0 and a *problem* where there was no answer."""

    status: int
    body: bytes = b""
    skew: Skew | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Streamed:
    """How a stream went: data came, or *code* closed it, or *status* refused it.

    *problem* is for people where there was no connection or no data.
    """

    synced: bool = False
    code: int = 0
    status: int = 0
    problem: str = ""


def skew_of(date: str | None, before: float, after: float) -> Skew | None:
    """Return how far the clock of a ``Date`` header is off; None if it shows none.

    *before* and *after* are when it was asked for and came, in seconds since 1970.
    """
    try:
        stamp = parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):
        return None
    # The header is cut off at the second.
    return Skew(stamp + 0.5 - (before + after) / 2, 0.5 + (after - before) / 2)


def unchecked(about: str, why: str, do: str = "") -> Check:
    """Return the line of what was not looked at."""
    return Check(about, State.UNCHECKED, f"not checked: {why}", do)


def clock(about: str, skew: Skew | None, *, tolerance: float | None) -> Check:
    """Judge the clock of a server; beyond *tolerance* it refuses streaming tokens."""
    if skew is None:
        return unchecked(about, "its answer has no Date header")
    if tolerance is not None and abs(skew.seconds) > tolerance:
        seen = f"{skew}: beyond {tolerance:.0f} s the stream is refused"
        return Check(about, State.PROBLEM, seen, NTP)
    if abs(skew.seconds) > UNEASY_S + skew.margin:
        seen = f"{skew}: a change that is stamped early can be lost"
        return Check(about, State.WARNING, seen, NTP)
    return Check(about, State.OK, str(skew))


def plain(option: str, url: str) -> Iterable[Check]:
    """Yield a warning where *url* shows the secret to the network."""
    parts = urlsplit(url)
    if parts.scheme in {"ws", "http"} and not _loopback(parts.hostname or ""):
        seen = f"{parts.scheme} shows the server secret to the network"
        yield Check(option, State.WARNING, seen, f"use {parts.scheme}s")


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def stream(seen: Streamed, skew: Skew | None) -> Check:
    """Judge an attempt to stream; *skew* is that of the server's clock, if known."""
    about = "streaming URL"
    if seen.synced:
        return Check(about, State.OK, "connects and sends all flags")
    if seen.code == REFUSED:
        late = skew is not None and abs(skew.seconds) > OLDEST_TOKEN_S
        why = "the clocks are too far apart" if late else "the secret was refused"
        do = NTP if late else "give the environment's server secret, as it is now"
        if skew is None:
            why += f", or the clocks are {OLDEST_TOKEN_S:.0f} s apart"
        return Check(about, State.PROBLEM, f"closed with {REFUSED}: {why}", do)
    if seen.code:
        hint = "its database or cache is down" if seen.code == UNAVAILABLE else ""
        told = f"closed with {seen.code}" + (f": {hint}" if hint else "")
        return Check(about, State.UNREACHED, told, "look at the evaluation server")
    if seen.status:
        told = f"the server answered HTTP {seen.status} instead of a stream"
        do = {
            429: "raise RateLimiting for Streaming",
            503: "look at the evaluation server",
        }.get(seen.status, "is --streaming-url that of the evaluation server?")
        return Check(about, State.UNREACHED, told, do)
    do = "check --streaming-url, the network between, and the server"
    return Check(about, State.UNREACHED, seen.problem, do)


def latest(answer: Answer) -> Check:
    """Judge how ``latest-all`` answered; what came is another matter."""
    about = "event URL"
    match answer.status:
        case 200:
            return Check(about, State.OK, "answers")
        case 0:
            do = "check --event-url, the network between, and the server"
            return Check(about, State.UNREACHED, answer.problem, do)
        case 401 | 403:
            told = f"HTTP {answer.status}: the server secret was refused"
            return Check(about, State.PROBLEM, told, "give its 44 characters whole")
        case 429 | 500 | 502 | 503 | 504:
            do = "look at the evaluation server"
            return Check(about, State.UNREACHED, f"HTTP {answer.status}", do)
    do = "is --event-url that of the evaluation server?"
    return Check(about, State.PROBLEM, f"HTTP {answer.status}", do)


def alive(answer: Answer) -> Check:
    """Judge whether the API server answers at all."""
    about = "management API"
    if answer.status:
        return Check(about, State.OK, "answers")
    do = "check --api-url, the network between, and the server"
    return Check(about, State.UNREACHED, answer.problem, do)


def secret(given: str, known: Sequence[tuple[str, str]]) -> Check:
    """Judge the server secret; *known* are type and value of the environment's."""
    about = "secret"
    if not known:
        return unchecked(about, "the token sees no secret of the environment")
    kinds = {kind for kind, value in known if value == given}
    if "server" in kinds:
        return Check(about, State.OK, "a server secret of the environment")
    do = "give its server secret, as FeatBit's console shows it"
    if kinds:
        seen = f"is a {kinds.pop()} secret: the stream refuses it"
        return Check(about, State.PROBLEM, seen, do)
    seen = "is none of the environment: another one's, or deleted"
    return Check(about, State.PROBLEM, seen, do)


def refusal(about: str, error: ManagementError) -> Check:
    """Judge why the management API did not do what it was asked."""
    told = str(error)
    if isinstance(error, NoAnswerError) and error.status == 500:
        do = "find the flag whose off variation was removed: no list can show it"
        return Check(about, State.PROBLEM, told, do)
    if isinstance(error, NoAnswerError):
        do = "check --api-url, the network between, and the API server"
        return Check(about, State.UNREACHED, told, do)
    if isinstance(error, NotPermittedError) and error.status == 401:
        return Check(about, State.PROBLEM, told, "give a token that is active")
    if isinstance(error, NotPermittedError):
        do = "grant CanAccessProject and CanAccessEnv, or is it another environment?"
        return Check(about, State.PROBLEM, told, do)
    if isinstance(error, MissingError) and error.status == 200:
        do = "give another --project or --env, or grant the token CanAccessEnv there"
        return Check(about, State.PROBLEM, told, do)
    return Check(about, State.PROBLEM, told, "is --api-url that of FeatBit's API?")

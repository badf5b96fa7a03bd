"""Tickets: what a decision leaves for the last gate at the tool's own function.

A ticket is bound to one Governor, one process and the exact canonical arguments, is
used once, and expires. It is a shared object with an atomic mark: a value that is
merely reset in a context could be used twice across threads.
"""

from __future__ import annotations

import os
import threading
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any

LIFETIME_NS = 10 * 1_000_000_000
SURE_NS = 2 * 1_000_000
"""What a framework takes at most between its hook and the tool, mostly far less."""


@dataclass(slots=True)
class Ticket:
    """Allow one run of *tool* with exactly *canonical*; *release* is its Governor's.

    *owner* is the Governor that left it; *expires_ns* is monotonic, and so is
    *sure_ns*, until which the decision is so new that nobody asks whether it stands.
    *converts* says that a framework stands between, which reads JSON as types.
    """

    owner: object
    tool: str
    canonical: bytes
    expires_ns: int
    release: Any
    sure_ns: int = 0
    converts: bool = False
    # A fork copies the mark as well: each process would find the ticket unused.
    pid: int = field(default_factory=os.getpid)
    _fresh: Any = field(default_factory=threading.Lock)

    def fits(self, owner: object, tool: str, canonical: bytes, now_ns: int) -> bool:
        """Say whether the ticket is for this call, here and now."""
        return (
            self.owner is owner
            and self.tool == tool
            and self.canonical == canonical
            and self.expires_ns > now_ns
            and self.pid == os.getpid()
        )

    def take(self) -> bool:
        """Use the ticket up; True for exactly one caller."""
        return bool(self._fresh.acquire(blocking=False))

    @property
    def used(self) -> bool:
        """Say whether the ticket was taken."""
        return bool(self._fresh.locked())


_held: ContextVar[tuple[Ticket, ...]] = ContextVar("gov_tickets", default=())


def leave(ticket: Ticket, now_ns: int) -> None:
    """Put *ticket* where a call in this context, or one copied from it, finds it."""
    kept = (one for one in _held.get() if not one.used and one.expires_ns > now_ns)
    _held.set((*kept, ticket))


def hold_out(ticket: Ticket) -> Token[tuple[Ticket, ...]]:
    """Put *ticket* where calls from here on, in any copied context, find it.

    Return what takes it back, for `take_back`.
    """
    return _held.set((*_held.get(), ticket))


def take_back(token: Token[tuple[Ticket, ...]]) -> None:
    """Hold out no more what `hold_out` returned *token* for, in the same context."""
    _held.reset(token)


def take(owner: object, tool: str, canonical: bytes, now_ns: int) -> Ticket | None:
    """Return the ticket for exactly this call and use it up, or None."""
    for ticket in _held.get():
        if ticket.fits(owner, tool, canonical, now_ns) and ticket.take():
            return ticket
    return None

"""Who is logged in to the inbox: a cookie stands for a token, as long as it is good.

Sessions live in the memory of one server. The token is looked up at every request, so
that whoever is taken out of the reviewers file is out at once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_urlsafe
from threading import Lock

LONGEST_S = 8 * 3600.0
IDLE_S = 3600.0
MOST = 1_000
"""Sessions that are kept; the one that was away longest ends."""


@dataclass(slots=True)
class Session:
    """Hold a *token* for its owner; *csrf* stands in every form of this session."""

    token: str = field(repr=False)
    csrf: str = field(repr=False)
    began: float
    seen: float


class Sessions:
    """Keep sessions; *clock* returns seconds. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._held: OrderedDict[str, Session] = OrderedDict()
        self._lock = Lock()

    def begin(self, token: str) -> str:
        """Return the cookie of a new session that stands for *token*."""
        cookie, now = token_urlsafe(32), self._clock()
        with self._lock:
            self._held[_name(cookie)] = Session(token, token_urlsafe(32), now, now)
            if len(self._held) > MOST:
                self._held.popitem(last=False)
        return cookie

    def get(self, cookie: str, *, awake: bool = True) -> Session | None:
        """Return the session of *cookie*, None when there is none or its time is up.

        A page that only looks for news by itself is not *awake*: it does not keep the
        session from ending.
        """
        name, now = _name(cookie), self._clock()
        with self._lock:
            found = self._held.get(name)
            if found is None:
                return None
            if now - found.began > LONGEST_S or now - found.seen > IDLE_S:
                del self._held[name]
                return None
            if awake:
                found.seen = now
                self._held.move_to_end(name)
            return found

    def end(self, cookie: str) -> None:
        """Forget the session of *cookie*."""
        with self._lock:
            self._held.pop(_name(cookie), None)


def _name(cookie: str) -> str:
    return sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()

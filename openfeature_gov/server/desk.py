"""`Desk`: what the API and the inbox share. Lives as long as the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from fastapi import Depends, Request

from openfeature_gov.approvals.directory import ReviewerDirectory
from openfeature_gov.approvals.logins import Login
from openfeature_gov.approvals.people import Reviewer, Sight, sight
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.errors import IdentityError
from openfeature_gov.reviews.queue import ReviewQueue
from openfeature_gov.server.buckets import Buckets
from openfeature_gov.server.problems import DeniedError
from openfeature_gov.server.sessions import Sessions
from openfeature_gov.server.shelf import InboxShelf

LONGEST_TOKEN = 16_384


class Rate(NamedTuple):
    """Allow *burst* requests at once, *a_second* on average."""

    a_second: float
    burst: int


class Limits(NamedTuple):
    """Say how often one address, one token, and one address without one may ask."""

    client: Rate = Rate(50, 200)
    token: Rate = Rate(20, 100)
    login: Rate = Rate(0.5, 10)


@dataclass(frozen=True)
class Desk:
    """Hold the requests, the people, and who asks how often.

    *now* returns microseconds since 1970, *clock* seconds that never go back; *secure*
    says that the server is reached by https alone; *signed*
    knows the signed tokens of an issuer.
    """

    shelf: InboxShelf
    people: ReviewerDirectory
    queue: ApprovalQueue
    now: Callable[[], int]
    clock: Callable[[], float]
    secure: bool = False
    limits: Limits = field(default_factory=Limits)
    signed: Login | None = None
    reviews: ReviewQueue = field(init=False)
    sessions: Sessions = field(init=False)
    tokens: Buckets = field(init=False)
    logins: Buckets = field(init=False)

    def __post_init__(self) -> None:
        """Begin with no sessions and full buckets."""
        for name, value in (
            ("reviews", ReviewQueue(self.shelf, self.people, self.now)),
            ("sessions", Sessions(self.clock)),
            ("tokens", Buckets(*self.limits.token, self.clock)),
            ("logins", Buckets(*self.limits.login, self.clock)),
        ):
            object.__setattr__(self, name, value)

    def reviewer(self, token: str, client: str) -> Reviewer:
        """Return whose *token* this is; *client* is the address that it came from.

        Raises:
            DeniedError: when it is nobody's, it is used too often, or nobody can tell.

        """
        found = self._known(token) if len(token) <= LONGEST_TOKEN else None
        if found is None:
            # Guesses are few; a good token from the same address is not held up.
            if not self.logins.take(client):
                raise DeniedError(429, "too_many_requests")
            raise DeniedError(401, "reviewer_unauthenticated")
        if not self.tokens.take(found.subject):
            raise DeniedError(429, "too_many_requests")
        return found

    def sight(self, me: Reviewer) -> Sight:
        """Return what *me* may look at."""
        return sight(me, self.people)

    def _known(self, token: str) -> Reviewer | None:
        found = self.people.by_token(token)
        if found is not None or self.signed is None:
            return found
        try:
            return self.signed(token)
        except IdentityError:
            raise DeniedError(503, "keys_unavailable") from None


async def _desk(request: Request) -> Desk:
    found: Desk = request.app.state.desk
    return found


At = Annotated[Desk, Depends(_desk)]
"""The desk of the application that a request came to."""

"""Principals: who was authenticated, with what, and what that may be passed on. Pure.

Who delegates passes on at most what it holds, and the delegate gains nothing that it
does not hold itself: along a chain scopes only get fewer (RFC 8693 has the words).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from openfeature_gov.contracts import Actor
from openfeature_gov.errors import IdentityError

DEPTH = 3
"""How many agents may stand behind the one that acts (threats T8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Be an agent whose *credential*, an id and no secret, was verified.

    *service* is the service identity and *scopes* what the credential holds, *user* on
    whose behalf it acts. *delegation* are the agents before this one, *behind* is the
    last of them. Without *expires_us* the credential itself says when it ends.
    """

    credential: str
    agent: str
    service: str = ""
    scopes: frozenset[str] = frozenset()
    user: str = ""
    delegation: tuple[str, ...] = ()
    behind: Principal | None = None
    expires_us: int | None = None

    def actor(
        self,
        *,
        instance: str = "",
        version: str = "",
        user: str = "",
        session: str = "",
    ) -> Actor:
        """Return the actor for a call context; *user* where the credential names none.

        Raises:
            IdentityError: code ``identity_borrowed`` for another user than its own.
            InvalidCallError: for an id that is not opaque.

        """
        if self.user and user not in ("", self.user):
            raise IdentityError("identity_borrowed", "the credential names its user")
        return Actor(
            agent=self.agent,
            instance=instance,
            version=version,
            service=self.service,
            user=self.user or user,
            session=session,
            delegation=self.delegation,
            scopes=self.scopes,
            credential=self.credential,
        )


def delegated(
    holder: Principal,
    to: Principal,
    *,
    scopes: Iterable[str] | None,
    credential: str,
) -> Principal:
    """Return *to* acting for *holder*, with at most what both hold of *scopes*.

    *credential* is the id of the new authority; without *scopes* all that both hold is
    passed on.

    Raises:
        IdentityError: ``scope_widened`` for a scope that *holder* does not hold,
            ``delegation_too_deep`` behind three agents, ``delegation_circular`` for an
            agent that stands in the chain already, ``identity_borrowed`` where *to*
            acts for somebody itself.

    """
    wanted = holder.scopes if scopes is None else frozenset(scopes)
    if not wanted <= holder.scopes:
        raise IdentityError("scope_widened", "nobody passes on what they do not hold")
    if to.delegation or (to.user and to.user != holder.user):
        raise IdentityError("identity_borrowed", "the delegate acts for somebody else")
    chain = (*holder.delegation, holder.agent)
    if to.agent in chain:
        raise IdentityError("delegation_circular", "the delegate stands in the chain")
    if len(chain) > DEPTH:
        raise IdentityError("delegation_too_deep", f"{DEPTH} agents stand behind it")
    return Principal(
        credential=credential,
        agent=to.agent,
        service=to.service,
        scopes=wanted & to.scopes,
        user=holder.user,
        delegation=chain,
        behind=holder,
        expires_us=_sooner(holder.expires_us, to.expires_us),
    )


def _sooner(one: int | None, other: int | None) -> int | None:
    known = [time for time in (one, other) if time is not None]
    return min(known, default=None)

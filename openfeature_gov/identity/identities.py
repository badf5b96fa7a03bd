"""`Identities`: authenticate agents, and hold every call to who was authenticated.

Give `Identities.authorizer` to ``Controls(authorizer=...)``: then a call whose actor is
not exactly an authenticated principal is denied, whatever the host put together.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from hashlib import sha256
from hmac import new
from secrets import token_bytes, token_hex
from threading import RLock

from openfeature_gov.contracts import ActionContract, is_opaque
from openfeature_gov.controls import at_once
from openfeature_gov.controls.readings import Readings
from openfeature_gov.decisions import Verdict
from openfeature_gov.errors import IdentityError
from openfeature_gov.governance import GovernanceContract
from openfeature_gov.identity.agent_keys import AgentKeys
from openfeature_gov.identity.principals import DEPTH, Principal, delegated
from openfeature_gov.identity.tokens import Token, Tokens
from openfeature_gov.ladder import Mode
from openfeature_gov.locks import renewed

NAME = "identity"
_SECRET = token_bytes(32)
KNOWN = 10_000
"""How many tokens and delegations are remembered; the oldest must come again."""


class Identities:
    """Know who was authenticated in this process. Safe to share between threads.

    *keys* are the API keys of agents, *tokens* verifies those of an issuer; either may
    be left out. *now* returns microseconds since 1970.
    """

    def __init__(
        self,
        keys: AgentKeys | None = None,
        tokens: Tokens | None = None,
        now: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._keys, self._tokens, self._now = keys, tokens, now
        self._known: OrderedDict[str, Principal] = OrderedDict()
        self.renew()
        renewed(self)

    def renew(self) -> None:
        """Begin with a lock that nobody holds."""
        self._lock = RLock()

    def authenticate(self, credential: str) -> Principal:
        """Return whom *credential*, an API key or a token, stands for.

        Raises:
            IdentityError: with the code of what is wrong with it.

        """
        if type(credential) is str and credential.startswith("gov_"):
            if self._keys is None:
                raise IdentityError("key_unknown", "no API keys are configured")
            return self._keys.authenticate(credential)
        if self._tokens is None:
            raise IdentityError("token_malformed", "no issuer is configured")
        return self._remembered(_of_token(self._tokens.verify(credential)))

    def delegate(
        self, holder: Principal, to: Principal, scopes: Iterable[str] | None = None
    ) -> Principal:
        """Return *to* acting for *holder*, with at most what both hold of *scopes*.

        The delegation ends with either credential, and with this process.

        Raises:
            IdentityError: as `delegated`, and when one of the two does not count now.

        """
        for one in (holder, to):
            ended = self._standing(one)
            if ended:
                raise IdentityError(ended, "a credential that does not count")
        credential = f"dlg:{token_hex(8)}"
        made = delegated(holder, to, scopes=scopes, credential=credential)
        with self._lock:
            self._known[f"{credential}/to"] = to
        return self._remembered(made)

    @at_once
    def authorizer(
        self, contract: ActionContract, _: GovernanceContract, __: Readings
    ) -> Verdict:
        """Cap at off unless the actor is exactly a principal that counts now."""
        actor = contract.context.actor
        if not actor.credential:
            return _off("identity_missing")
        principal = self._principal(actor.credential)
        if principal is None:
            return _off("identity_unknown")
        ended = self._standing(principal)
        if ended:
            return _off(ended)
        if actor.scopes != principal.scopes:
            return _off("scopes_altered")
        named = (actor.agent, actor.service, actor.delegation)
        own = (principal.agent, principal.service, principal.delegation)
        if named != own or (principal.user and actor.user != principal.user):
            return _off("identity_borrowed")
        seen = {"credential": principal.credential, "behind": len(own[2])}
        return Verdict(NAME, Mode.AUTONOMOUS, "identity_verified", evidence=seen)

    def _remembered(self, principal: Principal) -> Principal:
        with self._lock:
            self._known[principal.credential] = principal
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)
        return principal

    def _principal(self, credential: str) -> Principal | None:
        if not credential.startswith("key:"):
            return self._known.get(credential)
        key = None if self._keys is None else self._keys.get(credential[4:])
        return None if key is None else key.principal()

    def _standing(self, principal: Principal) -> str:
        """Return why *principal* does not count now, empty while it does."""
        now = self._now()
        if principal.expires_us is not None and now >= principal.expires_us:
            return "identity_expired"
        credential = principal.credential
        if credential.startswith("key:"):
            key = None if self._keys is None else self._keys.get(credential[4:])
            if key is None or key.principal() != principal:
                return "identity_unknown"
            return key.ended(now)
        if self._known.get(credential) != principal:
            return "identity_unknown"
        if not credential.startswith("dlg:"):
            return ""
        to = self._known.get(f"{credential}/to")
        if principal.behind is None or to is None:
            return "identity_unknown"
        return self._standing(principal.behind) or self._standing(to)


def _of_token(token: Token) -> Principal:
    """Return whom *token* stands for: its last actor for its subject, or its subject.

    Raises:
        IdentityError: for names that are no opaque ids, and a chain that is too deep.

    """
    *chain, agent = token.actors or (token.subject,)
    user = token.subject if token.actors else ""
    names = (agent, *chain, *filter(None, (user, token.client)))
    if not all(map(is_opaque, names)):
        raise IdentityError("token_claims", "sub, azp and act.sub are opaque ids")
    if len(chain) > DEPTH:
        raise IdentityError("delegation_too_deep", f"over {DEPTH} agents in act")
    told = f"{token.issuer}\0{token.id}\0{token.subject}\0{token.expires_s}"
    shape = f"{told}\0{chain}\0{agent}\0{token.client}\0{sorted(token.scopes)}"
    # Records hold it for ever: nobody outside this process may guess what it is of.
    name = new(_SECRET, shape.encode(), sha256).hexdigest()[:16]
    return Principal(
        credential=f"jwt:{name}",
        agent=agent,
        service=token.client,
        scopes=token.scopes,
        user=user,
        delegation=tuple(chain),
        expires_us=token.expires_s * 1_000_000,
    )


def _off(reason: str) -> Verdict:
    return Verdict(NAME, Mode.OFF, reason)

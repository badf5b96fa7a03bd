"""`Tokens`: verify the signed tokens of one issuer (RFC 7519, RFC 8725).

The rules say which issuer, audience and algorithms count; a token says nothing about
how it is to be verified. Nothing of a token is repeated in an error.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from openfeature_gov.contracts import nothing
from openfeature_gov.errors import IdentityError
from openfeature_gov.identity.key_sets import KeySet

MOST_CHARACTERS = 16_384
ASYMMETRIC = frozenset(
    {
        *("EdDSA", "ES256", "ES384", "ES512"),
        *("PS256", "PS384", "PS512", "RS256", "RS384", "RS512"),
    }
)
"""What a rule may list: an issuer's secret would let every verifier issue tokens."""
TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""The types of tokens that say who somebody is; others say something else."""
DEPTH = 8
"""How many actors a token may name behind each other, before any other limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """Say which tokens count: of exactly this *issuer*, for exactly this *audience*.

    *algorithms* is the list of what may sign; *leeway_s* forgives clocks that differ,
    *longest_s* is how long a token may live, in seconds.

    Raises:
        IdentityError: code ``rules_invalid`` for an empty issuer, audience or list, an
            algorithm that is none or needs a shared secret, and negative times.

    """

    issuer: str
    audience: str
    algorithms: tuple[str, ...] = ("EdDSA", "ES256", "PS256", "RS256")
    leeway_s: int = 30
    longest_s: int = 86_400

    def __post_init__(self) -> None:
        odd = set(self.algorithms) - ASYMMETRIC
        if odd or not self.algorithms:
            told = f"{sorted(odd)}: use some of {', '.join(sorted(ASYMMETRIC))}"
            raise IdentityError("rules_invalid", f"algorithms {told}")
        if not self.issuer or not self.audience:
            raise IdentityError("rules_invalid", "issuer and audience must be named")
        if not 0 <= self.leeway_s <= 300 or self.longest_s < 1:
            raise IdentityError("rules_invalid", "leeway_s is 0 to 300, longest_s >= 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Hold what a verified token says. *expires_s* is in seconds since 1970.

    *scopes* are those of ``scope`` or ``scp``, *client* is ``azp`` or ``client_id``.
    *actors* is the chain of ``act`` (RFC 8693) from the first to the one that acts now.
    *claims* is all of it.
    """

    subject: str
    issuer: str
    expires_s: int
    id: str = ""
    client: str = ""
    scopes: frozenset[str] = frozenset()
    actors: tuple[str, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=nothing, repr=False)

    def texts(self, claim: str) -> frozenset[str]:
        """Return the texts in *claim*, such as ``groups``; none if it holds others."""
        value = self.claims.get(claim, ())
        items = (value,) if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not _all_texts(items):
            return frozenset()
        return frozenset(items)


class Tokens:
    """Verify the tokens of one issuer. Safe to share between threads.

    *now* returns seconds since 1970. Needs the extra ``jwt``.
    """

    def __init__(
        self, rules: TokenRules, keys: KeySet, now: Callable[[], float] = time.time
    ) -> None:
        self.rules, self._keys, self._now = rules, keys, now

    def verify(self, token: str) -> Token:
        """Return what *token* says, if every rule holds.

        Raises:
            IdentityError: with the code ``token_malformed``, ``token_algorithm``,
                ``token_key_unknown``, ``token_signature``, ``token_issuer``,
                ``token_audience``, ``token_claims``, ``token_expired``,
                ``token_not_yet``, ``token_too_long_lived``, or ``keys_unavailable``.

        """
        claims = self._signed(token)
        self._in_time(claims)
        return _token(claims)

    def _signed(self, token: str) -> dict[str, Any]:
        import jwt  # noqa: PLC0415 - the extra jwt

        algorithm, key_id = self._header(token)
        key = self._keys.find(key_id, algorithm)
        if key is None:
            raise IdentityError("token_key_unknown", "no such key of this issuer")
        try:
            return jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=self.rules.audience,
                issuer=self.rules.issuer,
                options={
                    "require": ["iss", "aud", "sub", "exp", "iat"],
                    # The times are compared below, by the clock that is ours.
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.PyJWTError as error:
            raise IdentityError(_code(error), type(error).__name__) from None

    def _header(self, token: str) -> tuple[str, str | None]:
        """Return algorithm and key id, before anything of the token is believed."""
        import jwt  # noqa: PLC0415 - the extra jwt

        if type(token) is not str or not token.isascii():
            raise IdentityError("token_malformed", "not text of a token")
        if len(token) > MOST_CHARACTERS:
            raise IdentityError("token_malformed", f"over {MOST_CHARACTERS} characters")
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise IdentityError("token_malformed", "no readable header") from None
        algorithm, kind = header.get("alg"), header.get("typ", "JWT")
        if algorithm not in self.rules.algorithms:
            raise IdentityError("token_algorithm", "not on the list of this issuer")
        key_id = header.get("kid")
        if "crit" in header or not isinstance(key_id, str | None):
            raise IdentityError("token_malformed", "a header that is not understood")
        if not isinstance(kind, str) or kind.lower() not in TYPES:
            raise IdentityError("token_malformed", "a token of another type")
        return algorithm, key_id

    def _in_time(self, claims: Mapping[str, Any]) -> None:
        expires, issued = claims["exp"], claims["iat"]
        begins = claims.get("nbf", issued)
        if not all(_is_time(one) for one in (expires, issued, begins)):
            raise IdentityError("token_claims", "exp, iat and nbf are whole seconds")
        now, leeway = self._now(), self.rules.leeway_s
        if not now < expires + leeway:
            raise IdentityError("token_expired", "exp is past")
        if not max(issued, begins) <= now + leeway:
            raise IdentityError("token_not_yet", "iat or nbf is to come")
        if not expires - issued <= self.rules.longest_s:
            raise IdentityError("token_too_long_lived", "exp is too far from iat")


def _is_time(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _token(claims: dict[str, Any]) -> Token:
    subject = claims["sub"]
    client = claims.get("azp", claims.get("client_id", ""))
    token_id = claims.get("jti", "")
    if not _all_texts((subject, client, token_id)) or not subject.strip():
        raise IdentityError("token_claims", "sub, azp and jti are texts")
    return Token(
        subject=subject,
        issuer=claims["iss"],
        expires_s=claims["exp"],
        id=token_id,
        client=client,
        scopes=_scopes(claims),
        actors=_actors(claims.get("act")),
        claims=claims,
    )


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    value = claims.get("scope", claims.get("scp", ()))
    items = value.split() if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not _all_texts(items):
        raise IdentityError("token_claims", "scope is one text, or a list of texts")
    return frozenset(items)


def _actors(act: Any) -> tuple[str, ...]:
    """Return the chain of *act*, whose outermost actor is the current one."""
    found: list[str] = []
    while act is not None:
        subject = act.get("sub") if isinstance(act, dict) else None
        if not isinstance(subject, str) or not subject or len(found) == DEPTH:
            raise IdentityError("token_claims", f"act is up to {DEPTH} actors deep")
        found.append(subject)
        act = act.get("act")
    return tuple(reversed(found))


def _all_texts(values: Any) -> bool:
    return all(isinstance(one, str) for one in values)


def _code(error: Exception) -> str:
    import jwt  # noqa: PLC0415 - the extra jwt

    match error:
        case jwt.InvalidIssuerError():
            return "token_issuer"
        case jwt.InvalidAudienceError():
            return "token_audience"
        case jwt.InvalidSignatureError():
            return "token_signature"
        case jwt.DecodeError():
            return "token_malformed"
        case _:
            return "token_claims"

"""Tokens: only what the rules name is believed; keys rotate and grow old."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from openfeature_gov.errors import IdentityError
from openfeature_gov.identity import key_sets
from openfeature_gov.identity.key_sets import KeySet
from openfeature_gov.identity.tokens import Token, TokenRules, Tokens

NOW = 1_790_000_000
ISSUER, AUDIENCE = "https://login.example", "gov"
RULES = TokenRules(issuer=ISSUER, audience=AUDIENCE)
ED = ed25519.Ed25519PrivateKey.generate()
OTHER = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "agent-1",
    "iat": NOW - 60,
    "exp": NOW + 600,
    "jti": "t-1",
}


def public(key: ed25519.Ed25519PrivateKey, kid: str = "k1") -> dict[str, Any]:
    return {**json.loads(OKPAlgorithm.to_jwk(key.public_key())), "kid": kid}


KEYS = {
    "keys": [
        public(ED),
        {**json.loads(RSAAlgorithm.to_jwk(RSA.public_key())), "kid": "r1"},
        {**json.loads(ECAlgorithm.to_jwk(EC.public_key())), "kid": "e1"},
    ]
}


def signed(
    claims: dict[str, Any] | None = None,
    *,
    key: Any = ED,
    algorithm: str = "EdDSA",
    without: str = "",
    headers: dict[str, Any] | None = None,
    **more: Any,
) -> str:
    body = {**CLAIMS, **(claims or {}), **more}
    body.pop(without, None)
    return jwt.encode(body, key, algorithm, headers or {"kid": "k1"})


def tokens(rules: TokenRules = RULES, now: float = NOW) -> Tokens:
    return Tokens(rules, KeySet.of(KEYS), lambda: now)


def code(token: Any, verifier: Tokens | None = None) -> str:
    with pytest.raises(IdentityError) as caught:
        (verifier or tokens()).verify(token)
    text = str(caught.value)
    assert not isinstance(token, str) or len(token) < 40 or token[:40] not in text
    return caught.value.code


def test_a_good_token_says_who() -> None:
    """Subject, client, scopes, groups and the chain of actors are read."""
    token = tokens().verify(
        signed(
            azp="svc-1",
            scope="orders:read orders:write",
            groups=["ops", "finance"],
            act={"sub": "agent-2", "act": {"sub": "agent-0"}},
        )
    )
    assert (token.subject, token.client, token.id) == ("agent-1", "svc-1", "t-1")
    assert token.scopes == {"orders:read", "orders:write"}
    assert token.actors == ("agent-0", "agent-2")
    assert token.texts("groups") == {"ops", "finance"}
    assert token.texts("sub") == {"agent-1"}
    assert token.texts("exp") == token.texts("nothing") == frozenset()
    assert "groups" not in repr(token)


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), [(RSA, "RS256", "r1"), (EC, "ES256", "e1")]
)
def test_each_listed_algorithm_verifies(key: Any, algorithm: str, kid: str) -> None:
    """RSA and EC keys verify as well, under their own algorithm."""
    token = signed(key=key, algorithm=algorithm, headers={"kid": kid})
    assert tokens().verify(token).subject == "agent-1"
    assert tokens().verify(signed(headers={})).subject == "agent-1"


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"iss": "https://login.example.evil"}, "token_issuer"),
        ({"aud": "other"}, "token_audience"),
        ({"aud": ["other", "gov2"]}, "token_audience"),
        ({"exp": NOW - 31}, "token_expired"),
        ({"exp": NOW - 30}, "token_expired"),
        ({"iat": NOW + 31}, "token_not_yet"),
        ({"nbf": NOW + 31}, "token_not_yet"),
        ({"exp": NOW + 90_000}, "token_too_long_lived"),
        ({"exp": "soon"}, "token_claims"),
        ({"exp": float("inf")}, "token_claims"),
        ({"exp": NOW + 0.5}, "token_claims"),
        ({"iat": True}, "token_claims"),
        ({"nbf": -1}, "token_claims"),
        ({"sub": " "}, "token_claims"),
        ({"sub": 7}, "token_claims"),
        ({"azp": 7}, "token_claims"),
        ({"scope": {"all": True}}, "token_claims"),
        ({"scope": [1]}, "token_claims"),
        ({"act": {"name": "agent-0"}}, "token_claims"),
        ({"act": "agent-0"}, "token_claims"),
    ],
)
def test_every_claim_is_held_to_its_rule(change: dict[str, Any], wanted: str) -> None:
    """A claim that breaks a rule ends the token, signed or not."""
    assert code(signed(change)) == wanted


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "exp", "iat"])
def test_no_claim_may_be_left_out(name: str) -> None:
    """What is missing is not assumed."""
    assert code(signed(without=name)) in {
        *("token_claims", "token_issuer", "token_audience"),
    }


def test_the_edges_of_time() -> None:
    """A token ends at exp and the leeway, to the second."""
    assert tokens(now=NOW + 629).verify(signed())
    assert code(signed(), tokens(now=NOW + 630)) == "token_expired"
    assert tokens(now=NOW - 90).verify(signed())
    assert code(signed(), tokens(now=NOW - 91)) == "token_not_yet"


def test_nobody_else_can_sign() -> None:
    """Another key, no key, and a public key used as a secret are refused."""
    assert code(signed(key=OTHER)) == "token_signature"
    assert code(signed(headers={"kid": "k9"})) == "token_key_unknown"
    assert code(signed(headers={"kid": "r1"})) == "token_key_unknown"
    assert code(signed(key=None, algorithm="none")) == "token_algorithm"
    secret = b"s" * 64
    assert code(signed(key=secret, algorithm="HS256")) == "token_algorithm"
    good = signed()
    head, body, signature = good.split(".")
    for odd in (f"{head}.{body}.", f"{head}.{body}", f"{head}.{body}.{signature}x.y"):
        assert code(odd) in {"token_malformed", "token_signature"}
    forged = base64.urlsafe_b64encode(json.dumps({**CLAIMS, "sub": "root"}).encode())
    other = f"{head}.{forged.decode().rstrip('=')}.{signature}"
    assert code(other) == "token_signature"


@pytest.mark.parametrize(
    "headers",
    [
        {"kid": "k1", "crit": ["b64"], "b64": True},
        {"kid": "k1", "typ": "logout+jwt"},
        {"kid": "k1", "typ": "dpop+jwt"},
    ],
)
def test_headers_that_are_not_understood(headers: dict[str, Any]) -> None:
    """A critical header and a token of another type are refused."""
    assert code(signed(headers=headers)) == "token_malformed"


@pytest.mark.parametrize(
    "text", ["", "a", "a.b.c", "é.b.c", "." * 9, "x" * 20_000, None, b"a.b.c", 7]
)
def test_what_is_no_token(text: Any) -> None:
    """Text that is no token, and what is no text, is malformed."""
    assert code(text) == "token_malformed"


def test_a_chain_has_an_end() -> None:
    """No token can make the reader go on for ever."""
    act: dict[str, Any] = {"sub": "a"}
    for _ in range(8):
        act = {"sub": "a", "act": act}
    assert code(signed(act=act)) == "token_claims"


@pytest.mark.parametrize(
    "change",
    [
        {"algorithms": ()},
        {"algorithms": ("HS256",)},
        {"algorithms": ("none",)},
        {"issuer": ""},
        {"audience": ""},
        {"leeway_s": -1},
        {"leeway_s": 301},
        {"longest_s": 0},
    ],
)
def test_loose_rules_are_refused(change: dict[str, Any]) -> None:
    """Rules that would let anybody in cannot be written."""
    with pytest.raises(IdentityError, match="rules_invalid"):
        TokenRules(**{"issuer": ISSUER, "audience": AUDIENCE, **change})


SHORT = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is to be refused


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"keys": []},
        {"keys": "all"},
        {"keys": ["k"]},
        {"keys": [public(ED)] * 65},
        {"keys": [public(ED), public(OTHER)]},
        {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "s"}]},
        {"keys": [json.loads(OKPAlgorithm.to_jwk(ED))]},
        {"keys": [json.loads(RSAAlgorithm.to_jwk(SHORT.public_key()))]},
        {"keys": [{**public(ED), "kid": 7}]},
        {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA"}]},
    ],
)
def test_a_set_that_is_refused(keys: dict[str, Any]) -> None:
    """A set with a secret, a short key or one id twice is refused whole."""
    with pytest.raises(IdentityError, match="keys_unavailable") as caught:
        KeySet.of(keys)
    assert "c2VjcmV0" not in str(caught.value)


def test_keys_that_sign_nothing_are_passed_over() -> None:
    """A key to encrypt with, and one of an unknown kind, verify nothing."""
    keys = KeySet.of(
        {"keys": [{**public(ED), "use": "enc"}, {"kty": "AKP", "kid": "new"}]}
    )
    assert keys.find("k1", "EdDSA") is None


def test_a_rotation_is_seen_and_an_old_set_ends() -> None:
    """An unknown key makes the set be read again; keys that are too old end."""
    at, served = [0], [json.dumps({"keys": [public(ED)]}).encode()]
    reads: list[int] = []

    def read() -> bytes:
        reads.append(at[0])
        if not served[0]:
            raise OSError
        return served[0]

    keys = KeySet(read, lambda: at[0])
    assert keys.find("k2", "EdDSA") is None
    assert len(reads) == 1, "nobody can make us ask at every call"
    at[0] = key_sets.RETRY_NS
    served[0] = json.dumps({"keys": [public(OTHER, "k2")]}).encode()
    assert keys.find("k2", "EdDSA") is not None
    assert keys.find("k1", "EdDSA") is None
    served[0] = b""
    at[0] += key_sets.STALE_NS - 1
    assert keys.find("k2", "EdDSA") is not None
    at[0] += 1
    with pytest.raises(IdentityError, match="keys_unavailable"):
        keys.find("k2", "EdDSA")
    served[0] = json.dumps({"keys": [public(OTHER, "k2")]}).encode()
    at[0] += key_sets.RETRY_NS
    assert keys.find("k2", "EdDSA") is not None


class _Served(BaseHTTPRequestHandler):
    answers: dict[str, tuple[int, bytes]]

    def do_GET(self) -> None:
        status, body = self.answers[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 302:
            self.send_header("Location", "/keys")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
        pass


@pytest.fixture
def served() -> Iterator[str]:
    """Serve a set of keys, a redirect, an error and too much on loopback."""
    good = json.dumps(KEYS).encode()
    _Served.answers = {
        "/keys": (200, good),
        "/moved": (302, b""),
        "/broken": (500, good),
        "/much": (200, b" " * (key_sets.MOST_BYTES + 1)),
    }
    server = HTTPServer(("127.0.0.1", 0), _Served)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_keys_from_an_address(served: str) -> None:
    """A set is fetched, but no redirect followed and no endless answer read."""
    verifier = Tokens(RULES, KeySet.of_url(f"{served}/keys"), lambda: NOW)
    assert verifier.verify(signed()).subject == "agent-1"
    for path in ("/moved", "/broken", "/much"):
        with pytest.raises(IdentityError, match="keys_unavailable"):
            KeySet.of_url(served + path)
    with pytest.raises(IdentityError, match="keys_unavailable"):
        KeySet.of_url("http://127.0.0.1:9/keys")
    with pytest.raises(IdentityError, match="use https"):
        KeySet.of_url("http://login.example/keys")


def test_keys_from_a_file(tmp_path: Path) -> None:
    """A file holds a set; one that is not there is no set."""
    path = tmp_path / "keys.json"
    with pytest.raises(IdentityError, match="FileNotFoundError"):
        KeySet.of_file(path)
    path.write_text(json.dumps(KEYS))
    found: Token = Tokens(RULES, KeySet.of_file(path), lambda: NOW).verify(signed())
    assert found.subject == "agent-1"

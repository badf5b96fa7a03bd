"""`KeySet`: the public keys of an issuer (RFC 7517), from a file, a URL or memory.

A set is read again when it is old and when a token names a key that is not in it, so
that an issuer can rotate its keys. Between two tries some seconds pass, whoever asks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from openfeature_gov.errors import IdentityError
from openfeature_gov.locks import renewed

LIFETIME_NS = 300 * 10**9
"""After how long the set is read again."""
STALE_NS = 3_600 * 10**9
"""How long keys count that cannot be read again: a revoked one must not live on."""
RETRY_NS = 10 * 10**9
"""The least time between two reads, however many tokens name unknown keys."""
TIMEOUT_S = 3.0
MOST_BYTES = 262_144
MOST_KEYS = 64
RSA_BITS = 2048
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
KINDS = frozenset({"RSA", "EC", "OKP"})
UNAVAILABLE = "keys_unavailable"


class Key(NamedTuple):
    """Hold one public key: its *id*, the *algorithm* it is for, and PyJWT's *key*."""

    id: str
    algorithm: str
    key: Any


class _Read(NamedTuple):
    keys: tuple[Key, ...]
    at_ns: int


class KeySet:
    """Know the public keys of one issuer. Safe to share between threads.

    *read* returns the JSON of the set, *clock* monotonic nanoseconds.

    Raises:
        IdentityError: code ``keys_unavailable`` when the set cannot be read now, or
            holds what is no public key of a known kind.

    """

    def __init__(
        self, read: Callable[[], bytes], clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._read, self._clock = read, clock
        self.renew()
        renewed(self)
        self._tried_ns = clock()
        self._state = _Read(_parsed(self._fetched()), self._tried_ns)

    def renew(self) -> None:
        """Begin with a lock that nobody holds."""
        self._lock = threading.RLock()

    @classmethod
    def of(cls, keys: Mapping[str, Any]) -> KeySet:
        """Return the set that *keys*, a JSON Web Key Set, is.

        Raises:
            IdentityError: as the class.

        """
        text = orjson.dumps(keys)
        return cls(lambda: text)

    @classmethod
    def of_file(cls, path: Path) -> KeySet:
        """Return the set in the file *path*, read anew as it grows old.

        Raises:
            IdentityError: as the class.

        """
        return cls(path.read_bytes)

    @classmethod
    def of_url(cls, url: str) -> KeySet:
        """Return the set that *url* serves: https, or http on this host.

        Redirects are not followed, and no more than 256 KiB are read.

        Raises:
            IdentityError: as the class.

        """
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in LOOPBACK:
            raise IdentityError(UNAVAILABLE, f"{_place(url)}: use https")
        return cls(lambda: _downloaded(url))

    def find(self, key_id: str | None, algorithm: str) -> Key | None:
        """Return the key *key_id* if it is for *algorithm*, None for no such key.

        Without an id the set must hold one key for the algorithm, and no more.

        Raises:
            IdentityError: code ``keys_unavailable`` when the keys are too old.

        """
        state = self._current(LIFETIME_NS)
        found = _found(state.keys, key_id, algorithm)
        if found is None:
            found = _found(self._current(0).keys, key_id, algorithm)
        return found

    def _current(self, lifetime_ns: int) -> _Read:
        now = self._clock()
        if now - self._state.at_ns >= lifetime_ns and self._lock.acquire(
            blocking=now - self._state.at_ns >= STALE_NS
        ):
            try:
                self._refresh()
            finally:
                self._lock.release()
        if self._clock() - self._state.at_ns >= STALE_NS:
            raise IdentityError(UNAVAILABLE, "the issuer's keys are too old")
        return self._state

    def _refresh(self) -> None:
        now = self._clock()
        if now - self._tried_ns < RETRY_NS:
            return
        self._tried_ns = now
        try:
            self._state = _Read(_parsed(self._fetched()), now)
        except IdentityError:
            return  # the keys that are known count until they are too old

    def _fetched(self) -> bytes:
        try:
            return self._read()
        except OSError as error:
            told = type(error).__name__
            raise IdentityError(UNAVAILABLE, f"cannot be read: {told}") from error


def _found(keys: tuple[Key, ...], key_id: str | None, algorithm: str) -> Key | None:
    fit = [key for key in keys if key.algorithm == algorithm]
    if key_id is None:
        return fit[0] if len(fit) == 1 else None
    return next((key for key in fit if key.id == key_id), None)


def _parsed(text: bytes) -> tuple[Key, ...]:
    try:
        data = orjson.loads(text)
        entries = data["keys"]
    except (ValueError, KeyError, TypeError):
        raise IdentityError(UNAVAILABLE, "not a JSON Web Key Set") from None
    if not isinstance(entries, list) or not 0 < len(entries) <= MOST_KEYS:
        raise IdentityError(UNAVAILABLE, f"a set holds 1 to {MOST_KEYS} keys")
    keys = tuple(_key(number, entry) for number, entry in enumerate(entries))
    found = tuple(key for key in keys if key is not None)
    ids = [key.id for key in found]
    if len(set(ids)) != len(ids):
        raise IdentityError(UNAVAILABLE, "two keys have one kid")
    return found


def _key(number: int, entry: Any) -> Key | None:
    """Return the key that *entry* is, None for one that signs nothing.

    Raises:
        IdentityError: for a secret, a private key, or a key that is too short.

    """
    import jwt  # noqa: PLC0415 - the extra jwt

    where = f"keys[{number}]"
    if not isinstance(entry, dict):
        raise IdentityError(UNAVAILABLE, f"{where}: not an object")
    if "d" in entry or entry.get("kty") == "oct":
        raise IdentityError(UNAVAILABLE, f"{where}: holds a secret; publish none")
    verifies = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or "verify" not in verifies:
        return None
    if entry.get("kty") not in KINDS:
        return None
    try:
        made = jwt.PyJWK(entry)
    except jwt.PyJWTError as error:
        told = type(error).__name__
        raise IdentityError(UNAVAILABLE, f"{where}: {told}") from None
    if getattr(made.key, "key_size", RSA_BITS) < RSA_BITS and entry["kty"] == "RSA":
        raise IdentityError(UNAVAILABLE, f"{where}: under {RSA_BITS} bits")
    key_id = entry.get("kid", "")
    if not isinstance(key_id, str):
        raise IdentityError(UNAVAILABLE, f"{where}.kid: not text")
    return Key(key_id, made.algorithm_name, made.key)


def _downloaded(url: str) -> bytes:
    import urllib3  # noqa: PLC0415 - only where keys are served

    try:
        with urllib3.PoolManager(retries=False, timeout=TIMEOUT_S) as pool:
            answer = pool.request("GET", url, redirect=False, preload_content=False)
            body = answer.read(MOST_BYTES + 1)
            answer.release_conn()
    except urllib3.exceptions.HTTPError as error:
        raise OSError(type(error).__name__) from error
    if answer.status != 200 or len(body) > MOST_BYTES:
        raise OSError(f"status {answer.status}, {len(body)} bytes")
    return body


def _place(url: str) -> str:
    return urlsplit(url).hostname or "the address of the keys"

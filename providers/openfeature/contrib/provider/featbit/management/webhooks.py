"""Webhooks of FeatBit: check who sent one, and take it as a hint to pull. Pure.

A webhook carries no comment, no revision and no id of who acted, may come late, twice,
out of order or not at all, and only its body is signed. It is never evidence, and
nothing here gives out the state that it claims: pull the audit log and the flags.
"""

import hmac
import threading
from collections import OrderedDict
from hashlib import sha256
from typing import Any, NamedTuple

from openfeature.contrib.provider.featbit import timestamps
from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.management.errors import RefusedError
from openfeature.contrib.provider.featbit.strict_json import read_json

SIGNATURE = "X-FeatBit-Signature-256"
"""The header that holds the signature."""
LARGEST = 1024 * 1024
REMEMBERED = 4096
KINDS = {"feature flag": "flag", "segment": "segment"}


class Hint(NamedTuple):
    """Say where to look: *kind* is flag, segment or empty; *key* names which one.

    *enabled* is what the sender claims, for display only. *happened_ms* is when, None
    if the template leaves it out.
    """

    events: tuple[str, ...]
    kind: str
    key: str
    env_id: str
    operator: str
    happened_ms: int | None
    enabled: bool | None


class Inbox:
    """Take each signed webhook once. Thread-safe; lives as long as the endpoint.

    Only *remembered* deliveries are kept in memory, by the digest of their body. An
    older one that is sent again triggers one more pull, which does no harm.

    Raises:
        RefusedError: *secret* is empty: anybody could sign.

    """

    def __init__(self, secret: str, *, remembered: int = REMEMBERED) -> None:
        if not secret:
            raise RefusedError("a webhook needs a secret: without one anybody could")
        self._secret = secret
        self._remembered = remembered
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._seen)} seen)"

    def take(self, body: bytes, signature: str | None) -> Hint:
        """Return the hint of one delivery; *signature* is the header `SIGNATURE`.

        Raises:
            RefusedError: the signature is missing or wrong, the body is too large or
                no webhook, or this body has come before.

        """
        if len(body) > LARGEST:
            raise RefusedError(f"webhook: {len(body)} bytes, at most {LARGEST}")
        if not verify(self._secret, body, signature):
            raise RefusedError("webhook: the signature is missing or wrong")
        hint = parse_hint(body)
        digest = sha256(body).digest()
        with self._lock:
            if digest in self._seen:
                raise RefusedError("webhook: this one has come before")
            self._seen[digest] = None
            if len(self._seen) > self._remembered:
                self._seen.popitem(last=False)
        return hint


def verify(secret: str, body: bytes, header: str | None) -> bool:
    """Tell, in constant time, whether *header* signs *body* with *secret*."""
    if not secret or not header:
        return False
    wanted = b"sha256=" + hmac.digest(secret.encode(), body, "sha256").hex().encode()
    return hmac.compare_digest(wanted, header.strip().encode("utf-8", "replace"))


def parse_hint(body: bytes) -> Hint:
    """Return what *body* says, by FeatBit's own template or ``{{json this}}``.

    Raises:
        RefusedError: it is no JSON object.

    """
    try:
        whole = read_json(body)
    except FeatBitDataError as error:
        raise RefusedError(f"webhook: {error}") from None
    if not isinstance(whole, dict):
        raise RefusedError("webhook: no JSON object")
    data = _object(whole, "data")
    item = _object(data, "object")
    events = _text(whole, "events") or _text(whole, "event")
    return Hint(
        events=tuple(one.strip() for one in events.split(",") if one.strip()),
        kind=KINDS.get(_text(data, "kind"), ""),
        key=_text(item, "key") or _text(item, "id"),
        env_id=_text(_object(whole, "environment"), "id"),
        operator=_text(whole, "operator"),
        happened_ms=_time(_text(whole, "happenedAt")),
        enabled=_truth(item.get("isEnabled")),
    )


def _object(item: dict[str, Any], field: str) -> dict[str, Any]:
    value = item.get(field)
    return value if isinstance(value, dict) else {}


def _text(item: dict[str, Any], field: str) -> str:
    value = item.get(field)
    return value if isinstance(value, str) else ""


def _truth(value: object) -> bool | None:
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def _time(stamp: str) -> int | None:
    try:
        return timestamps.version(stamp)
    except ValueError:
        return None

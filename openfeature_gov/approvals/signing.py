"""Sign a webhook, and verify one: for whoever sends notices, and who gets them. Pure.

The signature covers the time and the raw bytes of the body, so that neither can be
changed; it counts for five minutes, so that it cannot be used for ever.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import MutableMapping

HEADER = "Gov-Signature"
"""The header that holds time and signature."""
WINDOW_MS = 5 * 60 * 1_000
SHORTEST = 16
"""Bytes that a secret has at least."""
FORM = re.compile(r"t=([1-9][0-9]{0,15}),v1=([0-9a-f]{64})", re.ASCII)


def sign(secret: bytes, body: bytes, now_ms: int) -> str:
    """Return the header's value for *body*, sent at *now_ms*, ms since 1970.

    Raises:
        ValueError: when *secret* is so short that it could be guessed.

    """
    if len(secret) < SHORTEST:
        raise ValueError(f"a secret needs at least {SHORTEST} bytes")
    return f"t={now_ms},v1={_code(secret, str(now_ms), body)}"


def verify(
    secret: bytes,
    body: bytes,
    header: str | None,
    *,
    now_ms: int,
    seen: MutableMapping[str, tuple[int]] | None = None,
) -> bool:
    """Tell whether *header* signs the raw *body* with *secret*, now, the first time.

    *seen* keeps the signatures that were used, to refuse each a second time; without
    it a copy verifies for five minutes. A notice that is sent again has a signature
    of its own: tell it by ``notice`` in the body.
    """
    found = FORM.fullmatch(header or "")
    if found is None or len(secret) < SHORTEST:
        return False
    stamp, code = found.groups()
    if not hmac.compare_digest(code, _code(secret, stamp, body)):
        return False
    if abs(now_ms - int(stamp)) > WINDOW_MS:
        return False
    if seen is None:
        return True
    for old in [one for one, (at,) in list(seen.items()) if now_ms - at > WINDOW_MS]:
        seen.pop(old, None)
    mine = (int(stamp),)
    # One step even among threads: of two copies at once one finds the other's.
    return seen.setdefault(code, mine) is mine


def _code(secret: bytes, stamp: str, body: bytes) -> str:
    return hmac.digest(secret, stamp.encode() + b"." + body, "sha256").hex()

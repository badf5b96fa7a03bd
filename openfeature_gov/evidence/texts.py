"""Words of others in records: escaped, cut, and as digests where they are no ids."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from hashlib import sha256
from itertools import islice
from typing import Any

from openfeature_gov.contracts import is_opaque

FIELD_LIMIT = 256
LISTED = 64
"""How many entries of a list a record holds."""
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127)}
_SPACES = " \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0@"


def readable(text: object) -> str:
    """Return *text* escaped to printable ASCII and cut to a readable length."""
    if (
        type(text) is str
        and len(text) <= FIELD_LIMIT
        and text.isascii()
        and text.isprintable()
    ):
        return text
    shown = str(text) if isinstance(text, str) else f"<{type(text).__name__}>"
    cut = shown[:FIELD_LIMIT]
    # A lone surrogate has no UTF-8 form; a control or bidi character could forge a log.
    return cut.encode("ascii", "backslashreplace").decode("ascii").translate(_CONTROLS)


def listed(items: Collection[object]) -> list[str]:
    """Return *items* readable, at most `LISTED`; of the rest the number and a digest.

    How many there are is often the agent's choice, and a record that is too large to
    verify would hide all others.
    """
    given = iter(items)
    found = [readable(one)[:FIELD_LIMIT] for one in islice(given, LISTED)]
    if len(items) > LISTED:
        rest = sha256()
        for one in given:
            rest.update(str(one).encode("utf-8", "surrogatepass") + b"\n")
        found.append(f"and {len(items) - LISTED} more, sha256:{rest.hexdigest()}")
    return found


def paired(items: Mapping[str, object]) -> dict[str, str]:
    """Return *items* readable, as `listed` does."""
    pairs = list(items.items())
    found = {
        readable(name)[:FIELD_LIMIT]: readable(value)[:FIELD_LIMIT]
        for name, value in pairs[:LISTED]
    }
    if len(pairs) > LISTED:
        told = digest("\n".join(f"{name}={value}" for name, value in pairs[LISTED:]))
        found[f"and {len(pairs) - LISTED} more"] = told
    return found


def scalar(value: Any) -> Any:
    """Return *value* as a record may hold it: null, a boolean, or readable text."""
    if value is None or type(value) is bool:
        return value
    if type(value) in (str, int, float, Decimal):
        return readable(str(value))
    return f"<{type(value).__name__}>"


def decimal(value: Decimal | None) -> str | None:
    """Return *value* as text: records hold no floats."""
    return None if value is None else str(value)


def reference(text: object) -> str:
    """Return *text* if it is an id or empty, else its digest: it may be a sentence."""
    if text == "" or is_opaque(text):
        return str(text)
    return digest(text)


def tool_name(tool: object) -> str:
    """Return an unregistered tool's name, escaped, or its digest."""
    if isinstance(tool, str) and len(tool) <= 64 and not set(tool) & set(_SPACES):
        return readable(tool)
    return digest(tool)


def digest(value: object) -> str:
    """Return the digest of a text, or of the type of what is none."""
    text = value if isinstance(value, str) else type(value).__name__
    return f"sha256:{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"

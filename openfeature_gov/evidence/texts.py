"""Words of others in records: escaped, cut, and as digests where they are no ids."""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256
from typing import Any

from openfeature_gov.contracts import is_opaque

FIELD_LIMIT = 256
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), 127)}
_SPACES = " \t\n\r\v\f\x1c\x1d\x1e\x1f\x85\xa0@"


def readable(text: object) -> str:
    """Return *text* escaped to printable ASCII and cut to a readable length."""
    if type(text) is str and len(text) <= FIELD_LIMIT and _plain(text):
        return text
    shown = str(text) if isinstance(text, str) else f"<{type(text).__name__}>"
    cut = shown[:FIELD_LIMIT]
    # A lone surrogate has no UTF-8 form; a control or bidi character could forge a log.
    return cut.encode("ascii", "backslashreplace").decode("ascii").translate(_CONTROLS)


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


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

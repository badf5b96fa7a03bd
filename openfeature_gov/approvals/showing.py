"""Arguments as a reviewer must see them: exact, one by one, undisguised. Pure.

Whoever draws a card uses these, so that a terminal and a page hide nothing alike.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

SIMPLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
"""A key that needs no quotes in a path."""
BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
"""Characters that Unicode counts as printable and that show nothing."""
SHORT = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Number(str):
    """Be a number exactly as it stands in the bytes."""

    __slots__ = ()


def leaves(arguments: bytes) -> list[tuple[str, Any]]:
    """Return each value of canonical *arguments* that holds no other, with its path.

    Numbers stay as they are written. A key that is not a plain word stands in quotes,
    as `visible` shows it: no key looks like a path of several.
    """
    return list(
        _leaves("", json.loads(arguments, parse_int=Number, parse_float=Number))
    )


def word(value: Any) -> str:
    """Return a leaf as JSON writes it; a string without its quotes."""
    return value if isinstance(value, str) else json.dumps(value)


def visible(text: str, *, quoted: bool = False) -> str:
    r"""Return *text* with each character that could act or hide as ``\uXXXX``.

    A backslash is doubled, and a quotation mark escaped where *text* will stand in
    them, so that an escape or an end is never what somebody wrote.
    """
    shown = "".join(map(_shown, text))
    return shown.replace('"', '\\"') if quoted else shown


def uncommon(text: str) -> list[str]:
    """Return the different characters of *text* beyond ASCII by number and name.

    They may look like what they are not.
    """
    found = dict.fromkeys(one for one in text if not one.isascii())
    return [f"U+{ord(one):04X} {unicodedata.name(one, 'unnamed')}" for one in found]


def head(text: str, limit: int) -> str:
    """Return the beginning of *text*, of at most *limit* UTF-8 bytes."""
    return text.encode("utf-8", "surrogatepass")[:limit].decode("utf-8", "ignore")


def size(text: str) -> int:
    """Return how many UTF-8 bytes *text* has."""
    return len(text.encode("utf-8", "surrogatepass"))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, one in value.items():
            if SIMPLE.fullmatch(key):
                step = f".{key}" if path else key
            else:
                step = f'["{visible(key, quoted=True)}"]'
            yield from _leaves(path + step, one)
    elif isinstance(value, list) and value:
        for index, one in enumerate(value):
            yield from _leaves(f"{path}[{index}]", one)
    else:
        yield path, value


def _shown(one: str) -> str:
    if one in SHORT:
        return SHORT[one]
    if one.isprintable() and not BLANK.match(one):
        return one
    code = ord(one)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

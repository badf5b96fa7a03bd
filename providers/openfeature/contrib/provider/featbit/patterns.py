"""Compile regular expressions that a value chosen by an attacker cannot stall.

Python's ``re`` backtracks without a time limit while it holds the interpreter lock:
``^(a+)+$`` needs seconds for 27 characters. So a pattern is refused when it is
loaded if its cost can explode, and a value is only matched up to `LONGEST_VALUE`.
A random search for the worst pattern within these limits took 45 ms.
"""

import re

from openfeature.contrib.provider.featbit.errors import FeatBitDataError

LONGEST_PATTERN = 256
LONGEST_VALUE = 128
MOST_WAYS = (64, 64, 4)
"""The most ways to take a pattern's choices, by its open-ended repeats.

Matching costs up to ways * length ** (repeats + 1) steps; a choice is a group of n
alternatives (n ways) or an optional part (two ways).
"""

TOKEN = re.compile(
    r"""
      (?P<reference> \\[1-9] | \(\?P= | \(\?\( )
    | (?P<atom>      \\. | \[\^?\]?(?:\\.|[^\]\\])*\] )
    | (?P<opening>   \( )
    | (?P<closing>   \) )
    | (?P<either>    \| )
    | (?P<open>      (?:[*+]|\{\d*,\d*\})[?+]? )
    | (?P<optional>  \?[?+]? )
    | (?P<times>     \{\d+\}[?+]? )
    | (?P<other>     . )
    """,
    re.VERBOSE | re.DOTALL,
)
REPEATED = (["open"], ["times"])
PREFIX = re.compile(r"\(\?(?:P<\w+>|[:=!>]|<[=!]|[a-zA-Z]*(?:-[a-zA-Z]+)?[:)])")


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile *pattern* for `re.Pattern.search`.

    Refused are: a repeated group that itself contains a repeat, an optional part or
    alternatives; references to groups; verbose mode; more than two open-ended
    repeats; more choices than `MOST_WAYS`; more than `LONGEST_PATTERN` characters.

    Raises:
        FeatBitDataError: not a regular expression of Python, or refused.

    """
    if len(pattern) > LONGEST_PATTERN:
        raise _refuse(pattern, f"is longer than {LONGEST_PATTERN} characters")
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError, FutureWarning) as error:
        raise _refuse(pattern, f"does not compile: {error}") from None
    if compiled.flags & re.VERBOSE or re.search(r"\(\?[a-zA-Z]*x", pattern):
        raise _refuse(pattern, "uses verbose mode")
    _check_cost(pattern)
    return compiled


def _check_cost(pattern: str) -> None:
    tokens = _tokens(pattern)
    repeats = tokens.count("open")
    if "reference" in tokens:
        raise _refuse(pattern, "refers back to a group")
    if repeats >= len(MOST_WAYS):
        raise _refuse(pattern, f"has {repeats} open-ended repeats")
    ways = _ways(tokens)
    if ways is None:
        raise _refuse(pattern, "repeats a group that holds a repeat or a choice")
    if ways > MOST_WAYS[repeats]:
        raise _refuse(pattern, f"has {ways} ways to match, {repeats} open-ended")


def _ways(tokens: list[str]) -> int | None:
    """Multiply the choices; None when a group that holds one is repeated."""
    ways = 1
    alternatives, varies = [1], [False]  # of each group that is open
    for at, kind in enumerate(tokens):
        match kind:
            case "opening":
                alternatives.append(1)
                varies.append(False)
            case "closing":
                here, inner = alternatives.pop(), varies.pop()
                if not varies or (inner and tokens[at + 1 : at + 2] in REPEATED):
                    return None
                ways *= here
                varies[-1] |= inner
            case "either":
                alternatives[-1] += 1
            case "optional":
                ways *= 2
        varies[-1] |= kind in ("either", "open", "optional")
    return ways * alternatives[0]


def _tokens(pattern: str) -> list[str]:
    kinds, at = [], 0
    while at < len(pattern):
        token = TOKEN.match(pattern, at)
        kind = token.lastgroup if token else None
        at = token.end() if token else at + 1
        kinds.append(kind or "other")
        if kind == "opening" and (prefix := PREFIX.match(pattern, at - 1)):
            at = prefix.end()
            if prefix.group().endswith(")"):
                kinds.append("closing")
    return kinds


def _refuse(pattern: str, problem: str) -> FeatBitDataError:
    return FeatBitDataError(f"regular expression {pattern!r} {problem}")

"""Read a JSON object from an option such as `--args`, with one shape of error."""

from __future__ import annotations

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import typer

from openfeature.contrib.provider.featbit.errors import FeatBitDataError
from openfeature.contrib.provider.featbit.strict_json import read_json
from openfeature_gov.canonical import MAX_DEPTH
from openfeature_gov.cli import output

ADVICE = 'give one JSON object, such as {"id": 7}, or @FILE, or - for standard input'
MOST_BYTES = 1_048_576
"""Bytes of a file or of standard input that are read; the rules allow far fewer."""
CONSTANTS = frozenset({"NaN", "Infinity", "-Infinity"})
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)
_NOUNS = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


def arguments_of(given: str, *, option: str = "--args") -> dict[str, Any]:
    """Return the object that *given* holds or names: JSON, ``@FILE`` or ``-``.

    Raises:
        typer.BadParameter: when it is no JSON object, or one of over `MOST_BYTES`; it
            says where and why, and in which *option*.
        OSError: when the file cannot be read.

    """
    try:
        return _object(_text(given))
    except typer.BadParameter as error:
        error.param_hint = f"'{option}'"
        raise


def _object(text: str) -> dict[str, Any]:
    try:
        value = read_json(text)
    except FeatBitDataError as error:
        at, problem = _syntax(text) or _trap(text) or (0, str(error))
        raise _refusal(text[:at], problem) from None
    if not isinstance(value, dict):
        noun = _NOUNS.get(type(value), "a number")
        blank = text[: len(text) - len(text.lstrip())]
        raise _refusal(blank, f"{noun} is no object")
    return value


def _text(given: str) -> str:
    if given == "-":
        name, data = "standard input", sys.stdin.buffer.read(MOST_BYTES + 1)
    elif given.startswith("@"):
        name = given[1:]
        with Path(name).open("rb") as file:  # which may be a pipe and need not end
            data = file.read(MOST_BYTES + 1)
    else:
        return given
    if len(data) > MOST_BYTES:
        problem = f"{output.safe(name)} holds over {MOST_BYTES} bytes; give fewer"
        raise typer.BadParameter(problem)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        raise _refusal(before, f"byte {data[error.start]:#04x} is no UTF-8") from None


def _refusal(before: str, problem: str) -> typer.BadParameter:
    """Return the error for a *problem* that comes right after the text *before*."""
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    where = f"line {line}, column {column}"
    return typer.BadParameter(f"{where}: {output.safe(problem)}; {ADVICE}")


def _syntax(text: str) -> tuple[int, str] | None:
    """Return where *text* stops being JSON, and how."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos, error.msg[:1].lower() + error.msg[1:]
    except (RecursionError, ValueError):
        return None
    return None


def _trap(text: str) -> tuple[int, str] | None:
    """Return the first thing in *text* that is syntax and still not accepted."""
    names: list[set[str]] = []
    last = 0, ""
    for token in _TOKEN.finditer(text):
        at, word = token.start(), token[0]
        if word in "{[":
            names.append(set())
            if len(names) > MAX_DEPTH:
                return at, f"nested deeper than {MAX_DEPTH} levels"
        elif word in "}]":
            names.pop()
        elif word == ":":
            if last[1] in names[-1]:
                return last[0], f'member "{last[1]}" appears twice'
            names[-1].add(last[1])
        elif word[0] == '"':
            last = at, json.loads(word)
        elif problem := _number(word):
            return at, problem
    return None


def _number(word: str) -> str:
    """Return what is wrong with *word*, a number or a literal; empty if nothing."""
    if word in CONSTANTS:
        return f"{word} is no JSON number"
    if not word.lstrip("-")[:1].isdigit():
        return ""
    if word.lstrip("-").isdigit():
        limit = sys.get_int_max_str_digits()
        return f"more than {limit} digits" if 0 < limit < len(word) else ""
    return "" if math.isfinite(float(word)) else f"{word[:40]} is beyond a double"

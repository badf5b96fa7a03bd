"""Recorded tool calls, one JSON object a line: what an agent wanted to do, in order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from openfeature_gov.demo.orders import OrderStore

FOLDER = Path(__file__).parent
GOVERNANCE = FOLDER / "governance.yaml"
SHOP = FOLDER / "shop.json"
CALLS = FOLDER / "calls.jsonl"
_PARTS = {"task": str, "step": int, "tool": str, "arguments": dict}


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """Hold one call: the *step* of a *task*, counted from 0, as the agent made it."""

    task: str
    step: int
    tool: str
    arguments: Mapping[str, Any]


def read_calls(path: Path) -> list[RecordedCall]:
    """Return the calls that the file *path* holds.

    Raises:
        ValueError: a line is no such call, or there is none; the message names it.
        OSError: the file cannot be read.

    """
    lines = path.read_text("utf-8").splitlines()
    calls = [
        _call(line, f"{path}:{number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    if not calls:
        raise ValueError(f"{path}: holds no call; expected one JSON object a line")
    return calls


def read_store(path: Path) -> OrderStore:
    """Return a new store in memory that holds the shop in the JSON file *path*.

    Raises:
        OrderError: the file holds no complete shop.
        ValueError: it is not JSON.
        OSError: it cannot be read.

    """
    try:
        source = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: is not JSON: {error}") from None
    store = OrderStore.open()
    try:
        store.load(source)
    except BaseException:
        store.close()
        raise
    return store


def by_task(calls: Iterable[RecordedCall]) -> list[tuple[str, list[RecordedCall]]]:
    """Return runs of consecutive calls of one task, each with the task's id."""
    return [(task, list(run)) for task, run in groupby(calls, lambda one: one.task)]


def _call(line: str, where: str) -> RecordedCall:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: is not JSON: {error}") from None
    if not isinstance(found, dict) or found.keys() != _PARTS.keys():
        raise ValueError(f"{where}: expected an object with {', '.join(_PARTS)}")
    for name, kind in _PARTS.items():
        if type(found[name]) is not kind:
            seen = type(found[name]).__name__
            raise ValueError(f"{where}: {name}: expected {kind.__name__}, not {seen}")
    return RecordedCall(**found)

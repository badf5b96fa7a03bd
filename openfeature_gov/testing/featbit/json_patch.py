"""JSON Patch (RFC 6902): add, remove, replace and test."""

from __future__ import annotations

import copy
from typing import Any

from openfeature_gov.testing.featbit.store import Json


class PatchError(Exception):
    """A patch that does not fit; the message is what the API answers."""


def patched(item: Json, operations: Any) -> Json:
    """Return *item* after all *operations*.

    Raises:
        PatchError: an operation cannot be applied.

    """
    result = copy.deepcopy(item)
    try:
        for one in operations:
            _apply(result, one["op"], one["path"], one.get("value"))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        problem = f"The patch cannot be applied ({type(error).__name__})."
        raise PatchError(problem) from None
    return result


def _apply(item: Any, op: str, path: str, value: Any) -> None:
    *way, last = [
        part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]
    ]
    for part in way:
        item = item[int(part)] if isinstance(item, list) else item[part]
    if isinstance(item, list):
        _apply_to_list(item, op, last, value)
    else:
        _apply_to_object(item, op, last, value)


def _apply_to_list(items: list[Any], op: str, last: str, value: Any) -> None:
    index = len(items) if last == "-" else int(last)
    match op:
        case "add":
            items.insert(index, value)
        case "remove":
            del items[index]
        case "replace":
            items[index] = value
        case _:
            _test(op, items[index], value)


def _apply_to_object(item: Json, op: str, last: str, value: Any) -> None:
    match op:
        case "add":
            item[last] = value
        case "remove":
            item[last] = None
        case "replace":
            item[last] = value
        case _:
            _test(op, item[last], value)


def _test(op: str, found: Any, value: Any) -> None:
    if op != "test" or found != value:
        raise PatchError(f"The {op} operation failed.")

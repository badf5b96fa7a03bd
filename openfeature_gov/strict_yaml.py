"""Strict YAML: positions kept, duplicate keys refused, words stay words.

YAML 1.1 reads ``off`` as false; in a governance contract it is the name of a mode.
Only ``true`` and ``false`` are booleans here, only plain decimal integers numbers.
What a model of pydantic refuses is told with file, line and key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from openfeature_gov.errors import InvalidContractError

MAX_BYTES = 1_048_576
MAX_DEPTH = 32
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")
_KEYS = re.compile(r"[a-zA-Z0-9.]+")
_WORDS = {
    "extra_forbidden": "unknown key",
    "missing": "missing",
    "model_type": "expected a mapping",
    "tuple_type": "expected a list",
}
_OF_A_KEY = "[key]"
T = TypeVar("T")
Path = tuple[str | int, ...]
Problem = tuple[int, str, str]


@dataclass(slots=True)
class Document:
    """Hold one YAML document as plain data, with the line of each key path."""

    data: Any
    lines: dict[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int:
        """Return the line of *path*, or of the nearest parent that has one."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def problem(self, path: Path, message: str) -> Problem:
        """Return *message* with the line and the key at *path*."""
        return self.line(path), dotted(path), message


def decoded(data: bytes, source: str) -> str:
    """Return the text that *data* is; *source* names the file in errors.

    Raises:
        InvalidContractError: when it is too large or not UTF-8.

    """
    _check_size(data, source)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        problem = f"not UTF-8 at byte {error.start}"
        raise InvalidContractError(source, [(0, "", problem)]) from None


def parse(text: str, source: str) -> list[Document]:
    """Read every document of *text*; *source* names the file in errors.

    Raises:
        InvalidContractError: for anything that is not one unambiguous tree.

    """
    _check_size(text.encode(), source)
    try:
        _check_depth(text, source)
        nodes = list(yaml.compose_all(text, Loader=_LOADER))
    except yaml.reader.ReaderError as error:
        raise InvalidContractError(source, [_unreadable(text, error)]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        line = mark.line + 1 if mark else 0
        raise InvalidContractError(source, [(line, "", f"YAML: {problem}")]) from None
    return [_document(node, source) for node in nodes if node is not None]


def _check_size(data: bytes, source: str) -> None:
    if len(data) > MAX_BYTES:
        raise InvalidContractError(source, [(0, "", f"larger than {MAX_BYTES} bytes")])


def _unreadable(text: str, error: Any) -> Problem:
    """Return which character YAML does not take, and the line of the first such one.

    The position that *error* tells is one of bytes or of characters, as PyYAML was
    built.
    """
    line = text.count("\n", 0, text.find(chr(error.character))) + 1
    seen = f"U+{error.character:04X}"
    return line, "", f"YAML takes no character {seen}; remove it"


def _check_depth(text: str, source: str) -> None:
    """Refuse what is nested deeper than `MAX_DEPTH`, before any of it is composed.

    Composing recurses in C, where too deep a nesting ends the process; parsing does
    not recurse.
    """
    path: list[_Level] = []
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionEndEvent):
            path.pop()
        if not isinstance(event, yaml.NodeEvent):
            continue
        if path:
            path[-1].step(event)
        if len(path) > MAX_DEPTH:
            where = dotted(tuple(one.part for one in path))
            mark: Any = event.start_mark
            line = mark.line + 1
            raise InvalidContractError(source, [(line, where, "nested too deeply")])
        if isinstance(event, yaml.CollectionStartEvent):
            path.append(_Level(isinstance(event, yaml.MappingStartEvent)))


class _Level:
    """Follow at which key or index of one mapping or list the parser is."""

    __slots__ = ("_mapping", "_nodes", "part")

    def __init__(self, mapping: bool) -> None:
        self._mapping, self._nodes = mapping, 0
        self.part: str | int = ""

    def step(self, event: Any) -> None:
        """Take note of one more node, which *event* begins."""
        if not self._mapping:
            self.part = self._nodes
        elif self._nodes % 2 == 0:
            self.part = str(getattr(event, "value", "?"))
        self._nodes += 1


def _document(node: Any, source: str) -> Document:
    document = Document(None)
    problems: list[Problem] = []
    document.data = _value(node, (), document.lines, problems, set())
    if problems:
        raise InvalidContractError(source, problems)
    return document


def _value(
    node: Any,
    path: Path,
    lines: dict[Path, int],
    problems: list[Problem],
    seen: set[int],
) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if id(node) in seen:
        problems.append((line, dotted(path), "aliases are not accepted"))
        return None
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        return [
            _value(item, (*path, index), lines, problems, seen)
            for index, item in enumerate(node.value)
        ]
    return _mapping(node, path, lines, problems, seen)


def _mapping(
    node: Any,
    path: Path,
    lines: dict[Path, int],
    problems: list[Problem],
    seen: set[int],
) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            problems.append((line, dotted(path), "a key must be plain text"))
            continue
        key = key_node.value
        if key in data:
            first = lines[(*path, key)]
            found = f"duplicate key, first on line {first}"
            problems.append((line, dotted((*path, key)), found))
            continue
        lines[(*path, key)] = line
        data[key] = _value(value_node, (*path, key), lines, problems, seen)
    return data


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.style in ("'", '"', "|", ">"):
        return text
    if text in ("true", "false"):
        return text == "true"
    if text in ("", "null", "~"):
        return None
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def dotted(path: Path) -> str:
    """Return *path* as a reader writes it: ``approval.requiredFor[0]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def entries(
    document: Document,
    root: str,
    problems: list[Problem],
    *,
    beside: frozenset[str] = frozenset(),
) -> Iterator[tuple[Path, Any]]:
    """Yield what stands below the key *root*, one or a list, each with its path.

    What else the document holds goes to *problems*, except the keys *beside*.
    """
    data = document.data
    if not isinstance(data, dict) or root not in data:
        problems.append(document.problem((), f"expected the key {root}"))
        return
    odd = sorted(data.keys() - {root, *beside})
    problems.extend(document.problem((key,), "unknown key") for key in odd)
    if isinstance(data[root], list):
        yield from (((root, index), item) for index, item in enumerate(data[root]))
    else:
        yield (root,), data[root]


def validated(
    document: Document,
    path: Path,
    data: Any,
    validate: Callable[[Any], T],
    problems: list[Problem],
    *,
    tags: frozenset[str] = frozenset(),
) -> T | None:
    """Return what *validate*, of a pydantic model, makes of the *data* at *path*.

    None with every reason in *problems* when it is refused. *tags* are the names that
    pydantic puts into the place of one of several models, which are no keys of a file.
    """
    try:
        return validate(_tuples(data))
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            keys, message = _reason(dict(item), tags)
            problems.append(document.problem((*path, *keys), message))
        return None


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _reason(item: dict[str, Any], tags: frozenset[str]) -> tuple[Path, str]:
    """Return at which keys what pydantic says is meant, and the words for it.

    A validator of a whole model writes ``key: reason``, or ``key.key: reason``.
    """
    place: Path = tuple(item["loc"])
    found = tuple(
        part
        for n, part in enumerate(place)
        if part != _OF_A_KEY
        and not (n and isinstance(place[n - 1], int) and part in tags)
    )
    message = _WORDS.get(item["type"], str(item["msg"]))
    if item["type"] == "value_error":
        message = message.removeprefix("Value error, ")
        keys, colon, rest = message.partition(": ")
        if colon and _KEYS.fullmatch(keys):
            parts = (int(one) if one.isdigit() else one for one in keys.split("."))
            return (*found, *parts), rest
    return found, message

"""Strict YAML: positions kept, duplicate keys refused, words stay words.

YAML 1.1 reads ``off`` as false; in a governance contract it is the name of a mode.
Only ``true`` and ``false`` are booleans here, only plain decimal integers numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from openfeature_gov.errors import InvalidContractError

MAX_BYTES = 1_048_576
MAX_DEPTH = 32
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")
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


def parse(text: str, source: str) -> list[Document]:
    """Read every document of *text*; *source* names the file in errors.

    Raises:
        InvalidContractError: for anything that is not one unambiguous tree.

    """
    if len(text.encode()) > MAX_BYTES:
        raise InvalidContractError(source, [(0, "", f"larger than {MAX_BYTES} bytes")])
    try:
        nodes = list(yaml.compose_all(text, Loader=_LOADER))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        line = mark.line + 1 if mark else 0
        raise InvalidContractError(source, [(line, "", f"YAML: {problem}")]) from None
    except RecursionError:
        raise InvalidContractError(source, [(0, "", "nested too deeply")]) from None
    return [_document(node, source) for node in nodes if node is not None]


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
    if id(node) in seen or len(path) > MAX_DEPTH:
        reason = "aliases are not accepted" if id(node) in seen else "nested too deeply"
        problems.append((line, dotted(path), reason))
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

"""Load governance contracts from YAML: all of a file or nothing.

The YAML of article 000 (``agentToolGovernance``) loads as it stands there. A file may
hold several documents, or a list below that key.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from openfeature_gov import strict_yaml as yaml
from openfeature_gov.errors import InvalidContractError
from openfeature_gov.governance.contract import GovernanceContract
from openfeature_gov.governance.parts import skeleton

ROOT = "agentToolGovernance"


@dataclass(frozen=True, slots=True)
class Governance:
    """Hold the governance contracts of a deployment by tool name."""

    contracts: Mapping[str, GovernanceContract]

    def get(self, tool: str) -> GovernanceContract | None:
        """Return the contract of exactly *tool*, or None: an unknown tool."""
        return self.contracts.get(tool)

    def __contains__(self, tool: object) -> bool:
        return tool in self.contracts

    def __iter__(self) -> Iterator[GovernanceContract]:
        return iter(self.contracts.values())

    def __len__(self) -> int:
        return len(self.contracts)


def parse(text: str, source: str = "<text>") -> Governance:
    """Read governance contracts from YAML *text*; *source* names it in errors.

    Raises:
        InvalidContractError: with every problem found; nothing was loaded.

    """
    documents = yaml.parse(text, source)
    problems: list[tuple[int, str, str]] = []
    found: list[tuple[GovernanceContract, int]] = []
    for document in documents:
        for path, data in _entries(document, problems):
            contract = _contract(document, path, data, problems)
            if contract is not None:
                found.append((contract, document.line((*path, "tool"))))
    if not documents:
        problems.append((1, "", f"empty; expected a mapping with the key {ROOT}"))
    problems += _look_alikes(found)
    problems += _disagreeing(found)
    if problems:
        raise InvalidContractError(source, problems)
    return Governance({contract.tool: contract for contract, _ in found})


def _entries(
    document: yaml.Document, problems: list[tuple[int, str, str]]
) -> Iterator[tuple[yaml.Path, Any]]:
    data = document.data
    if not isinstance(data, dict) or ROOT not in data:
        problems.append((document.line(()), "", f"expected the key {ROOT}"))
        return
    odd = sorted(data.keys() - {ROOT})
    problems.extend((document.line((key,)), key, "unknown key") for key in odd)
    root = data[ROOT]
    if isinstance(root, list):
        yield from (((ROOT, index), item) for index, item in enumerate(root))
    else:
        yield (ROOT,), root


def _contract(
    document: yaml.Document,
    path: yaml.Path,
    data: Any,
    problems: list[tuple[int, str, str]],
) -> GovernanceContract | None:
    if not isinstance(data, dict):
        problems.append((document.line(path), yaml.dotted(path), "expected a mapping"))
        return None
    try:
        return GovernanceContract.model_validate(_tuples(data))
    except ValidationError as error:
        items = error.errors(include_url=False, include_input=False)
        problems.extend(_problem(document, path, dict(item)) for item in items)
        return None


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _problem(
    document: yaml.Document, path: yaml.Path, item: Mapping[str, Any]
) -> tuple[int, str, str]:
    where, message = tuple(item["loc"]), str(item["msg"])
    if item["type"] == "value_error":
        message = message.removeprefix("Value error, ")
        key, colon, rest = message.partition(": ")
        if not where and colon:
            where, message = tuple(key.split(".")), rest
            where = ("rollback", *where) if where == ("safestMode",) else where
    elif item["type"] == "extra_forbidden":
        message = "unknown key"
    elif item["type"] == "missing":
        message = "missing"
    line = document.line((*path, *where))
    return line, yaml.dotted((*path, *where)), message


def _look_alikes(
    found: list[tuple[GovernanceContract, int]],
) -> Iterator[tuple[int, str, str]]:
    seen: dict[str, tuple[str, int]] = {}
    for contract, line in found:
        folded = skeleton(contract.tool)
        if folded in seen:
            name, first = seen[folded]
            yield (
                line,
                f"{ROOT}.tool",
                f"duplicate tool {contract.tool!r}: {name!r} stands on line {first}",
            )
        seen.setdefault(folded, (contract.tool, line))


def _disagreeing(
    found: list[tuple[GovernanceContract, int]],
) -> Iterator[tuple[int, str, str]]:
    """Yield each budget that another contract names, and means otherwise."""
    first: dict[str, tuple[tuple[object, ...], str]] = {}
    for contract, line in found:
        for budget in contract.budgets:
            meant, tool = first.setdefault(budget.name, (budget.shared, contract.tool))
            if meant != budget.shared:
                said = f"{budget.name!r} is another budget in the contract of {tool!r}"
                yield line, f"{ROOT}.budgets", f"{said}; let both agree, or rename it"

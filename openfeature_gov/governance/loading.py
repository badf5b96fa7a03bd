"""Load governance contracts from YAML: all of a file or nothing.

The YAML of article 000 (``agentToolGovernance``) loads as it stands there. A file may
hold several documents, or a list below that key. What it lists under ``guardrails``
beside that key is added to every contract of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from openfeature_gov import strict_yaml as yaml
from openfeature_gov.errors import InvalidContractError
from openfeature_gov.governance.contract import GovernanceContract
from openfeature_gov.governance.foreign import Foreign
from openfeature_gov.governance.guardrails import BuiltIn, Guardrail, Money
from openfeature_gov.governance.parts import skeleton
from openfeature_gov.governance.settings import Setting

Problem = tuple[int, str, str]
ROOT = "agentToolGovernance"
DEFAULTS = "guardrails"
_KINDS = frozenset(
    get_args(one.model_fields["kind"].annotation)[0]
    for one in (*get_args(BuiltIn), *get_args(Foreign))
)
_MATCHES = frozenset({"only", "first", "then"})


@cache
def _listed() -> TypeAdapter[tuple[Guardrail, ...]]:
    return TypeAdapter(tuple[Guardrail, ...])


@dataclass(frozen=True, slots=True)
class Governance:
    """Hold the governance contracts of a deployment by tool name.

    *source* names the file and *lines* where each guardrail of a tool stands in it.
    """

    contracts: Mapping[str, GovernanceContract]
    source: str = "<text>"
    lines: Mapping[tuple[str, str], int] = field(default_factory=dict)

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
    problems: list[Problem] = []
    shared = dict(_shared(documents, problems))
    found: list[tuple[GovernanceContract, int]] = []
    lines: dict[tuple[str, str], int] = {}
    for document in documents:
        for path, data in _entries(document, problems):
            contract = _contract(document, path, data, problems)
            if contract is not None:
                line = document.line((*path, "tool"))
                problems += _twice(contract, shared, line)
                for index, one in enumerate(contract.guardrails):
                    at = document.line((*path, DEFAULTS, index))
                    lines[contract.tool, one.name] = at
                lines |= {(contract.tool, name): at for name, (_, at) in shared.items()}
                found.append((_with(contract, shared), line))
    if not documents:
        problems.append((1, "", f"empty; expected a mapping with the key {ROOT}"))
    problems += _look_alikes(found)
    problems += _disagreeing(found)
    if problems:
        raise InvalidContractError(source, problems)
    return Governance({one.tool: one for one, _ in found}, source, lines)


def _shared(
    documents: list[yaml.Document], problems: list[Problem]
) -> Iterator[tuple[str, tuple[Setting, int]]]:
    """Yield the guardrails of the whole file by name, each with its line."""
    seen: dict[str, int] = {}
    for document in documents:
        if not isinstance(document.data, dict) or DEFAULTS not in document.data:
            continue
        try:
            data = _tuples(document.data[DEFAULTS])
            listed = _listed().validate_python(data)
        except ValidationError as error:
            items = error.errors(include_url=False, include_input=False)
            problems += (_problem(document, (DEFAULTS,), dict(item)) for item in items)
            continue
        for index, one in enumerate(listed):
            line = document.line((DEFAULTS, index))
            if one.name in seen:
                said = f"two are named {one.name!r}, first on line {seen[one.name]}"
                problems.append((line, f"{DEFAULTS}[{index}]", said))
            seen[one.name] = line
            yield one.name, (one, line)


def _twice(
    contract: GovernanceContract, shared: Mapping[str, tuple[Setting, int]], line: int
) -> Iterator[Problem]:
    for one in contract.guardrails:
        if one.name in shared:
            said = f"{one.name!r} is that of the file on line {shared[one.name][1]}"
            yield line, f"{ROOT}.{DEFAULTS}", f"{said}; give it a name of its own"


def _with(
    contract: GovernanceContract, shared: Mapping[str, tuple[Setting, int]]
) -> GovernanceContract:
    """Return *contract* with the guardrails of its file: they only add."""
    if not shared:
        return contract
    every = (*contract.guardrails, *(one for one, _ in shared.values()))
    return contract.model_copy(update={DEFAULTS: every})


def _entries(
    document: yaml.Document, problems: list[Problem]
) -> Iterator[tuple[yaml.Path, Any]]:
    data = document.data
    if not isinstance(data, dict) or ROOT not in data:
        problems.append((document.line(()), "", f"expected the key {ROOT}"))
        return
    odd = sorted(data.keys() - {ROOT, DEFAULTS})
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
    problems: list[Problem],
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
) -> Problem:
    # A guardrail's place has its kind in it, which is no key of the file.
    place = tuple(item["loc"])
    tags = [n for n in range(1, len(place)) if isinstance(place[n - 1], int)]
    where = tuple(
        part for n, part in enumerate(place) if n not in tags or part not in _KINDS
    )
    message = str(item["msg"])
    if item["type"] == "value_error":
        message = message.removeprefix("Value error, ")
        key, colon, rest = message.partition(": ")
        whole = not where or isinstance(where[-1], int) or where[-1] in _MATCHES
        if whole and colon and key.replace(".", "").isalnum():
            where, message = (*where, *key.split(".")), rest
            where = ("rollback", *where) if where == ("safestMode",) else where
    elif item["type"] == "extra_forbidden":
        message = "unknown key"
    elif item["type"] == "missing":
        message = "missing"
    line = document.line((*path, *where))
    return line, yaml.dotted((*path, *where)), message


def _look_alikes(
    found: list[tuple[GovernanceContract, int]],
) -> Iterator[Problem]:
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
    """Yield each budget and limit that another contract names, and means otherwise."""
    first: dict[tuple[str, str], tuple[tuple[object, ...], str]] = {}
    for contract, line in found:
        for key, name, means in _shared_names(contract):
            meant, tool = first.setdefault((key, name), (means, contract.tool))
            if meant != means:
                said = f"{name!r} is another one in the contract of {tool!r}"
                yield line, f"{ROOT}.{key}", f"{said}; let both agree, or rename it"


def _shared_names(
    contract: GovernanceContract,
) -> Iterator[tuple[str, str, tuple[object, ...]]]:
    for budget in contract.budgets:
        yield "budgets", budget.name, budget.shared
    for limit in contract.rate_limits:
        if limit.name is not None:
            yield "rateLimits", limit.name, (limit.rate, limit.of)
    for one in contract.guardrails:
        if isinstance(one, Money) and one.across == "workflow":
            name = f"{contract.workflow}.{one.name}"
            yield DEFAULTS, name, (one.currency, one.per, one.timezone)

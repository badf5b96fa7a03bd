"""Load governance contracts from YAML: all of a file or nothing.

The YAML of article 000 (``agentToolGovernance``) loads as it stands there. A file may
hold several documents, or a list below that key. What it lists under ``guardrails``
beside that key is added to every contract of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import get_args

from pydantic import TypeAdapter

from openfeature_gov import strict_yaml as yaml
from openfeature_gov.errors import InvalidContractError
from openfeature_gov.governance.contract import GovernanceContract
from openfeature_gov.governance.foreign import Foreign
from openfeature_gov.governance.guardrails import BuiltIn, Guardrail, Money
from openfeature_gov.governance.parts import skeleton
from openfeature_gov.governance.settings import Setting

ROOT = "agentToolGovernance"
DEFAULTS = "guardrails"
_BESIDE = frozenset({DEFAULTS})
_KINDS = frozenset(
    get_args(one.model_fields["kind"].annotation)[0]
    for one in (*get_args(BuiltIn), *get_args(Foreign))
)


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
    problems: list[yaml.Problem] = []
    shared = dict(_shared(documents, problems))
    found: list[tuple[GovernanceContract, int]] = []
    lines: dict[tuple[str, str], int] = {}
    for document in documents:
        for path, data in yaml.entries(document, ROOT, problems, beside=_BESIDE):
            contract = yaml.validated(
                *(document, path, data, GovernanceContract.model_validate, problems),
                tags=_KINDS,
            )
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
    documents: list[yaml.Document], problems: list[yaml.Problem]
) -> Iterator[tuple[str, tuple[Setting, int]]]:
    """Yield the guardrails of the whole file by name, each with its line."""
    seen: dict[str, int] = {}
    for document in documents:
        if not isinstance(document.data, dict) or DEFAULTS not in document.data:
            continue
        listed = yaml.validated(
            *(document, (DEFAULTS,), document.data[DEFAULTS]),
            *(_listed().validate_python, problems),
            tags=_KINDS,
        )
        for index, one in enumerate(listed or ()):
            line = document.line((DEFAULTS, index))
            if one.name in seen:
                said = f"two are named {one.name!r}, first on line {seen[one.name]}"
                problems.append((line, f"{DEFAULTS}[{index}]", said))
            seen[one.name] = line
            yield one.name, (one, line)


def _twice(
    contract: GovernanceContract, shared: Mapping[str, tuple[Setting, int]], line: int
) -> Iterator[yaml.Problem]:
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


def _look_alikes(
    found: list[tuple[GovernanceContract, int]],
) -> Iterator[yaml.Problem]:
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
            yield "rateLimits", limit.name, (limit.rate, limit.of, limit.burst)
    for one in contract.guardrails:
        if isinstance(one, Money) and one.across == "workflow":
            name = f"{contract.workflow}.{one.name}"
            yield DEFAULTS, name, (one.currency, one.per, one.timezone, one.customer)

"""Load rollout plans from YAML: all of a file, or nothing and every problem. Pure.

A problem is told with file, line and key. With the governance contracts at hand a plan
must fit them too: same workflow, same mode flag, no mode that a contract does not list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from openfeature_gov import strict_yaml as yaml
from openfeature_gov.errors import InvalidContractError
from openfeature_gov.governance import Governance
from openfeature_gov_rollout.plan import Plan, safest

ROOT = "rolloutPlan"


def parse(
    text: str, source: str = "<text>", governance: Governance | None = None
) -> tuple[Plan, ...]:
    """Read plans from YAML *text*; *source* names it in errors.

    With *governance* the plans must fit its contracts too.

    Raises:
        InvalidContractError: with every problem found; nothing was loaded.

    """
    problems: list[yaml.Problem] = []
    found: list[tuple[Plan, yaml.Document, yaml.Path]] = []
    documents = yaml.parse(text, source)
    for document in documents:
        for path, data in _entries(document, problems):
            plan = _plan(document, path, data, problems)
            if plan is not None:
                found.append((plan, document, path))
    if not documents:
        problems.append((1, "", f"empty; expected a mapping with the key {ROOT}"))
    remarks = list(_twice(found))
    if governance is not None:
        remarks += [
            (place, keys, message)
            for place, (plan, _, _) in enumerate(found)
            for keys, message in unfit(plan, governance)
        ]
    for place, keys, message in remarks:
        _, document, path = found[place]
        where = (*path, *keys)
        problems.append((document.line(where), yaml.dotted(where), message))
    if problems:
        raise InvalidContractError(source, problems)
    return tuple(plan for plan, _, _ in found)


Remark = tuple[yaml.Path, str]


def unfit(plan: Plan, governance: Governance) -> Iterator[Remark]:
    """Yield what of *plan* the contracts of its tools do not bear, and where."""
    lowest = safest(plan, governance)
    if plan.elsewhere > lowest:
        told = f"above {lowest.label}, the safestMode of its tools: nothing proves it"
        yield ("elsewhere",), told
    for place, tool in enumerate(plan.tools):
        at: yaml.Path = ("tools", place)
        rules = governance.get(tool)
        if rules is None:
            yield at, f"{tool!r} has no governance contract"
            continue
        if rules.workflow != plan.workflow:
            yield at, f"{tool!r} belongs to the workflow {rules.workflow!r}"
        if rules.runtime_controls.mode_flag != plan.mode_flag:
            named = rules.runtime_controls.mode_flag or "none"
            yield at, f"the modeFlag of {tool!r} is {named}, not {plan.mode_flag}"
        for number, stage in enumerate(plan.stages):
            if stage.mode not in rules.modes:
                told = f"allowedModes of {tool!r} does not list {stage.mode.label}"
                yield ("stages", number, "mode"), told


def _entries(
    document: yaml.Document, problems: list[yaml.Problem]
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


def _plan(
    document: yaml.Document,
    path: yaml.Path,
    data: Any,
    problems: list[yaml.Problem],
) -> Plan | None:
    if not isinstance(data, dict):
        problems.append((document.line(path), yaml.dotted(path), "expected a mapping"))
        return None
    try:
        return Plan.model_validate(_tuples(data))
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
) -> yaml.Problem:
    where = tuple(one for one in item["loc"] if one != "[key]")
    message = str(item["msg"])
    if item["type"] == "value_error":
        message = message.removeprefix("Value error, ")
        keys, colon, rest = message.partition(": ")
        if colon and re.fullmatch(r"[a-zA-Z0-9.]+", keys):
            parts = (int(p) if p.isdigit() else p for p in keys.split("."))
            where, message = (*where, *parts), rest
    elif item["type"] == "extra_forbidden":
        message = "unknown key"
    elif item["type"] == "missing":
        message = "missing"
    line = document.line((*path, *where))
    return line, yaml.dotted((*path, *where)), message


def _twice(
    found: Iterable[tuple[Plan, yaml.Document, yaml.Path]],
) -> Iterator[tuple[int, yaml.Path, str]]:
    """Yield plans that share a name, or move the same tool of the same workflow."""
    names: dict[str, int] = {}
    moved: dict[tuple[str, str], str] = {}
    for place, (plan, _, _) in enumerate(found):
        if plan.name in names:
            yield place, ("name",), f"{plan.name!r} is taken by another plan"
        names[plan.name] = place
        for number, tool in enumerate(plan.tools):
            other = moved.setdefault((plan.workflow, tool), plan.name)
            if other != plan.name or plan.tools.index(tool) < number:
                message = f"{tool!r} is moved by plan {other!r} already"
                yield place, ("tools", number), message

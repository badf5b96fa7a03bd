"""Load rollout plans from YAML: all of a file, or nothing and every problem. Pure.

A problem is told with file, line and key. With the governance contracts at hand a plan
must fit them too: same workflow, same mode flag, no mode that a contract does not list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
        for path, data in yaml.entries(document, ROOT, problems):
            plan = yaml.validated(document, path, data, Plan.model_validate, problems)
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
        problems.append(document.problem((*path, *keys), message))
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

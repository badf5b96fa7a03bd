"""`gov flags lint`: flags that are stale, ownerless, overdue, unused, contradictory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from openfeature_gov.cli import lint, output, rollout_view
from openfeature_gov.cli.connecting import Aim, aimed
from openfeature_gov.cli.exits import Exit
from openfeature_gov.cli.options import (
    CONTRACTS,
    RECORDS,
    BesideContracts,
    BesideRecords,
)
from openfeature_gov.cli.rollout_place import PLANS, Plans, load_plans
from openfeature_gov.embedded import load_governance
from openfeature_gov.governance import Governance
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.opening import SCHEMES
from openfeature_gov.stores.queries import Filter, page

if TYPE_CHECKING:
    from openfeature_gov.targets import Held
    from openfeature_gov_rollout.lifecycle import Remark, Used
    from openfeature_gov_rollout.plan import Plan

DAY_US = 86_400_000_000


@aimed
def lint_flags(
    aim: Aim,
    *,
    governance: BesideContracts = None,
    plans: Plans = None,
    records: BesideRecords = None,
    days: Annotated[
        int, typer.Option(min=1, help="Unused or unchanged for so long is stale.")
    ] = 30,
    as_json: output.Json = None,
) -> None:
    """List flags that are stale, ownerless, overdue, unused or contradictory.

    What was evaluated is told by the records of decisions. Exit 4 when there is
    anything to look at, 0 when there is nothing; nothing is changed.
    """
    from openfeature_gov_rollout import lifecycle  # noqa: PLC0415 - slow to load

    target = aim.target
    contracts = load_governance(governance or aim.beside(CONTRACTS))
    path = plans or aim.beside(PLANS)
    known = load_plans(path) if plans is not None or path.exists() else ()
    held = target.read()
    found = lifecycle.remarks(
        contracts,
        known,
        held,
        _used(records or str(aim.beside(RECORDS)), contracts),
        today=rollout_view.today(),
        now_us=time.time_ns() // 1000,
        stale_us=days * DAY_US,
    )
    found += _contradictory(contracts, known, held, target.name)
    remarks = [
        {
            "kind": one.kind,
            "flag": one.subject,
            "message": one.message,
            "advice": one.advice,
        }
        for one in sorted(found)
    ]
    data = {"target": target.name, "remarks": remarks}

    def render(console: Console) -> None:
        if not remarks:
            console.print("nothing to look after")
            return
        rows = [tuple(one.values()) for one in remarks]
        names = ("KIND", "FLAG", "WHAT IS SEEN", "WHAT TO DO")
        fold = frozenset({"FLAG", "WHAT IS SEEN", "WHAT TO DO"})
        console.print(output.columns(*names, rows=rows, fold=fold))

    output.show(data, render, as_json=as_json)
    if found:
        raise typer.Exit(Exit.REFUSED)


def _contradictory(
    contracts: Governance, plans: tuple[Plan, ...], held: Held, name: str
) -> list[Remark]:
    """Return where contracts, plans and flags say different things."""
    from openfeature_gov_rollout.lifecycle import Remark  # noqa: PLC0415 - slow to load
    from openfeature_gov_rollout.placing import place_of  # noqa: PLC0415
    from openfeature_gov_rollout.plan import safest  # noqa: PLC0415
    from openfeature_gov_rollout.plans import unfit  # noqa: PLC0415

    kind = "contradictory"
    found = [
        Remark(kind, one.key, one.message, "gov governance check, gov featbit doctor")
        for one in lint.flag_problems(contracts, held, place=name)
    ]
    for plan in plans:
        flag = plan.mode_flag
        found += [
            Remark(
                kind, flag, f"plan {plan.name}: {message}", "change plan or contract"
            )
            for _, message in unfit(plan, contracts)
        ]
        altered = place_of(held.flags.get(flag), plan, safest(plan, contracts)).altered
        if altered:
            told = f"plan {plan.name}: {altered}"
            found.append(Remark(kind, flag, told, f"gov rollout status {plan.name}"))
    return found


def _used(records: str, contracts: Governance) -> dict[str, Used]:
    """Return by tool what its latest decision says of flags; one look a tool."""
    from openfeature_gov_rollout.lifecycle import Used  # noqa: PLC0415 - slow to load

    if not records.startswith(SCHEMES) and not Path(records).exists():
        return {}
    found = {}
    with opened(records) as log:
        for rules in contracts:
            wanted = Filter(tool=(rules.tool,))
            latest = page(log, wanted, newest_first=True, limit=1).records
            for body in latest:
                flags: list[dict[str, Any]] = body.get("flags") or []
                found[rules.tool] = Used(
                    int(body["atUs"]),
                    {
                        str(one["key"]): (
                            str(one.get("variant")),
                            str(one.get("fault") or ""),
                        )
                        for one in flags
                    },
                )
    return found

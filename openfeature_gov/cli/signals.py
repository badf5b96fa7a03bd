"""`gov signals`: which quality and safety signals hold, and who lets go of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.cli import output
from openfeature_gov.cli.carrying import By, ShortReason, reason_of, signed_by
from openfeature_gov.cli.options import (
    CONTRACTS,
    RECORDS,
    CheckpointFile,
    Contracts,
    KeyFile,
    Records,
    sealing_of,
)
from openfeature_gov.cli.runs import reachable
from openfeature_gov.controls.guardrails import PREFIX
from openfeature_gov.embedded import load_governance
from openfeature_gov.evidence.texts import FIELD_LIMIT
from openfeature_gov.governance import Governance
from openfeature_gov.governance.guardrails import Signal

app = typer.Typer(no_args_is_help=True, help="Look at signals and let go of them.")


@app.callback()
def _group() -> None:
    """Look at signals and let go of them."""


@app.command("list")
def listed(
    *,
    governance: Contracts = Path(CONTRACTS),
    records: Records = RECORDS,
    as_json: output.Json = None,
) -> None:
    """Show each signal that a guardrail looks at, as the last decision found it.

    A signal with a named release holds until somebody lets go of it; each process has
    its own samples.
    """
    place = reachable(records)
    rows = [*_rows(load_governance(governance), place)]

    def render(console: Console) -> None:
        names = ("METRIC", "TOOL", "GUARDRAIL", "FOUND", "MEAN", "LAST (UTC)", "LET GO")
        cells = [
            (
                output.styled(row["metric"], "bold"),
                output.styled(row["tool"]),
                output.styled(row["guardrail"]),
                output.styled(row["found"], _COLOURS.get(row["found"], "")),
                output.styled(row["mean"] or ""),
                output.moment(row["atUs"]) if row["atUs"] else "",
                _let_go(row),
            )
            for row in rows
        ]
        console.print(output.columns(*names, rows=cells))

    output.show({"signals": rows}, render, as_json=as_json)


_COLOURS = {"signal_fired": "red", "signal_missing": "yellow", "clear": "green"}


def _let_go(row: dict[str, Any]) -> str:
    release = row["release"]
    if release is None:
        return "by name" if row["namedRelease"] else "by itself"
    return f"{release['by']} {output.moment(release['atUs'])}"


def _rows(governance: Governance, place: str) -> Iterator[dict[str, Any]]:
    from openfeature_gov.stores.queries import (  # noqa: PLC0415 - slow to load
        Filter,
        query,
    )

    released = _released(place)
    for rules in governance:
        looked = [one for one in rules.guardrails if isinstance(one, Signal)]
        wanted = Filter(kind=("decision",), tool=(rules.tool,))
        last = query(place, wanted, newest_first=True, limit=1) if looked else None
        body = last.records[0] if last is not None and last.records else {}
        for one in looked:
            said = _said(body, one)
            yield {
                "metric": one.metric,
                "tool": rules.tool,
                "guardrail": one.name,
                "found": said.get("reason") or "nothing yet",
                "mean": (said.get("evidence") or {}).get("mean"),
                "atUs": body.get("atUs"),
                "namedRelease": one.named_release,
                "release": released.get(one.metric),
            }


def _said(body: dict[str, Any], one: Signal) -> dict[str, Any]:
    for verdict in body.get("verdicts") or ():
        if verdict.get("control") == f"{PREFIX}{one.name}":
            return dict(verdict)
    return {}


def _released(place: str) -> dict[str, dict[str, Any]]:
    """Return the last release of each metric."""
    from openfeature_gov.recalling import releases  # noqa: PLC0415 - slow to load

    return {one.metric: {"by": one.by, "atUs": one.at_us} for one in releases(place, 0)}


@app.command("release")
def release(
    metric: Annotated[
        str, typer.Argument(metavar="METRIC", help="The metric that it is about.")
    ],
    *,
    reason: ShortReason,
    actor: By = None,
    governance: Contracts = Path(CONTRACTS),
    records: Records = RECORDS,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    as_json: output.Json = None,
) -> None:
    """Let go of METRIC, by name and with a reason, recorded first.

    A process that holds it hears of it within seconds of its next call, and lets go if
    the signal is within its threshold again. One that turns bad later holds anew.
    """
    from openfeature_gov.signals import release_record  # noqa: PLC0415 - slow to load
    from openfeature_gov.stores.opening import open_store  # noqa: PLC0415

    place, known = reachable(records), load_governance(governance)
    tools = sorted(
        {
            rules.tool
            for rules in known
            for one in rules.guardrails
            if isinstance(one, Signal) and one.metric == metric
        }
    )
    if not tools:
        raise typer.BadParameter(f"no guardrail of {governance} looks at {metric!r}")
    by, why = signed_by(actor), reason_of(reason, longest=FIELD_LIMIT)
    store = open_store(place, sealing=sealing_of(key_file, checkpoint_file))
    try:
        try:
            record = release_record(store.stamp(), metric, by, why)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        store.commit(record)
    finally:
        store.close()
    data = {"record": record.id, "metric": metric, "by": by, "tools": tools}
    text = Text(f"✔ recorded {record.id}: {metric} for {', '.join(tools)}", "green")
    output.show(data, lambda console: console.print(text), as_json=as_json)

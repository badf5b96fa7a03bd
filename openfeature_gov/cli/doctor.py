"""`gov featbit doctor`: say what is not as it should be in FeatBit, and what to do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from openfeature_gov.cli import output
from openfeature_gov.cli.connecting import environment_of, evaluation_of
from openfeature_gov.cli.exits import Exit
from openfeature_gov.cli.options import (
    ApiUrl,
    Env,
    EventUrl,
    Project,
    SecretFile,
    StreamingUrl,
    TokenFile,
)
from openfeature_gov.embedded import load_governance

MARKS = {
    "ok": ("✔", "green"),
    "warning": ("!", "yellow"),
    "problem": ("✖", "red"),
    "unreached": ("✖", "red"),
    "unchecked": ("·", "dim"),
}


def doctor(
    governance: Annotated[
        Path,
        typer.Argument(
            metavar="GOVERNANCE", help="Governance contracts (YAML).", readable=False
        ),
    ],
    *,
    streaming_url: StreamingUrl = "",
    event_url: EventUrl = "",
    secret_file: SecretFile = None,
    api_url: ApiUrl = "",
    token_file: TokenFile = None,
    project: Project = "",
    env: Env = "",
    timeout: Annotated[
        float, typer.Option(min=0.1, max=60, help="Seconds to wait for each answer.")
    ] = 5.0,
    as_json: output.Json = None,
) -> None:
    """Check servers, secret, token, clocks, and the flags that GOVERNANCE names.

    Changes nothing. What is not given is not checked, and that is said. Exit 0 when
    all is well, warnings or not, 3 when a server does not answer, 4 for a problem.
    """
    # FeatBit's client takes a while to load, and other commands need none of it.
    from openfeature_gov.cli.examining import checked  # noqa: PLC0415

    contracts = load_governance(governance)
    evaluation = evaluation_of(streaming_url, event_url, secret_file)
    target = None
    if api_url:
        target = environment_of(api_url, token_file, project, env, timeout_s=timeout)
    if evaluation is None and target is None:
        raise typer.BadParameter(
            "nothing to check: give --streaming-url and --event-url, or --api-url"
        )
    checks = checked(contracts, evaluation, target, api_url, timeout)
    seen = Counter(str(one.state) for one in checks)
    counts = {state: seen[state] for state in MARKS}
    data = {
        "ok": not counts["problem"] + counts["unreached"],
        "governance": str(governance),
        "counts": counts,
        "checks": [one._asdict() for one in checks],
    }
    output.show(data, lambda console: _render(console, data), as_json=as_json)
    if counts["unreached"]:
        raise typer.Exit(Exit.UNREACHABLE)
    if counts["problem"]:
        raise typer.Exit(Exit.REFUSED)


def _render(console: Console, data: dict[str, Any]) -> None:
    checks, counts = data["checks"], data["counts"]
    rows = [
        (Text(*MARKS[one["state"]]), one["about"], one["seen"], one["do"])
        for one in checks
    ]
    fold = frozenset({"CHECK", "SEEN", "DO"})
    console.print(output.columns("", "CHECK", "SEEN", "DO", rows=rows, fold=fold))
    word, style = ("✔ well", "green") if data["ok"] else ("✖ not well", "red")
    told = [
        f"{counts['problem'] + counts['unreached']} problems",
        f"{counts['warning']} warnings",
        f"{counts['unchecked']} not checked",
    ]
    console.print()
    console.print(Text(word, f"bold {style}"), Text(" · ".join(told), "dim"))

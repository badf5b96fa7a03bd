"""`gov featbit follow`: record who changed flags in FeatBit, and why."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from openfeature_gov.cli import output
from openfeature_gov.cli.connecting import environment_of, private
from openfeature_gov.cli.options import (
    RECORDS,
    ApiUrl,
    CheckpointFile,
    Env,
    KeyFile,
    Project,
    Records,
    TokenFile,
    sealing_of,
)
from openfeature_gov.stores import queries
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.queries import Filter
from openfeature_gov.targets import UnreachableError

if TYPE_CHECKING:
    from openfeature_gov.cli.doors import Door
    from openfeature_gov.evidence.policy_changes import PolicyChanges

EVERY_S = 30.0
Every = Annotated[
    float, typer.Option("--every", min=1.0, help="Seconds between two looks.")
]
WEBHOOK_SECRET = "GOV_FEATBIT_WEBHOOK_SECRET"  # noqa: S105 - the name of the variable
Listen = Annotated[
    str,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        help="Take FeatBit's webhooks here (a port alone: on this machine), and look "
        "at once when a true one comes.",
        show_default=False,
    ),
]
WebhookSecretFile = Annotated[
    Path | None,
    typer.Option(
        "--webhook-secret-file",
        help=f"File with the webhook's secret (default: environment {WEBHOOK_SECRET}).",
    ),
]
CHANGES = Filter(kind=("policy_change",))
Once = Annotated[bool, typer.Option("--once", help="Look once and end.")]


def follow(
    *,
    api_url: ApiUrl = "",
    token_file: TokenFile = None,
    project: Project = "",
    env: Env = "",
    records: Records = RECORDS,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    every: Every = EVERY_S,
    once: Once = False,
    listen: Listen = "",
    webhook_secret_file: WebhookSecretFile = None,
    as_json: output.Json = None,
) -> None:
    """Record each change of a flag or segment in FeatBit: who, why and what.

    Reads FeatBit's audit log, each entry once, from where the records end. Prints one
    line a change; what changed stands in the records. A change without a comment,
    without instructions or by PATCH is a finding. A webhook is never believed: it only
    makes the next look begin at once. Ends at Ctrl-C.
    """
    from openfeature.contrib.provider.featbit.management import (  # noqa: PLC0415
        ManagementError,
    )
    from openfeature_gov.evidence.policy_changes import (  # noqa: PLC0415
        PolicyChanges,
    )

    target = environment_of(api_url, token_file, project, env)
    rung = threading.Event()
    listening = _listening(listen, webhook_secret_file, rung, once=once)
    past = partial(_kept, records)
    store = open_store(records, sealing=sealing_of(key_file, checkpoint_file))
    try:
        changes = PolicyChanges(target.client, target.env_id, store, past)
        with opened(records) as log:
            seen: Mapping[str, int] = queries.ends(log)
        with listening as bell:
            while True:
                rung.clear()
                _look(changes, target.name, patient=not once)
                seen = _tell(records, seen, as_json=as_json)
                if once:
                    return
                rung.wait(every)
                if bell is not None:
                    bell.warn_of_refused()
    except KeyboardInterrupt:
        return
    except ManagementError as error:
        raise UnreachableError(f"{target.name}: {error}") from None
    finally:
        store.close()


def _listening(
    where: str, secret_file: Path | None, rung: threading.Event, *, once: bool
) -> AbstractContextManager[Door | None]:
    """Return what listens for webhooks as the options say, or does nothing."""
    if not where:
        if secret_file is not None:
            raise typer.BadParameter("--webhook-secret-file needs --listen")
        return nullcontext()
    if once:
        raise typer.BadParameter("say --once or --listen, not both")
    from openfeature_gov.cli.listening import listening  # noqa: PLC0415

    option = "--webhook-secret-file"
    secret = private(secret_file, WEBHOOK_SECRET, "webhook secret", option)
    return listening(where, secret, rung)


def _look(changes: PolicyChanges, name: str, *, patient: bool) -> None:
    from openfeature.contrib.provider.featbit.management import (  # noqa: PLC0415
        NoAnswerError,
    )

    try:
        poll = changes.poll(time.time_ns() // 1_000_000)
    except NoAnswerError as error:
        if not patient:
            raise
        output.warn(f"{name}: {error}; the next look starts where this one did")
        return
    if poll.gaps:
        output.warn(f"{name}: {poll.gaps} part(s) of the audit log cannot be read")


def _kept(records: str, *, kind: str) -> list[dict[str, Any]]:
    with opened(records) as log:
        return log.recorded(
            f"kind = :kind ORDER BY {log.ordered('ASC')}", {"kind": kind}
        )


def _tell(
    records: str, seen: Mapping[str, int], *, as_json: bool | None
) -> Mapping[str, int]:
    """Print the changes behind the numbers *seen*; return the numbers now."""
    with opened(records) as log:
        found, now = queries.newer(log, CHANGES, seen, limit=sys.maxsize)
    for body in found:
        output.line(body, _line(body), as_json=as_json)
    return now


def _line(body: Mapping[str, Any]) -> Text:
    """Return one change for people."""
    when = output.moment(body["createdMs"] * 1000)
    comment = output.styled(body["comment"], "" if body["comment"] else "yellow")
    findings = Text(f"  ! {', '.join(map(output.safe, body['findings']))}", "yellow")
    return Text.assemble(
        (when, "dim"),
        "  ",
        output.safe(body["actor"]["name"] or body["actor"]["id"]),
        "  ",
        (f"{output.safe(body['operation'])} {output.safe(body['key'])}", "bold"),
        "  ",
        comment,
        findings if body["findings"] else "",
    )

"""`gov decide`: what would happen to one call, and why. The tool never runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Any

import typer
from rich.console import Console

from openfeature import api
from openfeature.contrib.provider.featbit import FeatBitProvider
from openfeature_gov.allowances.rates import LocalRates
from openfeature_gov.allowances.taking import Allowances
from openfeature_gov.cli import output, reasons
from openfeature_gov.cli.arguments import arguments_of
from openfeature_gov.cli.calling import (
    Agent,
    Args,
    Confidence,
    Id,
    Scopes,
    Service,
    ToolName,
    User,
)
from openfeature_gov.cli.exits import Exit
from openfeature_gov.cli.options import (
    CONTRACTS,
    FLAGS,
    CheckpointFile,
    Contracts,
    Flags,
    KeyFile,
    sealing_of,
)
from openfeature_gov.contracts import Actor, CallContext, Evidence, ToolCall
from openfeature_gov.controls import HEALTHY, Controls
from openfeature_gov.decisions import Effect
from openfeature_gov.embedded import load_governance
from openfeature_gov.evidence.records import merged, outcome_record
from openfeature_gov.extracting import Extractors
from openfeature_gov.flags.reader import DOMAIN, FlagReader
from openfeature_gov.governance import Governance
from openfeature_gov.judging import Judge, Judged
from openfeature_gov.observing import Observer
from openfeature_gov.outcomes import Status, message
from openfeature_gov.policies import Knowing, Policies
from openfeature_gov.recalling import recall
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.writing import QueuedStore
from openfeature_gov.tools import Tool

CODES = {Effect.ALLOW: Exit.OK, Effect.QUEUE_FOR_APPROVAL: Exit.PENDING}


def decide(
    tool: ToolName,
    *,
    governance: Contracts = Path(CONTRACTS),
    flags: Flags = Path(FLAGS),
    args: Args = "{}",
    agent: Agent = "gov-cli",
    user: User = "",
    account: Id = "",
    service: Service = "",
    scope: Scopes = None,
    environment: Id = "",
    region: Id = "",
    stage: Id = "",
    task: Id = "",
    confidence: Confidence = None,
    records: Annotated[
        str | None,
        typer.Option(
            "--records", help="Record the decision in this database: a file or URL."
        ),
    ] = None,
    key_file: KeyFile = None,
    checkpoint_file: CheckpointFile = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say what stands in the way, and how.")
    ] = False,
    brief: Annotated[
        bool,
        typer.Option("--brief", help="Say it, and what would lift it, in a line."),
    ] = False,
    as_json: output.Json = None,
) -> None:
    """Decide about one call of TOOL, without running it.

    Extractors of the registered tool are not run: where they state a fact or fail, the
    tool may be denied or queued although this says allow.

    Exit 0 allow; 4 denied, constrained or fallback; 5 waits for approval.
    """
    if brief and explain:
        raise typer.BadParameter("say --brief or --explain, not both")
    context = CallContext(
        actor=Actor(
            agent=agent, user=user, service=service, scopes=frozenset(scope or ())
        ),
        account=account,
        environment=environment,
        region=region,
        stage=stage,
        task=task,
        evidence=Evidence(confidence=confidence),
    )
    call = ToolCall(tool, arguments_of(args), context)
    contracts = load_governance(governance)
    with reading(flags) as reader:
        if records is None:
            judged = judged_by(contracts, reader, call)
        else:
            sealing = sealing_of(key_file, checkpoint_file)
            with closing(open_store(records, sealing=sealing)) as store:
                judged = _recorded(contracts, reader, call, store)
    data = about(judged, recorded=records is not None)

    def render(console: Console) -> None:
        if brief:
            reasons.line(console, data)
        else:
            reasons.render(console, data, explain=explain)

    output.show(data, render, as_json=as_json)
    code = CODES.get(judged.decision.effect, Exit.REFUSED)
    if code:
        raise typer.Exit(code)


@contextmanager
def reading(flags: Path) -> Iterator[FlagReader]:
    """Bind a provider on the file *flags* to a domain of its own for the block."""
    provider = FeatBitProvider.from_file(flags)
    domain = f"{DOMAIN}-{token_hex(4)}"
    try:
        api.set_provider_and_wait(provider, domain)
        yield FlagReader(api.get_client(domain), bound=provider)
    finally:
        provider.shutdown()


def judged_by(
    contracts: Governance,
    reader: FlagReader,
    call: ToolCall,
    store: QueuedStore | None = None,
    *,
    extract: Extractors | None = None,
    remembered: Path | None = None,
) -> Judged:
    """Return the judgement of *call*, recorded nowhere.

    Guardrails remember what the records in *remembered* say, as after a restart, and
    ask what they can be asked here: no function of a host.

    Raises:
        RecordStoreError: when *remembered* cannot be read.

    """
    observer = Observer(contracts, now_us)
    if remembered is not None:
        recall(observer, contracts, remembered, now_us())
    policies = Policies(contracts, {})
    # What a call would spend is known only where somebody states the facts.
    known = Allowances(LocalRates(), time.monotonic_ns, now_us)
    judge = Judge(
        contracts,
        reader,
        Controls(),
        writer=lambda: "plan" if store is None else store.writer,
        health=lambda: HEALTHY if store is None else store.health(),
        clock=time.monotonic_ns,
        now=time.time_ns,
        knowing=Knowing(observer, policies),
        allowances=None if extract is None else known,
    )
    tool = Tool(name=call.tool, function=_nothing, extractors=extract or Extractors())
    return judge.judge(call, tool if call.tool in contracts else None)


def now_us() -> int:
    """Return the wall time in microseconds since 1970."""
    return time.time_ns() // 1000


def _recorded(
    contracts: Governance, reader: FlagReader, call: ToolCall, store: QueuedStore
) -> Judged:
    """Return the judgement once its record is durable, and that nothing ran."""
    judged = judged_by(contracts, reader, call, store)
    store.commit(judged.record)
    if judged.record.executes:
        stamp = store.stamp()
        store.commit(outcome_record(stamp, judged.record.id, status=Status.NOT_RUN))
    return judged


def _nothing(**_: object) -> None:
    """Stand in for the tool; it is never called."""


def about(judged: Judged, *, recorded: bool) -> dict[str, Any]:
    """Return the decision as its record tells it, with the message for the model."""
    facts: dict[str, Any] = merged(*judged.record.encoded())
    identity = facts.pop("id")
    route = judged.route
    return {
        "effect": facts.pop("effect"),
        "mode": facts.pop("mode"),
        "need": judged.decision.need.label,
        "reason": facts.pop("reason"),
        "message": message(
            judged.decision, Status.PLANNED, ran=route.ran, ref=identity
        ),
        "recorded": recorded,
        "recordId": identity if recorded else None,
        "extractors": "not run",
        **facts,
    }

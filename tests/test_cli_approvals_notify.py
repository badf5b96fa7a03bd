"""`gov approvals notify`: from what a Governor records to who is told, really sent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from openfeature_gov.approvals.signing import HEADER, verify
from openfeature_gov.cli import app
from openfeature_gov.cli.answering import now_us
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.shelves import RecordShelf
from tests.receiving import Receiver, answer
from tests.test_approvals_notifying import (
    BINDING,
    SECRET,
    Records,
    receiver,
    records,
)
from tests.test_cli_approvals import records_of
from tests.test_governor_approvals import Waiting
from tests.tree import PATH

__all__ = ["receiver", "records"]
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
CANARY = "T0PS3CRET"
LINK = "https://gov.example.com/inbox"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("GOV_RECORDS", "GOV_CHANNELS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def channels(**groups: str) -> None:
    """Write a file with a webhook for each group, by the host and port it is at."""
    lines = ["channels:"]
    for group, place in groups.items():
        hook = f'webhook: "http://{place}/{CANARY}", secretFile: secret'
        lines.append(f"  - {{group: {group.replace('_', '-')}, {hook}}}")
    write("channels.yaml", "\n".join(lines))
    write("secret", SECRET.decode())


def write(name: str, text: str) -> None:
    Path(name).write_text(text)
    Path(name).chmod(0o600)


def notify(*words: str) -> Result:
    """Send once."""
    return CliRunner().invoke(app, ["approvals", "notify", "--once", *words])


def told(result: Result, code: int = 0) -> Any:
    """Return the JSON that was printed, which holds no secret."""
    assert result.exit_code == code, result.output
    for secret in (CANARY, SECRET.decode(), "127.0.0.1"):
        assert secret not in result.output
    return json.loads(result.stdout)


def test_what_a_governor_queues_is_told(tmp_path: Path, receiver: Receiver) -> None:
    """To the reviewers, and the answer to the agent; nothing personal is in either."""
    waiting = Waiting(tmp_path)
    try:
        outcome = waiting.call(to=CANARY, arguments={"text": CANARY})
        request = waiting.request(outcome)
        at = ("--records", str(waiting.desk.records), "--link", LINK)
        channels(**{request.group: receiver.place, request.agent: receiver.place})
        sent = told(notify(*at))["sent"]
        assert sent == {request.group: 1, request.agent: 0}
        waiting.approve(outcome, reason=CANARY)
        assert told(notify(*at))["sent"] == {request.group: 0, request.agent: 1}
    finally:
        waiting.governor.close()
    asked, answered = receiver.posted
    assert asked.said["id"] == answered.said["id"] == request.id
    assert (asked.said["event"], answered.said["event"]) == ("requested", "approved")
    assert asked.said["tool"] == "mail"
    assert asked.said["risk"] == request.facts["riskClass"]
    link = f"{LINK}/{request.id}?fingerprint={request.fingerprint}"
    assert asked.said["link"] == link
    personal = [CANARY, *request.requesters, request.task, request.digest]
    for one in receiver.posted:
        assert not [word for word in personal if word in one.body.decode()]
        now_ms = now_us() // 1_000
        assert verify(SECRET, one.body, one.headers[HEADER], now_ms=now_ms)


def test_apprise_and_a_webhook_together(records: Records, receiver: Receiver) -> None:
    """Two channels of one group, each told by its own cursor."""
    pytest.importorskip("apprise")
    records.put("a")
    place = receiver.place
    write("secret", SECRET.decode())
    write(
        "channels.yaml",
        f"channels:\n  - {{group: support, url: 'json://{place}/{CANARY}'}}\n"
        f"  - {{group: support, name: hook, webhook: 'http://{place}/{CANARY}',"
        " secretFile: secret}\n",
    )
    assert told(notify())["sent"] == {"support": 1, "hook": 1}
    assert told(notify())["sent"] == {"support": 0, "hook": 0}
    bodies = [one.said for one in receiver.posted]
    assert sorted("notice" in one for one in bodies) == [False, True]


def test_one_that_fails_holds_up_no_other(records: Records, receiver: Receiver) -> None:
    """Exit 3 names it; it goes on where it was, the other does not begin again."""
    for number in range(3):
        records.put(f"r{number}", group="support")
        records.put(f"s{number}", group="sales")
    with closing(Receiver(answer(500))) as broken:
        channels(sales=broken.place, support=receiver.place)
        result = notify()
        assert told(result, 3)["sent"] == {"support": 3}
        said = "gov: error: channel sales: notice not taken: answer 500\n"
        assert result.stderr == said
        broken.usual = answer()
        assert told(notify())["sent"] == {"sales": 3, "support": 0}
        assert {one.said["id"] for one in broken.posted} == {"s0", "s1", "s2"}
    assert [one.said["id"] for one in receiver.posted] == ["r0", "r1", "r2"]


def test_what_soon_expires_is_brought_to_mind(
    records: Records, receiver: Receiver
) -> None:
    """Once, whoever asks."""
    minute = 60_000_000
    now = records.now()
    records.put("a", created_us=now - 20 * minute, deadline_us=now + 4 * minute)
    channels(support=receiver.place)
    assert told(notify())["sent"] == {"support": 2}
    assert told(notify())["sent"] == {"support": 0}
    assert [one.said["event"] for one in receiver.posted] == ["requested", "expiring"]


def test_notices_are_sent_from_every_log_of_a_database(receiver: Receiver) -> None:
    """Of two writers, which have numbers of their own."""
    with records_of("postgresql") as url:
        for name in ("a", "b"):
            with closing(open_store(url)) as store:
                made = Records.__new__(Records)
                made.store, made.passed_us = store, 0
                made.shelf = RecordShelf(store, url)
                made.put(name)
        channels(support=receiver.place)
        assert notify("--records", url).exit_code == 2
        at = ("--records", url, "--cursor", "kept")
        assert told(notify(*at))["sent"] == {"support": 2}
        assert told(notify(*at))["sent"] == {"support": 0}
    assert {one.said["id"] for one in receiver.posted} == {"a", "b"}
    assert len(list(Path().glob("kept.support.*"))) == 2


@contextmanager
def following(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-m", "openfeature_gov.cli", "approvals", "notify", *words],
        env={**os.environ, "PYTHONPATH": PATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def test_what_comes_is_told_while_another_channel_fails(
    records: Records, receiver: Receiver
) -> None:
    """Until Ctrl-C; a warning names the one that fails, and no URL."""
    records.put("a")
    records.put("b", group="sales")
    with closing(Receiver(answer(500))) as broken:
        channels(sales=broken.place, support=receiver.place)
        with following() as running:
            receiver.wait(1)
            broken.wait(3)
            records.put("c")
            receiver.wait(2)
            broken.usual = answer()
            broken.wait(4)
            assert running.stdout is not None
            lines = [json.loads(running.stdout.readline()) for _ in range(3)]
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=60)
            assert running.returncode == 0
    assert [one.said["id"] for one in receiver.posted] == ["a", "c"]
    sent = [one["sent"] for one in lines]
    assert [one for one in sent if "support" in one] == [{"support": 1}] * 2
    assert [one for one in sent if "sales" in one] == [{"sales": 1}]
    said = "channel sales: notice not taken: answer 500; the next try is in 2 s"
    assert f"gov: warning: {said}\n" in err
    assert CANARY not in err
    assert "127.0.0.1" not in err


def test_a_killed_one_goes_on(records: Records, receiver: Receiver) -> None:
    """Killed (-9) while a notice is on its way: the next run sends it, none is lost."""
    for number in range(3):
        records.put(f"r{number}")
    channels(support=receiver.place)
    with following() as running:
        receiver.answers = [answer(), lambda _handler: running.kill()]
        receiver.wait(2)
        running.wait(60)
    assert told(notify())["sent"] == {"support": 2}
    assert [one.said["id"] for one in receiver.posted] == ["r0", "r1", "r1", "r2"]
    assert receiver.posted[1].body == receiver.posted[2].body


def test_a_log_that_went_back_ends_it(records: Records, receiver: Receiver) -> None:
    """It is no matter of patience."""
    records.put("a")
    channels(support=receiver.place)
    assert told(notify())["sent"] == {"support": 1}
    kept = Path("records.db.notified.support")
    kept.write_text(kept.read_text().replace('"id":"', '"id":"x'))
    assert (notify().exit_code, "another log" in notify().stderr) == (3, True)
    with following() as running:
        _, err = running.communicate(timeout=60)
        assert (running.returncode, "another log" in err) == (3, True)


@pytest.mark.parametrize(
    "link",
    [
        "http://gov.example.com/inbox",
        "https://me@gov.example.com/inbox",
        "https://gov.example.com/inbox?a=b",
        "https://gov.example.com/#a",
        "gov.example.com",
        "javascript:alert(1)",
    ],
)
def test_a_link_leads_to_one_page_by_https(records: Records, link: str) -> None:
    """Nothing else is sent to anybody."""
    channels(support="127.0.0.1:1")
    result = notify("--link", link)
    assert (result.exit_code, "--link" in result.stderr) == (2, True)
    assert records.path.exists()


def test_what_is_not_there_is_said() -> None:
    """Records, channels; and a refused file by its line."""
    channels(support="127.0.0.1:1")
    result = notify()
    assert (result.exit_code, "records.db: No such file" in result.stderr) == (3, True)
    with closing(open_store("records.db")):
        pass
    write("channels.yaml", f"channels:\n  - {{url: {CANARY}}}")
    result = notify()
    assert result.exit_code == 3
    assert "channels.yaml:2: channels[0].group: missing" in result.stderr
    assert CANARY not in result.stderr
    Path("channels.yaml").unlink()
    result = notify()
    assert (result.exit_code, "channels.yaml" in result.stderr) == (3, True)


def test_nothing_is_written_to_the_records(
    records: Records, receiver: Receiver
) -> None:
    """To tell of them is a look."""
    records.put("a", binding=BINDING)
    channels(support=receiver.place)
    before = records.path.read_bytes()
    told(notify())
    assert records.path.read_bytes() == before

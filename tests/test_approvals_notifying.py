"""Notices on their way: from real records to real receivers, each at least once."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from openfeature_gov.approvals.channels import Channel
from openfeature_gov.approvals.notices import SOON_US, News, Notice, notice, payload
from openfeature_gov.approvals.notifying import (
    TRIES,
    Send,
    notify,
    remind,
    sender,
)
from openfeature_gov.approvals.people import Reviewer
from openfeature_gov.approvals.queue import ApprovalQueue
from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.shelf import change
from openfeature_gov.approvals.signing import HEADER, verify
from openfeature_gov.approvals.steps import MINUTE_US
from openfeature_gov.errors import InvalidContractError, RecordStoreError
from openfeature_gov.evidence.records import note_record
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.queries import stored
from openfeature_gov.stores.shelves import RecordShelf
from tests.properties.test_approvals import People
from tests.properties.test_approvals import request as asked
from tests.receiving import Posted, Receiver, answer, hang_up
from tests.tree import PATH

# Loading its plugins, apprise imports a module that Python 3.13 no longer has.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")
SECRET = b"a secret of ours, long"
CANARY = "T0PS3CRET"
BINDING = "5eed" * 16
FACTS = {"riskClass": "external_effect", "reversibility": "none"}
LINK = "https://gov.example.com/inbox"
BOB = Reviewer("bob", frozenset({"support"}), "cli")


class Records:
    """A store with requests, and the clock of its queue. Lives for one test."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "records.db"
        self.cursor = folder / "cursor"
        self.store = open_store(self.path)
        self.shelf = RecordShelf(self.store, self.path)
        self.passed_us = 0
        self.queue = ApprovalQueue(self.shelf, People(), self.now)

    def now(self) -> int:
        return time.time_ns() // 1_000 + self.passed_us

    def put(self, request_id: str, **changes: Any) -> Request:
        """Store a request as a Governor does: with the decision that queues it."""
        stamp = self.shelf.stamp()
        made = asked(
            **{
                "id": request_id,
                "record_id": stamp.id,
                # Of one binding a single request waits.
                "binding": BINDING if request_id == "a" else f"{request_id:x>64}",
                "created_us": self.now(),
                "deadline_us": self.now() + 30 * MINUTE_US,
                "facts": FACTS,
                **changes,
            }
        )
        effect = {"effect": "queue_for_approval"}
        record = note_record(stamp, "decision", **effect)
        self.shelf.commit(record._replace(change=change(made, 0)))
        return made

    def others(self, count: int) -> None:
        """Write records that nobody hears of."""
        for _ in range(count):
            self.store.append(
                note_record(self.store.stamp(), "decision", effect="allow")
            )
        self.store.commit(note_record(self.store.stamp(), "stop"))

    def notify(self, send: Send, to: str = "support") -> int:
        read = partial(stored, self.path)
        return notify(to, read, self.shelf, self.cursor, send, self.now)

    def remind(self, send: Send, to: str = "support") -> int:
        cursor = self.cursor.with_name("reminded")
        return remind(to, self.shelf, cursor, send, self.now())


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    made = Records(tmp_path)
    with closing(made.store):
        yield made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with closing(Receiver()) as made:
        yield made


def webhook(receiver: Receiver, path: str = "/hook") -> Channel:
    url = f"http://{receiver.place}{path}"
    return Channel("support", "support", webhook=url, secret=SECRET)


def by_apprise(receiver: Receiver, path: str = "/notify") -> Channel:
    pytest.importorskip("apprise")
    return Channel("support", "support", url=f"json://{receiver.place}{path}")


def hook(receiver: Receiver) -> Send:
    return sender(webhook(receiver), LINK, pause_s=0)


def one_notice() -> Notice:
    return notice(News.REQUESTED, asked(binding=BINDING, facts=FACTS), "mark")


def keys(posted: list[Posted]) -> list[str]:
    return [one.said["notice"] for one in posted]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_a_webhook_is_signed_json(receiver: Receiver) -> None:
    """It verifies over its raw body, once."""
    sender(webhook(receiver), LINK)(one_notice())
    (one,) = receiver.posted
    assert one.path == "/hook"
    assert one.headers["Content-Type"] == "application/json"
    assert one.said == payload(one_notice(), LINK)
    assert one.said["link"] == f"{LINK}/r?fingerprint=5eed5eed5eed"
    header = one.headers[HEADER]
    seen: dict[str, tuple[int]] = {}
    assert verify(SECRET, one.body, header, now_ms=now_ms(), seen=seen)
    assert not verify(SECRET, one.body, header, now_ms=now_ms(), seen=seen)
    assert not verify(SECRET, one.body + b" ", header, now_ms=now_ms())
    assert not verify(b"x" * 20, one.body, header, now_ms=now_ms())


def test_apprise_says_it_to_people(receiver: Receiver) -> None:
    """Title and text, as they are."""
    sender(by_apprise(receiver), LINK)(one_notice())
    (one,) = receiver.posted
    assert one.said["title"] == "Approval needed: refund"
    assert one.said["type"] == "warning"
    lines = one.said["message"].split("\n")
    assert lines[0] == "Tool: refund"
    assert lines[-1] == f"{LINK}/r?fingerprint=5eed5eed5eed"
    assert len(lines) == 7
    assert one.headers["User-Agent"] == "openfeature-gov"


@pytest.mark.parametrize("made", [webhook, by_apprise])
def test_a_failure_is_tried_again_and_then_said(receiver: Receiver, made: Any) -> None:
    """A bounded number of times; every try of a webhook is signed anew."""
    send = sender(made(receiver), pause_s=0.01)
    receiver.answers = [answer(503), hang_up]
    send(one_notice())
    assert len(receiver.posted) == 3
    if made is webhook:
        assert len({one.headers[HEADER] for one in receiver.posted}) == 3
        assert len({one.body for one in receiver.posted}) == 1
    receiver.usual = answer(500)
    with pytest.raises(ConnectionError, match=r"channel support: notice not taken: "):
        send(one_notice())
    assert len(receiver.posted) == 3 + TRIES


@pytest.mark.parametrize("made", [webhook, by_apprise])
def test_nobody_is_led_elsewhere(receiver: Receiver, made: Any) -> None:
    """A redirection, to a sign-in page or a stranger, is a failure."""
    receiver.usual = answer(302, Location=f"http://{receiver.place}/elsewhere")
    with pytest.raises(ConnectionError):
        sender(made(receiver), pause_s=0)(one_notice())
    assert "/elsewhere" not in [one.path for one in receiver.posted]


@pytest.mark.parametrize("made", [webhook, by_apprise])
def test_neither_url_nor_secret_is_ever_said(
    receiver: Receiver, made: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Not by us nor by the libraries, whatever the level; of others they still are."""
    caplog.set_level(1)
    for name in ("apprise", "urllib3.connectionpool"):
        caplog.set_level(1, logger=name)
    with closing(Receiver()) as gone:
        path = f"/{CANARY}?token={CANARY}&-q={CANARY}"
        channels = [made(receiver, path), made(gone, path)]
    said = [repr(channels)]
    elsewhere = answer(302, Location=f"/{CANARY}")
    for usual in (answer(), answer(500), elsewhere, hang_up):
        receiver.usual = usual
        for channel in channels:
            try:
                sender(channel, pause_s=0)(one_notice())
            except ConnectionError as error:
                said += [repr(error), repr(error.__cause__)]
    assert all(CANARY in one.path for one in receiver.posted)
    assert len(said) == 1 + 2 * 7
    said.append(caplog.text)
    for word in (CANARY, SECRET.decode(), receiver.place, gone.place):
        assert word not in "\n".join(said)
    logging.getLogger("apprise").warning("of another use")
    assert "of another use" in caplog.text


def test_a_url_that_apprise_does_not_know_is_refused() -> None:
    """By the channel's name."""
    pytest.importorskip("apprise")
    with pytest.raises(InvalidContractError) as error:
        sender(Channel("ops", "support", url=f"nonsense://{CANARY}"))
    assert str(error.value) == "channel ops: url: is no URL that apprise knows"


def test_without_the_extra_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A webhook needs none."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(RecordStoreError, match=r"openfeature-gov\[notify\]"):
        sender(Channel("ops", "support", url="json://x"))
    sender(Channel("ops", "support", webhook="https://x", secret=SECRET))


def test_what_was_asked_and_answered_is_told(
    records: Records, receiver: Receiver
) -> None:
    """Each to whom it concerns, in the order of the log."""
    for request_id in ("a", "b"):
        records.put(request_id, group="support" if request_id == "a" else "sales")
    records.others(3)
    assert records.notify(hook(receiver)) == 1
    (one,) = receiver.posted
    assert (one.said["id"], one.said["event"]) == ("a", "requested")
    records.queue.approve("a", BOB, seen=BINDING)
    assert records.notify(hook(receiver)) == 0
    records.cursor = records.cursor.with_name("of-the-agent")
    assert records.notify(hook(receiver), "agent-1") == 1
    assert receiver.posted[-1].said["event"] == "approved"


def test_who_is_next_is_told(records: Records, receiver: Receiver) -> None:
    """Once it is their turn, with the deadline that they have."""
    made = records.put("a", escalation=("lead", "ceo"))
    assert records.notify(hook(receiver), "lead") == 0
    records.passed_us = 31 * MINUTE_US
    list(records.queue.tick())
    assert records.notify(hook(receiver), "lead") == 1
    (one,) = receiver.posted
    assert one.said["event"] == "escalated"
    assert one.said["deadline"] > payload(notice(News.REQUESTED, made, "m"))["deadline"]
    records.passed_us = 47 * MINUTE_US
    list(records.queue.tick())
    assert records.notify(hook(receiver), "lead") == 0


def test_what_no_longer_waits_is_passed_over(
    records: Records, receiver: Receiver
) -> None:
    """Nobody is asked for what is over, or told of what is old."""
    for request_id in ("a", "b"):
        records.put(request_id)
    records.queue.refuse("a", BOB, reason="no")
    assert records.notify(hook(receiver)) == 1
    assert receiver.posted[0].said["id"] == "b"
    records.passed_us = 25 * 60 * MINUTE_US
    records.cursor = records.cursor.with_name("of-the-agent")
    assert records.notify(hook(receiver), "agent-1") == 0


def test_each_is_sent_once_while_all_goes_well(
    records: Records, receiver: Receiver
) -> None:
    """In portions and across them."""
    for number in range(5):
        records.put(f"r{number}")
        records.others(300)
    assert records.notify(hook(receiver)) == 5
    assert records.notify(hook(receiver)) == 0
    records.put("late")
    assert records.notify(hook(receiver)) == 1
    found = [one.said["id"] for one in receiver.posted]
    assert found == ["r0", "r1", "r2", "r3", "r4", "late"]
    assert len(set(keys(receiver.posted))) == 6


def test_what_comes_meanwhile_is_told_too(records: Records, receiver: Receiver) -> None:
    """Within the pass that found what was before it."""
    records.put("a")
    taken = hook(receiver)

    def send(one: Notice) -> None:
        taken(one)
        if one.request_id == "a":
            records.put("b")

    assert records.notify(send) == 2
    assert [one.said["id"] for one in receiver.posted] == ["a", "b"]


def test_a_channel_that_fails_goes_on_where_it_was(
    records: Records, receiver: Receiver
) -> None:
    """What it took is not sent again."""
    for number in range(4):
        records.put(f"r{number}")
    receiver.answers = [answer(), answer(), *[answer(500)] * TRIES]
    with pytest.raises(ConnectionError):
        records.notify(hook(receiver))
    assert records.notify(hook(receiver)) == 2
    found = [one.said["id"] for one in receiver.posted]
    assert found == ["r0", "r1", *["r2"] * TRIES, "r2", "r3"]


def test_a_lost_answer_is_sent_again_with_the_same_key(
    records: Records, receiver: Receiver
) -> None:
    """And verifies: it has a time of its own."""
    records.put("a")
    receiver.answers = [hang_up]
    records.notify(hook(receiver))
    first, again = receiver.posted
    assert first.body == again.body
    seen: dict[str, tuple[int]] = {}
    for one in (first, again):
        header = one.headers[HEADER]
        assert verify(SECRET, one.body, header, now_ms=now_ms(), seen=seen)


CRASH = """
import os, sys
from functools import partial
from pathlib import Path
from openfeature_gov.approvals import notifying
from openfeature_gov.approvals.channels import Channel
from openfeature_gov.cli.answering import LateShelf, now_us
from openfeature_gov.stores.queries import stored

records, cursor, url, key, until = sys.argv[1:]
channel = Channel("support", "support", webhook=url, secret=key.encode())
send = notifying.sender(channel)
sent = 0
def mortal(one):
    global sent
    send(one)
    sent += 1
    if sent == int(until):
        os.kill(os.getpid(), 9)
read = partial(stored, records)
notifying.notify("support", read, LateShelf(records), Path(cursor), mortal, now_us)
"""


def test_a_crash_between_sending_and_the_cursor_loses_nothing(
    records: Records, receiver: Receiver
) -> None:
    """Kill -9 after the third notice was taken: it comes again, with its key."""
    for number in range(5):
        records.put(f"r{number}")
    words = [records.path, records.cursor, f"http://{receiver.place}/", SECRET.decode()]

    def run(until: int) -> int:
        return subprocess.run(
            [sys.executable, "-c", CRASH, *map(str, words), str(until)],
            env={**os.environ, "PYTHONPATH": PATH},
            check=False,
            timeout=60,
        ).returncode

    assert run(3) == -9
    assert run(0) == 0
    found = [one.said["id"] for one in receiver.posted]
    assert found == ["r0", "r1", "r2", "r2", "r3", "r4"]
    assert receiver.posted[2].body == receiver.posted[3].body


def test_what_soon_expires_is_brought_to_mind_once(
    records: Records, receiver: Receiver
) -> None:
    """By each deadline that it has: an extension makes another."""
    for request_id, minutes in (("b", 10), ("a", 11), ("far", 60), ("short", 4)):
        records.put(request_id, deadline_us=records.now() + minutes * MINUTE_US)
    assert records.remind(hook(receiver)) == 0
    records.passed_us = 7 * MINUTE_US
    receiver.answers = [answer(), *[answer(500)] * TRIES]
    with pytest.raises(ConnectionError):
        records.remind(hook(receiver))
    assert records.remind(hook(receiver)) == 1
    assert records.remind(hook(receiver)) == 0
    found = [one.said["id"] for one in receiver.posted]
    assert found == ["b", *["a"] * TRIES, "a"]
    assert {one.said["event"] for one in receiver.posted} == {"expiring"}
    until = records.now() + SOON_US - MINUTE_US
    records.queue.extend("a", BOB, until_us=until)
    assert records.remind(hook(receiver)) == 1
    assert len(set(keys(receiver.posted))) == 3
    records.queue.refuse("a", BOB, reason="no")
    records.passed_us = 57 * MINUTE_US
    assert records.remind(hook(receiver), "sales") == 0


def test_a_damaged_record_holds_up_nobody(records: Records, receiver: Receiver) -> None:
    """It is for audits to find."""
    records.put("a")
    read = partial(stored, records.path)

    def damaged(*, after: int, limit: int) -> Any:
        found = read(after=after, limit=limit)
        return [
            one._replace(kind="approval", body=b"{" if one.seq == 1 else b"[]")
            if one.kind != "decision"
            else one
            for one in found
        ]

    sent = notify(
        *("support", damaged, records.shelf, records.cursor),
        hook(receiver),
        records.now,
    )
    assert sent == 1


def test_another_log_is_refused(records: Records, receiver: Receiver) -> None:
    """As by every cursor."""
    records.put("a")
    records.notify(hook(receiver))
    held = records.cursor.read_text()
    records.cursor.write_text(held.replace('"id":"', '"id":"x'))
    with pytest.raises(RecordStoreError, match="another log"):
        records.notify(hook(receiver))

